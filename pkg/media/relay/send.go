package relay

import (
	"github.com/coraltele/sanchar/pkg/platform/udpio"
	"github.com/coraltele/sanchar/pkg/rtp/header"
)

// send queues a packet in clear for the party of to, protected as its leg is. It reports false if the
// party cannot be sent to.
func (l *Loop) send(to *Stream, p header.Packet) bool {
	base := to.base
	to.sent = p.SSRC()
	if !base.rtp.reachable() {
		return false
	}
	if base.guard.Locked {
		if p = base.protect(p); p == nil {
			return false
		}
	}
	return l.queue(&base.rtp, to, p, nil)
}

// sendReport queues RTCP in clear for the party of to, on the port that it has for it.
func (l *Loop) sendReport(to *Stream, p []byte) {
	base := to.base
	e := &base.rtcp
	if base.terms.Mux { // RFC 5761 §5.1.1
		e = &base.rtp
	}
	if !e.reachable() {
		return
	}
	if base.guard.Locked {
		if p = base.protectReport(e, p); p == nil {
			return
		}
	}
	l.queue(e, to, p, nil)
}

// reachable reports whether media may be sent to the peer: its address is known, and if it checks, it
// has proven that it wants it (RFC 8445 §12.1).
func (e *end) reachable() bool {
	return e.peer.addr.Valid() && (e.peer.proven || !e.peer.checking)
}

// queue queues a packet as it is, for an address or else for the peer of e. It counts as of the stream of,
// if there is one.
func (l *Loop) queue(e *end, of *Stream, p []byte, addr *udpio.Sockaddr) bool {
	if addr == nil {
		addr = &e.peer.addr
	}
	if !addr.Valid() {
		return false
	}
	if l.burst.Room() == 0 { // sinks send more than comes
		l.flush()
	}
	if e.peer.connected {
		addr = nil
	}
	l.outs[l.burst.AddSend(e.fd, p, addr)] = of
	if of != nil {
		of.state.Out++
		l.totals.Relayed++
	}
	return true
}

// opposite returns the socket of to that has the same purpose as e.
func (e *end) opposite(to *Stream) *end {
	if e.rtcp && !to.base.terms.Mux {
		return &to.base.rtcp
	}
	return &to.base.rtp
}

// pass passes a packet of a key exchange on, also before media may flow, unless the other side has keys
// of its own with the box.
func (l *Loop) pass(e *end, p []byte) {
	if to := e.stream.route.To; to != nil && !to.base.guard.Locked {
		l.queue(e.opposite(to), to, p, nil)
	}
}
