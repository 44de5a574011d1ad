package codec

import (
	"time"

	"github.com/coraltele/sanchar/pkg/rtp/jitter"
)

const (
	// quietPeak is the peak of what counts as quiet: -40 dB, the floor of a calm room.
	quietPeak = 328
	// blendFor is how long the start of a packet is blended where samples before it were left out.
	blendFor = 4 * time.Millisecond
)

// Playout makes a steady stream of samples of packets that come as they come: a jitter buffer, a decoder
// and what lies between them. It is for one goroutine.
type Playout struct {
	decoder Decoder
	buffer  *jitter.Buffer
	noise   *Noise
	clock   int64
	decoded []int16 // room for a payload
	pending []int16 // of it, what is not played yet
	last    int16
	quiet   bool
}

// NewPlayout returns a playout of a decoder for payloads of this RTP clock. The bounds of the delay may
// be zero for the defaults.
func NewPlayout(d Decoder, clock uint32, least, most time.Duration) *Playout {
	return &Playout{
		decoder: d, clock: int64(max(clock, 1)), noise: NewNoise(), decoded: make([]int16, MaxSamples(d.Rate())), quiet: true,
		buffer: jitter.New(jitter.Config{Clock: clock, Min: least, Max: most}),
	}
}

// Put takes in the packet of a payload: the caller has told apart events and comfort noise. A payload that
// is none is dropped. It keeps no part of it.
func (p *Playout) Put(sequence uint16, timestamp uint32, marker bool, payload []byte, arrival time.Duration) {
	p.buffer.Put(jitter.Packet{
		Sequence: sequence, Timestamp: timestamp, Marker: marker, Ticks: p.decoder.Ticks(payload), Payload: payload, Arrival: arrival,
	})
}

// Noise takes in a payload of comfort noise, which is played while there is nothing else.
func (p *Playout) Noise(payload []byte) { p.noise.Payload(payload) }

// Reset forgets what came: the next packet is of another source.
func (p *Playout) Reset() { p.buffer.Reset() }

// Stats returns what became of the packets.
func (p *Playout) Stats() jitter.Stats { return p.buffer.Stats() }

// Read fills samples with what is to be played from now on, by the steady clock of Put.
func (p *Playout) Read(samples []int16, now time.Duration) {
	for len(samples) > 0 {
		if len(p.pending) == 0 {
			p.pending = p.decoded[:p.next(now)]
			p.listen()
		}
		n := copy(samples, p.pending)
		samples, p.pending = samples[n:], p.pending[n:]
	}
}

// next makes the next samples and returns how many: at least one.
func (p *Playout) next(now time.Duration) int {
	item := p.buffer.Get(now, p.quiet)
	n := min(max(1, int(int64(item.Ticks)*int64(p.decoder.Rate())/p.clock)), len(p.decoded))
	out := p.decoded[:n]
	switch item.Kind {
	case jitter.Play:
		made, err := p.decoder.Decode(p.decoded, item.Payload)
		if err != nil || made == 0 {
			p.conceal(out, nil)
			break
		}
		n, out = made, p.decoded[:made]
		if item.Skipped {
			p.blend(out)
		}
	case jitter.Missing:
		p.conceal(out, item.Payload)
	default:
		p.noise.Fill(out)
	}
	return n
}

func (p *Playout) conceal(out []int16, next []byte) {
	if p.decoder.Conceal(out, next) != nil {
		clear(out)
	}
}

// blend leads from the last sample into these.
func (p *Playout) blend(out []int16) {
	n := min(count(blendFor, p.decoder.Rate()), len(out))
	for i := range n {
		out[i] = int16((int(p.last)*(n-i) + int(out[i])*i) / n)
	}
}

// listen notes how what is to be played ends, and whether it is quiet.
func (p *Playout) listen() {
	p.quiet = true
	for _, s := range p.pending {
		if s > quietPeak || s < -quietPeak {
			p.quiet = false
			break
		}
	}
	p.last = p.pending[len(p.pending)-1]
}
