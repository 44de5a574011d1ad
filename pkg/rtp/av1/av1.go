// Package av1 knows as much of AV1 as those need who keep it in a file: whether a picture stands alone, its
// size, and what a decoder is told of it.
package av1

import (
	"errors"
	"iter"

	"github.com/pion/rtp/codecs/av1/obu"

	"github.com/coraltele/sanchar/pkg/rtp/bits"
)

// Types of open bitstream units (AV1 bitstream §6.2.2) that are told apart.
const (
	typeSequence    = 1
	typeFrameHeader = 3
	typeFrame       = 6
)

// unit is an open bitstream unit.
type unit struct {
	kind  uint8
	whole []byte
	body  []byte
}

// units takes the units of a picture apart, each of which says its size. What is torn is left out.
func units(picture []byte) iter.Seq[unit] {
	return func(yield func(unit) bool) {
		for len(picture) > 0 {
			h, err := obu.ParseOBUHeader(picture)
			if err != nil || !h.HasSizeField || len(picture) < h.Size() {
				return
			}
			size, n, err := obu.ReadLeb128(picture[h.Size():])
			begin := uint64(h.Size()) + uint64(n)
			if err != nil || uint64(size) > uint64(len(picture))-begin {
				return
			}
			end := begin + uint64(size)
			if !yield(unit{uint8(h.Type), picture[:end], picture[begin:end]}) {
				return
			}
			picture = picture[end:]
		}
	}
}

// Key returns the sequence header of a picture that stands alone, with its own header: a shown key frame
// behind such (AV1 bitstream §7.6.2). It returns nil for any other picture.
func Key(picture []byte) (sequence []byte) {
	var found []byte
	for u := range units(picture) {
		switch u.kind {
		case typeSequence:
			found = u.whole
		case typeFrame, typeFrameHeader:
			// show_existing_frame, frame_type (0 is a key frame) and show_frame.
			if found == nil || len(u.body) == 0 || u.body[0]&0xf0 != 0x10 {
				return nil
			}
			return found
		}
	}
	return nil
}

// Sequence is what a sequence header says (AV1 bitstream §5.5), as far as it is of use here.
type Sequence struct {
	Width, Height int

	profile, level, tier     uint32
	deep, twelve, mono       bool
	halfWidth, halfHeight    bool
	samplePosition           uint32
	reduced, modelled, delay bool
	delayBits                int
}

var errSequence = errors.New("not a sequence header of AV1")

// ParseSequence reads a sequence header.
func ParseSequence(header []byte) (s Sequence, err error) {
	for u := range units(header) {
		if u.kind != typeSequence {
			return s, errSequence
		}
		r := bits.NewReader(u.body)
		s.read(r)
		if r.Short() || s.profile > 2 {
			return s, errSequence
		}
		return s, nil
	}
	return s, errSequence
}

// Config returns what a decoder is told of the sequence with this header: an AV1CodecConfigurationRecord (AV1
// in ISOBMFF §2.3).
func (s Sequence) Config(header []byte) []byte {
	flags := byte(s.tier<<7) | byte(s.samplePosition)
	for bit, set := range map[byte]bool{6: s.deep, 5: s.twelve, 4: s.mono, 3: s.halfWidth, 2: s.halfHeight} {
		if set {
			flags |= 1 << bit
		}
	}
	return append([]byte{0x81, byte(s.profile<<5 | s.level), flags, 0}, header...)
}
