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
	"github.com/coraltele/sanchar/pkg/base/problem"
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
	err := identify(log)
	if p, ok := errors.AsType[*problem.Error](err); ok {
		log.Error("the data is not this box's", "err", err)
		return p
	}
	if err != nil {
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

const identityDir = "/identity"

// identify mounts the identity partition and gives a box that has none a serial number. It outlives
// a factory reset. Data of another box is a problem.
func identify(log *slog.Logger) error {
	const at = identityDir
	dev, err := besides(dataDir, 5)
	if err == nil {
		err = unix.Mount(dev, at, "ext4", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if err != nil {
		return err
	}
	serial, err := serialOf(at)
	if err == nil {
		log.Info("box", "serial", serial)
		err = belongs(dataDir, at, serial)
	}
	return errors.Join(err, unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
}

// serialOf returns the serial number on an identity partition, and makes one where there is none.
func serialOf(identity string) (string, error) {
	path := filepath.Join(identity, "serial")
	serial, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		serial = []byte(ids.Random(serialBytes) + "\n")
		err = fsx.WriteFile(path, serial, 0o400)
	}
	return strings.TrimSpace(string(serial)), err
}
