package relay

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// Format is one payload type that a party takes.
type Format struct {
	PayloadType uint8
	ClockRate   uint32
	// Untimed: the timestamp does not tell when the packet was sent (RFC 4733 §2.2.1).
	Untimed bool
}

// MaxFormats is how many formats of a stream are told apart; further ones are relayed all the same.
const MaxFormats = 16

// Terms are what a party said of a stream. They are not changed once set.
type Terms struct {
	RTP, RTCP netip.AddrPort // where it receives; invalid for nothing
	Source    netip.Addr     // of its signalling
	Mux       bool           // RTCP comes and goes on the RTP port (RFC 5761)
	Secure    bool           // SRTP that passes: only headers can be read
	Opaque    bool           // not RTP at all, for instance fax over UDPTL
	NoZRTP    bool           // packets of ZRTP do not pass
	MID       string         // of the m-line, "" if it has none (RFC 9143 §15)
	MIDExt    uint8          // id of the header extension that names the m-line, 0 for none
	Formats   []Format       // none: any payload type
}

// Stream is our end towards one party for one m-line: a pair of sockets, or a place in the bundle of
// another stream. All its methods but Loop are called inside Do of its loop.
type Stream struct {
	loop      *Loop
	base      *Stream // whose sockets, keys and peer it uses: its own, or those of the bundle
	bundle    bundle
	guard     Guard
	rtp, rtcp end
	terms     Terms
	format    [128]uint8 // by payload type: index in terms.Formats and 1 added, or 0
	route     Route
	sinks     []Sink
	digits    Sink   // nil: nobody
	sent      uint32 // SSRC of the last packet to the party
	detached  bool   // the sockets may be another's by now
	state     State
	reports   reports

	timed         uint8  // format of the last packet whose timestamp counts, and 1 added
	bypass        Bypass // nil: packets come to the socket
	past          Bypass // the last one, until its last packets are counted
	bypassSince   int64
	before        known // when the bypass began
	noBypassUntil int64
	strays        uint8 // bypasses that packets missed
}

// Route is where what comes from a stream goes.
type Route struct {
	To    *Stream // nil: nowhere
	Media bool    // RTP flows; RTCP does as long as there is To, so that a held call stays alive
	// Tapped: somebody else sends media to To's party. What comes from this stream goes to sinks only.
	Tapped bool
	Types  *Types // nil: payload types stay as they are
}

// end is one socket of a stream.
type end struct {
	stream *Stream
	peer   peer
	fd     int
	rtcp   bool // the socket for RTCP
	keys   *secure.Keys
}

// Attach makes the loop listen on the sockets rtp and rtcp. A restored stream goes on as state says.
func (l *Loop) Attach(rtp, rtcp int, state *State) (*Stream, error) {
	s := &Stream{loop: l}
	s.base = s
	s.rtp, s.rtcp = end{stream: s, fd: rtp}, end{stream: s, fd: rtcp, rtcp: true}
	if state != nil {
		s.resume(state)
		s.rtp.restore(&state.RTP)
		s.rtcp.restore(&state.RTCP)
	}
	if err := l.add(&s.rtp); err != nil {
		return nil, err
	}
	if err := l.add(&s.rtcp); err != nil {
		l.remove(&s.rtp)
		return nil, err
	}
	return s, nil
}

// resume takes a state of some time ago: what came since was not lost.
func (s *Stream) resume(state *State) {
	s.state = *state
	s.state.breakOff()
	for i := range s.state.Secure {
		s.state.Secure[i].Restart()
	}
}

// Detach ends the stream. Its sockets stay open; who closes them says so by Forget.
func (s *Stream) Detach() {
	s.endBypasses()
	s.settlePast(true)
	if s.base == s {
		s.loop.remove(&s.rtp)
		s.loop.remove(&s.rtcp)
	}
	s.route, s.terms, s.sinks, s.digits, s.guard, s.bundle = Route{}, Terms{}, nil, nil, Guard{}, bundle{}
	s.detached = true
}

// Loop returns the loop that owns the stream.
func (s *Stream) Loop() *Loop { return s.loop }

// SetTerms replaces what the party said. If its address changed it must be proven anew.
func (s *Stream) SetTerms(t Terms) {
	s.endBypasses()
	if len(s.terms.Formats) > 0 && !slices.Equal(s.terms.Formats, t.Formats) {
		s.settlePast(true)
		s.state.ByFormat = [MaxFormats]uint64{} // counted by other formats
		s.timed = 0
	}
	s.terms = t
	s.format = [128]uint8{}
	for i, f := range t.Formats[:min(len(t.Formats), MaxFormats)] {
		s.format[f.PayloadType&0x7f] = uint8(i + 1)
	}
	rtcp := t.RTCP
	if t.Mux {
		rtcp = netip.AddrPort{}
	}
	if s.base == s {
		s.rtp.say(t.RTP, t.Source)
		s.rtcp.say(rtcp, t.Source)
	}
}

// SetRoute replaces where the stream's packets go, whole.
func (s *Stream) SetRoute(r Route) {
	s.endBypasses()
	s.route = r
}

// say tells the peer's address to the socket, and disconnects it if it must be proven anew.
func (e *end) say(said netip.AddrPort, source netip.Addr) {
	connected := e.peer.connected
	if e.peer.say(said, source) && connected {
		_ = udpio.Disconnect(e.fd) // the kernel has no reason to refuse it on an open UDP socket
	}
}

// Tend is called once a second. It connects the socket to a peer that is settled, and opens it again
// when the peer has gone quiet, so that its NAT may have given it another port.
func (s *Stream) Tend(now int64) {
	s.catchUp()
	s.settlePast(false)
	if s.base != s {
		return
	}
	e := &s.rtp // RTCP is too rare to gain by it
	switch settled := e.peer.settled(now); {
	case settled && !e.peer.connected:
		e.peer.connected = udpio.Connect(e.fd, &e.peer.addr) == nil // without a route it is tried again
	case !settled && e.peer.connected:
		s.EndBypass() // who may be the peer now is for us to judge
		e.peer.connected = udpio.Disconnect(e.fd) != nil
	}
}

// restore takes a peer back that was proven before a restart. The kernel knows a connected one best.
func (e *end) restore(p *Peer) {
	e.peer = peer{
		said: p.Said, source: p.Source, addr: p.Addr, proven: p.Proven, ssrc: p.SSRC, last: p.Last, until: p.Until,
		checks: p.Checks, checking: p.Checking,
	}
	if addr, ok := udpio.Peer(e.fd); ok {
		e.peer.addr, e.peer.proven, e.peer.connected = addr, true, true
	}
}

// IsRTP reports whether media of this kind is RTP (RFC 8866 §5.14, RFC 4103): of another kind, what
// is inside a packet is not looked at.
func IsRTP(kind string) bool {
	switch strings.ToLower(kind) {
	case "audio", "video", "text":
		return true
	}
	return false
}
