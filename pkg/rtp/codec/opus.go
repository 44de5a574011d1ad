package codec

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/rtp/opus"
	"github.com/coraltele/sanchar/pkg/rtp/resample"
)

// opusDecoder decodes to the rate that is wanted by itself.
type opusDecoder struct {
	*opus.Decoder
	rate int
}

func (d *opusDecoder) Rate() int { return d.rate }

func (d *opusDecoder) Ticks(payload []byte) uint32 {
	length, ok := opus.Duration(payload)
	if !ok {
		return 0
	}
	return uint32(count(length, opus.ClockRate))
}

func (d *opusDecoder) Conceal(dst []int16, next []byte) error {
	if length, ok := opus.Duration(next); ok && count(length, d.rate) == len(dst) {
		return d.Recover(dst, next)
	}
	return d.Decoder.Conceal(dst)
}

// opusEncoder makes frames of 10, 20, 40 and 60 ms: there are none of 30 and 50 (RFC 6716 §2.1.4).
type opusEncoder struct {
	*opus.Encoder
	frame     int
	ticks     uint32
	resampler *resample.Resampler
	scratch   []int16
}

func newOpusEncoder(s Spec) (Encoder, error) {
	wishes := parseOpus(s.FMTP)
	rate := min(s.Rate, wishes.rate)
	r, err := resample.New(s.Rate, rate)
	if err != nil {
		return nil, err
	}
	loss := s.Loss
	if !wishes.copies {
		loss = 0
	}
	e, err := opus.NewEncoder(opus.Config{Rate: rate, Frame: s.Frame, Bitrate: wishes.bitrate, Loss: loss, DTX: wishes.dtx})
	if err != nil {
		return nil, err
	}
	return &opusEncoder{e, count(s.Frame, s.Rate), uint32(count(s.Frame, opus.ClockRate)), r, make([]int16, count(s.Frame, rate))}, nil
}

func (e *opusEncoder) Frame() int { return e.frame }

func (e *opusEncoder) Ticks() uint32 { return e.ticks }

func (e *opusEncoder) Encode(dst []byte, samples []int16) (int, error) {
	if len(samples) != e.frame {
		return 0, fmt.Errorf("encode: %d samples, not %d", len(samples), e.frame)
	}
	return e.Encoder.Encode(dst, e.scratch[:e.resampler.Resample(e.scratch, samples)])
}

// opusWishes are what the peer's parameters ask of what is sent to it (RFC 7587 §6.1).
type opusWishes struct {
	rate    int // samples that it can play
	bitrate int // 0 for the default
	copies  bool
	dtx     bool
}

// parseOpus reads the parameters; what is unknown or no number counts as not there.
func parseOpus(fmtp string) opusWishes {
	w := opusWishes{rate: 48000}
	for part := range strings.SplitSeq(fmtp, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "maxplaybackrate":
			w.rate = playback(n)
		case "maxaveragebitrate":
			w.bitrate = min(max(n, 6000), opus.DefaultBitrate)
		case "useinbandfec":
			w.copies = n == 1
		case "usedtx":
			w.dtx = n == 1
		}
	}
	return w
}

// playback is the rate to encode at for a peer that plays up to n.
func playback(n int) int {
	for _, rate := range rates() {
		if n <= rate {
			return rate
		}
	}
	return rates()[len(rates())-1]
}
