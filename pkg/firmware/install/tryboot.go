package install

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/firmware/layout"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// tryboot is the way of a Raspberry Pi's firmware: each slot has a FAT partition of its own, and autoboot.txt
// on the boot partition says which of them starts. The other one starts when a restart asks for it, once:
// whatever ends that start, the next one is as autoboot.txt says. So a new version has one try. The boot
// partition has a file for each slot, of whose name the end counts as an image's does; our init brings it down.
type tryboot struct {
	chosen string // what the firmware says of this start
}

const (
	tryTries  = 1
	tryFolder = "slots"
	// autoboot is read by the firmware; it may have 512 bytes.
	autoboot = "autoboot.txt"
	// chosenPath is written by the Pi's boot loader.
	chosenPath = "/proc/device-tree/chosen/bootloader"
)

func (tryboot) folder() string { return tryFolder }
func (tryboot) tries() int     { return tryTries }
func (tryboot) asked() bool    { return true }

// slots are those of boot partitions by their numbers.
func trySlots() (map[int]string, error) {
	l, err := layout.Of(layout.Pi)
	return map[int]string{l.Number(layout.BootA): "a", l.Number(layout.BootB): "b"}, err
}

func partitionOf(slot string) (int, error) {
	all, err := trySlots()
	for n, s := range all {
		if s == slot {
			return n, err
		}
	}
	return 0, errors.Join(err, fmt.Errorf("there is no slot %q", slot))
}

// Autoboot is the text that makes a slot start. The section for tries is for kernels that can ask for one by
// name; those that name a partition have no need of it.
func Autoboot(slot string) ([]byte, error) {
	first, err := partitionOf(slot)
	if err != nil {
		return nil, err
	}
	second, err := partitionOf(other(slot))
	return fmt.Appendf(nil, "[all]\ntryboot_a_b=1\nboot_partition=%d\n[tryboot]\nboot_partition=%d\n", first, second), err
}

// usual reads which slot starts by itself.
func usual(boot string) (slot string, err error) {
	text, err := os.ReadFile(filepath.Join(boot, autoboot))
	if err != nil {
		return "", err
	}
	all, err := trySlots()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "[tryboot]" {
			break
		}
		if value, ok := strings.CutPrefix(line, "boot_partition="); ok {
			n, _ := strconv.Atoi(value) // what is no number is no slot
			slot = all[n]
		}
	}
	if slot == "" {
		return "", fmt.Errorf("%s names no slot that starts", autoboot)
	}
	return slot, nil
}

// started reads which slot the firmware has started this time, "" where it does not say.
func (y tryboot) started(usual string) string {
	all, _ := trySlots() // the layout is known
	if n, ok := y.property("partition"); ok {
		return all[n]
	}
	if try, _ := y.property("tryboot"); try == 1 {
		return other(usual)
	}
	return ""
}

func (y tryboot) property(name string) (int, bool) {
	data, err := os.ReadFile(filepath.Join(y.chosen, name))
	if err != nil || len(data) != 4 {
		return 0, false
	}
	return int(binary.BigEndian.Uint32(data)), true
}

// judge goes by autoboot.txt: what starts by itself is good, for nothing else would have made it so. The other
// one is on trial when it runs, whatever its name says.
func (y tryboot) judge(boot string, all []Entry) error {
	slot, err := usual(boot)
	if err != nil {
		return err
	}
	started := y.started(slot)
	for i := range all {
		switch e := &all[i]; {
		case e.Slot == slot:
			e.Left, e.Done = -1, 0
		case e.Slot == started && e.Left < 0:
			e.Left, e.Done = 0, 1
		}
	}
	return nil
}

func (tryboot) receive(t *Target, w *writer, p manifest.Part) error {
	return w.to(t.Boot, other(t.Slot), p)
}

func (y tryboot) activate(boot string, e Entry) error {
	return fsx.WriteFile(filepath.Join(boot, y.folder(), e.name()), []byte("version "+e.Version+"\n"), 0o644)
}

// keep writes autoboot.txt anew. The name of the slot's file follows; a power cut between them is no matter.
func (tryboot) keep(boot, slot string) error {
	text, err := Autoboot(slot)
	if err != nil {
		return err
	}
	return fsx.WriteFile(filepath.Join(boot, autoboot), text, 0o644)
}
