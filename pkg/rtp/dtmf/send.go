package dtmf

import "time"

const (
	// MinPress is the shortest key press that all detectors know (ITU-T Q.24 annex A): the box makes
	// none shorter.
	MinPress = 40 * time.Millisecond

	// ends is how often the end is told (RFC 4733 §2.5.1.4).
	ends = 3

	// volume of our keys, in -dBm0.
	volume = 10
)

// Packet is what a Sender wants sent.
type Packet struct {
	Marker    bool   // on the first of a press only (RFC 4733 §2.5.1.2)
	Timestamp uint32 // of the press, or of its segment
	Payload   Payload
}

// Sender makes the packets of key presses: one at each interval, as long as the key is down, then two
// more copies of the last. It is for one goroutine.
type Sender struct {
	clock    uint32
	interval uint32 // ticks
	now      Packet
	wanted   uint64 // ticks of the whole press, 0 while it is not known
	before   uint64 // ticks of earlier segments
	left     int    // packets that tell the end, still to be sent
	active   bool
}

// NewSender returns a sender for a clock of so many ticks a second, with a packet at each interval,
// of which 20 to 50 ms are usual (RFC 4733 §2.5.1.2).
func NewSender(clock uint32, interval time.Duration) *Sender {
	return &Sender{clock: clock, interval: max(1, uint32(uint64(interval)*uint64(clock)/uint64(time.Second)))}
}

// Active tells whether Next has packets: until then no other key is started.
func (s *Sender) Active() bool { return s.active }

// Press starts a key at this timestamp for a time, at least MinPress. A time of 0 is until Release.
// It reports whether it did: while Active it does not.
func (s *Sender) Press(e Event, timestamp uint32, length time.Duration) bool {
	if s.active || e >= Events {
		return false
	}
	s.active, s.before, s.left, s.wanted = true, 0, ends, 0
	s.now = Packet{Marker: true, Timestamp: timestamp, Payload: Payload{Event: e, Volume: volume}}
	if length > 0 {
		s.wanted = s.ticks(max(length, MinPress))
	}
	return true
}

// Release ends the key that is down, when it has been so for MinPress.
func (s *Sender) Release() {
	if s.active && s.wanted == 0 {
		s.wanted = max(s.before+uint64(s.now.Payload.Duration), s.ticks(MinPress))
	}
}

func (s *Sender) ticks(d time.Duration) uint64 {
	return uint64(d) * uint64(s.clock) / uint64(time.Second)
}

// Next returns the packet of this interval; ok is false when there is none.
func (s *Sender) Next() (p Packet, ok bool) {
	if !s.active {
		return p, false
	}
	if !s.now.Payload.End {
		s.grow()
	}
	p = s.now
	s.now.Marker = false
	if s.now.Payload.End {
		s.left--
		s.active = s.left > 0
	}
	return p, true
}

// grow moves the press on by an interval, to its end or into its next segment.
func (s *Sender) grow() {
	if uint32(s.now.Payload.Duration)+s.interval > MaxDuration {
		// RFC 4733 §2.5.1.3: a new segment starts where this one ends, without a marker.
		s.before += uint64(s.now.Payload.Duration)
		s.now.Timestamp += uint32(s.now.Payload.Duration)
		s.now.Payload.Duration = 0
	}
	next := uint64(s.now.Payload.Duration) + uint64(s.interval)
	if s.wanted > 0 && s.before+next >= s.wanted {
		next = max(s.wanted, s.before) - s.before
		s.now.Payload.End = true
	}
	s.now.Payload.Duration = uint16(min(next, MaxDuration))
}
