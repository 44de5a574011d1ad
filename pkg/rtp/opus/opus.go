// Package opus is the speech and music codec of RFC 6716 in mono, for any RTP clock of 48 kHz
// (RFC 7587) and samples at the rate that the caller works with.
//
// It hides the library that does the work. Encoders and decoders keep no slice that they were given; each
// is for one goroutine.
package opus

import (
	"fmt"
	"slices"
	"time"

	"github.com/thesyncim/gopus"
)

const (
	// ClockRate is the RTP ticks of a second, whatever the rate of samples (RFC 7587 §4.1).
	ClockRate = 48000
	// MaxPacket is the size of the largest packet that the box makes: at the highest bit rate
	// of RFC 7587 §3.1.1 a frame of 60 ms has 3,825 bytes (510 kbit/s).
	MaxPacket = 4000
	// MaxDuration is the longest packet (RFC 6716 §3.2.5).
	MaxDuration = 120 * time.Millisecond
)

// rates are those that the codec works at and the box uses.
func rates() []int { return []int{8000, 16000, 48000} }

func checkRate(rate int) error {
	if !slices.Contains(rates(), rate) {
		return fmt.Errorf("opus sample rate is %d: it must be one of %v", rate, rates())
	}
	return nil
}

// Duration tells how long a packet plays, by its first bytes; ok is false when it is none (RFC 6716 §3.1,
// §3.2).
func Duration(packet []byte) (d time.Duration, ok bool) {
	if len(packet) == 0 {
		return 0, false
	}
	frames := 1
	switch packet[0] & 3 {
	case 1, 2:
		frames = 2
	case 3:
		if len(packet) < 2 {
			return 0, false
		}
		frames = int(packet[1] & 0x3f)
	}
	d = time.Duration(frames) * frame(packet[0]>>3)
	return d, d > 0 && d <= MaxDuration
}

// frame is the length of each frame of a configuration (RFC 6716 table 2).
func frame(config byte) time.Duration {
	switch {
	case config < 12:
		return [4]time.Duration{10, 20, 40, 60}[config&3] * time.Millisecond
	case config < 16:
		return [2]time.Duration{10, 20}[config&1] * time.Millisecond
	}
	return 2500 * time.Microsecond << (config & 3)
}

// Decoder makes samples of packets. Stereo is mixed to mono.
type Decoder struct {
	rate  int
	lib   *gopus.Decoder
	float []float32 // what Recover decodes to
}

// NewDecoder returns a decoder to samples at this rate: 8000, 16000 or 48000. A lower one than the packets
// have costs less.
func NewDecoder(rate int) (*Decoder, error) {
	if err := checkRate(rate); err != nil {
		return nil, err
	}
	config := gopus.DefaultDecoderConfig(rate, 1)
	config.MaxPacketSamples = samples(MaxDuration, rate)
	lib, err := gopus.NewDecoder(config)
	if err != nil {
		return nil, fmt.Errorf("make opus decoder: %w", err)
	}
	return &Decoder{rate: rate, lib: lib}, nil
}

func samples(d time.Duration, rate int) int { return int(int64(d) * int64(rate) / int64(time.Second)) }

// Decode writes the samples of a packet to dst, which has room for MaxDuration, and returns how many.
func (d *Decoder) Decode(dst []int16, packet []byte) (int, error) {
	if _, ok := Duration(packet); !ok {
		return 0, fmt.Errorf("decode opus: %d bytes are no packet", len(packet))
	}
	n, err := d.lib.DecodeInt16(packet, dst)
	if err != nil {
		return 0, fmt.Errorf("decode opus: %w", err)
	}
	return n, nil
}

// Recover fills dst with what was lost before the packet, of which a packet may carry a copy
// (RFC 6716 §2.1.7), else conceals it. The packet itself is decoded afterwards.
func (d *Decoder) Recover(dst []int16, packet []byte) error {
	if cap(d.float) < len(dst) {
		d.float = make([]float32, len(dst)) // the first loss of this length
	}
	float := d.float[:len(dst)]
	n, err := d.lib.DecodeWithFEC(packet, float, true)
	if err != nil {
		return fmt.Errorf("recover opus: %w", err)
	}
	for i, x := range float[:n] {
		dst[i] = int16(min(max(x*32768, -32768), 32767))
	}
	clear(dst[n:])
	return nil
}

// Conceal fills dst, a multiple of 2.5 ms, with what might have been in packets that were lost. It fades
// out by itself.
func (d *Decoder) Conceal(dst []int16) error {
	most := samples(20*time.Millisecond, d.rate)
	for len(dst) > 0 {
		part := dst[:min(most, len(dst))]
		n, err := d.lib.DecodeInt16(nil, part)
		if err != nil {
			return fmt.Errorf("conceal opus: %w", err)
		}
		if n == 0 {
			clear(dst)
			return nil
		}
		dst = dst[n:]
	}
	return nil
}
