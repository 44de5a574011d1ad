package transcode

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/g711"
	"github.com/coraltele/sanchar/pkg/rtp/g722"
	"github.com/coraltele/sanchar/pkg/rtp/jitter"
	"github.com/coraltele/sanchar/pkg/rtp/opus"
	"github.com/coraltele/sanchar/pkg/rtp/plc"
	"github.com/coraltele/sanchar/pkg/rtp/resample"
)

// encoder makes payloads of a codec's samples.
type encoder interface {
	// encode writes the payload of a frame to dst and returns its size.
	encode(dst []byte, frame []int16) int
}

// newEncoder returns the encoder of a format for packets of ptime.
func newEncoder(f *ctl.MediaFormat, ptime time.Duration) (encoder, error) {
	switch strings.ToLower(f.Encoding) {
	case "pcmu":
		return lawEncoder(g711.EncodeMu), nil
	case "pcma":
		return lawEncoder(g711.EncodeA), nil
	case "g722":
		return g722Encoder{g722.NewEncoder()}, nil
	case "opus":
		if ptime != 2*frameTime && ptime != 3*frameTime { // what RFC 6716 §2.1.4 has
			ptime = frameTime
		}
		e, err := opus.NewEncoder(opus.Config{Rate: 16000, Frame: ptime})
		return opusEncoder{e}, err
	}
	return nil, errFormat(f)
}

type lawEncoder func(dst []byte, samples []int16) int

func (e lawEncoder) encode(dst []byte, frame []int16) int { return e(dst, frame) }

type g722Encoder struct{ *g722.Encoder }

func (e g722Encoder) encode(dst []byte, frame []int16) int { return e.Encode(dst, frame) }

type opusEncoder struct{ *opus.Encoder }

func (e opusEncoder) encode(dst []byte, frame []int16) int {
	n, err := e.Encode(dst, frame)
	if err != nil {
		return 0 // a frame of the wrong length: ours are not
	}
	return n
}

// Decoder makes samples of payloads, at the rate of the line.
type Decoder interface {
	// Decode returns the samples of a payload, which are the decoder's until it is called again.
	Decode(payload []byte) []int16
	// Conceal fills frame with what might have been lost. next, if not nil, is the payload behind it.
	Conceal(frame []int16, next []byte)
}

// NewDecoder returns the decoder of a format to samples at rate.
func NewDecoder(f *ctl.MediaFormat, rate int) (Decoder, error) {
	switch strings.ToLower(f.Encoding) {
	case "pcmu":
		return newSampled(g711.DecodeMu, 8000, rate)
	case "pcma":
		return newSampled(g711.DecodeA, 8000, rate)
	case "g722":
		return newSampled(g722.NewDecoder().Decode, 16000, rate)
	case "opus":
		d, err := opus.NewDecoder(rate)
		return &opusDecoder{d: d, pcm: make([]int16, int(opus.MaxDuration*time.Duration(rate)/time.Second))}, err
	}
	return nil, errFormat(f)
}

// sampled is a codec of samples, which knows no lost packets by itself.
type sampled struct {
	raw    func(dst []int16, payload []byte) int
	own    []int16 // at the codec's rate
	to     *resample.Resampler
	pcm    []int16
	filler *plc.Concealer
}

// maxSamples of a payload: 1,500 octets of G.722.
const maxSamples = 2 * jitter.MaxPayload

func newSampled(raw func([]int16, []byte) int, own, rate int) (*sampled, error) {
	s := &sampled{raw: raw, own: make([]int16, maxSamples), filler: plc.New(rate)}
	if own == rate {
		return s, nil
	}
	var err error
	if s.to, err = resample.New(own, rate); err != nil {
		return nil, err
	}
	s.pcm = make([]int16, s.to.Len(maxSamples))
	return s, nil
}

func (s *sampled) Decode(payload []byte) []int16 {
	out := s.own[:s.raw(s.own, payload[:min(len(payload), jitter.MaxPayload)])]
	if s.to != nil {
		out = s.pcm[:s.to.Resample(s.pcm, out)]
	}
	s.filler.Good(out)
	return out
}

func (s *sampled) Conceal(frame []int16, _ []byte) { s.filler.Conceal(frame) }

type opusDecoder struct {
	d   *opus.Decoder
	pcm []int16
}

func (o *opusDecoder) Decode(payload []byte) []int16 {
	n, err := o.d.Decode(o.pcm, payload)
	if err != nil {
		return nil
	}
	return o.pcm[:n]
}

func (o *opusDecoder) Conceal(frame []int16, next []byte) {
	var err error
	if next != nil {
		err = o.d.Recover(frame, next)
	} else {
		err = o.d.Conceal(frame)
	}
	if err != nil {
		clear(frame)
	}
}

// Ticks returns how long a payload plays, in ticks of its clock.
func Ticks(f *ctl.MediaFormat, payload []byte) uint32 {
	if strings.EqualFold(f.Encoding, "opus") {
		d, ok := opus.Duration(payload)
		if !ok {
			return 0
		}
		return uint32(d * 48000 / time.Second)
	}
	return uint32(len(payload)) // an octet a tick: G.711, and G.722 by its clock
}

// comfort fills frame with the noise that a packet asks for, in -dBov (RFC 3389 §3).
func comfort(frame []int16, level uint8) {
	loud := 32768 * math.Pow(10, -float64(level&0x7f)/20) * math.Sqrt(3) // of even noise with that power
	for i := range frame {
		frame[i] = int16(min(loud, 8000) * (2*rand.Float64() - 1))
	}
}
