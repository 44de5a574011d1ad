package board

import (
	"slices"
	"testing"

	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

func TestBoardsAreWhole(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		b, err := Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if b.Name != name || b.Title == "" || (b.Arch != "amd64" && b.Arch != "arm64") {
			t.Errorf("%s: %q %q %q %q", name, b.Name, b.Title, b.Arch, b.Firmware)
		}
		l, err := layout.Of(b.Firmware)
		if err != nil || (l.Firmware == layout.Pi) != (len(b.Trees) > 0) {
			t.Errorf("%s: firmware %q with %d device trees, %v", name, b.Firmware, len(b.Trees), err)
		}
		for _, p := range []Package{b.Kernel.Package, b.Loader, b.Checker} {
			if p.Name == "" || p.Version == "" || len(p.SHA256) != 64 {
				t.Errorf("%s: package %+v", name, p)
			}
		}
		if len(b.Boot) == 0 || b.Boot[0] != "crc32c_generic" {
			t.Errorf("%s: crc32c_generic is not first: libcrc32c, and with it nf_tables, would stay out", name)
		}
		if len(b.Ports) == 0 || len(b.Watchdog) == 0 || len(b.Console) == 0 || b.Capacity.Users == 0 || b.Capacity.Calls == 0 {
			t.Errorf("%s: %+v", name, b)
		}
		if k := b.Button; k.Input != "" && (k.Key == 0 || k.Hold < 3) { // less is a slip of the hand
			t.Errorf("%s: button %+v", name, k)
		}
		for _, m := range []string{"usbhid", "hid_generic", "evdev", "exfat"} { // what is plugged in later finds its driver there
			if !slices.Contains(b.Later, m) {
				t.Errorf("%s: %s is not loaded", name, m)
			}
		}
	}
	if _, err := Get("toaster"); err == nil {
		t.Error("a board that is none was found")
	}
}
