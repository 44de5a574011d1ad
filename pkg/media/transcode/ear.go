package transcode

import (
	"time"

	"github.com/coraltele/sanchar/pkg/media/tap"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/dtmf"
	"github.com/coraltele/sanchar/pkg/rtp/header"
	"github.com/coraltele/sanchar/pkg/rtp/jitter"
)

// earRing holds a third of a second of any speech: a worker comes every 20 ms.
const earRing = 16 << 10

// Ear is the sink on the stream of a party that a line listens to.
type Ear struct {
	ring *tap.Ring
	told []ctl.MediaFormat

	// Of the worker.
	rate     int
	formats  [128]uint8 // by payload type: index of told and 1 added
	decoders []Decoder  // by index of told, made when they are needed
	buffer   *jitter.Buffer
	clock    uint32
	ssrc     uint32
	frame    [1 + jitter.MaxPayload]byte
	pcm      []int16 // decoded, not yet read
	last     *Decoder
	noise    int // level of comfort noise, -1 for none
	detector *dtmf.Detector
	loud     bool // what was played last was more than noise
}

// NewEar returns the sink for a party that sends these formats.
func NewEar(told []ctl.MediaFormat) (*Ear, error) {
	ring, err := tap.New(earRing)
	if err != nil {
		return nil, err
	}
	e := &Ear{ring: ring, told: told, noise: -1}
	for i, f := range told[:min(len(told), 255)] {
		e.formats[f.PayloadType&0x7f] = uint8(i + 1)
	}
	return e, nil
}

// Hear puts a packet into the ring.
func (e *Ear) Hear(p header.Packet, now int64) { e.ring.Put(0, now, p) }

// begin makes the ear work at a line's rate. keys is told of keys that are pressed as tones, if not nil.
func (e *Ear) begin(rate int, keys func(dtmf.Press)) {
	if e.rate != rate {
		e.rate, e.decoders, e.pcm, e.last = rate, make([]Decoder, len(e.told)), e.pcm[:0], nil
	}
	e.detector = nil
	if keys != nil {
		e.detector = dtmf.NewDetector(rate, keys)
	}
}

// hasKeys reports whether the party tells keys by events.
func (e *Ear) hasKeys() bool {
	for i := range e.told {
		if isKeys(&e.told[i]) {
			return true
		}
	}
	return false
}

// drain takes what has come. event is called for each packet of telephone events.
func (e *Ear) drain(event func(p header.Packet, payload []byte, clock uint32, now int64)) {
	for {
		entry, ok := e.ring.Next()
		if !ok {
			return
		}
		p := header.Packet(entry.Packet)
		if i := e.formats[p.PayloadType()]; i != 0 {
			if f := &e.told[i-1]; isKeys(f) {
				event(p, p.Payload(), f.ClockRate, entry.Time)
			} else {
				e.put(p, f, entry.Time)
			}
		}
		e.ring.Free(entry)
	}
}

// put gives a packet of speech to the jitter buffer, with its payload type before its payload.
func (e *Ear) put(p header.Packet, f *ctl.MediaFormat, now int64) {
	payload := p.Payload()
	ticks := Ticks(f, payload)
	if isNoise(f) {
		ticks = f.ClockRate / uint32(time.Second/frameTime)
	}
	if ticks == 0 || len(payload) >= jitter.MaxPayload || f.ClockRate == 0 {
		return
	}
	if e.buffer == nil || e.clock != f.ClockRate {
		e.buffer, e.clock = jitter.New(jitter.Config{Clock: f.ClockRate}), f.ClockRate
	}
	if e.ssrc != p.SSRC() {
		e.ssrc = p.SSRC()
		e.buffer.Reset()
	}
	e.frame[0] = p.PayloadType()
	n := copy(e.frame[1:], payload)
	e.buffer.Put(jitter.Packet{
		Sequence: p.Sequence(), Timestamp: p.Timestamp(), Marker: p.Marker(), Ticks: ticks, Payload: e.frame[:1+n], Arrival: time.Duration(now),
	})
}

// quietPeak is up to which a frame counts as nearly silent.
const quietPeak = 300

// read makes the next frame, as it is to be heard at a time of the loop's clock.
func (e *Ear) read(frame []int16, at int64) {
	if e.buffer == nil {
		clear(frame)
		return
	}
	for len(e.pcm) < len(frame) {
		e.more(e.buffer.Get(time.Duration(at), !e.loud))
	}
	n := copy(frame, e.pcm)
	e.pcm = e.pcm[:copy(e.pcm, e.pcm[n:])]
	e.loud = false
	for _, v := range frame {
		e.loud = e.loud || v > quietPeak || v < -quietPeak
	}
	if e.detector != nil {
		e.detector.Samples(frame)
	}
}

// more decodes what the jitter buffer gives.
func (e *Ear) more(item jitter.Item) {
	room := max(1, int(uint64(item.Ticks)*uint64(e.rate)/uint64(e.clock)))
	switch {
	case item.Kind == jitter.Play:
		e.play(item.Payload, room)
	case item.Kind == jitter.Missing && e.last != nil && e.noise < 0:
		var next []byte
		if len(item.Payload) > 1 {
			next = item.Payload[1:]
		}
		(*e.last).Conceal(e.grow(room), next)
	case e.noise >= 0:
		comfort(e.grow(room), uint8(e.noise))
	default:
		clear(e.grow(room))
	}
}

func (e *Ear) play(payload []byte, room int) {
	i := e.formats[payload[0]] - 1
	f := &e.told[i]
	if isNoise(f) {
		e.noise = 127
		if len(payload) > 1 {
			e.noise = int(payload[1] & 0x7f)
		}
		comfort(e.grow(room), uint8(e.noise))
		return
	}
	e.noise = -1
	if e.decoders[i] == nil {
		d, err := NewDecoder(f, e.rate)
		if err != nil { // a format that we told by mistake
			clear(e.grow(room))
			return
		}
		e.decoders[i] = d
	}
	e.last = &e.decoders[i]
	e.pcm = append(e.pcm, e.decoders[i].Decode(payload[1:])...)
	if len(e.pcm) == 0 {
		clear(e.grow(room)) // it could not be decoded: time goes on
	}
}

// grow returns room for samples behind those that are not read yet.
func (e *Ear) grow(n int) []int16 {
	at := len(e.pcm)
	for cap(e.pcm) < at+n {
		e.pcm = append(e.pcm[:cap(e.pcm)], 0)
	}
	e.pcm = e.pcm[:at+n]
	return e.pcm[at:]
}
