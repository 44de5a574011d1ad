package relay

import (
	"github.com/coraltele/sanchar/pkg/rtp/header"
	"github.com/coraltele/sanchar/pkg/rtp/rtcp"
)

// maxLearnt is how many SSRCs of a bundle are remembered: of sound and picture, with retransmissions and
// layers. The peer is proven when they are learnt.
const maxLearnt = 16

// bundle tells apart what comes of several streams on one pair of sockets (RFC 9143 §9.2). The zero value
// is of a stream that has its sockets for itself.
type bundle struct {
	riders []*Stream // all of the bundle, the owner of the sockets too
	learnt [maxLearnt]struct {
		ssrc uint32
		of   *Stream
	}
	next int
	said []saidSource
}

type saidSource struct {
	ssrc uint32
	of   *Stream
}

// Ride returns a stream that has no sockets of its own. It goes with others by SetBundle. A restored
// stream goes on as state says.
func (l *Loop) Ride(state *State) *Stream {
	s := &Stream{loop: l, rtp: end{fd: -1}, rtcp: end{fd: -1}}
	s.base = s
	if state != nil {
		s.resume(state)
	}
	return s
}

// Rides reports whether the stream has no sockets of its own.
func (s *Stream) Rides() bool { return s.rtp.fd < 0 }

// SetBundle makes streams go on the sockets of s, which is one of them; alone it has them for itself.
// ssrcs are those that the party says it sends (RFC 5576 §4.1).
func (s *Stream) SetBundle(riders []*Stream, ssrcs [][]uint32) {
	s.endBypasses()
	s.bundle.said = nil
	for i, r := range riders {
		r.endBypasses()
		r.base = s
		for _, ssrc := range ssrcs[i] {
			s.bundle.said = append(s.bundle.said, saidSource{ssrc, r})
		}
	}
	s.base = s
	if len(riders) < 2 {
		s.bundle = bundle{}
		return
	}
	s.bundle.riders = riders
}

// of returns the stream of an SSRC that the party sends, or nil.
func (b *bundle) of(ssrc uint32) *Stream {
	for i := range b.learnt {
		if b.learnt[i].of != nil && b.learnt[i].ssrc == ssrc {
			return b.learnt[i].of
		}
	}
	for i := range b.said {
		if b.said[i].ssrc == ssrc {
			return b.said[i].of
		}
	}
	return nil
}

// learn remembers which stream an SSRC is of, when an accepted packet has told.
func (b *bundle) learn(ssrc uint32, s *Stream) {
	if len(b.riders) == 0 || b.of(ssrc) == s {
		return
	}
	for i := range b.learnt {
		if b.learnt[i].of != nil && b.learnt[i].ssrc == ssrc {
			b.learnt[i].of = s // the party has moved it to another m-line
			return
		}
	}
	b.learnt[b.next].ssrc, b.learnt[b.next].of = ssrc, s
	b.next = (b.next + 1) % maxLearnt
}

// pick returns the stream of the bundle that a packet is of: the one that it names, that its SSRC is
// known to be of, or that has its payload type (RFC 9143 §9.2).
func (s *Stream) pick(p header.Packet) *Stream {
	b := &s.bundle
	if len(b.riders) == 0 {
		return s
	}
	if ext := s.terms.MIDExt; ext != 0 {
		if mid := p.Extension(ext); mid != nil {
			for _, r := range b.riders {
				if r.terms.MID == string(mid) {
					return r
				}
			}
		}
	}
	if of := b.of(p.SSRC()); of != nil {
		return of
	}
	for _, r := range b.riders {
		if r.format[p.PayloadType()] != 0 {
			return r
		}
	}
	return s
}

// share passes a compound of a bundle to all whom one of its packets is about. Each gets the whole: what
// is not about its sources it ignores (RFC 3550 §6.4).
func (l *Loop) share(s *Stream, compound []byte, now int64) {
	named := 0
	for i, r := range s.bundle.riders {
		if !s.concerns(r, compound) && !(named == 0 && i == len(s.bundle.riders)-1) {
			continue
		}
		named++
		r.report(compound, r.route.To, now)
		if r.route.To == nil {
			continue
		}
		// A copy for each: it is protected in place.
		if b := l.drafts.take(l, len(compound)); b != nil {
			copy(b, compound)
			l.sendReport(r.route.To, b)
		}
	}
}

// concerns reports whether a packet of the compound is about what stream r of the bundle sends or is sent.
func (s *Stream) concerns(r *Stream, compound []byte) bool {
	for p, rest := rtcp.Split(compound); p != nil; p, rest = rtcp.Split(rest) {
		switch p.Type() {
		case rtcp.TypeSenderReport, rtcp.TypeSourceDescription, rtcp.TypeBye:
			if s.bundle.of(p.SSRC()) == r {
				return true
			}
		}
		for i := range p.Reports() {
			if r.sent != 0 && p.Report(i).SSRC == r.sent {
				return true
			}
		}
		if media, ok := p.About(); ok && r.sent != 0 && media == r.sent {
			return true
		}
	}
	return false
}
