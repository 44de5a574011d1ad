package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/firmware/early"
)

const (
	// resetFlag is the file on the boot partition by which a factory reset is asked for.
	resetFlag = "factory-reset"
	// template is the data partition as it was flashed: an empty file system.
	template = "/data.img.gz"
)

// resetIfAsked begins the data partition anew if the flag is there. The flag goes last: a power cut
// before makes the next start do it again.
func resetIfAsked(disk string) error {
	const at = "/boot"
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	dev := early.Partition(disk, bootPartition)
	if err := unix.Mount(dev, at, "vfat", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount %s: %w", dev, err)
	}
	_, err := os.Stat(filepath.Join(at, resetFlag))
	if gone := unix.Unmount(at, 0); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return errors.Join(err, gone)
	}
	say("factory reset: all data is erased")
	if err := begin(early.Partition(disk, dataPartition), template); err != nil {
		return err
	}
	if err := unix.Mount(dev, at, "vfat", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", dev, err)
	}
	return errors.Join(os.Remove(filepath.Join(at, resetFlag)), unix.Unmount(at, 0))
}

// begin lets a disk forget a partition, where it can, and writes the template there.
func begin(device, template string) error {
	out, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := forget(out); err != nil {
		say("the disk cannot forget what was there; it is overwritten as the box is used: %v", err)
	}
	return errors.Join(early.Unzip(out, template), out.Sync(), out.Close())
}

// forget discards all blocks of a partition.
func forget(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	span := [2]uint64{0, uint64(size)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKDISCARD, uintptr(unsafe.Pointer(&span))); errno != 0 {
		return errno
	}
	return nil
}
