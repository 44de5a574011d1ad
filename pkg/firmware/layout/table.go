package layout

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/diskfs/go-diskfs/partition/gpt"
)

const (
	sector   = 512
	efiType  = gpt.Type("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
	fatType  = gpt.Type("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7") // basic data: what a Pi's firmware starts from
	dataType = gpt.Type("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
)

// Place is where a partition lies on its disk, in bytes.
type Place struct{ At, Size int64 }

// Places says where the partitions lie on a disk of a size.
func (l Layout) Places(size int64) (map[string]Place, error) {
	places := map[string]Place{}
	at, fixed := int64(firstMB), int64(l.MB(0))
	if left := size/MB - fixed; left < 0 {
		return nil, fmt.Errorf("the disk has %d MB, %d are needed", size/MB, fixed)
	}
	for _, p := range l.Parts {
		mb := int64(p.MB)
		if mb == 0 {
			mb = size/MB - fixed
		}
		places[p.Name] = Place{at * MB, mb * MB}
		at += mb
	}
	return places, nil
}

func (l Layout) kind(p Part) gpt.Type {
	switch {
	case p.FAT && l.Firmware == UEFI:
		return efiType
	case p.FAT:
		return fatType
	}
	return dataType
}

// WriteTable writes the table of partitions of a disk of a size.
func (l Layout) WriteTable(disk *os.File, size int64) error {
	places, err := l.Places(size)
	if err != nil {
		return err
	}
	t := &gpt.Table{GUID: strings.ToUpper(l.guids + "0"), LogicalSectorSize: sector, PhysicalSectorSize: sector, ProtectiveMBR: l.Firmware == UEFI}
	for _, p := range l.Parts {
		at := places[p.Name]
		t.Partitions = append(t.Partitions, &gpt.Partition{
			Index: p.Number, Start: uint64(at.At / sector), End: uint64((at.At+at.Size)/sector - 1), Type: l.kind(p), Name: p.Name,
			GUID: strings.ToUpper(l.guids + strconv.Itoa(p.Number)),
		})
	}
	if l.Firmware == Pi {
		if _, err := disk.WriteAt(l.oldTable(places), 0); err != nil {
			return err
		}
	}
	return t.Write(disk, size)
}

// Parts of the table of old (UEFI 2.10 §5.2.1).
const (
	oldTableAt  = 446
	oldEntry    = 16
	oldFAT      = 0x0c // FAT32, by blocks
	oldProtects = 0xee // "there is a GPT": the kernel looks for one only where this stands
)

// oldTable is the first block of a Pi's disk: it shows the FAT partitions, with the numbers that they have in
// the GPT, and behind them that there is one. Firmware before 2020 reads this table only, and that before
// February 2025 takes the number of a partition for one of it.
func (l Layout) oldTable(places map[string]Place) []byte {
	le := binary.LittleEndian
	b := make([]byte, sector)
	entry := func(number int, kind byte, start, count uint32) {
		e := b[oldTableAt+(number-1)*oldEntry:]
		copy(e[1:4], []byte{0xfe, 0xff, 0xff}) // by blocks, not by cylinders
		e[4] = kind
		copy(e[5:8], []byte{0xfe, 0xff, 0xff})
		le.PutUint32(e[8:], start)
		le.PutUint32(e[12:], count)
	}
	last := 0
	for _, p := range l.Parts {
		if p.FAT {
			at := places[p.Name]
			entry(p.Number, oldFAT, uint32(at.At/sector), uint32(at.Size/sector))
			last = max(last, p.Number)
		}
	}
	entry(last+1, oldProtects, 1, firstMB*MB/sector-1)
	b[510], b[511] = 0x55, 0xaa
	return b
}

// Same reports whether a disk has this layout already, with whatever size of data.
func (l Layout) Same(disk *os.File) (bool, error) {
	t, err := gpt.Read(disk, sector, sector)
	if err != nil {
		return false, fmt.Errorf("table of partitions: %w", err)
	}
	if t.RecoveredFromBackup { // its first copy is damaged: what it says may be so too
		return false, nil
	}
	there := map[int]*gpt.Partition{}
	for _, p := range t.Partitions {
		if p.Type != gpt.Unused {
			there[p.Index] = p
		}
	}
	places, err := l.Places(int64(l.MB(1)) * MB)
	if err != nil || len(there) != len(l.Parts) {
		return false, err
	}
	for _, p := range l.Parts {
		have, at := there[p.Number], places[p.Name]
		if have == nil || have.Name != p.Name || !strings.EqualFold(have.GUID, l.guids+strconv.Itoa(p.Number)) || have.Start != uint64(at.At/sector) {
			return false, nil
		}
		if end := uint64((at.At+at.Size)/sector - 1); p.MB > 0 && have.End != end {
			return false, nil
		}
	}
	return true, nil
}
