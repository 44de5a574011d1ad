// Package jitter puts packets of speech in order and gives them out at a steady pace, late by as little
// as the network allows.
//
// The one who plays asks for what is next whenever he has played what he has, by his own clock. What he is
// told is a packet, or what to do without one. The buffer learns how irregularly packets come and moves the
// delay to what lets nearly all be in time; the same moves make up for clocks that differ.
package jitter

import "time"

// Bounds of delay and of memory.
const (
	// DefaultMin is the least delay: one usual packet.
	DefaultMin = 20 * time.Millisecond
	// DefaultMax is the most: beyond it people talk into each other (ITU-T G.114).
	DefaultMax = 200 * time.Millisecond

	// slots is how many packets are kept: two seconds of 40 ms, more than any delay.
	slots = 64
	// MaxPayload is the largest payload that is kept.
	MaxPayload = 1500
	// maxGap is how far sequence numbers may jump ahead in a stream that goes on; a sender that
	// jumps further, or back, has started anew (RFC 3550 §A.1).
	maxGap = 3000
)

// Config says for what a buffer is.
type Config struct {
	Clock    uint32        // RTP ticks of a second
	Frame    time.Duration // what is played at once; default 20 ms
	Min, Max time.Duration // of the delay; defaults DefaultMin and DefaultMax
}

// Packet is what arrived. The buffer keeps a copy of the payload.
type Packet struct {
	Sequence  uint16
	Timestamp uint32
	Marker    bool
	Ticks     uint32 // that the payload plays
	Payload   []byte
	Arrival   time.Duration // by a steady clock, the same as in Get
}

// Kind is what is to be played.
type Kind uint8

// The kinds.
const (
	Silence Kind = iota // nothing is being said, or nothing has come yet
	Play                // a packet
	Missing             // a packet was lost or is late: conceal
)

// Item is what is to be played next.
type Item struct {
	Kind    Kind
	Ticks   uint32 // for which it is played
	Payload []byte // of Play, or of Missing the packet behind it, which may carry a copy; nil if none
	Skipped bool   // samples before this packet were left out, so that its start is to be blended
}

// Stats counts what became of packets.
type Stats struct {
	Played, Late, Doubled, Lost, Skipped, Stretched uint64
}

// slot is a packet that waits.
type slot struct {
	used      bool
	sequence  int64
	timestamp int64
	ticks     int64
	payload   []byte
}

// Buffer is a stream's. It is for one goroutine.
type Buffer struct {
	clock, frame int64 // ticks
	delay        delay
	slots        [slots]slot
	stats        Stats

	started  bool
	highest  int64 // sequence number that came, extended
	stamp    int64 // its timestamp, extended
	running  bool  // in a talk spurt: next and position are true
	next     int64 // sequence number to be played
	position int64 // timestamp to be played
	filled   int64 // ticks made up since the last packet
	skipped  bool
}

// New returns an empty buffer.
func New(c Config) *Buffer {
	if c.Frame <= 0 {
		c.Frame = 20 * time.Millisecond
	}
	if c.Min <= 0 {
		c.Min = DefaultMin
	}
	if c.Max < c.Min {
		c.Max = max(DefaultMax, c.Min)
	}
	b := &Buffer{clock: int64(max(c.Clock, 1))}
	b.frame = max(1, b.ticks(c.Frame))
	b.delay = newDelay(b.ticks(c.Min), b.ticks(c.Max), b.clock)
	return b
}

// ticks of a time, which may be days of a steady clock.
func (b *Buffer) ticks(d time.Duration) int64 {
	second := int64(time.Second)
	return int64(d)/second*b.clock + int64(d)%second*b.clock/second
}

// Stats returns the counts.
func (b *Buffer) Stats() Stats { return b.stats }

// Target returns the delay that the buffer aims at.
func (b *Buffer) Target() time.Duration {
	return time.Duration(b.delay.target * int64(time.Second) / b.clock)
}

// Reset forgets the stream: what comes next is of another source.
func (b *Buffer) Reset() {
	for i := range b.slots {
		b.slots[i].used = false
	}
	b.started, b.running, b.skipped, b.filled = false, false, false, 0
	b.delay.reset()
}

// Put takes a packet in.
func (b *Buffer) Put(p Packet) {
	if len(p.Payload) > MaxPayload || p.Ticks == 0 || int64(p.Ticks) > b.clock {
		return
	}
	sequence, timestamp := b.extend(p)
	b.delay.arrived(b.ticks(p.Arrival), timestamp)
	if b.running && sequence < b.next {
		b.stats.Late++
		return
	}
	s := &b.slots[sequence&(slots-1)]
	if s.used && s.sequence >= sequence {
		b.stats.Doubled++
		return
	}
	if s.used { // nobody has asked for so long that the ring is full: what is oldest goes
		b.stats.Lost++
	}
	s.used, s.sequence, s.timestamp, s.ticks = true, sequence, timestamp, int64(p.Ticks)
	s.payload = append(s.payload[:0], p.Payload...)
	if b.running && sequence-b.next >= slots {
		b.running = false // start again with what there is
	}
}

// extend makes numbers of the packet's that do not wrap. A stream that has jumped starts anew.
func (b *Buffer) extend(p Packet) (sequence, timestamp int64) {
	step := int64(int16(p.Sequence - uint16(b.highest)))
	ahead := int64(int32(p.Timestamp - uint32(b.stamp)))
	switch {
	case !b.started:
	case step > maxGap || step <= -slots || (step > 0) != (ahead > 0) && step != 0:
		b.Reset()
	case step <= 0:
		return b.highest + step, b.stamp + ahead
	default:
		b.highest, b.stamp = b.highest+step, b.stamp+ahead
		return b.highest, b.stamp
	}
	b.started, b.highest, b.stamp = true, int64(p.Sequence), int64(p.Timestamp)
	return b.highest, b.stamp
}
