package dtmf

import "time"

// Patience is how long a key counts as down while no packet tells of it. Senders tell every 50 ms or
// more often, so by then several were lost, the last three among them (RFC 4733 §2.5.2.2).
const Patience = 200 * time.Millisecond

// maxEvents is how many events of one packet are looked at; more are no person's keys.
const maxEvents = 8

// lateSeconds is how far back a timestamp may lie that is of a packet which comes late. One from further
// back is of a sender that has started its time anew.
const lateSeconds = 2

// Receiver makes presses of event packets, however many of these are lost, doubled or late.
// It is for one goroutine.
type Receiver struct {
	clock  uint32
	report func(Press)

	known   bool   // an event was seen
	down    bool   // and it has not ended
	event   Event  // of the press
	start   uint32 // timestamp of its segment
	before  uint64 // ticks of its earlier segments
	segment uint16 // ticks of this one
	last    time.Duration
}

// NewReceiver returns a receiver of a clock of so many ticks a second, which calls report from within
// Packet and Idle.
func NewReceiver(clock uint32, report func(Press)) *Receiver {
	return &Receiver{clock: max(clock, 1), report: report}
}

// Packet takes in a packet of the stream: its timestamp, its payload, and when it came, by a steady
// clock. It keeps no part of the payload.
func (r *Receiver) Packet(timestamp uint32, payload []byte, now time.Duration) {
	for range maxEvents {
		e, ok := Parse(payload)
		if !ok {
			return
		}
		if e.Event < Events {
			r.take(e, timestamp)
			r.last = now
		}
		// RFC 4733 §2.5.1.5: each further event starts where the one before it ends.
		timestamp += uint32(e.Duration)
		payload = payload[PayloadSize:]
	}
}

func (r *Receiver) take(e Payload, timestamp uint32) {
	switch ahead := int32(timestamp - r.start); {
	case r.known && ahead < 0 && -int64(ahead) < int64(r.clock)*lateSeconds: // of an earlier press, or segment
		return
	case r.known && ahead == 0 && e.Event == r.event:
		r.update(e)
		return
	case r.continues(e, timestamp):
		r.before += uint64(timestamp - r.start)
		r.start, r.segment = timestamp, 0
		r.update(e)
		return
	}
	r.up() // its last packets were lost, RFC 4733 §2.5.2.2: the next event ends it
	r.known, r.down, r.event, r.start, r.before, r.segment = true, true, e.Event, timestamp, 0, e.Duration
	r.tell(false)
	if e.End {
		r.up()
	}
}

// continues tells a further segment of a long press (RFC 4733 §2.5.1.3) from the same key pressed
// again: a segment follows without a gap on one that has not ended and is nearly full. Packets that were lost
// may have told its last ticks.
func (r *Receiver) continues(e Payload, timestamp uint32) bool {
	return r.down && e.Event == r.event && timestamp-r.start > MaxDuration/2 && timestamp-r.start <= MaxDuration
}

// update takes a packet of the press that is known. After its end only copies come.
func (r *Receiver) update(e Payload) {
	if !r.down {
		return
	}
	r.segment = max(r.segment, e.Duration)
	if e.End {
		r.up()
	}
}

// Idle ends a press that no packet has told of for Patience. It is called now and then, with the
// steady clock's time.
func (r *Receiver) Idle(now time.Duration) {
	if now-r.last >= Patience {
		r.up()
	}
}

// Reset forgets what came: the next packet is of another source.
func (r *Receiver) Reset() {
	r.up()
	r.known = false
}

func (r *Receiver) up() {
	if r.down {
		r.down = false
		r.tell(true)
	}
}

func (r *Receiver) tell(ended bool) {
	ticks := r.before + uint64(r.segment)
	r.report(Press{Event: r.event, Ended: ended, Duration: time.Duration(ticks * uint64(time.Second) / uint64(r.clock))})
}
