package relay

import (
	"github.com/coraltele/sanchar/pkg/platform/udpio"
	"github.com/coraltele/sanchar/pkg/rtp/header"
	"github.com/coraltele/sanchar/pkg/rtp/rtcp"
)

// packet relays one packet that came to e, or drops it.
func (l *Loop) packet(e *end, p []byte, from *udpio.Sockaddr, now int64) {
	s := e.stream
	if s.terms.Opaque {
		if e.accept(from, 0, len(p) > 0, now) {
			s.count(p, now)
			l.media(s, p)
		}
		return
	}
	switch header.Classify(p) {
	case header.RTP:
		l.rtp(e, p, from, now)
	case header.RTCP:
		l.rtcp(e, p, from, now)
	case header.ZRTP:
		if e.accept(from, 0, true, now) {
			s.state.Encrypted = true
			l.opaque(e, p)
		}
	case header.DTLS: // it proves a peer that is expected to speak it
		if e.accept(from, 0, s.terms.Secure, now) {
			l.opaque(e, p)
		}
	case header.STUN, header.TURN, header.Other:
		// No connectivity check passes: no leg negotiates ICE with the other, only with us, and then
		// not here. Keep-alives (RFC 6263 §4.6) have done their work when they arrive.
		s.state.Ignored++
	}
}

// accept counts what the peer's rules refuse.
func (e *end) accept(from *udpio.Sockaddr, ssrc uint32, valid bool, now int64) bool {
	if e.peer.accept(from, ssrc, valid, now) {
		if e.peer.moved {
			e.peer.moved = false
			e.stream.endBypasses()
		}
		return true
	}
	e.stream.state.Strangers++
	e.stream.loop.totals.Strangers++
	return false
}

func (l *Loop) rtp(e *end, p header.Packet, from *udpio.Sockaddr, now int64) {
	s := e.stream
	if len(p) < header.Size || e.rtcp {
		s.state.Ignored++
		return
	}
	format := s.format[p.PayloadType()]
	// Only a packet in every respect as negotiated proves a peer.
	valid := (format != 0 || len(s.terms.Formats) == 0) && p.Valid(s.terms.Secure)
	if !e.accept(from, p.SSRC(), valid, now) {
		return
	}
	if s.bypass != nil {
		s.stray(p.SSRC(), format, now)
	}
	s.count(p, now)
	s.state.In.Packet(p.SSRC(), p.Sequence())
	if format != 0 {
		s.state.ByFormat[format-1]++
		if f := &s.terms.Formats[format-1]; !f.Untimed {
			s.state.In.Time(p.Timestamp(), f.ClockRate, now)
		}
	}
	for _, k := range s.sinks {
		k.Hear(p, now)
	}
	if s.route.Types.apply(p) {
		l.media(s, p)
	}
}

// count counts a media packet.
func (s *Stream) count(p []byte, now int64) {
	st := &s.state
	st.BytesIn += uint64(len(p))
	if s.terms.Opaque {
		st.In.Packets++
	}
	if st.First == 0 {
		st.First = now
	}
	st.Last = now
}

// media passes a media packet on, if its party may send now.
func (l *Loop) media(s *Stream, p []byte) {
	if s.route.Media && !s.route.Tapped && s.route.To != nil {
		l.send(&s.route.To.rtp, p)
	}
}

// opaque passes a packet of a key exchange on, also before media may flow, to the socket of the same
// purpose.
func (l *Loop) opaque(e *end, p []byte) {
	to := e.stream.route.To
	switch {
	case to == nil:
	case e.rtcp && !to.terms.Mux:
		l.send(&to.rtcp, p)
	default:
		l.send(&to.rtp, p)
	}
}

func (l *Loop) rtcp(e *end, p []byte, from *udpio.Sockaddr, now int64) {
	s := e.stream
	if len(p) < rtcp.MinSize {
		s.state.Ignored++
		return
	}
	ssrc, valid := rtcp.SSRC(p), rtcp.Valid(p, s.terms.Secure)
	if !e.rtcp {
		valid = false // on the RTP port, RTP proves the peer: its SSRC may be another
	}
	if !e.accept(from, ssrc, valid, now) {
		return
	}
	to := s.route.To
	s.report(p, to, now)
	switch {
	case to == nil:
	case to.terms.Mux: // RFC 5761 §5.1.1
		l.send(&to.rtp, p)
	default:
		l.send(&to.rtcp, p)
	}
}

// send queues p for the peer of e. It reports false if there is none.
func (l *Loop) send(e *end, p []byte) bool {
	if !e.peer.addr.Valid() {
		return false
	}
	if l.burst.Room() == 0 { // sinks send more than comes
		l.flush()
	}
	to := &e.peer.addr
	if e.peer.connected {
		to = nil
	}
	l.outs[l.burst.AddSend(e.fd, p, to)] = e.stream
	e.stream.state.Out++
	l.totals.Relayed++
	return true
}
