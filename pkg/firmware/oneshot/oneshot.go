// Package oneshot tells the firmware of a Raspberry Pi which partition it is to start at the next restart.
//
// Its own kernel can be asked for that by name (restart with "0 tryboot"); Debian's does not pass that on. What
// both kernels leave to the firmware is a register of the power management: the firmware starts the partition
// whose number stands there, and that of autoboot.txt where none does (Linux drivers/watchdog/bcm2835_wdt.c). The
// register outlives a restart, so the version that starts clears it first of all: what ends it then, a restart, a
// panic or the watchdog, leads back to the partition that starts by itself.
package oneshot

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Places of the power management in memory, by what the device tree calls the chip.
const (
	bcm2711 = 0xfe10_0000
	bcm2837 = 0x3f10_0000

	compatiblePath = "/proc/device-tree/compatible"
	memory         = "/dev/mem"
	page           = 4096
)

// The register with the reasons of restarts. Writing it takes a password.
const (
	rsts     = 0x20 / 4
	password = 0x5a00_0000
	passMask = 0xff00_0000
	partBits = 6 // of the number; they stand in every other bit
	partMask = 0x555
	lastPart = 62 // 63 is for a halt
)

// ErrNoPi is for machines that are none: their firmware is told nothing.
var ErrNoPi = errors.New("the machine is no Raspberry Pi that is known")

// Ask makes the firmware start a partition at the next restart. It needs a command line with iomem=relaxed, for
// a driver of the kernel has the register too.
func Ask(partition int) error {
	if partition < 1 || partition > lastPart {
		return fmt.Errorf("partition %d cannot be asked for", partition)
	}
	return change(partition)
}

// Clear makes the firmware start what it starts by itself.
func Clear() error { return change(0) }

func change(partition int) error {
	base, err := powerAt(compatiblePath)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(memory, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // the mapping is what is written
	b, err := unix.Mmap(int(f.Fd()), base, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("the power management's registers: %w", err)
	}
	set((*[page / 4]uint32)(unsafe.Pointer(&b[0])), partition)
	return unix.Munmap(b)
}

// set writes the number of a partition into the registers and leaves what else stands there.
func set(registers *[page / 4]uint32, partition int) {
	old := atomic.LoadUint32(&registers[rsts])
	atomic.StoreUint32(&registers[rsts], password|old&^(passMask|partMask)|spread(partition))
}

// spread puts the bits of a number into every other bit.
func spread(partition int) (bits uint32) {
	for i := range partBits {
		bits |= uint32(partition>>i&1) << (2 * i)
	}
	return bits
}

// powerAt finds the registers by what the device tree says of the machine.
func powerAt(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, ErrNoPi
	}
	if err != nil {
		return 0, err
	}
	for name := range strings.SplitSeq(string(text), "\x00") {
		switch name {
		case "brcm,bcm2711":
			return bcm2711, nil
		case "brcm,bcm2837":
			return bcm2837, nil
		}
	}
	return 0, ErrNoPi
}
