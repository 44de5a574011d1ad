package oneshot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestThePartitionStandsInEveryOtherBit(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]uint32{0: 0, 1: 1, 2: 4, 3: 5, 63: 0x555} {
		if got := spread(n); got != want {
			t.Errorf("%d: %#x, want %#x", n, got, want)
		}
	}
	var registers [page / 4]uint32
	registers[rsts] = 0x1555 // a power-on, and a halt
	set(&registers, 3)
	if got := registers[rsts]; got != password|0x1005 {
		t.Errorf("%#x", got)
	}
	registers[rsts] &^= passMask // as it is read
	set(&registers, 0)
	if got := registers[rsts]; got != password|0x1000 {
		t.Errorf("%#x", got)
	}
}

func TestOnlyKnownMachinesAreTouched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for text, want := range map[string]int64{
		"raspberrypi,4-model-b\x00brcm,bcm2711\x00": bcm2711, "raspberrypi,3-model-b\x00brcm,bcm2837\x00": bcm2837, "linux,dummy-virt\x00": 0, "": 0,
	} {
		path := filepath.Join(dir, "compatible")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at, err := powerAt(path)
		if at != want || (want == 0) != errors.Is(err, ErrNoPi) {
			t.Errorf("%q: %#x, %v", text, at, err)
		}
	}
	if _, err := powerAt(filepath.Join(dir, "none")); !errors.Is(err, ErrNoPi) {
		t.Errorf("no device tree: %v", err)
	}
	if err := Ask(0); err == nil {
		t.Error("partition 0 was asked for")
	}
}
