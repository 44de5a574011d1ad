package early

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// diskPatience is how long a disk may take to show up: USB sticks are slow.
	diskPatience = 30 * time.Second
	diskPause    = 100 * time.Millisecond
	sector       = 512
	bufferSize   = 1 << 20 // of what is written at a time
)

// Partition is the device of a disk's partition, as the kernel names it: nvme0n1p4, mmcblk0p4, sda4.
func Partition(disk string, n int) string {
	sep := ""
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		sep = "p"
	}
	return fmt.Sprintf("/dev/%s%s%d", disk, sep, n)
}

// Find waits for the disk whose first partition has a GUID. Two of them are a fault: an installer stick that was
// left in has another one.
func Find(guid string, say Say) (disk string, err error) {
	for until := time.Now().Add(diskPatience); ; time.Sleep(diskPause) {
		found, err := With(guid, "/sys/block", "/dev")
		switch {
		case err != nil:
			return "", err
		case len(found) == 1:
			say("started from %s", found[0])
			return found[0], nil
		case len(found) > 1:
			return "", fmt.Errorf("the disks %s are of the same image: take one out", strings.Join(found, " and "))
		case time.Now().After(until):
			return "", fmt.Errorf("no disk has the boot partition %s", guid)
		}
	}
}

// With lists the disks whose first partition has a GUID.
func With(guid, list, devices string) (found []string, err error) {
	entries, err := os.ReadDir(list)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if n := e.Name(); !strings.HasPrefix(n, "loop") && !strings.HasPrefix(n, "ram") && !strings.HasPrefix(n, "dm-") && FirstGUID(filepath.Join(devices, n)) == guid {
			found = append(found, n)
		}
	}
	return found, nil
}

// FirstGUID reads the unique GUID of the first partition (UEFI 2.10 §5.3), "" where there is none.
func FirstGUID(device string) string {
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

// Unzip writes a partition as it was made when the image was built.
func Unzip(out io.Writer, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{out}, in, make([]byte, bufferSize)); err != nil {
		return fmt.Errorf("write what %s has: %w", filepath.Base(from), err)
	}
	return in.Close()
}
