package layout

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func newDisk(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // its folder goes
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTablesAreSound(t *testing.T) {
	t.Parallel()
	for _, firmware := range []string{UEFI, Pi} {
		l, err := Of(firmware)
		if err != nil {
			t.Fatal(err)
		}
		size := int64(l.MB(512))*MB + 12345*sector // a disk has no round size
		f := newDisk(t, size)
		if err := l.WriteTable(f, size); err != nil {
			t.Fatal(err)
		}
		if l.Number(Boot) != 1 || l.Number(Data) != 4 || l.Number(Identity) != 5 {
			t.Errorf("%s: numbers that stage1 and gokrazy know: %+v", firmware, l)
		}
		if same, err := l.Same(f); !same || err != nil {
			t.Errorf("%s: it is not what was written: %v", firmware, err)
		}
		if out, err := exec.Command("sgdisk", "-v", f.Name()).CombinedOutput(); err == nil && !strings.Contains(string(out), "No problems found") {
			t.Errorf("%s: %s", firmware, out)
		}
		for _, slot := range []struct{ name, root string }{{"a", RootA}, {"b", RootB}} {
			if found, s, err := SlotOf(l.Number(slot.root)); err != nil || s != slot.name || found.Firmware != firmware {
				t.Errorf("%s: root of %s is that of %s of %s, %v", firmware, slot.name, s, found.Firmware, err)
			}
		}
	}
	if _, err := Of("toaster"); err == nil {
		t.Error("a firmware that is none")
	}
	if _, _, err := SlotOf(5); err == nil {
		t.Error("the identity partition is no root")
	}
}

// Both tables of a Pi show the partitions that its firmware starts, with the same numbers.
func TestThePiFindsItsPartitionsInEitherTable(t *testing.T) {
	t.Parallel()
	l, err := Of(Pi)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(l.MB(64)) * MB
	f := newDisk(t, size)
	if err := l.WriteTable(f, size); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, sector)
	if _, err := f.ReadAt(first, 0); err != nil || first[510] != 0x55 || first[511] != 0xaa {
		t.Fatalf("no table: %v", err)
	}
	places, err := l.Places(size)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	for i, name := range []string{Boot, BootA, BootB} {
		e := first[446+16*i:]
		if at := places[name]; l.Number(name) != i+1 || e[4] != 0x0c || int64(le.Uint32(e[8:]))*sector != at.At || int64(le.Uint32(e[12:]))*sector != at.Size {
			t.Errorf("%s: %x, want %+v", name, e[:16], at)
		}
	}
	if e := first[446+48:]; e[4] != 0xee || le.Uint32(e[8:]) != 1 || le.Uint32(e[12:]) != 2047 {
		t.Errorf("the kernel would not look for the new table: %x", e[:16])
	}
}

func TestAnotherTableIsNotTheSame(t *testing.T) {
	t.Parallel()
	l, err := Of(UEFI)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(l.MB(64)) * MB
	f := newDisk(t, size)
	if same, err := l.Same(f); same || err == nil {
		t.Error("an empty disk has no table")
	}
	pi, err := Of(Pi)
	if err != nil {
		t.Fatal(err)
	}
	piSize := int64(pi.MB(64)) * MB
	if err := f.Truncate(piSize); err != nil {
		t.Fatal(err)
	}
	if err := pi.WriteTable(f, piSize); err != nil {
		t.Fatal(err)
	}
	if same, err := l.Same(f); same || err != nil {
		t.Errorf("a Pi's disk is taken for another: %v", err)
	}
	if _, err := l.Places(100 * MB); err == nil {
		t.Error("a disk that is too small was divided")
	}
}
