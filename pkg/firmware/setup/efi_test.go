package setup

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

func TestTheFirmwareIsToldOfTheDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// What firmware has known before: a shell, which comes first.
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "Boot0000"+efiGlobal), []byte("\x07\x00\x00\x00shell"), 0o600),
		os.WriteFile(filepath.Join(dir, efiOrder), []byte{7, 0, 0, 0, 0, 0, 5, 0}, 0o600)); err != nil {
		t.Fatal(err)
	}
	l, err := layout.Of(layout.UEFI)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is there
		if err := Announce(dir, "amd64", l, 4<<30); err != nil {
			t.Fatal(err)
		}
		order, err := os.ReadFile(filepath.Join(dir, efiOrder))
		if got := hex.EncodeToString(order); err != nil || got != "07000000"+"0100"+"0000"+"0500" {
			t.Errorf("order %s, %v", got, err)
		}
	}
	entry, err := os.ReadFile(filepath.Join(dir, "Boot0001"+efiGlobal))
	want := "07000000" + "01000000" + "5e00" + "530061006e00630068006100720000" + "00" + // attributes, active, length, title
		"04012a00" + "01000000" + "0008000000000000" + "0000100000000000" + "c14cc260f9f37a42819953414e430001" + "0202" + // partition 1 at 1 MB
		"04043000" + hex.EncodeToString(wide(`\EFI\BOOT\BOOTX64.EFI`)) + "7fff0400"
	if got := hex.EncodeToString(entry); err != nil || got != want {
		t.Errorf("%v\n%s, want\n%s", err, got, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "Boot0002"+efiGlobal)); !errors.Is(err, os.ErrNotExist) {
		t.Error("there is a second entry")
	}
}

func TestAPiHasNobodyToTell(t *testing.T) {
	t.Parallel()
	l, err := layout.Of(layout.Pi)
	if err != nil {
		t.Fatal(err)
	}
	if err := Announce(filepath.Join(t.TempDir(), "none"), "arm64", l, 4<<30); err != nil {
		t.Error(err)
	}
	if _, err := bootEntry(layout.Place{}, strings.Repeat("x", 32), "file"); err == nil {
		t.Error("a GUID that is none")
	}
}
