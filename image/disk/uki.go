// Package disk puts the parts of an image where firmware and kernel look for them: unified kernel
// images, the EFI system partition, the partition table.
package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Section is a part of a unified kernel image (UAPI.5).
type Section struct {
	Name string // ".linux", ".initrd", ".cmdline", ".osrel"
	Data []byte
}

// Offsets in a PE file (Microsoft PE/COFF, "Optional Header").
const (
	peOffsetAt       = 0x3c
	coffSize         = 24 // signature and file header
	sectionsAt       = 6  // NumberOfSections, from the signature
	optionalSizeAt   = 20
	sectionAlignAt   = 32 // from the optional header
	fileAlignAt      = 36
	imageSizeAt      = 56
	headersSizeAt    = 60
	sectionEntrySize = 40
	// readable, initialized data
	sectionFlags = 0x40000040
)

var errPE = errors.New("the stub is not a PE file with room for sections")

// UKI appends sections to the stub of systemd (linuxx64.efi.stub, linuxaa64.efi.stub).
func UKI(stub []byte, sections []Section) ([]byte, error) {
	le := binary.LittleEndian
	if len(stub) < peOffsetAt+4 {
		return nil, errPE
	}
	pe := int(le.Uint32(stub[peOffsetAt:]))
	if pe+coffSize > len(stub) || string(stub[pe:pe+4]) != "PE\x00\x00" {
		return nil, errPE
	}
	count := int(le.Uint16(stub[pe+sectionsAt:]))
	optional := pe + coffSize
	table := optional + int(le.Uint16(stub[pe+optionalSizeAt:]))
	end := table + (count+len(sections))*sectionEntrySize
	if optional+headersSizeAt+4 > len(stub) || end > int(le.Uint32(stub[optional+headersSizeAt:])) || end > len(stub) {
		return nil, errPE
	}
	sectionAlign, fileAlign := le.Uint32(stub[optional+sectionAlignAt:]), le.Uint32(stub[optional+fileAlignAt:])
	if sectionAlign == 0 || fileAlign == 0 {
		return nil, errPE
	}
	next := uint32(0) // virtual address behind the last section
	for i := range count {
		s := stub[table+i*sectionEntrySize:]
		next = max(next, le.Uint32(s[12:])+le.Uint32(s[8:]))
	}
	out := append([]byte(nil), stub...)
	for i, s := range sections {
		if len(s.Name) > 8 || len(s.Data) == 0 {
			return nil, fmt.Errorf("section %q of %d bytes cannot be in an image", s.Name, len(s.Data))
		}
		next = align(next, sectionAlign)
		out = append(out, make([]byte, int(align(uint32(len(out)), fileAlign))-len(out))...)
		entry := make([]byte, sectionEntrySize)
		copy(entry, s.Name)
		raw := align(uint32(len(s.Data)), fileAlign)
		le.PutUint32(entry[8:], uint32(len(s.Data)))
		le.PutUint32(entry[12:], next)
		le.PutUint32(entry[16:], raw)
		le.PutUint32(entry[20:], uint32(len(out)))
		le.PutUint32(entry[36:], sectionFlags)
		copy(out[table+(count+i)*sectionEntrySize:], entry)
		out = append(out, s.Data...)
		out = append(out, make([]byte, int(raw)-len(s.Data))...)
		next += uint32(len(s.Data))
	}
	le.PutUint16(out[pe+sectionsAt:], uint16(count+len(sections)))
	le.PutUint32(out[optional+imageSizeAt:], align(next, sectionAlign))
	return out, nil
}

func align(n, to uint32) uint32 { return (n + to - 1) / to * to }
