package opus

import (
	"fmt"
	"slices"
	"time"

	"github.com/thesyncim/gopus"
)

// Config says how an encoder works. Zero values are the defaults.
type Config struct {
	Rate       int           // of the samples: 8000, 16000 or 48000
	Frame      time.Duration // 10, 20, 40 or 60 ms; default 20
	Bitrate    int           // bits a second, 6000 to 510000; default DefaultBitrate
	Complexity int           // 1 to 10, processor time against quality; default DefaultComplexity
	Loss       int           // percent of packets that the peer loses, 0 to 100: from 1 on packets carry copies
	DTX        bool          // silence is not sent (RFC 7587 §3.1.3)
}

// Defaults.
const (
	// DefaultBitrate is the upper end of what RFC 7587 §3.1.1 recommends for fullband speech. With it, speech that
	// was G.711 before keeps over 24 dB of signal to noise; at 24 kbit/s it has 20 (decision 012).
	DefaultBitrate = 40000
	// DefaultComplexity is where more costs half as much again for some 3 dB (decision 012).
	DefaultComplexity = 5
)

func frames() []time.Duration {
	return []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond, 60 * time.Millisecond}
}

func (c Config) withDefaults() Config {
	if c.Frame == 0 {
		c.Frame = 20 * time.Millisecond
	}
	if c.Bitrate == 0 {
		c.Bitrate = DefaultBitrate
	}
	if c.Complexity == 0 {
		c.Complexity = DefaultComplexity
	}
	return c
}

func (c Config) validate() error {
	if err := checkRate(c.Rate); err != nil {
		return err
	}
	switch {
	case !slices.Contains(frames(), c.Frame):
		return fmt.Errorf("opus frame is %v: it must be one of %v", c.Frame, frames())
	case c.Bitrate < 6000 || c.Bitrate > 510000:
		return fmt.Errorf("opus bit rate is %d: it must be 6000 to 510000 (RFC 7587 §3.1.1)", c.Bitrate)
	case c.Complexity < 1 || c.Complexity > 10:
		return fmt.Errorf("opus complexity is %d: it must be 1 to 10", c.Complexity)
	case c.Loss < 0 || c.Loss > 100:
		return fmt.Errorf("opus loss is %d %%: it must be 0 to 100", c.Loss)
	}
	return nil
}

// Encoder makes packets of samples.
type Encoder struct {
	lib   *gopus.Encoder
	frame int
	dtx   bool
}

// NewEncoder returns an encoder of speech.
func NewEncoder(c Config) (*Encoder, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	lib, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: c.Rate, Channels: 1, Application: gopus.ApplicationVoIP})
	if err != nil {
		return nil, fmt.Errorf("make opus encoder: %w", err)
	}
	lib.SetDTX(c.DTX)
	e := &Encoder{lib: lib, frame: samples(c.Frame, c.Rate), dtx: c.DTX}
	for _, set := range []error{
		lib.SetFrameSize(e.frame), lib.SetBitrate(c.Bitrate), lib.SetComplexity(c.Complexity), e.SetLoss(c.Loss),
	} {
		if set != nil {
			return nil, fmt.Errorf("set up opus encoder: %w", set)
		}
	}
	return e, nil
}

// SetLoss tells how many percent of the packets the peer loses. From 1 on packets carry a copy of what is
// before them, worse and smaller (RFC 7587 §3.3).
func (e *Encoder) SetLoss(percent int) error {
	e.lib.SetFEC(percent > 0)
	return e.lib.SetPacketLoss(percent)
}

// SetBitrate changes the bits a second.
func (e *Encoder) SetBitrate(bits int) error { return e.lib.SetBitrate(bits) }

// Frame is how many samples Encode takes.
func (e *Encoder) Frame() int { return e.frame }

// dtxSize is the size of a packet that says only that there is none (RFC 6716 §3.2.1: the first byte).
const dtxSize = 2

// Encode makes a packet of one frame of samples in dst, which has MaxPacket bytes, and returns its
// size. It is 0 when silence is not sent.
func (e *Encoder) Encode(dst []byte, pcm []int16) (int, error) {
	n, err := e.lib.EncodeInt16(pcm, dst)
	if err != nil {
		return 0, fmt.Errorf("encode opus: %w", err)
	}
	if e.dtx && n <= dtxSize {
		return 0, nil
	}
	return n, nil
}
