package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Numbers of partitions. The first is the boot partition, 2 and 3 are the roots.
const dataPartition = 4

const (
	// diskPatience is how long a disk may take to show up: USB sticks are slow.
	diskPatience = 30 * time.Second
	diskPause    = 100 * time.Millisecond
	sector       = 512
)

// disk is the one that the box was started from.
type disk struct{ name string }

// partition returns the device of a partition.
func (d disk) partition(n int) string {
	sep := ""
	if last := d.name[len(d.name)-1]; last >= '0' && last <= '9' { // nvme0n1p4, mmcblk0p4
		sep = "p"
	}
	return fmt.Sprintf("/dev/%s%s%d", d.name, sep, n)
}

// findDisk waits for the disk whose first partition has a GUID. Two of them are a fault: an installer
// stick that was left in has another one.
func findDisk(guid string) (disk, error) {
	for until := time.Now().Add(diskPatience); ; time.Sleep(diskPause) {
		found, err := disksWith(guid, "/sys/block", "/dev")
		switch {
		case err != nil:
			return disk{}, err
		case len(found) == 1:
			say("started from %s", found[0])
			return disk{found[0]}, nil
		case len(found) > 1:
			return disk{}, fmt.Errorf("the disks %s are of the same image: take one out", strings.Join(found, " and "))
		case time.Now().After(until):
			return disk{}, fmt.Errorf("no disk has the boot partition %s", guid)
		}
	}
}

func disksWith(guid, list, devices string) (found []string, err error) {
	entries, err := os.ReadDir(list)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if n := e.Name(); !strings.HasPrefix(n, "loop") && !strings.HasPrefix(n, "ram") && !strings.HasPrefix(n, "dm-") && firstGUID(filepath.Join(devices, n)) == guid {
			found = append(found, n)
		}
	}
	return found, nil
}

// firstGUID reads the unique GUID of the first partition (UEFI 2.10 §5.3), "" where there is none.
func firstGUID(device string) string {
	f, err := os.Open(device)
	if err != nil {
		return ""
	}
	defer f.Close()
	for _, size := range [...]int64{sector, 4096} { // of the disk's blocks
		head := make([]byte, 92)
		if _, err := f.ReadAt(head, size); err != nil || string(head[:8]) != "EFI PART" {
			continue
		}
		entry := make([]byte, 32)
		if _, err := f.ReadAt(entry, int64(binary.LittleEndian.Uint64(head[72:]))*size); err == nil || errors.Is(err, io.EOF) {
			return guidText(entry[16:32])
		}
	}
	return ""
}

// guidText writes a GUID: its first three parts are stored the other way round.
func guidText(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}

// checkData repairs the file system of the data partition as far as that needs nobody's decision
// (e2fsck(8): 0 and 1 are good, 2 asks for a restart, more is damage).
func checkData(device string) error {
	cmd := exec.Command("/e2fsck", "-p", device)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	err := cmd.Run()
	var code *exec.ExitError
	if errors.As(err, &code) && code.ExitCode() <= 2 {
		return nil
	}
	return err
}
