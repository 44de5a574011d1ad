// Package early is what programs of the initial memory disk begin with: mounts, modules, and the disk that the
// box was started from.
package early

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Say tells what happens, on the console.
type Say func(format string, args ...any)

// Mount mounts what the kernel shows of itself.
func Mount() error {
	var errs []error
	for _, m := range [...]struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		errs = append(errs, os.MkdirAll(m.at, 0o755))
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("mount %s: %w", m.at, err))
		}
	}
	return errors.Join(errs...)
}

// Load loads the modules that list names, one file a line, in its order: each stands behind what it needs. A
// module whose hardware is not there is no fault; a file that is missing is one.
func Load(list string, say Say) error {
	f, err := os.Open(list)
	if err != nil {
		return err
	}
	defer f.Close()
	loaded, refused := 0, 0
	s := bufio.NewScanner(f)
	for s.Scan() {
		switch err := load(s.Text()); {
		case errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOENT):
			return err
		case errors.Is(err, unix.ENODEV):
			say("module %s: its hardware is not there", filepath.Base(s.Text()))
		case err != nil:
			refused++
			say("module %s: %v", filepath.Base(s.Text()), err)
		default:
			loaded++
		}
	}
	say("%d modules, %d refused", loaded, refused)
	return s.Err()
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}
