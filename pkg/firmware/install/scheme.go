package install

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// scheme is how a box's firmware chooses between the slots. What the versions are called and how they stand is
// in the names of files, whichever it is.
type scheme interface {
	folder() string // of the boot partition, with those files
	tries() int     // that a new version has
	// judge corrects what the names say by what the firmware does.
	judge(boot string, all []Entry) error
	// receive writes what starts the slot that does not run. It does not start by that.
	receive(t *Target, w *writer, p manifest.Part) error
	// activate makes what was received start, as often as its entry says.
	activate(boot string, e Entry) error
	// keep makes a slot start from now on.
	keep(boot, slot string) error
	asked() bool // for a version on trial, by our init; else the firmware starts it by itself
}

// schemeOf finds how a box is started by its boot partition.
func schemeOf(boot string) scheme {
	if st, err := os.Stat(filepath.Join(boot, tryFolder)); err == nil && st.IsDir() {
		return tryboot{chosenPath}
	}
	return counter{}
}

// counter is the way of systemd-boot: an image for each slot is a file, with a counter in its name that the
// loader brings down at each start.
type counter struct{}

const (
	counterTries  = 3
	counterFolder = "EFI/Linux"
	// unfinished is the name of an image that is being written.
	unfinished = "new.tmp"
)

// ImageOf is the path of slot a's image below the boot partition, as First leaves it, where images are files there.
func ImageOf(version string) string {
	return filepath.Join(counterFolder, Entry{Version: version, Slot: "a", Left: -1}.name())
}

func (counter) folder() string            { return counterFolder }
func (counter) tries() int                { return counterTries }
func (counter) keep(string, string) error { return nil }
func (counter) asked() bool               { return false }

// judge takes an image for good that was set behind an older one: its counter never had all its tries.
func (counter) judge(_ string, all []Entry) error {
	for i, e := range all {
		if e.Left >= 0 && e.Left+e.Done < counterTries {
			all[i].Left, all[i].Done = -1, 0
		}
	}
	return nil
}

func (c counter) receive(t *Target, w *writer, p manifest.Part) error {
	return t.Mount(func(boot string) error {
		path := filepath.Join(boot, c.folder(), unfinished)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			return err
		}
		if err = errors.Join(w.copy(f, p), f.Close()); err != nil {
			return errors.Join(err, os.Remove(path))
		}
		return nil
	})
}

// activate names the image. The loader prefers the highest version, and puts those behind that have no tries
// left; among these again the highest. So the one that runs is set behind an older one, and comes back if
// that does not stay.
func (c counter) activate(boot string, e Entry) error {
	dir := filepath.Join(boot, c.folder())
	if err := errors.Join(os.Rename(filepath.Join(dir, unfinished), filepath.Join(dir, e.name())), fsx.SyncDir(dir)); err != nil {
		return err
	}
	all, err := Entries(boot)
	if err != nil {
		return err
	}
	running, ok := Running(all, other(e.Slot))
	if !ok || manifest.Compare(e.Version, running.Version) > 0 {
		return nil
	}
	behind := running
	behind.Left, behind.Done = 0, 0
	return rename(boot, c, behind)
}
