package develop

import (
	"bytes"
	"encoding/binary"

	"github.com/pion/rtp/codecs"
	"github.com/pion/rtp/codecs/vp9"
)

// vp8Coder is of RFC 7741.
type vp8Coder struct{}

// unpack is of RFC 7741 §4.2.
func (vp8Coder) unpack(payload []byte) (data []byte, begins bool, err error) {
	var d codecs.VP8Packet
	data, err = d.Unmarshal(payload)
	return data, d.S == 1 && d.PID == 0, err
}

func (vp8Coder) reset() {}

func (vp8Coder) inBand() bool { return false }

func (c vp8Coder) again() coder { return c }

// finish looks for the size: RFC 6386 §9.1: three bytes, then the start code and the size of a key frame.
func (vp8Coder) finish(data []byte) (picture []byte, alone *look) {
	picture = bytes.Clone(data)
	if len(data) < 10 || data[0]&1 != 0 || !bytes.Equal(data[3:6], []byte{0x9d, 0x01, 0x2a}) {
		return picture, nil
	}
	width, height := int(binary.LittleEndian.Uint16(data[6:])&0x3fff), int(binary.LittleEndian.Uint16(data[8:])&0x3fff)
	if width == 0 || height == 0 {
		return picture, nil
	}
	return picture, &look{width: width, height: height, config: vpConfig(data[0]>>1&7, 8, chromaHalf, false)}
}

// vp9Coder is of RFC 9628.
type vp9Coder struct{}

// unpack is of RFC 9628 §4.2.
func (vp9Coder) unpack(payload []byte) (data []byte, begins bool, err error) {
	var d codecs.VP9Packet
	data, err = d.Unmarshal(payload)
	return data, d.B, err
}

func (vp9Coder) reset() {}

func (vp9Coder) inBand() bool { return false }

func (c vp9Coder) again() coder { return c }

func (vp9Coder) finish(data []byte) (picture []byte, alone *look) {
	picture = bytes.Clone(data)
	var h vp9.Header
	if h.Unmarshal(data) != nil || h.NonKeyFrame || h.ShowExistingFrame || h.Width() == 0 || h.Height() == 0 {
		return picture, nil
	}
	c, chroma := h.ColorConfig, byte(chromaWhole)
	switch {
	case c.SubsamplingX && c.SubsamplingY:
		chroma = chromaHalf
	case c.SubsamplingX:
		chroma = chromaWide
	}
	return picture, &look{width: int(h.Width()), height: int(h.Height()), config: vpConfig(h.Profile, c.BitDepth, chroma, c.ColorRange)}
}

// How colours are sampled, in the words of VPCodecConfigurationBox.
const (
	chromaHalf  = 1 // half of both sides
	chromaWide  = 2 // half of the width
	chromaWhole = 3
)

// vpConfig is what MP4 tells a decoder: the body of VPCodecConfigurationBox (VP codec ISO media file format
// binding). WebM has no need of it.
func vpConfig(profile, depth, chroma byte, fullRange bool) []byte {
	const level, unspecified = 0, 2
	sampling := depth<<4 | chroma<<1
	if fullRange {
		sampling |= 1
	}
	return []byte{1, 0, 0, 0, profile, level, sampling, unspecified, unspecified, unspecified, 0, 0}
}
