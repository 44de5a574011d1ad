package relay

import (
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// Times of proving a peer.
const (
	// provingTime is how long after the first packet another address may still take over: what came
	// first may have been the tail of the stream before, or have come by another way.
	provingTime = 3 * time.Second
	// quietTime without a packet makes room for another allowed address while proving: the packets
	// of a party's old and new address do not alternate.
	quietTime = 150 * time.Millisecond
	// rebindTime without a packet is when a NAT may have given the party another port.
	rebindTime = 5 * time.Second
)

// peer is who a socket hears and where it sends to. Media is taken from the proven peer only:
//
//   - Until one is proven, the first valid packet from one of two hosts proves its address: the host
//     in the party's SDP, and the one that its signalling came from. Behind a NAT these differ.
//   - Within provingTime the very address in the SDP may take over at once, another of these hosts
//     when the proven one has gone quiet.
//   - Later, only another port of the same host with the same SSRC may, after rebindTime of silence.
//
// So nobody at a third host can ever listen or speak, whatever he sends.
//
// A party that checks (RFC 8445) is where its authenticated checks come from, and nowhere else.
type peer struct {
	said   udpio.Sockaddr // in the SDP; none if the party wants nothing
	source udpio.Sockaddr // of its signalling; the port means nothing
	addr   udpio.Sockaddr // where we send to: the proven address, or else what was said
	proven bool
	// connected: the kernel hears and sends to addr only, which makes both cheaper.
	connected bool
	ssrc      uint32
	last      int64 // time of the last packet accepted
	until     int64 // end of proving
	moved     bool  // the address is a new one
	checking  bool  // only checks prove
	checks    Checks
}

// say sets what the party said. It reports whether that changed: then the peer must be proven anew.
func (p *peer) say(said netip.AddrPort, source netip.Addr) (changed bool) {
	next := peer{source: udpio.SockaddrOf(netip.AddrPortFrom(source, 0))}
	if usable(said) {
		next.said = udpio.SockaddrOf(said)
		next.addr = next.said
	}
	if p.said.Equal(&next.said) && p.source.Equal(&next.source) {
		return false
	}
	if p.checking { // another default candidate: where the party is, its checks tell
		p.said, p.source = next.said, next.source
		if !p.proven {
			p.addr = p.said
		}
		return false
	}
	*p = next
	return true
}

// usable reports whether a can be sent to. The unspecified address is how hold was said before
// RFC 3264 §8.4.
func usable(a netip.AddrPort) bool {
	return a.IsValid() && a.Port() != 0 && !a.Addr().IsUnspecified() && !a.Addr().IsMulticast()
}

// accept decides on a packet. One that is not valid proves nothing, but a proven peer may send it. An
// ssrc of 0 is none.
func (p *peer) accept(from *udpio.Sockaddr, ssrc uint32, valid bool, now int64) bool {
	switch {
	case p.proven && from.Equal(&p.addr):
		p.last = now
		if ssrc != 0 {
			p.ssrc = ssrc
		}
		return true
	case !valid || !p.mayProve(from, ssrc, now):
		return false
	case p.checking && p.checks.has(from) >= 0: // from another place of the party's: where it is sent to, it nominates
		p.last = now
		return true
	case !p.proven || now < p.until: // a NAT's new port opens no new time of proving
		p.until = now + int64(provingTime)
	}
	p.addr, p.ssrc, p.last, p.proven, p.moved = *from, ssrc, now, true, true
	return true
}

// could reports whether a packet will be accepted if it is valid: one that cannot is not worth opening.
func (p *peer) could(from *udpio.Sockaddr, ssrc uint32, now int64) bool {
	return p.proven && from.Equal(&p.addr) || p.mayProve(from, ssrc, now)
}

// mayProve reports whether a valid packet from an address that is not the proven one proves it.
func (p *peer) mayProve(from *udpio.Sockaddr, ssrc uint32, now int64) bool {
	quiet := time.Duration(now - p.last)
	switch {
	case p.checking && p.checks.fresh(from, now):
		return true
	case p.checking && !p.proven:
		return false
	case !p.proven:
		return p.allowed(from)
	case now < p.until && !p.checking:
		return from.Equal(&p.said) || (p.allowed(from) && quiet >= quietTime)
	default:
		return quiet >= rebindTime && ssrc != 0 && ssrc == p.ssrc && from.EqualAddr(&p.addr)
	}
}

// allowed reports whether from is at one of the two hosts that the party may be at.
func (p *peer) allowed(from *udpio.Sockaddr) bool {
	return p.said.Valid() && (from.EqualAddr(&p.said) || from.EqualAddr(&p.source))
}

// Relatch lets a party that has fallen silent be proven anew, at any port of the hosts where it may be: its
// NAT, or the phone itself, may have started again. Until then it is sent to where it was.
func (s *Stream) Relatch() {
	e := &s.rtp
	if s.base != s || e.peer.checking {
		return // whose checks tell where it is
	}
	s.EndBypass()
	if e.peer.connected {
		e.peer.connected = udpio.Disconnect(e.fd) != nil
	}
	e.peer.proven, e.peer.until = false, 0
}

// settled reports whether the peer will not change but by a NAT: it is proven, and sends.
func (p *peer) settled(now int64) bool {
	return p.proven && !p.checking && now >= p.until && time.Duration(now-p.last) < rebindTime
}
