package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// verity is what the kernel checks each block of the root against.
type verity struct {
	root, salt string // in hex
	blocks     int64  // of 4096 bytes; the tree of hashes follows them
}

func parseVerity(value string) (v verity, err error) {
	parts := strings.Split(value, ",")
	if len(parts) == 3 {
		v = verity{root: parts[0], salt: parts[1]}
		v.blocks, err = strconv.ParseInt(parts[2], 10, 64)
	}
	if root, hexErr := hex.DecodeString(v.root); err != nil || hexErr != nil || len(root) != 32 || v.blocks < 1 {
		return v, fmt.Errorf("sanchar.verity=%s: not ROOT,SALT,BLOCKS", value)
	}
	if _, err := hex.DecodeString(v.salt); err != nil {
		return v, fmt.Errorf("sanchar.verity: salt: %w", err)
	}
	return v, nil
}

// table is the line that sets the device up (Linux Documentation/admin-guide/device-mapper/verity.rst).
// A block that is not what it should be restarts the box: the boot counter goes on from there.
func (v verity) table(device string) string {
	return fmt.Sprintf("1 %s %s 4096 4096 %d %d sha256 %s %s 1 restart_on_corruption", device, device, v.blocks, v.blocks, v.root, v.salt)
}

// Parts of the device mapper's interface (linux/dm-ioctl.h).
const (
	dmHeadSize   = 312
	dmSpecSize   = 40
	dmName       = "root"
	dmReadOnly   = 1 << 0
	dmMinor      = 0xfd
	dmCreate     = 3
	dmSuspend    = 6
	dmTableLoad  = 9
	dmBufferSize = 4096
)

// dmRequest is the number of an ioctl: _IOWR(0xfd, cmd, struct dm_ioctl).
func dmRequest(cmd uintptr) uintptr { return 3<<30 | dmHeadSize<<16 | dmMinor<<8 | cmd }

// openVerity makes a device that reads the root partition and checks what it reads.
func openVerity(device string, v verity) (string, error) {
	control, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("device mapper: %w", err)
	}
	defer control.Close()
	for _, step := range [...]struct {
		cmd uintptr
		fit func([]byte)
	}{
		{dmCreate, func([]byte) {}},
		{dmTableLoad, func(b []byte) { dmTable(b, v.blocks*8, v.table(device)) }},
		{dmSuspend, func([]byte) {}}, // without the flag to suspend it resumes
	} {
		b := dmHead()
		step.fit(b)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), dmRequest(step.cmd), uintptr(unsafe.Pointer(&b[0]))); errno != 0 {
			return "", fmt.Errorf("device mapper, step %d: %w", step.cmd, errno)
		}
	}
	return "/dev/dm-0", nil
}

func dmHead() []byte {
	b := make([]byte, dmBufferSize)
	ne := binary.NativeEndian
	ne.PutUint32(b[0:], 4) // version of the interface
	ne.PutUint32(b[12:], dmBufferSize)
	ne.PutUint32(b[16:], dmHeadSize)
	ne.PutUint32(b[28:], dmReadOnly)
	copy(b[48:], dmName)
	return b
}

// dmTable adds the one target of the device, of so many sectors.
func dmTable(b []byte, sectors int64, params string) {
	ne := binary.NativeEndian
	ne.PutUint32(b[20:], 1)
	spec := b[dmHeadSize:]
	ne.PutUint64(spec[8:], uint64(sectors))
	copy(spec[24:], "verity")
	copy(spec[dmSpecSize:], params)
}
