package disk

import (
	"bytes"
	"debug/pe"
	"os"
	"testing"
)

const stubPath = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"

func TestSectionsStandInTheImage(t *testing.T) {
	t.Parallel()
	stub, err := os.ReadFile(stubPath)
	if err != nil {
		t.Skip("the stub is not installed: apt-get install systemd-boot-efi")
	}
	want := []Section{{".osrel", []byte("ID=sanchar\n")}, {".cmdline", []byte("root=x")}, {".initrd", bytes.Repeat([]byte("i"), 70001)}, {".linux", bytes.Repeat([]byte("k"), 100_000)}}
	image, err := UKI(stub, want)
	if err != nil {
		t.Fatal(err)
	}
	f, err := pe.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	end := uint32(0)
	for _, s := range f.Sections {
		if s.VirtualAddress < end {
			t.Errorf("%s lies over the one before it", s.Name)
		}
		end = s.VirtualAddress + s.VirtualSize
	}
	for _, w := range want {
		s := f.Section(w.Name)
		if s == nil {
			t.Fatalf("no section %s", w.Name)
		}
		data, err := s.Data()
		if err != nil || !bytes.Equal(data[:s.VirtualSize], w.Data) {
			t.Errorf("%s: %d bytes, %v", w.Name, len(data), err)
		}
	}
	if got := f.OptionalHeader.(*pe.OptionalHeader64).SizeOfImage; got < end {
		t.Errorf("the image is of %d bytes, its sections end at %d", got, end)
	}
	if _, err := UKI([]byte("MZ"), want); err == nil {
		t.Error("no PE file was taken for one")
	}
}

func FuzzUKI(f *testing.F) {
	if stub, err := os.ReadFile(stubPath); err == nil {
		f.Add(stub[:4096])
	}
	f.Fuzz(func(_ *testing.T, stub []byte) {
		_, _ = UKI(stub, []Section{{".linux", []byte("k")}}) // no panic
	})
}
