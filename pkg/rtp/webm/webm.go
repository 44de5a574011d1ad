// Package webm writes recordings of video with sound in the codecs of WebM (RFC 9559 in the EBML of RFC 8794).
//
// A file is written from front to back without known lengths, as live streams are, so that what is on
// disk can be played at any time. Finish adds what makes it quick to search: lengths, duration and cues.
package webm

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Codec is how a track is encoded.
type Codec string

// The codecs (RFC 9559 names them as Matroska's codec registry does). A track of AV1 has the decoder's
// configuration in Private.
const (
	VP8  Codec = "V_VP8"
	VP9  Codec = "V_VP9"
	AV1  Codec = "V_AV1"
	Opus Codec = "A_OPUS"
)

// video reports whether the codec is of pictures.
func (c Codec) video() bool { return c != Opus }

// Track is a stream of the file.
type Track struct {
	Codec         Codec
	Width, Height int    // of video
	Channels      int    // of sound
	PreSkip       uint16 // of sound, in ticks of 48 kHz
	Split         bool   // of sound in two channels: each is a stream of its own (package oggopus)
	Private       []byte // what the decoder needs to know; of Opus it is made here
}

func (t Track) validate() error {
	switch t.Codec {
	case VP8, VP9, AV1:
		if t.Width < 1 || t.Height < 1 || t.Width > math.MaxUint16 || t.Height > math.MaxUint16 {
			return fmt.Errorf("video track is %d by %d: both must be 1 to 65535", t.Width, t.Height)
		}
	case Opus:
		if t.Channels != 1 && t.Channels != 2 {
			return fmt.Errorf("audio track has %d channels: it must have 1 or 2", t.Channels)
		}
	default:
		return fmt.Errorf("track codec is %q: it must be VP8, VP9, AV1 or Opus", string(t.Codec))
	}
	return nil
}

// Identifiers of elements (RFC 9559 §5.1, RFC 8794 §11.2).
const (
	idEBML, idDocType, idDocVersion, idDocReadVersion = 0x1A45DFA3, 0x4282, 0x4287, 0x4285

	idSegment, idSeekHead, idSeek, idSeekID, idSeekPosition = 0x18538067, 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
	idInfo, idScale, idDuration, idMuxer, idWriter, idVoid  = 0x1549A966, 0x2AD7B1, 0x4489, 0x4D80, 0x5741, 0xEC
	idTracks, idTrack, idNumber, idUID, idType, idLacing    = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83, 0x9C
	idCodec, idPrivate, idDelay, idPreRoll                  = 0x86, 0x63A2, 0x56AA, 0x56BB
	idVideo, idWidth, idHeight                              = 0xE0, 0xB0, 0xBA
	idAudio, idRate, idChannels                             = 0xE1, 0xB5, 0x9F
	idCluster, idTimestamp, idBlock                         = 0x1F43B675, 0xE7, 0xA3
	idCues, idCue, idCueTime, idCuePlace, idCueTrack, idAt  = 0x1C53BB6B, 0xBB, 0xB3, 0xB7, 0xF7, 0xF1
)

// unknownSize is that of an element which is still written (RFC 8794 §6.2), in eight bytes.
const unknownSize = 1<<56 - 1

// appendID writes an identifier, whose length it tells itself.
func appendID(b []byte, id uint32) []byte {
	for shift := 24; shift >= 0; shift -= 8 {
		if id>>shift != 0 {
			b = append(b, byte(id>>shift))
		}
	}
	return b
}

// appendSize writes a size in eight bytes (RFC 8794 §4).
func appendSize(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n|1<<56) }

// element writes one with these bytes, of which there are fewer than 2^14 - 1: the size takes two.
func element(b []byte, id uint32, body []byte) []byte {
	b = appendID(b, id)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body))|1<<14)
	return append(b, body...)
}

func number(b []byte, id uint32, n uint64) []byte {
	return element(b, id, binary.BigEndian.AppendUint64(nil, n))
}

func float(b []byte, id uint32, x float64) []byte { return number(b, id, math.Float64bits(x)) }

func text(b []byte, id uint32, s string) []byte { return element(b, id, []byte(s)) }

// head is the EBML header (RFC 8794 §8.1, RFC 9559 §4).
func head() []byte {
	return element(nil, idEBML, number(number(text(nil, idDocType, "webm"), idDocVersion, 4), idDocReadVersion, 2))
}

const (
	typeVideo, typeAudio = 1, 2

	// preRoll is how much of Opus is decoded before a place that was sought (RFC 7845 §4.6).
	preRoll = 80 * time.Millisecond
)

// entry describes a track.
func (t Track) entry(n int) []byte {
	kind := uint64(typeAudio)
	if t.Codec.video() {
		kind = typeVideo
	}
	b := number(number(number(number(nil, idNumber, uint64(n)), idUID, uint64(n)), idType, kind), idLacing, 0)
	b = text(b, idCodec, string(t.Codec))
	if t.Codec.video() {
		if len(t.Private) > 0 {
			b = element(b, idPrivate, t.Private)
		}
		return element(b, idVideo, number(number(nil, idWidth, uint64(t.Width)), idHeight, uint64(t.Height)))
	}
	opusHead := append([]byte("OpusHead"), 1, byte(t.Channels)) // RFC 7845 §5.1
	opusHead = binary.LittleEndian.AppendUint16(opusHead, t.PreSkip)
	opusHead = binary.LittleEndian.AppendUint32(opusHead, 48000)
	if t.Split { // RFC 7845 §5.1.1.2: family 1, two streams of which none is coupled
		opusHead = append(opusHead, 0, 0, 1, 2, 0, 0, 1)
	} else {
		opusHead = append(opusHead, 0, 0, 0)
	}
	b = element(b, idPrivate, opusHead)
	b = number(b, idDelay, uint64(t.PreSkip)*uint64(time.Second)/48000)
	b = number(b, idPreRoll, uint64(preRoll))
	return element(b, idAudio, number(float(nil, idRate, 48000), idChannels, uint64(t.Channels)))
}
