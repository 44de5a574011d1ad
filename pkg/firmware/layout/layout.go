// Package layout says which partitions the disk of a box has, and writes their table. Boxes differ in it by
// the firmware that starts them.
package layout

import (
	"fmt"
	"slices"
)

// Firmware that starts a box.
const (
	UEFI = "uefi"
	// Pi is that of a Raspberry Pi: it starts one of several FAT partitions.
	Pi = "rpi"
)

// GUIDs are of the product, not of a box: the command line of an image says which disk it is on by that of
// the first partition. A medium that installs has others, so that it can stay in the box that it installs.
const (
	BootGUID      = "60c24cc1-f3f9-427a-8199-53414e430001"
	InstallerGUID = "60c24cc1-f3f9-427a-8199-53414e490001"
	diskHead      = "60c24cc1-f3f9-427a-8199-53414e43000"
	installerHead = "60c24cc1-f3f9-427a-8199-53414e49000"
)

// Names of partitions.
const (
	Boot     = "boot" // FAT: what says which slot starts; with UEFI the slots' images too
	BootA    = "boot-a"
	BootB    = "boot-b"
	RootA    = "root-a"
	RootB    = "root-b"
	Identity = "identity"
	Data     = "data"
)

// Sizes of partitions in MB. A FAT32 file system needs 65,525 clusters: a smaller one is taken for FAT16 by
// some firmware, whatever it says of itself.
const (
	uefiBootMB = 512
	piBootMB   = 64
	piSlotMB   = 128
	RootMB     = 512
	IdentityMB = 16
	firstMB    = 1 // before the first partition
	lastMB     = 1 // behind the last one, for the copy of the table
	MB         = 1 << 20
)

// Part is a partition.
type Part struct {
	Number int
	Name   string
	MB     int // 0: what is left
	FAT    bool
}

// Layout is the partitions of a disk, in their order on it.
type Layout struct {
	Firmware string
	Parts    []Part
	guids    string // of disk and partitions, but for the last digit
}

// Of returns the layout of boxes with a firmware. Everywhere 1 is the boot partition, 4 data and 5 identity;
// identity stands before data, which grows. Programs of gokrazy know data by its number.
//
// A Pi's firmware counts FAT partitions in the table of old (MBR), or in ours, as its version has it: those it
// may start are the first in both, with the same numbers.
func Of(firmware string) (Layout, error) {
	switch firmware {
	case UEFI:
		return Layout{UEFI, []Part{
			{1, Boot, uefiBootMB, true}, {2, RootA, RootMB, false}, {3, RootB, RootMB, false}, {5, Identity, IdentityMB, false}, {4, Data, 0, false},
		}, diskHead}, nil
	case Pi:
		return Layout{Pi, []Part{
			{1, Boot, piBootMB, true},
			{2, BootA, piSlotMB, true},
			{3, BootB, piSlotMB, true},
			{6, RootA, RootMB, false},
			{7, RootB, RootMB, false},
			{5, Identity, IdentityMB, false},
			{4, Data, 0, false},
		}, diskHead}, nil
	}
	return Layout{}, fmt.Errorf("there is no layout for firmware %q", firmware)
}

// Installer is the layout of a medium that installs: one FAT partition.
func Installer(firmware string, mb int) Layout {
	return Layout{firmware, []Part{{1, Boot, mb, true}}, installerHead}
}

// Find returns the partition of a name.
func (l Layout) Find(name string) (Part, bool) {
	i := slices.IndexFunc(l.Parts, func(p Part) bool { return p.Name == name })
	if i < 0 {
		return Part{}, false
	}
	return l.Parts[i], true
}

// Number is that of a partition, 0 if the layout has none of that name.
func (l Layout) Number(name string) int {
	p, _ := l.Find(name)
	return p.Number
}

// MB is how large the disk must be for data of a size.
func (l Layout) MB(dataMB int) int {
	total := firstMB + lastMB
	for _, p := range l.Parts {
		total += p.MB
		if p.MB == 0 {
			total += dataMB
		}
	}
	return total
}

// SlotOf finds the layout and the slot ("a", "b") of a root partition by its number.
func SlotOf(number int) (l Layout, slot string, err error) {
	for _, firmware := range []string{UEFI, Pi} {
		l, err := Of(firmware)
		if err != nil {
			return l, "", err
		}
		for slot, name := range map[string]string{"a": RootA, "b": RootB} {
			if l.Number(name) == number {
				return l, slot, nil
			}
		}
	}
	return l, "", fmt.Errorf("partition %d is the root of no slot", number)
}
