package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/ids"
)

// keepData makes sure that what the box keeps is on its own partition. Its error is for the page: the
// box does not run as a PBX then, for everything would be lost at the next start.
func keepData(log *slog.Logger) error {
	if err := mountedAt(dataDir, "/proc/mounts"); err != nil {
		log.Error("the data partition cannot be used", "err", err)
		return err
	}
	if err := grow(dataDir); err != nil {
		log.Error("the data partition keeps its size", "err", err)
	}
	if err := identify(log); err != nil {
		log.Error("the identity partition cannot be used", "err", err)
	}
	return nil
}

// mountedAt reports what is wrong with a mount point.
func mountedAt(path, mounts string) error {
	text, err := os.ReadFile(mounts)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[1] != path {
			continue
		}
		if f[2] != "ext4" {
			return fmt.Errorf("the data partition is %s, not ext4: it is not the box's own", f[2])
		}
		if strings.HasPrefix(f[3], "ro") {
			return errors.New("the data partition can only be read: its file system is damaged, or the disk is failing")
		}
		return nil
	}
	return errors.New("the data partition is not there, or is damaged")
}

const serialBytes = 8

// identify mounts the identity partition and gives a box that has none a serial number. It outlives
// a factory reset.
func identify(log *slog.Logger) error {
	const at = "/identity"
	dev, err := besides(dataDir, 5)
	if err == nil {
		err = unix.Mount(dev, at, "ext4", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if err != nil {
		return err
	}
	path := filepath.Join(at, "serial")
	serial, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		serial = []byte(ids.Random(serialBytes) + "\n")
		err = fsx.WriteFile(path, serial, 0o400)
	}
	if err != nil {
		return err
	}
	log.Info("box", "serial", strings.TrimSpace(string(serial)))
	return unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}
