package develop

import (
	"io"
	"math/rand/v2"
	"slices"

	"github.com/coraltele/sanchar/pkg/rtp/oggopus"
	"github.com/coraltele/sanchar/pkg/rtp/opus"
	"github.com/coraltele/sanchar/pkg/rtp/wav"
)

// wavFile writes linear samples.
type wavFile struct {
	w   *wav.Writer
	mix []int16
}

func newWAV(w io.Writer, rate int, slots int64) (*wavFile, error) {
	size := rate / 50
	file, err := wav.NewSizedWriter(w, wav.Format{Encoding: wav.L16, Rate: rate, Channels: 2}, slots*int64(size))
	return &wavFile{w: file, mix: make([]int16, 2*size)}, err
}

func (f *wavFile) slot(left, right *slot) error {
	for i := range left.pcm {
		f.mix[2*i], f.mix[2*i+1] = left.pcm[i], right.pcm[i]
	}
	return f.w.Samples(f.mix)
}

func (f *wavFile) finish() error { return nil }

// oggFile writes Opus: packets of the parties as they came where they sent it, else encoded here.
type oggFile struct {
	w     *oggopus.Writer
	sides [2]side
	joint []byte
}

// side is a channel of the file.
type side struct {
	rate    int
	encoder *opus.Encoder // nil until something must be encoded
	quiet   []byte        // a packet of silence
	lost    int           // slots without sound
	last    byte          // configuration of the last packet
	packet  []byte
}

const (
	// complexity of what is encoded here: the lowest, since it is for every call. What that costs in
	// quality is far below what the telephone took from it.
	complexity = 1
	// bitrate is plenty for speech of the telephone.
	bitrate = 24000
	// maxLost slots without sound are left to the player to conceal; then it is silence.
	maxLost = 3
	// preSkip is the delay of the encoder (RFC 7845 §4.2): what it begins with is not played.
	preSkip = 312
)

func newOgg(w io.Writer, rate int, labels map[string]string) (*oggFile, error) {
	var comments []string
	for k, v := range labels {
		comments = append(comments, k+"="+v)
	}
	slices.Sort(comments)
	file, err := oggopus.NewWriter(w, oggopus.Config{
		Head: oggopus.Head{Channels: 2, PreSkip: preSkip, Rate: uint32(rate), Split: true}, Serial: rand.Uint32(), Comments: comments,
	})
	if err != nil {
		return nil, err
	}
	f := &oggFile{w: file}
	for i := range f.sides {
		f.sides[i].rate = rate
	}
	return f, nil
}

func (f *oggFile) slot(left, right *slot) error {
	l, err := f.sides[0].next(left)
	if err != nil {
		return err
	}
	r, err := f.sides[1].next(right)
	if err != nil {
		return err
	}
	f.joint = oggopus.Join(f.joint[:0], l, r)
	return f.w.Packet(f.w.Position(), f.joint)
}

func (f *oggFile) finish() error { return f.w.Finish() }

// next returns the packet of a slot.
func (s *side) next(in *slot) ([]byte, error) {
	switch {
	case in.packet != nil:
		s.lost, s.last = 0, in.packet[0]
		return in.packet, nil
	case in.sound:
		s.lost = 0
		return s.encode(in.pcm)
	}
	if s.lost++; s.lost <= maxLost && s.last != 0 {
		return append(s.packet[:0], s.last&^3), nil // a frame that was lost (RFC 6716 §3.2.1)
	}
	return s.silence()
}

func (s *side) encode(pcm []int16) ([]byte, error) {
	if s.encoder == nil {
		e, err := opus.NewEncoder(opus.Config{Rate: s.rate, Complexity: complexity, Bitrate: bitrate})
		if err != nil {
			return nil, err
		}
		s.encoder = e
	}
	if s.packet == nil {
		s.packet = make([]byte, opus.MaxPacket)
	}
	n, err := s.encoder.Encode(s.packet[:opus.MaxPacket], pcm)
	if err != nil {
		return nil, err
	}
	if n == 0 || !oggopus.Single(s.packet[:n]) {
		return s.silence()
	}
	s.last = s.packet[0]
	return s.packet[:n], nil
}

// silence returns a packet of silence, made by an encoder that hears nothing else.
func (s *side) silence() ([]byte, error) {
	if s.quiet != nil {
		return s.quiet, nil
	}
	e, err := opus.NewEncoder(opus.Config{Rate: s.rate, Complexity: complexity})
	if err != nil {
		return nil, err
	}
	packet := make([]byte, opus.MaxPacket)
	n := 0
	for range 5 { // until it is used to it
		if n, err = e.Encode(packet, make([]int16, s.rate/50)); err != nil {
			return nil, err
		}
	}
	s.quiet = packet[:n:n]
	return s.quiet, nil
}
