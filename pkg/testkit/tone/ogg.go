package tone

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/coraltele/sanchar/pkg/rtp/oggopus"
	"github.com/coraltele/sanchar/pkg/rtp/opus"
)

// oggRate is that of the samples that ReadOgg returns: of all that Opus works with the cheapest that
// has all tones of tests.
const oggRate = 8000

// longestPacket is the samples of the longest packet.
const longestPacket = int(opus.MaxDuration * oggRate / time.Second)

// ReadOgg decodes a recording of two parties, each on a channel of its own, as an Ogg Opus file has it.
func ReadOgg(file []byte) (left, right Sound, err error) {
	r, err := oggopus.NewReader(bytes.NewReader(file))
	if err != nil {
		return left, right, err
	}
	if !r.Head().Split {
		return left, right, fmt.Errorf("recording of %d channels, not of two that are apart", r.Head().Channels)
	}
	sounds, decoders := [2]*Sound{&left, &right}, [2]*opus.Decoder{}
	for i := range decoders {
		sounds[i].Rate = oggRate
		if decoders[i], err = opus.NewDecoder(oggRate); err != nil {
			return left, right, err
		}
	}
	for {
		packet, err := r.Next()
		if errors.Is(err, io.EOF) {
			return left, right, nil
		}
		if err != nil {
			return left, right, err
		}
		a, b, ok := oggopus.Cut(packet)
		if !ok {
			return left, right, fmt.Errorf("packet of %d bytes is not of two channels", len(packet))
		}
		for i, p := range [2][]byte{a, b} {
			if err := sounds[i].decode(decoders[i], p); err != nil {
				return left, right, err
			}
		}
	}
}

// decode appends the samples of a packet; one without sound is concealed.
func (s *Sound) decode(d *opus.Decoder, packet []byte) error {
	pcm := make([]int16, longestPacket)
	if len(packet) > 1 {
		n, err := d.Decode(pcm, packet)
		s.Samples = append(s.Samples, pcm[:n]...)
		return err
	}
	length, ok := opus.Duration(packet)
	if !ok {
		return fmt.Errorf("packet of %d bytes is no Opus", len(packet))
	}
	pcm = pcm[:int(length*oggRate/time.Second)]
	s.Samples = append(s.Samples, pcm...) // silence: what a decoder makes up was not said
	return nil
}
