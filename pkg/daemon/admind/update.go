package admind

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/health"
	"github.com/coraltele/sanchar/pkg/firmware/install"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
	"github.com/coraltele/sanchar/pkg/firmware/slots"
	"github.com/coraltele/sanchar/pkg/firmware/update"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// Files of an image, below its root.
const (
	boardFile = "etc/board"
	keysFile  = "etc/update-keys"
	mountAt   = "/boot" // for the boot partition, while it is written
)

// openUpdates makes what takes updates. A machine that was not started from an image has no place for
// them, and says so.
func (d *Daemon) openUpdates(sw ctl.Switch) (err error) {
	root := d.cfg.Root
	board, _ := os.ReadFile(filepath.Join(root, boardFile)) // none on a developer's machine
	text, keysErr := os.ReadFile(filepath.Join(root, keysFile))
	var keys manifest.Keys
	if keysErr == nil {
		keys, keysErr = manifest.ParseKeys(string(text))
	}
	d.developmentKeys, d.updateKeys, d.board = keys.Development, keys, strings.TrimSpace(string(board))
	d.updates, err = update.New(update.Config{
		Target: func() (install.Target, error) {
			box, err := slots.Find("/sys")
			if err != nil {
				return install.Target{}, err
			}
			return install.Target{
				Keys: keys, Slot: box.Slot, Root: box.Root, Boot: box.Boot, Mount: func(do func(string) error) error { return box.Write(mountAt, do) },
			}, keysErr
		},
		Version: d.cfg.Version, Board: d.board, Development: keys.Development, Dir: d.cfg.DataDir,
		Switch: sw, Init: ctl.NewInit(d.cfg.socket("init")), Changed: d.hub.Updated, Log: d.log("update"),
		Well: func(ctx context.Context) error {
			c := d.health(sw)
			c.Before = d.updates.Before()
			return health.Check(ctx, c)
		},
		Faults: func(ctx context.Context) (health.Faults, error) { return health.FaultsOf(ctx, d.links) },
	})
	return err
}

// health says whom to ask whether the box is well.
func (d *Daemon) health(sw ctl.Switch) health.Config {
	return health.Config{
		Switch: sw, Media: ctl.NewMedia(d.cfg.socket("media")), Network: d.links, Log: d.log("health"),
		Stores: func(ctx context.Context) error {
			_, err := d.archive.Find(ctx, record.Query{Kind: record.KindCall, Limit: 1})
			return err
		},
		Page: d.loopbackPage(),
	}
}

// updater is update.Updates as the API asks for it.
type updater struct {
	*update.Updates
	d *Daemon
}

func (u updater) Receive(ctx context.Context, bundle io.Reader, in ctl.UpdateFile) (string, error) {
	m, err := u.Updates.Receive(ctx, bundle, update.Options{Wait: in.Wait, Downgrade: in.Downgrade, By: in.By})
	return m.Version, err
}

// updateRoutes are for the command line.
func (d *Daemon) updateRoutes(mux *http.ServeMux) {
	sw := ctl.NewSwitch(d.cfg.socket("switch"))
	ctl.Handle(mux, "GET /v1/update", func(r *http.Request, _ ctl.None) (ctl.UpdateState, error) { return d.updates.State(r.Context()), nil })
	ctl.Handle(mux, "POST /v1/update", func(r *http.Request, in ctl.UpdateFile) (st ctl.UpdateState, err error) {
		if err := d.installFile(r.Context(), in); err != nil {
			return st, err
		}
		return d.updates.State(r.Context()), nil
	})
	ctl.Handle(mux, "GET /v1/update/sticks", func(r *http.Request, _ ctl.None) (ctl.Sticks, error) { return d.onSticks(r.Context()) })
	ctl.Handle(mux, "POST /v1/check", func(r *http.Request, _ ctl.None) (ctl.None, error) {
		if err := health.Check(r.Context(), d.health(sw)); err != nil {
			return ctl.None{}, problem.Wrap(err, problem.Unavailable, "box.ill", "the box is not well: "+err.Error(), "look at what is named, and at the alarms")
		}
		return ctl.None{}, nil
	})
	ctl.Handle(mux, "POST /v1/restart", func(r *http.Request, in ctl.RestartRequest) (ctl.None, error) {
		if in.Adopt {
			return ctl.None{}, d.updates.Adopt(r.Context(), in.Why)
		}
		return ctl.None{}, d.updates.Restart(r.Context(), in.Why, in.Reset)
	})
}

// installFile installs an update from a file on the box, or on a stick.
func (d *Daemon) installFile(ctx context.Context, in ctl.UpdateFile) error {
	u := updater{d.updates, d}
	if in.Stick != "" {
		_, err := u.FromStick(ctx, in)
		return err
	}
	f, err := os.Open(in.Path)
	if err != nil {
		return problem.Wrap(err, problem.Invalid, "update.path", "the file "+in.Path+" cannot be read on the box", "name a file on the box, or say on which stick it is")
	}
	defer func() { _ = f.Close() }() // only read
	_, err = u.Receive(ctx, f, in)
	return err
}

// updateAlarms tell of keys that anybody may have, and of versions that did not stay.
func (d *Daemon) updateAlarms() (all []ctl.Alarm) {
	if d.developmentKeys {
		all = append(all, ctl.Alarm{
			Code: "update.keys", Text: "this is a development build: anybody who has its sources can sign updates for it", Cure: "install a release before the box is used",
		})
	}
	return all
}

// troubleAlarms tell why the box cannot do what it is for: it runs the page alone, from memory.
func (d *Daemon) troubleAlarms() []ctl.Alarm {
	if d.cfg.Alone != "" {
		return []ctl.Alarm{{
			Code: "box.alone", Text: "the page runs without its records and its admins: " + d.cfg.Alone,
			Cure: "restart the box; if that does not help, install another version, or erase what the box keeps (factory reset)",
		}}
	}
	if d.cfg.Trouble == "" {
		return nil
	}
	cure := d.cfg.Cure
	if cure == "" {
		cure = "restart it; if that does not help, erase what it keeps (factory reset), or replace its disk"
	}
	return []ctl.Alarm{{Code: "box.data", Text: "the box takes no calls: " + d.cfg.Trouble, Cure: cure}}
}
