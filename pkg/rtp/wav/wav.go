// Package wav writes and reads WAV files of speech: linear samples of 16 bits, or G.711.
//
// A file can be read while it is written, and after a crash: until Finish its header gives the
// greatest length that there is, which players take as "to the end of the file".
package wav

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Encoding is the format tag of what the file holds.
type Encoding uint16

// The encodings (RFC 2361 §A).
const (
	L16  Encoding = 0x0001 // linear, 16 bits, little-endian
	PCMA Encoding = 0x0006
	PCMU Encoding = 0x0007

	extensible Encoding = 0xFFFE // the tag stands further behind
)

// String returns the encoding's name, as RTP has it.
func (e Encoding) String() string {
	switch e {
	case L16:
		return "L16"
	case PCMA:
		return "PCMA"
	case PCMU:
		return "PCMU"
	}
	return fmt.Sprintf("format %#04x", uint16(e))
}

// bytes is the size of a sample in the file.
func (e Encoding) bytes() int {
	if e == L16 {
		return 2
	}
	return 1
}

// Format says what the file holds.
type Format struct {
	Encoding Encoding
	Rate     int // samples a second: 8000, 16000 or 48000
	Channels int // 1 or 2; of two, samples alternate
}

// rates are those of the codecs that the box has.
func rates() []int { return []int{8000, 16000, 48000} }

// Validate names what is wrong with the format.
func (f Format) Validate() error {
	switch {
	case f.Encoding != L16 && f.Encoding != PCMA && f.Encoding != PCMU:
		return fmt.Errorf("wav encoding is %v: it must be L16, PCMA or PCMU", f.Encoding)
	case !slices.Contains(rates(), f.Rate):
		return fmt.Errorf("wav rate is %d: it must be one of %v", f.Rate, rates())
	case f.Channels != 1 && f.Channels != 2:
		return fmt.Errorf("wav has %d channels: it must have 1 or 2", f.Channels)
	}
	return nil
}

func (f Format) frameBytes() int { return f.Channels * f.Encoding.bytes() }

// unknown is the length of what is still written.
const unknown = 0xFFFFFFFF

// Places in the header that we write, which has three chunks: fmt, fact and data.
const (
	riffSizeAt  = 4
	fmtSize     = 18 // with the length of an extension, which formats other than L16 must have
	factCountAt = 12 + 8 + fmtSize + 8
	dataSizeAt  = factCountAt + 4 + 4
	headerSize  = dataSizeAt + 4
)

// header returns the header of a file with so many bytes of data.
func (f Format) header(data uint32) []byte {
	le, h := binary.LittleEndian, make([]byte, headerSize)
	riff, frames := uint32(unknown), uint32(unknown)
	if data != unknown {
		riff, frames = headerSize-8+data+data&1, data/uint32(f.frameBytes())
	}
	copy(h, "RIFF")
	le.PutUint32(h[riffSizeAt:], riff)
	copy(h[8:], "WAVEfmt ")
	le.PutUint32(h[16:], fmtSize)
	le.PutUint16(h[20:], uint16(f.Encoding))
	le.PutUint16(h[22:], uint16(f.Channels))
	le.PutUint32(h[24:], uint32(f.Rate))
	le.PutUint32(h[28:], uint32(f.Rate*f.frameBytes()))
	le.PutUint16(h[32:], uint16(f.frameBytes()))
	le.PutUint16(h[34:], uint16(8*f.Encoding.bytes()))
	copy(h[factCountAt-8:], "fact")
	le.PutUint32(h[factCountAt-4:], 4)
	le.PutUint32(h[factCountAt:], frames)
	copy(h[dataSizeAt-4:], "data")
	le.PutUint32(h[dataSizeAt:], data)
	return h
}
