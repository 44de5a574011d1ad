package relay

import (
	"github.com/coraltele/sanchar/pkg/media/ice"
	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/media/stun"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
	"github.com/coraltele/sanchar/pkg/rtp/header"
	"github.com/coraltele/sanchar/pkg/rtp/rtcp"
)

// Handshake takes what comes of a key exchange on the media path. Hear copies it and never blocks.
type Handshake interface{ Hear(datagram []byte) }

// Guard is what stands between a stream's party and the box.
type Guard struct {
	// Locked: packets are protected between party and box. Without keys none comes or goes.
	Locked     bool
	Handshakes [2]Handshake // of the RTP and the RTCP socket; nil: there is none
	Agent      *ice.Agent   // answers the party's checks; nil: it makes none with us
	Passage    *ice.Passage // judges the checks that pass to the other party; nil: none pass
}

// SetGuard replaces the guard, whole. Keys stay.
func (s *Stream) SetGuard(g Guard) {
	s.endBypasses()
	s.guard = g
	for i, e := range []*end{&s.rtp, &s.rtcp} {
		e.peer.check(g.Agent != nil || g.Passage != nil)
		if !g.Locked && e.keys != nil { // other keys will count anew
			e.keys, s.state.Secure[i] = nil, secure.State{}
		}
	}
}

// SetKeys gives the stream the keys of RTP and RTCP, which SDES has in common.
func (s *Stream) SetKeys(rx, tx secure.Master, now int64) error {
	err := s.rtp.setKeys(rx, tx, &s.state.Secure[0], now)
	s.rtcp.keys = s.rtp.keys
	return err
}

// SetHandshakeKeys gives the RTP socket, or the one of RTCP, the keys of a handshake on it.
func (s *Stream) SetHandshakeKeys(control bool, rx, tx secure.Master, now int64) error {
	if control {
		return s.rtcp.setKeys(rx, tx, &s.state.Secure[1], now)
	}
	return s.rtp.setKeys(rx, tx, &s.state.Secure[0], now)
}

func (e *end) setKeys(rx, tx secure.Master, st *secure.State, now int64) error {
	before := e.keys
	if before != nil && before.Are(&rx, &tx) {
		return nil
	}
	k, err := secure.NewKeys(rx, tx, st)
	if err != nil {
		return err
	}
	if before != nil {
		k.Follow(before, st, now)
	}
	e.keys = k
	return nil
}

// SendHandshake queues a datagram of a key exchange to the party, from the RTP socket or the one of RTCP.
// It is copied.
func (s *Stream) SendHandshake(control bool, datagram []byte) {
	e := &s.rtp
	if control {
		e = &s.rtcp
	}
	if s.detached || !e.reachable() {
		return
	}
	if b := s.loop.drafts.take(s.loop, len(datagram)); b != nil {
		copy(b, datagram)
		s.loop.queue(e, nil, b, nil)
	}
}

// open opens an SRTP packet. It returns nil for one that reaches nobody.
func (l *Loop) open(e *end, p header.Packet, from *udpio.Sockaddr, now int64) header.Packet {
	s := e.stream
	if !l.worthOpening(e, from, p.SSRC(), now) {
		return nil
	}
	clear, v := e.keys.OpenRTP(p, now)
	if v != secure.Authentic {
		s.state.Refused++
		return nil
	}
	s.state.Secured = true
	return clear
}

// openReport opens an SRTCP packet. It returns nil for one that reaches nobody.
func (l *Loop) openReport(e *end, p []byte, from *udpio.Sockaddr, now int64) []byte {
	if !l.worthOpening(e, from, rtcp.SSRC(p), now) {
		return nil
	}
	clear, v := e.keys.OpenRTCP(p, now)
	if v != secure.Authentic {
		e.stream.state.Refused++
		return nil
	}
	return clear
}

// worthOpening reports whether there are keys, and whether the packet may be of the peer: a stranger's
// is not opened.
func (l *Loop) worthOpening(e *end, from *udpio.Sockaddr, ssrc uint32, now int64) bool {
	switch {
	case !e.peer.could(from, ssrc, now):
		e.stream.strange(from)
	case e.keys == nil:
		e.stream.state.Unkeyed++
	default:
		return true
	}
	return false
}

// protect protects a packet for the party in place. It returns nil if that cannot be.
func (s *Stream) protect(p header.Packet) header.Packet {
	if s.rtp.keys == nil {
		s.state.Unkeyed++
		return nil
	}
	sealed, ok := s.rtp.keys.RTP(p)
	if !ok {
		s.state.Unsent++
		return nil
	}
	return sealed
}

func (s *Stream) protectReport(e *end, p []byte) []byte {
	if e.keys == nil {
		s.state.Unkeyed++
		return nil
	}
	sealed, ok := e.keys.RTCP(p)
	if !ok {
		s.state.Unsent++
		return nil
	}
	return sealed
}

func (l *Loop) zrtp(e *end, p []byte, from *udpio.Sockaddr, now int64) {
	s := e.stream
	if s.guard.Locked || s.terms.NoZRTP {
		s.state.Ignored++
		return
	}
	if e.accept(from, 0, true, now) {
		s.state.Encrypted = true
		l.pass(e, p)
	}
}

// dtls gives a packet to the handshake with us, or passes it to the other party's. It proves a peer that
// is expected to speak it.
func (l *Loop) dtls(e *end, p []byte, from *udpio.Sockaddr, now int64) {
	s := e.stream
	h := s.guard.Handshakes[e.index()]
	switch {
	case !e.accept(from, 0, h != nil || s.terms.Secure, now):
	case h != nil:
		h.Hear(p)
	case s.guard.Locked:
		s.state.Ignored++
	default:
		l.pass(e, p)
	}
}

func (e *end) index() int {
	if e.rtcp {
		return 1
	}
	return 0
}

// stun answers a check of the party, or passes one between the parties.
func (l *Loop) stun(e *end, p []byte, from *udpio.Sockaddr, now int64) {
	s := e.stream
	m, ok := stun.Parse(p)
	if !ok || (s.guard.Agent == nil && s.guard.Passage == nil) {
		s.state.Ignored++
		return
	}
	if s.guard.Agent != nil {
		answer, c := s.guard.Agent.Answer(m, from.AddrPort())
		if answer != nil {
			l.reply(e, answer, from)
		}
		l.checked(e, c, from, now)
		return
	}
	c := s.guard.Passage.Judge(m)
	if l.checked(e, c, from, now); c.Authentic {
		l.pass(e, p)
	}
}

// reply sends an answer of the agent's, which writes over it next time.
func (l *Loop) reply(e *end, answer []byte, to *udpio.Sockaddr) {
	if b := l.drafts.take(l, len(answer)); b != nil {
		copy(b, answer)
		l.queue(e, nil, b, to)
	}
}

func (l *Loop) checked(e *end, c ice.Check, from *udpio.Sockaddr, now int64) {
	if !c.Authentic {
		e.stream.state.Strangers++
		l.totals.Strangers++
		return
	}
	e.peer.prove(from, c, now)
}
