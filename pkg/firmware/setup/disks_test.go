package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

// kernel makes what a kernel shows of disks.
type kernel struct {
	t *testing.T
	Places
}

func newKernel(t *testing.T) *kernel {
	t.Helper()
	k := &kernel{t, Places{filepath.Join(t.TempDir(), "sys"), t.TempDir()}}
	if err := os.MkdirAll(filepath.Join(k.Sys, "block"), 0o755); err != nil {
		t.Fatal(err)
	}
	return k
}

// add makes a disk of some MB on a bus.
func (k *kernel) add(name, bus string, mb int, files map[string]string) *os.File {
	k.t.Helper()
	dir := filepath.Join(k.Sys, "devices", bus, "block", name)
	all := map[string]string{"size": strconv.Itoa(mb * layout.MB / sector), "removable": "0", "ro": "0", "device/model": "DISK"}
	for f, text := range files {
		all[f] = text
	}
	for f, text := range all {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755), os.WriteFile(filepath.Join(dir, f), []byte(text+"\n"), 0o600)); err != nil {
			k.t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(k.Sys, "block", name)); err != nil {
		k.t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(k.Dev, name))
	if err == nil {
		err = f.Truncate(int64(mb) * layout.MB)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = f.Close() }) // its folder goes
	return f
}

func TestOnlyDisksInsideAreWritten(t *testing.T) {
	t.Parallel()
	l, err := layout.Of(layout.UEFI)
	if err != nil {
		t.Fatal(err)
	}
	k := newKernel(t)
	const pci = "pci0000:00/0000:00:02.0"
	k.add("sda", pci, 4096, nil)
	k.add("sdb", pci+"/usb2/2-1", 4096, nil)
	k.add("sdc", pci, 4096, map[string]string{"removable": "1"})
	k.add("sdd", pci, 4096, map[string]string{"ro": "1"})
	k.add("sde", pci, 1024, nil)
	k.add("sdf", pci, 4096, nil) // the one that was started from
	k.add("mmcblk0", "platform/mmc", 4096, map[string]string{"device/model": "", "device/name": "BJTD4R"})
	for _, none := range []string{"loop0", "ram1", "dm-0", "sr0", "mmcblk0boot0", "zram0"} {
		k.add(none, pci, 4096, nil)
	}
	all, err := Disks(k.Places, "sdf", l)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"sda": "", "sdb": "USB", "sdc": "taken out", "sdd": "only be read", "sde": "1024 MB", "sdf": "started from it", "mmcblk0": ""}
	for _, d := range all {
		why, known := want[d.Name]
		if !known || (why == "") != (d.Unfit == "") || !strings.Contains(d.Unfit, why) || d.Content != Empty {
			t.Errorf("%+v, want %q", d, why)
		}
		if d.Name == "mmcblk0" && d.Model != "BJTD4R" {
			t.Errorf("a card's name: %q", d.Model)
		}
		delete(want, d.Name)
	}
	if len(want) > 0 {
		t.Errorf("not seen: %v", want)
	}
}

func TestWhatADiskHolds(t *testing.T) {
	t.Parallel()
	l, err := layout.Of(layout.UEFI)
	if err != nil {
		t.Fatal(err)
	}
	pi, err := layout.Of(layout.Pi)
	if err != nil {
		t.Fatal(err)
	}
	k := newKernel(t)
	const mb = 4096
	for name, prepare := range map[string]func(*os.File) error{
		"empty":    func(*os.File) error { return nil },
		"ours":     func(f *os.File) error { return l.WriteTable(f, mb*layout.MB) },
		"lies":     func(f *os.File) error { return pi.WriteTable(f, mb*layout.MB) }, // a Sanchar of another layout
		"superfs":  func(f *os.File) error { _, err := f.WriteAt([]byte{0x53, 0xef}, 1024+56); return err },
		"dos":      func(f *os.File) error { _, err := f.WriteAt([]byte{0x55, 0xaa}, 510); return err },
		"tornours": func(f *os.File) error { return errors.Join(l.WriteTable(f, mb*layout.MB), spoil(f, 1024)) },
	} {
		if err := prepare(k.add(name, "pci", mb, nil)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := Disks(k.Places, "", l)
	if err != nil || len(all) != 6 {
		t.Fatalf("%d disks, %v", len(all), err)
	}
	for _, d := range all {
		want := Foreign
		switch d.Name {
		case "empty":
			want = Empty
		case "ours":
			want = Ours
		}
		if d.Content != want {
			t.Errorf("%s: %d, want %d", d.Name, d.Content, want)
		}
	}
}

func spoil(f *os.File, at int64) error {
	_, err := f.WriteAt([]byte("spoilt"), at)
	return err
}
