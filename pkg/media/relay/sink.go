package relay

import "github.com/coraltele/sanchar/pkg/rtp/header"

// Sink hears the media of a stream's party: a recorder, a transcoder, a detector of keys.
type Sink interface {
	// Hear is called in the loop for each media packet that was accepted, in clear and with the payload
	// type that the party sent, before it is passed on; not for those that the parties have protected
	// between them. It copies what it keeps, takes no lock and
	// allocates nothing. now is the loop's time.
	Hear(p header.Packet, now int64)
}

// SetSinks replaces who hears the stream's party, whole.
func (s *Stream) SetSinks(sinks ...Sink) {
	s.EndBypass()
	s.sinks = sinks
}

// SetDigits sets who hears the packets of the party's untimed formats, which tell keys (RFC 4733). Other
// packets need not come to the box for it.
func (s *Stream) SetDigits(k Sink) { s.digits = k }

// Sent returns how many packets went to the party.
func (s *Stream) Sent() uint64 { return s.state.Out }

// Send queues an RTP packet of the box's own, in clear, to the stream's party. It goes out when Do ends,
// or with the packets of the turn when a sink sends it. p stays as it is and may be used again at once.
// It reports false if the party cannot be sent to: its address or its keys are not known.
func (s *Stream) Send(p header.Packet) bool {
	l := s.loop
	b := l.drafts.take(l, len(p))
	if b == nil {
		return false
	}
	copy(b, p)
	return l.send(s, b)
}

// SendReport queues a compound of RTCP of the box's own, in clear, to the stream's party.
func (s *Stream) SendReport(compound []byte) {
	if b := s.loop.drafts.take(s.loop, len(compound)); b != nil {
		copy(b, compound)
		s.loop.sendReport(s, b)
	}
}

// Types says which payload type a packet gets by the one that it comes with. It is not changed once set.
type Types [128]uint8

// DropType is the entry for packets that are not passed on.
const DropType = 0xff

// apply gives p its payload type, and reports false if p is not to be passed on.
func (t *Types) apply(p header.Packet) bool {
	if t == nil {
		return true
	}
	to := t[p.PayloadType()]
	if to == DropType {
		return false
	}
	p[1] = p[1]&0x80 | to&0x7f
	return true
}

// drafts is the memory of packets that Send has queued, until they are flushed.
type drafts struct {
	bytes []byte // of draftPackets packets; made at the first Send
	used  int
}

// draftPackets is how many packets of its own a loop queues before it flushes: what a tick of 2 ms
// needs for 600 players.
const draftPackets = 64

// take returns room for a packet of n bytes, with more behind it for what protects it.
func (d *drafts) take(l *Loop, n int) []byte {
	if n > packetSize {
		return nil
	}
	if d.bytes == nil {
		d.bytes = make([]byte, draftPackets*packetSize)
	}
	if d.used == draftPackets {
		l.flush()
		d.used = 0 // also if all were refused before they were queued
	}
	at := d.used * packetSize
	d.used++
	return d.bytes[at : at+n : at+packetSize]
}
