// Package dtmf carries key presses: as telephone events in RTP, and as tones in speech, both ways.
package dtmf

import (
	"encoding/binary"
	"time"
)

// Event is a key (RFC 4733 §3.2).
type Event uint8

// The keys that are no figures. 0 to 9 are themselves.
const (
	Star  Event = 10
	Pound Event = 11
	A     Event = 12
	B     Event = 13
	C     Event = 14
	D     Event = 15

	// Events is how many there are. Others than keys, such as flash, are ignored.
	Events = 16
)

// signs are the keys as people write them.
const signs = "0123456789*#ABCD"

// String returns the key's sign.
func (e Event) String() string {
	if e >= Events {
		return "?"
	}
	return signs[e : e+1]
}

// ParseEvent reads a key's sign.
func ParseEvent(sign byte) (e Event, ok bool) {
	if sign >= 'a' && sign <= 'd' {
		sign -= 'a' - 'A'
	}
	for i := range len(signs) {
		if signs[i] == sign {
			return Event(i), true
		}
	}
	return 0, false
}

// Press is what is reported of one key: once when it goes down, once when it comes up.
type Press struct {
	Event    Event
	Ended    bool
	Duration time.Duration // so far; when it has ended, in all
}

// PayloadSize is the length of an event in a packet.
const PayloadSize = 4

// Payload is an event as a packet tells it (RFC 4733 §2.3).
type Payload struct {
	Event    Event
	End      bool
	Volume   uint8  // of the tone, in -dBm0, 0 to 63
	Duration uint16 // since the packet's timestamp, in ticks
}

// MaxDuration is the longest that a Duration tells; longer events are cut into segments.
const MaxDuration = 0xFFFF

// Parse reads the first event of a payload; of any other length than whole events it reads none.
func Parse(p []byte) (e Payload, ok bool) {
	if len(p) < PayloadSize || len(p)%PayloadSize != 0 {
		return e, false
	}
	return Payload{
		Event: Event(p[0]), End: p[1]&0x80 != 0, // the R bit is ignored (RFC 4733 §2.3.3)
		Volume: p[1] & 0x3f, Duration: binary.BigEndian.Uint16(p[2:]),
	}, true
}

// Put writes the event to p, which has at least PayloadSize bytes.
func (e Payload) Put(p []byte) {
	p[0], p[1] = byte(e.Event), e.Volume&0x3f
	if e.End {
		p[1] |= 0x80
	}
	binary.BigEndian.PutUint16(p[2:], e.Duration)
}
