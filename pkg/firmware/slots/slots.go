// Package slots finds the two places for versions on the disk that the box was started from, and the
// boot partition that says which of them starts.
package slots

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/install"
)

// Numbers of partitions: the boot partition, then the roots of slots a and b.
const (
	bootPart  = 1
	rootAPart = 2
	rootBPart = 3
)

// Box is the disk that the box was started from.
type Box struct {
	Slot string // that runs
	disk string
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
	switch n := strings.TrimSpace(string(number)); n {
	case "2":
		b.Slot = "a"
	case "3":
		b.Slot = "b"
	default:
		return b, fmt.Errorf("the root is on partition %s of %s: no slot", n, b.disk)
	}
	return b, nil
}

// Disk is the name of the disk, as the kernel calls it.
func (b Box) Disk() string { return b.disk }

// Partition is the device of a partition, as the kernel names it.
func (b Box) Partition(n int) string { return Partition(b.disk, n) }

// Partition is the device of a disk's partition: nvme0n1p4, mmcblk0p4, sda4.
func Partition(disk string, n int) string {
	sep := ""
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		sep = "p"
	}
	return fmt.Sprintf("/dev/%s%s%d", disk, sep, n)
}

// Read shows the boot partition to do, at a folder that is there for it.
func (b Box) Read(at string, do func(boot string) error) error {
	return b.mount(at, unix.MS_RDONLY, do)
}

// Write lets do change the boot partition, at a folder that is there for it. It is mounted for that
// time only: its file system has no journal.
func (b Box) Write(at string, do func(boot string) error) error { return b.mount(at, 0, do) }

func (b Box) mount(at string, flags uintptr, do func(boot string) error) (err error) {
	dev := b.Partition(bootPart)
	if err := unix.Mount(dev, at, "vfat", flags|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "umask=077,utf8=1"); err != nil {
		return fmt.Errorf("mount the boot partition %s: %w", dev, err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(at, 0)) }() // which writes all
	return do(at)
}

// Root opens the root partition of the slot that does not run.
func (b Box) Root(slot string) (install.Device, error) {
	if slot == b.Slot {
		return nil, fmt.Errorf("slot %s runs", slot)
	}
	return os.OpenFile(b.Partition(map[string]int{"a": rootAPart, "b": rootBPart}[slot]), os.O_WRONLY, 0)
}
