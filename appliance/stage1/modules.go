package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// loadModules loads the modules that list names, one file a line, in its order: each stands behind
// what it needs. A module whose hardware is not there is no fault; a file that is missing is one.
func loadModules(list string) error {
	f, err := os.Open(list)
	if err != nil {
		return err
	}
	defer f.Close()
	loaded, refused := 0, 0
	s := bufio.NewScanner(f)
	for s.Scan() {
		switch err := loadModule(s.Text()); {
		case errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOENT):
			return err
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

func loadModule(path string) error {
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

// armWatchdog opens the first watchdog and leaves it running: from here on a box that hangs starts
// again. The init feeds it while the box is healthy.
func armWatchdog() {
	const path = "/dev/watchdog0"
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		say("no watchdog: %v", err)
		return
	}
	timeout := 60 // seconds, from here until the init feeds it
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, timeout); err != nil {
		say("watchdog: %v", err)
	}
	if _, err := f.Write([]byte{0}); err != nil {
		say("watchdog: %v", err)
	}
	_ = f.Close() // without a V written: it stays armed
	say("watchdog armed")
}

// commandLine is what the image says to stage1 on the kernel's command line.
type commandLine struct {
	boot   string // GUID of the boot partition, by which the disk is found
	root   int    // number of the root partition
	verity verity
}

func readCommandLine(path string) (c commandLine, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	return parseCommandLine(string(data))
}

// parseCommandLine reads root=PARTUUID=GUID/PARTNROFF=n, which the init needs in this form too, and
// sanchar.verity=ROOT,SALT,BLOCKS.
func parseCommandLine(text string) (c commandLine, err error) {
	for field := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "root":
			var off int
			guid, rest, ok := strings.Cut(strings.TrimPrefix(value, "PARTUUID="), "/PARTNROFF=")
			if _, scanErr := fmt.Sscanf(rest, "%d", &off); !ok || scanErr != nil || off < 1 || off > 2 {
				return c, fmt.Errorf("root=%s: not PARTUUID=GUID/PARTNROFF=1 or 2", value)
			}
			c.boot, c.root = strings.ToLower(guid), 1+off
		case "sanchar.verity":
			if c.verity, err = parseVerity(value); err != nil {
				return c, err
			}
		}
	}
	if c.boot == "" || c.verity.root == "" {
		return c, errors.New("the command line names no root, or not how to verify it")
	}
	return c, nil
}
