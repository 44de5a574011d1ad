// Package oggopus writes and reads Ogg Opus files (RFC 7845 in RFC 3533): packets as they came, without
// decoding.
//
// A file is a row of pages, each whole in itself. What was flushed can be played while the file is written and
// after a crash.
package oggopus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrFormat is wrapped by errors that say that the file is not one that Reader reads.
var ErrFormat = errors.New("not an Ogg Opus file")

const (
	rate = 48000 // of granules, whatever the sound's (RFC 7845 §4)

	// MaxPage is how much sound a page holds before it is written (RFC 7845 §6: one second).
	MaxPage = time.Second

	headerSize  = 27  // of a page, without its segments (RFC 3533 §6)
	maxSegments = 255 // of a page
	fullSegment = 255 // bytes; a packet ends with a shorter one

	// maxPacket is what surely fits a page.
	maxPacket = (maxSegments - 1) * fullSegment
)

// Flags of a page (RFC 3533 §6).
const (
	flagContinued = 1
	flagFirst     = 2
	flagLast      = 4
)

// Head is the identification header (RFC 7845 §5.1), of channel mapping family 0, or 1 if it is split.
type Head struct {
	Channels int    // 1 or 2
	PreSkip  uint16 // ticks at the start that are not played
	Rate     uint32 // of what was encoded, for information
	// Split: each of two channels is a stream of its own in mono, so that packets of two parties go into
	// one file as they came. A packet then holds both: see Join.
	Split bool
}

// encode returns the packet.
func (h Head) encode() []byte {
	b := append([]byte("OpusHead"), 1, byte(h.Channels))
	b = binary.LittleEndian.AppendUint16(b, h.PreSkip)
	b = binary.LittleEndian.AppendUint32(b, h.Rate)
	if h.Split {
		// RFC 7845 §5.1.1.2: family 1, two streams of which none is coupled, the channels in their order.
		return append(b, 0, 0, 1, 2, 0, 0, 1)
	}
	return append(b, 0, 0, 0) // output gain, mapping family
}

func parseHead(b []byte) (h Head, err error) {
	switch {
	case len(b) < 19 || string(b[:8]) != "OpusHead":
		return h, fmt.Errorf("%w: its first packet is no OpusHead", ErrFormat)
	case b[8]>>4 != 0: // RFC 7845 §5.1: other minor versions are compatible
		return h, fmt.Errorf("%w: version %d", ErrFormat, b[8])
	case b[18] == 1 && b[9] == 2 && len(b) >= 23 && string(b[19:23]) == "\x02\x00\x00\x01":
	case b[18] != 0 || b[9] < 1 || b[9] > 2:
		return h, fmt.Errorf("%w: %d channels of mapping family %d", ErrFormat, b[9], b[18])
	}
	return Head{int(b[9]), binary.LittleEndian.Uint16(b[10:]), binary.LittleEndian.Uint32(b[12:]), b[18] == 1}, nil
}

// tags returns the comment header (RFC 7845 §5.2) with comments like TITLE=a call.
func tags(comments []string) []byte {
	b := []byte("OpusTags")
	text := func(s string) {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	text("sanchar")
	b = binary.LittleEndian.AppendUint32(b, uint32(len(comments)))
	for _, c := range comments {
		text(c)
	}
	return b
}

// crcTable is of the polynomial 0x04c11db7, highest bit first, that RFC 3533 §6 wants.
var crcTable = makeCRC()

func makeCRC() (t [256]uint32) {
	for i := range t {
		r := uint32(i) << 24
		for range 8 {
			if r&0x80000000 != 0 {
				r = r<<1 ^ 0x04c11db7
			} else {
				r <<= 1
			}
		}
		t[i] = r
	}
	return t
}

// checksum is that of a page whose own field for it is zero.
func checksum(page []byte) (crc uint32) {
	for _, b := range page {
		crc = crc<<8 ^ crcTable[byte(crc>>24)^b]
	}
	return crc
}
