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
			l.opaque(s, p)
		}
		return
	}
	switch header.Classify(p) {
	case header.RTP:
		l.rtp(e, p, from, now)
	case header.RTCP:
		l.rtcp(e, p, from, now)
	case header.ZRTP:
		l.zrtp(e, p, from, now)
	case header.DTLS:
		l.dtls(e, p, from, now)
	case header.STUN:
		l.stun(e, p, from, now)
	case header.TURN, header.Other:
		// Keep-alives (RFC 6263 §4.6) have done their work when they arrive.
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
	e.stream.strange(from)
	return false
}

// strange counts a packet that is not from the proven peer.
func (s *Stream) strange(from *udpio.Sockaddr) {
	s.state.Strangers++
	s.state.Stranger = *from
	s.loop.totals.Strangers++
}

func (l *Loop) rtp(e *end, p header.Packet, from *udpio.Sockaddr, now int64) {
	base := e.stream
	if len(p) < header.Size || e.rtcp {
		base.state.Ignored++
		return
	}
	if base.guard.Locked {
		if p = l.open(e, p, from, now); p == nil {
			return
		}
	}
	s := base.pick(p)
	format := s.format[p.PayloadType()]
	// Only a packet in every respect as negotiated proves a peer.
	valid := (format != 0 || len(s.terms.Formats) == 0) && p.Valid(s.terms.Secure)
	if format == 0 && len(s.terms.Formats) > 0 && e.peer.allowed(from) {
		s.state.Foreign++
		s.state.ForeignType = p.PayloadType()
	}
	if !e.accept(from, p.SSRC(), valid, now) {
		return
	}
	if s.bypass != nil {
		s.stray(p.SSRC(), format, now)
	}
	base.bundle.learn(p.SSRC(), s)
	s.count(p, now)
	s.state.sequence(p.SSRC(), p.Sequence())
	if format != 0 {
		s.state.ByFormat[format-1]++
		if f := &s.terms.Formats[format-1]; !f.Untimed {
			s.state.In.Time(p.Timestamp(), f.ClockRate, now)
			s.timed = format
		} else if s.digits != nil && !s.terms.Secure && !s.state.Encrypted {
			s.digits.Hear(p, now)
		}
	}
	if s.terms.Secure || s.state.Encrypted { // nothing to hear, and nothing to change
		l.media(s, p)
		return
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
func (l *Loop) media(s *Stream, p header.Packet) {
	if s.route.Media && !s.route.Tapped && s.route.To != nil {
		l.send(s.route.To, p)
	}
}

// opaque passes a packet that is not RTP on, if its party may send now.
func (l *Loop) opaque(s *Stream, p []byte) {
	if to := s.route.To; s.route.Media && to != nil && to.base.rtp.reachable() && !to.base.guard.Locked {
		l.queue(&to.base.rtp, to, p, nil)
	}
}

func (l *Loop) rtcp(e *end, p []byte, from *udpio.Sockaddr, now int64) {
	s := e.stream
	if len(p) < rtcp.MinSize {
		s.state.Ignored++
		return
	}
	if s.guard.Locked {
		if p = l.openReport(e, p, from, now); p == nil {
			return
		}
	}
	ssrc, valid := rtcp.SSRC(p), rtcp.Valid(p, s.terms.Secure)
	if !e.rtcp {
		valid = false // on the RTP port, RTP proves the peer: its SSRC may be another
	}
	if !e.accept(from, ssrc, valid, now) {
		return
	}
	if len(s.bundle.riders) > 0 {
		l.share(s, p, now)
		return
	}
	s.report(p, s.route.To, now)
	if s.route.To != nil {
		l.sendReport(s.route.To, p)
	}
}
