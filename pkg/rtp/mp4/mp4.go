// Package mp4 writes recordings of video with sound as MP4 (ISO/IEC 14496-12): what WebM has no codec for.
//
// A file is written from front to back, a second of each track at a time. The index of it stands at its end,
// where Finish writes it.
package mp4

import (
	"fmt"
	"math"
)

// Codec is how a track is encoded, by the name of its sample entry.
type Codec string

// The codecs. Pictures of H.264 have their units behind lengths of four bytes; AVC has parameter sets in its
// Config only, AVCInBand in its pictures too (ISO/IEC 14496-15 §5.3.3).
const (
	AVC       Codec = "avc1"
	AVCInBand Codec = "avc3"
	AV1       Codec = "av01"
	VP8       Codec = "vp08"
	VP9       Codec = "vp09"
	Opus      Codec = "Opus"
)

// Track is a stream of the file.
type Track struct {
	Codec         Codec
	Width, Height int    // of video
	Config        []byte // of video: what its decoder needs to know, the body of the box of its codec
	PreSkip       uint16 // of sound, in ticks of 48 kHz
	Split         bool   // of sound: two channels, each a stream of its own (package oggopus); else one
}

func (t *Track) video() bool { return t.Codec != Opus }

func (t *Track) validate() error {
	switch t.Codec {
	case Opus:
		return nil
	case AVC, AVCInBand, AV1, VP8, VP9:
		if t.Width < 1 || t.Height < 1 || t.Width > math.MaxUint16 || t.Height > math.MaxUint16 {
			return fmt.Errorf("video track is %d by %d: both must be 1 to 65535", t.Width, t.Height)
		}
		if len(t.Config) == 0 {
			return fmt.Errorf("video track of %s has no configuration: its decoder needs one", t.Codec)
		}
		return nil
	}
	return fmt.Errorf("track codec is %q: it must be avc1, avc3, av01, vp08, vp09 or Opus", string(t.Codec))
}

// scale is the unit of all times: a tick of Opus (RFC 7845 §4). A day of them fits 32 bits.
const scale = 48000

// configBox is the box of what a decoder needs to know.
func (c Codec) configBox() string {
	switch c {
	case AV1:
		return "av1C"
	case VP8, VP9:
		return "vpcC"
	}
	return "avcC"
}

// entry describes how a track is encoded (ISO/IEC 14496-12 §8.5.2).
func (t *Track) entry() box {
	b := new(fields).zero(6).u16(1) // of the only data reference
	if t.video() {
		b.zero(16).u16(uint16(t.Width)).u16(uint16(t.Height)).u32(72 << 16).u32(72 << 16) // points an inch
		b.zero(4).u16(1).zero(32).u16(24).u16(math.MaxUint16)
		return box{name: string(t.Codec), body: b.data, parts: []box{{name: t.Codec.configBox(), body: t.Config}}}
	}
	b.zero(8).u16(t.channels()).u16(16).zero(4).u32(scale << 16)
	return box{name: string(t.Codec), body: b.data, parts: []box{{name: "dOps", body: t.opus()}}}
}

func (t *Track) channels() uint16 {
	if t.Split {
		return 2
	}
	return 1
}

// opus is what a decoder of Opus needs to know (Opus in ISOBMFF §4.3.2), as RFC 7845 §5.1 has it.
func (t *Track) opus() []byte {
	b := new(fields).u8(0).u8(byte(t.channels())).u16(t.PreSkip).u32(scale).u16(0)
	if t.Split { // RFC 7845 §5.1.1.2: family 1, two streams of which none is coupled, the channels in their order
		return b.u8(1).u8(2).u8(0).u8(0).u8(1).data
	}
	return b.u8(0).data
}
