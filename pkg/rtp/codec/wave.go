package codec

import (
	"fmt"

	"github.com/coraltele/sanchar/pkg/rtp/plc"
	"github.com/coraltele/sanchar/pkg/rtp/resample"
)

// waveDecoder is of G.711 and G.722, which have a byte for each RTP tick and need help with losses.
type waveDecoder struct {
	rate, native int
	perTick      int // samples of a tick
	decode       func([]int16, []byte) int
	plc          *plc.Concealer
	resampler    *resample.Resampler
	scratch      []int16 // at the native rate
}

func newWaveDecoder(f Format, rate int, decode func([]int16, []byte) int) (Decoder, error) {
	r, err := resample.New(f.SampleRate, rate)
	if err != nil {
		return nil, err
	}
	return &waveDecoder{
		rate: rate, native: f.SampleRate, perTick: f.SampleRate / int(f.Clock), decode: decode,
		plc: plc.New(f.SampleRate), resampler: r, scratch: make([]int16, MaxSamples(f.SampleRate)),
	}, nil
}

func (d *waveDecoder) Rate() int { return d.rate }

func (d *waveDecoder) Ticks(payload []byte) uint32 {
	if len(payload)*d.perTick > len(d.scratch) {
		return 0
	}
	return uint32(len(payload))
}

func (d *waveDecoder) Decode(dst []int16, payload []byte) (int, error) {
	if d.Ticks(payload) == 0 {
		return 0, fmt.Errorf("decode: a payload of %d bytes, not 1 to %d", len(payload), len(d.scratch)/d.perTick)
	}
	frame := d.scratch[:d.decode(d.scratch, payload)]
	d.plc.Good(frame)
	return d.resampler.Resample(dst, frame), nil
}

func (d *waveDecoder) Conceal(dst []int16, _ []byte) error {
	for len(dst) > 0 {
		n := min(len(dst)*d.native/d.rate, len(d.scratch))
		if n == 0 {
			clear(dst) // less than a sample of the native rate
			return nil
		}
		frame := d.scratch[:n]
		d.plc.Conceal(frame)
		dst = dst[d.resampler.Resample(dst, frame):]
	}
	return nil
}

// waveEncoder is of G.711 and G.722.
type waveEncoder struct {
	frame     int
	ticks     uint32
	encode    func([]byte, []int16) int
	resampler *resample.Resampler
	scratch   []int16
}

func newWaveEncoder(f Format, s Spec, encode func([]byte, []int16) int) (Encoder, error) {
	r, err := resample.New(s.Rate, f.SampleRate)
	if err != nil {
		return nil, err
	}
	return &waveEncoder{
		frame: count(s.Frame, s.Rate), ticks: uint32(count(s.Frame, int(f.Clock))), encode: encode,
		resampler: r, scratch: make([]int16, count(s.Frame, f.SampleRate)),
	}, nil
}

func (e *waveEncoder) Frame() int { return e.frame }

func (e *waveEncoder) Ticks() uint32 { return e.ticks }

func (e *waveEncoder) Encode(dst []byte, samples []int16) (int, error) {
	if len(samples) != e.frame {
		return 0, fmt.Errorf("encode: %d samples, not %d", len(samples), e.frame)
	}
	return e.encode(dst, e.scratch[:e.resampler.Resample(e.scratch, samples)]), nil
}
