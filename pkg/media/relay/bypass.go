package relay

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Bypass is a way past the loop: the kernel passes a stream's media on by itself. It is used inside Do.
type Bypass interface {
	// Passed returns what was counted since the bypass began, on top of what it began with.
	Passed() Passed
	// Begun returns since when packets pass, 0 for since it was made, and false while none does yet.
	Begun() (at int64, ok bool)
	// Close ends it: packets come to the socket again, at once or when Over says so. One that the kernel has
	// in hand may still pass, and be counted.
	Close()
	// Over reports, after Close, whether all has ended and is counted.
	Over() bool
	// Release gives up its counts.
	Release()
}

// Passed is what a bypass counts. It is kept with the state, so that after a restart only what came
// since is added.
type Passed struct {
	Slot            uint32             // where the bypass counts, and 1 added; 0 for no bypass
	Packets         [MaxCarried]uint32 // by the place of their payload type in the plan
	Formats         [MaxCarried]uint8  // of these: index of the format and 1 added, 0 for none
	Strangers       uint32
	Bytes           uint64
	Last            int64
	Highest         uint32 // sequence number, extended by its wraps
	Transit, Jitter uint32 // as in stats.Receiver
	Timed           uint32
	JitterSum       uint64 // in 1/16 ticks
	Rate            uint32 // of the clock that the ticks are of
	Blind           bool   // sequence numbers and times are not seen: Highest is what it would be without loss
}

// MaxCarried is how many payload types of a stream go by its bypass: those of one clock, of which the
// party uses one, and comfort noise beside it.
const MaxCarried = 4

// Plan is what a bypass of a stream must do.
type Plan struct {
	Peer  netip.AddrPort // proven: only its packets may pass
	To    netip.AddrPort // proven too
	SSRC  uint32
	Types [MaxCarried]uint8 // payload types that pass; NoType for none
	Start Passed            // what it counts on from
}

// NoType is no payload type: these have seven bits.
const NoType = 0xff

// Times of a bypass.
const (
	// strayTime is how long after its begin packets may still come that the socket held before.
	strayTime = 100 * time.Millisecond
	// A stream whose packets miss its bypass gets the next one later and later.
	shortPause = 2 * time.Second
	longPause  = time.Minute
)

// Plan returns what a bypass has to do, if the stream can have one now: media flows both ways between
// two peers that are settled and the kernel's only ones, and nobody else is to hear or change it.
func (s *Stream) Plan(now int64) (p Plan, ok bool) {
	to := s.route.To
	in := &s.state.In
	switch {
	case s.bypass != nil || s.past != nil || now < s.noBypassUntil || to == nil || !s.route.Media || to.route.To != s:
		return p, false
	case s.guard.Locked || to.guard.Locked || s.shares() || to.shares():
		return p, false
	case len(s.sinks) > 0 || s.route.Tapped || s.route.Types != nil:
		return p, false
	case s.terms.Opaque || s.state.Encrypted || !in.Started || s.timed == 0 || int(s.timed) > len(s.terms.Formats):
		return p, false
	case !s.rtp.peer.connected || !s.rtp.peer.settled(now) || !to.rtp.peer.connected:
		return p, false
	}
	p = Plan{Peer: s.rtp.peer.addr.AddrPort(), To: to.rtp.peer.addr.AddrPort(), SSRC: in.SSRC}
	p.Start = Passed{Highest: in.Highest, Transit: in.Transit, Jitter: in.Jitter, Rate: in.Rate}
	p.Types, p.Start.Formats = s.carried()
	return p, p.Types[0] != NoType && !s.rtp.waits()
}

// waits reports whether packets wait in the socket: those that take a bypass would overtake them.
func (e *end) waits() bool {
	size, err := unix.IoctlGetInt(e.fd, unix.SIOCINQ)
	return err != nil || size > 0
}

// shares reports whether the stream's sockets are not its own.
func (s *Stream) shares() bool { return s.base != s || len(s.bundle.riders) > 0 }

// carried returns the payload types that go by a bypass, the one in use first, and their formats. Key
// presses come to the socket (RFC 4733), and what may be RTCP on the same port (RFC 5761 §4).
func (s *Stream) carried() (types, formats [MaxCarried]uint8) {
	n := 0
	add := func(i uint8) {
		f := &s.terms.Formats[i-1]
		pt := f.PayloadType & 0x7f
		rtcp := pt >= 64 && pt < 96
		if n < MaxCarried && s.format[pt] == i && f.ClockRate == s.state.In.Rate && !f.Untimed && !rtcp {
			types[n], formats[n] = pt, i
			n++
		}
	}
	add(s.timed)
	for i := uint8(1); int(i) <= min(len(s.terms.Formats), MaxFormats); i++ {
		if i != s.timed {
			add(i)
		}
	}
	for ; n < MaxCarried; n++ {
		types[n] = NoType
	}
	return types, formats
}

// SetBypass begins a bypass that was made by the stream's Plan of this very moment.
func (s *Stream) SetBypass(b Bypass, now int64) {
	s.bypass, s.bypassSince = b, now
	s.before = known{lost: s.state.In.Lost(), offloaded: s.state.Offloaded, unmeasured: s.state.Unmeasured}
	p := b.Passed() // the kernel may have counted already: that is new
	s.state.Passed = Passed{Slot: p.Slot, Formats: p.Formats, Rate: p.Rate, Blind: p.Blind}
}

