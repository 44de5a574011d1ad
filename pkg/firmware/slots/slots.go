// Package slots finds the two places for versions on the disk that the box was started from, and the
// boot partition that says which of them starts.
package slots

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/early"
	"github.com/coraltele/sanchar/pkg/firmware/install"
	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

// Box is the disk that the box was started from.
type Box struct {
	Slot  string // that runs
	disk  string
	parts layout.Layout
}

// Find finds the disk below the verified root that runs, by what the kernel says in sys, usually "/sys".
func Find(sys string) (b Box, err error) {
	under, err := filepath.Glob(filepath.Join(sys, "block/dm-0/slaves/*"))
	if err != nil || len(under) != 1 {
		return b, problem.New(problem.Unavailable, "update.machine", "this machine was not started from an image",
			"update the programs on it as they came there")
	}
	path, err := filepath.EvalSymlinks(under[0])
	if err != nil {
		return b, err
	}
	number, err := os.ReadFile(filepath.Join(path, "partition"))
	if err != nil {
		return b, err
	}
	b.disk = filepath.Base(filepath.Dir(path))
	n, err := strconv.Atoi(strings.TrimSpace(string(number)))
	if err == nil {
		b.parts, b.Slot, err = layout.SlotOf(n)
	}
	if err != nil {
		return b, fmt.Errorf("the root is on %s of %s: %w", filepath.Base(path), b.disk, err)
	}
	return b, nil
}

// Disk is the name of the disk, as the kernel calls it.
func (b Box) Disk() string { return b.disk }

// On is a disk with a layout that the box was not started from: no slot of it runs.
func On(disk string, l layout.Layout) Box { return Box{disk: disk, parts: l} }

// Partition is the device of a partition, as the kernel names it.
func (b Box) Partition(n int) string { return early.Partition(b.disk, n) }

// Named is the device of the partition of a name, "" where the layout has none.
func (b Box) Named(name string) string {
	n := b.parts.Number(name)
	if n == 0 {
		return ""
	}
	return b.Partition(n)
}

// Read shows the boot partition to do, at a folder that is there for it.
func (b Box) Read(at string, do func(boot string) error) error {
	return b.mount(at, unix.MS_RDONLY, do)
}

// Write lets do change the boot partition, at a folder that is there for it. It is mounted for that
// time only: its file system has no journal.
func (b Box) Write(at string, do func(boot string) error) error { return b.mount(at, 0, do) }

func (b Box) mount(at string, flags uintptr, do func(boot string) error) (err error) {
	dev := b.Named(layout.Boot)
	if err := unix.Mount(dev, at, "vfat", flags|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "umask=077,utf8=1"); err != nil {
		return fmt.Errorf("mount the boot partition %s: %w", dev, err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(at, 0)) }() // which writes all
	return do(at)
}

// Root opens the root partition of the slot that does not run.
func (b Box) Root(slot string) (install.Device, error) {
	return b.open(slot, map[string]string{"a": layout.RootA, "b": layout.RootB})
}

// Boot opens what starts the slot that does not run, where that is a partition of its own.
func (b Box) Boot(slot string) (install.Device, error) {
	return b.open(slot, map[string]string{"a": layout.BootA, "b": layout.BootB})
}

func (b Box) open(slot string, names map[string]string) (install.Device, error) {
	device := b.Named(names[slot])
	switch {
	case slot == b.Slot:
		return nil, fmt.Errorf("slot %s runs", slot)
	case device == "":
		return nil, fmt.Errorf("the disk has no partition for slot %q of that kind", slot)
	}
	return os.OpenFile(device, os.O_WRONLY, 0)
}
