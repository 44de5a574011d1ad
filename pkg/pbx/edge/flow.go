package edge

import (
	"net/netip"
	"strconv"
)

// Transport of a flow.
type Transport uint8

// The transports.
const (
	UDP Transport = iota
	TCP
	TLS
)

// String returns the name as it stands in a Via.
func (t Transport) String() string { return [...]string{"UDP", "TCP", "TLS"}[t] }

// Param returns the name as it stands in a URI.
func (t Transport) Param() string { return [...]string{"udp", "tcp", "tls"}[t] }

// TransportOf reads the name of a transport as URIs write it, in lower case.
func TransportOf(param string) (t Transport, ok bool) {
	switch param {
	case "udp", "":
		return UDP, true
	case "tcp":
		return TCP, true
	case "tls":
		return TLS, true
	}
	return UDP, false
}

// Reliable reports whether the transport retransmits by itself.
func (t Transport) Reliable() bool { return t != UDP }

// Flow is the way between the box and one peer: a datagram socket and an address, or a connection
// (RFC 5626 §2). It is a value; two flows are the same way if their Transport, Local and Remote are.
type Flow struct {
	Transport Transport
	Local     netip.AddrPort // ours, as the peer reaches it
	Remote    netip.AddrPort

	socket *socket // of UDP
	conn   *conn   // of TCP and TLS
}

// Same reports whether both lead to the same peer in the same way.
func (f Flow) Same(g Flow) bool {
	return f.Transport == g.Transport && f.Remote == g.Remote && (f.Transport == UDP || f.conn == g.conn)
}

// Alive reports whether a message can be sent: a connection ends, a socket does not.
func (f Flow) Alive() bool {
	return f.socket != nil || (f.conn != nil && !f.conn.closed.Load())
}

// AppendVia appends the Via line of a request that is sent on the flow.
func (f Flow) AppendVia(dst []byte, sentBy netip.AddrPort, branch string) []byte {
	dst = append(append(dst, "Via: SIP/2.0/"...), f.Transport.String()...)
	dst = append(dst, ' ')
	dst = appendHostPort(dst, sentBy)
	dst = append(append(dst, ";branch="...), branch...)
	return append(dst, ";rport\r\n"...)
}

func appendHostPort(dst []byte, ap netip.AddrPort) []byte {
	a := ap.Addr().Unmap().WithZone("")
	if a.Is6() {
		dst = append(a.AppendTo(append(dst, '[')), ']')
	} else {
		dst = a.AppendTo(dst)
	}
	return strconv.AppendUint(append(dst, ':'), uint64(ap.Port()), 10)
}

// unmapped writes an IPv4 address that came on an IPv6 socket as what it is.
func unmapped(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
