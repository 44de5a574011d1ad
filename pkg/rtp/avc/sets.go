package avc

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/coraltele/sanchar/pkg/rtp/bits"
)

// maxSet is the longest parameter set: those with all scaling lists of their own stay below.
const maxSet = 2048

// Sets are the parameter sets that a stream has told, each by its number. The zero value has none.
type Sets struct {
	sps, pps map[uint32][]byte
}

// Put takes in a unit that is a parameter set, and reports whether it is another than the one of its number
// was. What is no set, or a broken one, is left out.
func (s *Sets) Put(unit []byte) (changed bool) {
	if len(unit) > maxSet {
		return false
	}
	if s.sps == nil {
		s.sps, s.pps = map[uint32][]byte{}, map[uint32][]byte{}
	}
	switch KindOf(unit) {
	case SPS:
		if p, err := parseSPS(unit); err == nil {
			return put(s.sps, p.id, unit)
		}
	case PPS:
		r := bits.NewReader(plain(unit[1:]))
		if id, of := r.Golomb(), r.Golomb(); !r.Short() && id < maxPPS && of < maxSPS {
			return put(s.pps, id, unit)
		}
	}
	return false
}

func put(all map[uint32][]byte, id uint32, unit []byte) (changed bool) {
	was, known := all[id]
	if known && bytes.Equal(was, unit) {
		return false
	}
	all[id] = bytes.Clone(unit)
	return true
}

// Size returns the size of the picture that a slice is of. It is not ok if the slice refers to a set that is
// not there.
func (s *Sets) Size(slice []byte) (width, height int, ok bool) {
	set, ok := s.of(slice)
	if !ok {
		return 0, 0, false
	}
	p, err := parseSPS(set)
	return p.width, p.height, err == nil
}

// of returns the sequence parameter set of a slice (ITU-T H.264 §7.3.3, §7.3.2.2).
func (s *Sets) of(slice []byte) (set []byte, ok bool) {
	const begin = 32 // what the first three numbers may take
	if len(slice) < 2 {
		return nil, false
	}
	r := bits.NewReader(plain(slice[1:min(len(slice), begin)]))
	r.Golomb() // first_mb_in_slice
	r.Golomb() // slice_type
	pps, ok := s.pps[r.Golomb()]
	if !ok || r.Short() {
		return nil, false
	}
	r = bits.NewReader(plain(pps[1:]))
	r.Golomb()
	set, ok = s.sps[r.Golomb()]
	return set, ok
}

// Append appends all sets as units of a picture.
func (s *Sets) Append(dst []byte) []byte {
	for _, all := range []map[uint32][]byte{s.sps, s.pps} {
		for _, id := range slices.Sorted(maps.Keys(all)) {
			dst = Append(dst, all[id])
		}
	}
	return dst
}

// Config returns what a decoder needs to know before the picture of a slice, as files tell it: an
// AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1).
func (s *Sets) Config(slice []byte) []byte {
	set, ok := s.of(slice)
	if !ok {
		return nil
	}
	b := []byte{1, set[1], set[2], set[3], 0xfc | (lengthSize - 1), 0xe0 | byte(min(len(s.sps), maxSPS-1))}
	b = list(b, s.sps, maxSPS-1)
	b = append(b, byte(min(len(s.pps), maxPPS-1)))
	b = list(b, s.pps, maxPPS-1)
	if p, err := parseSPS(set); err == nil && slices.Contains([]byte{100, 110, 122, 144}, set[1]) {
		b = append(b, 0xfc|byte(p.chroma), 0xf8|byte(p.luma), 0xf8|byte(p.chromas), 0)
	}
	return b
}

func list(b []byte, all map[uint32][]byte, most int) []byte {
	ids := slices.Sorted(maps.Keys(all))
	for _, id := range ids[:min(len(ids), most)] {
		b = binary.BigEndian.AppendUint16(b, uint16(len(all[id])))
		b = append(b, all[id]...)
	}
	return b
}