// TakeBack is EndBypass before a change that must not wait for it later: there is no other bypass until
// then.
func (s *Stream) TakeBack(until int64) {
	s.EndBypass()
	s.noBypassUntil = max(s.noBypassUntil, until)
}

// known is what of a stream's account is sure whatever becomes of its bypass.
type known struct{ lost, offloaded, unmeasured uint64 }

// EndBypass takes the stream back: from here on its packets come to the socket.
func (s *Stream) EndBypass() {
	if s.bypass == nil {
		return
	}
	s.bypass.Close()
	s.catchUp()
	s.past, s.bypass = s.bypass, nil
}

// DropBypass is EndBypass where whoever makes bypasses goes too.
func (s *Stream) DropBypass() {
	s.EndBypass()
	s.settlePast(true)
}

// settlePast counts the last packets of a bypass that has ended, and gives it up. If it must, it does so
// before all is counted: then nobody knows what was lost since it began.
func (s *Stream) settlePast(must bool) {
	if s.past == nil {
		return
	}
	over := s.past.Over()
	if !over && !must {
		return
	}
	s.catchUp()
	if !over {
		s.state.breakOff()
		s.state.In.Before = s.before.lost
		s.state.Unmeasured = s.before.unmeasured + s.state.Offloaded - s.before.offloaded
	}
	s.past.Release()
	s.past = nil
	s.state.Passed = Passed{}
}

// endBypasses takes back all that goes to or comes from the stream, before it changes.
func (s *Stream) endBypasses() {
	s.EndBypass()
	if to := s.route.To; to != nil && to.route.To == s {
		to.EndBypass()
	}
}

// catchUp counts what the kernel passed on.
func (s *Stream) catchUp() {
	b := s.bypass
	if b == nil {
		b = s.past
	}
	if b == nil {
		return
	}
	n := s.state.Add(b.Passed())
	s.rtp.peer.last = max(s.rtp.peer.last, s.state.Last)
	s.loop.totals.Relayed += n
	if s.route.To != nil {
		s.route.To.state.Out += n
	}
}

// stray judges a packet of a format of the party that came although there is a bypass. If the bypass
// should have had it, then it is of no use: it is given up for a while.
func (s *Stream) stray(ssrc uint32, format uint8, now int64) {
	s.catchUp()
	since, begun := s.bypass.Begun()
	early := !begun || now-max(since, s.bypassSince) < int64(strayTime)
	if ssrc == s.state.In.SSRC && (format == 0 || s.terms.Formats[format-1].Untimed || early) {
		return
	}
	s.EndBypass()
	s.noBypassUntil = now + int64(min(shortPause<<s.strays, longPause))
	s.strays = min(s.strays+1, 8)
}

// Bypasses returns how many streams have one that has begun. It is called inside Do.
func (l *Loop) Bypasses() (n int) {
	for i := range l.ears {
		e := l.ears[i].end
		if e == nil || e.rtcp || e.stream.bypass == nil {
			continue
		}
		if _, begun := e.stream.bypass.Begun(); begun {
			n++
		}
	}
	return n
}

// Add counts what a bypass passed on since the state last heard of it, and returns the packets.
func (st *State) Add(p Passed) (packets uint64) {
	old := &st.Passed
	for i, format := range p.Formats {
		if format != 0 {
			n := uint64(p.Packets[i] - old.Packets[i])
			st.ByFormat[format-1] += n
			packets += n
		}
	}
	st.BytesIn += p.Bytes - old.Bytes
	st.Strangers += uint64(p.Strangers - old.Strangers)
	st.Offloaded += packets
	if packets > 0 || p.Blind { // which may know more of the time than of the packets
		st.Last = max(st.Last, p.Last)
	}
	if packets > 0 {
		st.receive(packets, p)
	}
	st.Passed = p
	return packets
}

// receive adds to the account of what came in.
func (st *State) receive(packets uint64, p Passed) {
	in, old := &st.In, &st.Passed
	if p.Blind {
		st.Unseen += packets
		in.Rate = 0 // the time of the last packet is not known
	}
	in.Packets += packets
	in.Received += uint32(packets)
	if int32(p.Highest-in.Highest) > 0 {
		in.Highest = p.Highest
	}
	if timed := p.Timed - old.Timed; timed > 0 && in.Rate == p.Rate {
		in.Transit, in.Jitter = p.Transit, p.Jitter
		in.Timed += uint64(timed)
		in.JitterSum += (p.JitterSum - old.JitterSum) * (1e9 / 16) / uint64(p.Rate)
	}
}

// sequence counts a packet that came to the socket. If it goes on where packets passed unseen, it tells
// what was lost of them.
func (st *State) sequence(ssrc uint32, seq uint16) {
	base := st.In.Base
	st.In.Packet(ssrc, seq)
	switch {
	case st.Unseen == 0:
	case st.In.Base != base || !st.In.Started:
		st.Unmeasured += st.Unseen
		st.Unseen = 0
	case uint16(st.In.Highest) == seq:
		st.Unseen = 0
	}
}

// breakOff makes a new run of sequence numbers begin: what comes next was not seen from the start, so
// nothing before it counts as lost.
func (st *State) breakOff() {
	st.In.Break()
	st.Unmeasured += st.Unseen
	st.Unseen = 0
}
