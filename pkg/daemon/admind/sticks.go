package admind

import (
	"context"
	"io"
	"path/filepath"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/install"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
	"github.com/coraltele/sanchar/pkg/firmware/slots"
	"github.com/coraltele/sanchar/pkg/firmware/sticks"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// places are where sticks are looked for. A machine that was not started from an image is not updated from them.
func (d *Daemon) places() (sticks.Places, error) {
	box, err := slots.Find("/sys")
	return sticks.System(filepath.Join(d.cfg.RunDir, "sticks"), box.Disk()), err
}

// onSticks lists the updates on sticks. One that cannot be read keeps none of the others from being listed.
func (d *Daemon) onSticks(ctx context.Context) (ctl.Sticks, error) {
	p, err := d.places()
	if err != nil {
		return ctl.Sticks{}, err
	}
	st := d.updates.State(ctx)
	return list(p, d.updateKeys, manifest.Box{Board: st.Board, Version: st.Version, MinVersion: d.updates.Oldest()}), nil
}

func list(p sticks.Places, keys manifest.Keys, box manifest.Box) ctl.Sticks {
	all := ctl.Sticks{Updates: []ctl.StickUpdate{}}
	err := p.Each(func(f sticks.File, r io.Reader) error {
		all.Updates = append(all.Updates, described(f, r, keys, box))
		return nil
	})
	if err != nil {
		all.Fault = problem.Of(err).Text
	}
	return all
}

// described is what an update on a stick says of itself, or why it is none for this box.
func described(f sticks.File, r io.Reader, keys manifest.Keys, box manifest.Box) ctl.StickUpdate {
	u := ctl.StickUpdate{Stick: f.Stick, Model: f.Model, File: f.Name, Size: f.Size}
	m, err := install.Describe(r, keys)
	if err == nil {
		u.Version, u.Notes = m.Version, m.Notes
		u.Older = manifest.Compare(m.Version, box.Version) < 0
		box.Downgrade = true // whoever sees that it is older may ask for it
		err = m.Fits(box)
	}
	if err != nil {
		u.Fault = problem.Of(err).Text
	}
	return u
}

// Sticks lists the updates on sticks for the page.
func (u updater) Sticks(ctx context.Context) (ctl.Sticks, error) { return u.d.onSticks(ctx) }

// FromStick installs an update from a stick and returns its version.
func (u updater) FromStick(ctx context.Context, in ctl.UpdateFile) (version string, err error) {
	p, err := u.d.places()
	if err != nil {
		return "", err
	}
	err = p.Open(in.Stick, in.Path, func(r io.Reader) error {
		version, err = u.Receive(ctx, r, in)
		return err
	})
	return version, err
}
