package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"github.com/diskfs/go-diskfs/partition/gpt"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/firmware/early"
)

const (
	sector    = 512
	block     = 4096 // of the data's file system
	dataPart  = 4
	growLeast = 64 << 20 // less is not worth writing the table of partitions for
)

// besides returns the device of another partition of the disk that a mount is on.
func besides(mount string, number int) (string, error) {
	disk, err := diskOf(mount)
	if err != nil {
		return "", err
	}
	return early.Partition(disk, number), nil
}

// diskOf returns the name of the disk that a mount is on.
func diskOf(mount string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(mount, &st); err != nil {
		return "", err
	}
	// /sys/dev/block/254:4 leads to .../block/vda/vda4.
	path, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	return filepath.Base(filepath.Dir(path)), err
}

// grow gives the data partition what the disk has behind it: as flashed it is small. A power cut at
// any moment leaves a file system that is at most smaller than its partition; the next start goes on.
func grow(mount string) error {
	disk, err := diskOf(mount)
	if err != nil {
		return err
	}
	size, err := diskSize(disk)
	if err != nil {
		return err
	}
	f, err := os.OpenFile("/dev/"+disk, os.O_RDWR|unix.O_SYNC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	table, err := gpt.Read(f, sector, sector)
	if err != nil {
		return fmt.Errorf("table of partitions: %w", err)
	}
	part := dataEntry(table)
	if part == nil {
		return errors.New("the disk has no data partition")
	}
	end := uint64(size/sector) - 2048 // the copy of the table is behind it
	if end > part.End+growLeast/sector {
		part.End, part.Size = end, 0
		table.Resize(uint64(size)) // its copy goes to the end of the disk, out of the way of the data
		if err := table.Write(f, size); err != nil {
			return fmt.Errorf("table of partitions: %w", err)
		}
		if err := tellKernel(f, part.Start, part.End); err != nil {
			return err
		}
	}
	return growFiles(mount, (part.End-part.Start+1)*sector/block)
}

func dataEntry(t *gpt.Table) *gpt.Partition {
	for _, p := range t.Partitions {
		if p.Name == "data" {
			return p
		}
	}
	return nil
}

func diskSize(disk string) (int64, error) {
	text, err := os.ReadFile("/sys/class/block/" + disk + "/size")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n * sector, err
}

// tellKernel makes a mounted partition end elsewhere (linux/blkpg.h).
func tellKernel(disk *os.File, start, end uint64) error {
	part := unix.BlkpgPartition{Start: int64(start * sector), Length: int64((end - start + 1) * sector), Pno: dataPart}
	arg := unix.BlkpgIoctlArg{Op: unix.BLKPG_RESIZE_PARTITION, Datalen: int32(unsafe.Sizeof(part)), Data: (*byte)(unsafe.Pointer(&part))}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		return fmt.Errorf("resize the data partition: %w", errno)
	}
	return nil
}

// ext4Resize is EXT4_IOC_RESIZE_FS: _IOW('f', 16, __u64).
const ext4Resize = 1<<30 | 8<<16 | 'f'<<8 | 16

// growFiles makes a mounted file system so many blocks large, if it is not yet.
func growFiles(mount string, blocks uint64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(mount, &st); err != nil {
		return err
	}
	if st.Blocks+growLeast/block > blocks { // what the file system itself takes is not counted in it
		return nil
	}
	d, err := os.Open(mount)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), ext4Resize, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		return fmt.Errorf("grow the data's file system: %w", errno)
	}
	return nil
}
