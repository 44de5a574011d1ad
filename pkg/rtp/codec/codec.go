// Package codec is the one place that knows which encodings the box can decode and encode, and makes
// decoders and encoders that all work alike, at the rate of samples that the caller works with.
package codec

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/rtp/g711"
	"github.com/coraltele/sanchar/pkg/rtp/g722"
	"github.com/coraltele/sanchar/pkg/rtp/opus"
)

// MaxDuration is the longest payload that is decoded: that of Opus, and six times what phones send.
const MaxDuration = opus.MaxDuration

// MaxPayload is the size of the largest payload that an encoder makes.
const MaxPayload = opus.MaxPacket

// Format is an encoding that the box can transcode.
type Format struct {
	Name       string // as SDP has it (RFC 8866 §6.6)
	Clock      uint32 // RTP ticks of a second
	Channels   int    // as SDP has them, which for Opus is always 2 (RFC 7587 §7)
	SampleRate int    // the highest that the encoding carries
	Static     int    // payload type of RFC 3551 §6, -1 if it has none
}

// Formats returns all of them, the best first.
func Formats() []Format {
	return []Format{
		{"opus", opus.ClockRate, 2, 48000, -1},
		{"G722", g722.ClockRate, 1, g722.Rate, 9},
		{"PCMA", g711.Rate, 1, g711.Rate, 8},
		{"PCMU", g711.Rate, 1, g711.Rate, 0},
	}
}

// Find returns the format of a name and clock, whatever the name's case.
func Find(name string, clock uint32) (Format, bool) {
	for _, f := range Formats() {
		if strings.EqualFold(f.Name, name) && f.Clock == clock {
			return f, true
		}
	}
	return Format{}, false
}

// Spec says what decoder or encoder is wanted.
type Spec struct {
	Name  string
	Clock uint32
	FMTP  string        // parameters of SDP: for an encoder those that the peer sent
	Rate  int           // of the samples: 8000, 16000 or 48000
	Frame time.Duration // of an encoder, 10 to 60 ms in steps of 10; default 20
	Loss  int           // percent that the peer loses, for an encoder that can help
}

// rates are those that samples can have.
func rates() []int { return []int{8000, 16000, 48000} }

func (s Spec) check() (Format, error) {
	f, ok := Find(s.Name, s.Clock)
	switch {
	case !ok:
		return f, fmt.Errorf("encoding %s/%d cannot be transcoded: it must be opus, G722, PCMA or PCMU", s.Name, s.Clock)
	case !slices.Contains(rates(), s.Rate):
		return f, fmt.Errorf("sample rate is %d: it must be one of %v", s.Rate, rates())
	}
	return f, nil
}

// Decoder makes samples of payloads. It is for one goroutine, and keeps no slice that it was given. It
// does not allocate, but at its first packets.
type Decoder interface {
	// Rate is the samples of a second.
	Rate() int
	// Ticks tells for how many RTP ticks a payload plays; 0 that it is none.
	Ticks(payload []byte) uint32
	// Decode writes a payload's samples to dst, which has room for MaxSamples of the rate, and
	// returns how many.
	Decode(dst []int16, payload []byte) (int, error)
	// Conceal fills dst, a multiple of 10 ms, with what might have been lost. Next is the payload
	// behind it, which may carry a copy, or nil.
	Conceal(dst []int16, next []byte) error
}

// Encoder makes payloads of samples. It is for one goroutine, and keeps no slice that it was given.
type Encoder interface {
	// Frame is how many samples Encode takes.
	Frame() int
	// Ticks is by how much the RTP timestamp moves on with each.
	Ticks() uint32
	// Encode makes a payload in dst, which has MaxPayload bytes, and returns its size: 0 when
	// nothing is to be sent.
	Encode(dst []byte, samples []int16) (int, error)
}

// MaxSamples is how many samples a payload can have at a rate.
func MaxSamples(rate int) int { return count(MaxDuration, rate) }

func count(d time.Duration, rate int) int { return int(int64(d) * int64(rate) / int64(time.Second)) }

// NewDecoder returns a decoder of what the spec says.
func NewDecoder(s Spec) (Decoder, error) {
	f, err := s.check()
	if err != nil {
		return nil, err
	}
	switch f.Name {
	case "opus":
		d, err := opus.NewDecoder(s.Rate)
		return &opusDecoder{d, s.Rate}, err
	case "G722":
		return newWaveDecoder(f, s.Rate, g722.NewDecoder().Decode)
	case "PCMA":
		return newWaveDecoder(f, s.Rate, g711.DecodeA)
	}
	return newWaveDecoder(f, s.Rate, g711.DecodeMu)
}

// NewEncoder returns an encoder of what the spec says.
func NewEncoder(s Spec) (Encoder, error) {
	f, err := s.check()
	if err != nil {
		return nil, err
	}
	if s.Frame == 0 {
		s.Frame = 20 * time.Millisecond
	}
	if s.Frame%(10*time.Millisecond) != 0 || s.Frame < 10*time.Millisecond || s.Frame > 60*time.Millisecond {
		return nil, fmt.Errorf("frame is %v: it must be 10 to 60 ms in steps of 10", s.Frame)
	}
	switch f.Name {
	case "opus":
		return newOpusEncoder(s)
	case "G722":
		return newWaveEncoder(f, s, g722.NewEncoder().Encode)
	case "PCMA":
		return newWaveEncoder(f, s, g711.EncodeA)
	}
	return newWaveEncoder(f, s, g711.EncodeMu)
}
