package setup

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"

	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

// Variables of the firmware (UEFI 2.10 §3.3), as efivarfs shows them: the attributes, then the value.
const (
	efiGlobal     = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	efiAttributes = 7 // kept, for the start and for us
	efiOrder      = "BootOrder" + efiGlobal
	efiTitle      = "Sanchar"
	efiActive     = 1
	efiLast       = 0xffff
)

// bootEntry is a load option (UEFI 2.10 §3.1.3) for a file on the boot partition: "this partition of the GPT, that
// file" (§10.3.5).
func bootEntry(place layout.Place, guid, file string) ([]byte, error) {
	id, err := hex.DecodeString(strings.ReplaceAll(guid, "-", ""))
	if err != nil || len(id) != 16 {
		return nil, fmt.Errorf("%q is no GUID", guid)
	}
	le := binary.LittleEndian
	disk := []byte{4, 1, 42, 0} // media, hard drive
	disk = le.AppendUint32(disk, 1)
	disk = le.AppendUint64(disk, uint64(place.At/sector))
	disk = le.AppendUint64(disk, uint64(place.Size/sector))
	disk = append(disk, id[3], id[2], id[1], id[0], id[5], id[4], id[7], id[6])
	disk = append(append(disk, id[8:]...), 2, 2) // GPT, known by its GUID
	name := wide(file)
	path := append(disk, 4, 4, byte(4+len(name)), byte((4+len(name))>>8)) // media, file
	path = append(append(path, name...), 0x7f, 0xff, 4, 0)                // the end
	b := le.AppendUint32(nil, efiActive)
	b = le.AppendUint16(b, uint16(len(path)))
	return append(append(b, wide(efiTitle)...), path...), nil
}

// wide is a text in UTF-16 with its end.
func wide(text string) (b []byte) {
	for _, u := range utf16.Encode([]rune(text + "\x00")) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// enter makes the firmware start an entry first. One that is there already is used again.
func enter(vars string, entry []byte) error {
	number, err := numberOf(vars, entry)
	if err != nil {
		return err
	}
	if err := putVariable(filepath.Join(vars, entryName(number)), entry); err != nil {
		return err
	}
	order := binary.LittleEndian.AppendUint16(nil, number)
	old, err := variable(filepath.Join(vars, efiOrder))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for i := 0; i+1 < len(old); i += 2 {
		if binary.LittleEndian.Uint16(old[i:]) != number {
			order = append(order, old[i], old[i+1])
		}
	}
	return putVariable(filepath.Join(vars, efiOrder), order)
}

func entryName(number uint16) string { return fmt.Sprintf("Boot%04X%s", number, efiGlobal) }

// numberOf finds the number of an entry, or one that is free.
func numberOf(vars string, entry []byte) (uint16, error) {
	free, found := uint16(0), false
	for n := range efiLast {
		old, err := variable(filepath.Join(vars, entryName(uint16(n))))
		switch {
		case err == nil && bytes.Equal(old, entry):
			return uint16(n), nil
		case errors.Is(err, os.ErrNotExist) && !found:
			free, found = uint16(n), true
		}
		if n > 0xff && found { // nobody has more of them
			break
		}
	}
	if !found {
		return 0, errors.New("the firmware has no room for another entry")
	}
	return free, nil
}

func variable(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err == nil && len(data) < 4 {
		err = fmt.Errorf("%s has no value", filepath.Base(path))
	}
	if err != nil {
		return nil, err
	}
	return data[4:], nil
}

func putVariable(path string, value []byte) error {
	return os.WriteFile(path, append(binary.LittleEndian.AppendUint32(nil, efiAttributes), value...), 0o644)
}

// Announce makes a firmware with UEFI start the disk first. It finds the disk without that too, but may prefer what
// else it knows.
func Announce(vars, arch string, l layout.Layout, size int64) error {
	if l.Firmware != layout.UEFI {
		return nil
	}
	places, err := l.Places(size)
	if err != nil {
		return err
	}
	entry, err := bootEntry(places[layout.Boot], layout.BootGUID, `\EFI\BOOT\BOOT`+map[string]string{"amd64": "X64", "arm64": "AA64"}[arch]+".EFI")
	if err != nil {
		return err
	}
	return enter(vars, entry)
}
