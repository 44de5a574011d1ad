package recorder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// The spool has a folder for each recording, with a part for each process that wrote it. The folder
// stands in openDir while the call lasts, and then in ClosedDir.
const (
	openDir   = "open"
	ClosedDir = "closed"
)

func partName(n int) string { return fmt.Sprintf("%03d.reel", n) }

// Owner is whom the parts of a recording are sealed for.
func Owner(id string) []byte { return seal.Owner(nil, "reel", id) }

// Parts returns the files of a closed recording, in their order.
func Parts(dir, id string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, ClosedDir, id, "*.reel"))
	slices.Sort(names)
	return names, err
}

func makeDirs(dir string) error {
	return errors.Join(os.MkdirAll(filepath.Join(dir, openDir), 0o700), os.MkdirAll(filepath.Join(dir, ClosedDir), 0o700))
}

// shelve moves a recording to those that are closed, if anything was written of it.
func (d *Deck) shelve(id string) (moved bool, err error) {
	from, to := filepath.Join(d.cfg.Dir, openDir, id), filepath.Join(d.cfg.Dir, ClosedDir, id)
	switch err := os.Rename(from, to); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, errors.Join(fsx.SyncDir(filepath.Dir(from)), fsx.SyncDir(filepath.Dir(to)))
}

// Settle closes what a process before us left open and nobody has started again.
func (d *Deck) Settle() error {
	if d.cfg.Key == nil {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(d.cfg.Dir, openDir))
	errs := []error{err}
	for _, e := range entries {
		d.mu.Lock()
		goesOn := d.recordings[e.Name()] != nil
		d.mu.Unlock()
		if goesOn {
			continue
		}
		moved, err := d.shelve(e.Name())
		if err != nil {
			errs = append(errs, fmt.Errorf("close recording %s: %w", e.Name(), err))
		}
		if moved {
			d.cfg.Closed(e.Name())
		}
	}
	return errors.Join(errs...)
}
