package ruleset

import (
	"fmt"
	"net/netip"
	"strings"
)

// Action is a statement that does something to the packet; the others only look.
type Action interface {
	Statement
	action()
}

// Accept lets the packet pass this chain's hook.
type Accept struct{}

// Drop makes the packet vanish.
type Drop struct{}

// Reject makes the packet vanish and tells its sender (RFC 1122 §3.2.2.1; RFC 4443 §3.1).
type Reject struct{}

// Jump goes on in another chain and comes back if that decides nothing.
type Jump struct{ Chain string }

// Goto goes on in another chain and does not come back to this one.
type Goto struct{ Chain string }

// NoTrack keeps the packet out of connection tracking.
type NoTrack struct{}

// SetDSCP writes the code point (RFC 2474 §3).
type SetDSCP struct {
	V6    bool
	Value uint8
}

// SetMark writes the packet's mark within the mask and leaves its other bits.
type SetMark struct{ Value, Mask uint32 }

// SetConnMark writes the mark of the packet's connection.
type SetConnMark struct{ Value uint32 }

// RestoreMark gives the packet its connection's mark within the mask.
type RestoreMark struct{ Mask uint32 }

// Log writes a line about the packet into the kernel's log.
type Log struct{ Prefix string }

// ClampMSS lowers the segment size that a SYN announces to what the route carries (RFC 4459 §3.2).
type ClampMSS struct{}

// Masquerade gives the packet the address of the interface that it leaves by.
type Masquerade struct{}

// SNAT gives the packet another source address.
type SNAT struct {
	To    netip.Addr
	Ports PortRange // that the source port is chosen from; zero keeps it if it can be kept
}

// DNAT gives the packet another destination.
type DNAT struct {
	To       netip.Addr
	Protocol Protocol  // of Ports
	Ports    PortRange // that came in; zero leaves the port
	First    uint16    // what Ports.First becomes; the others follow
}

func (Accept) statement()      {}
func (Drop) statement()        {}
func (Reject) statement()      {}
func (Jump) statement()        {}
func (Goto) statement()        {}
func (NoTrack) statement()     {}
func (SetDSCP) statement()     {}
func (SetMark) statement()     {}
func (SetConnMark) statement() {}
func (RestoreMark) statement() {}
func (Log) statement()         {}
func (ClampMSS) statement()    {}
func (Masquerade) statement()  {}
func (SNAT) statement()        {}
func (DNAT) statement()        {}

func (Accept) action()      {}
func (Drop) action()        {}
func (Reject) action()      {}
func (Jump) action()        {}
func (Goto) action()        {}
func (NoTrack) action()     {}
func (SetDSCP) action()     {}
func (SetMark) action()     {}
func (SetConnMark) action() {}
func (RestoreMark) action() {}
func (Log) action()         {}
func (ClampMSS) action()    {}
func (Masquerade) action()  {}
func (SNAT) action()        {}
func (DNAT) action()        {}

func (Accept) String() string  { return "accept" }
func (Drop) String() string    { return "drop" }
func (Reject) String() string  { return "reject with icmpx admin-prohibited" }
func (j Jump) String() string  { return "jump " + j.Chain }
func (g Goto) String() string  { return "goto " + g.Chain }
func (NoTrack) String() string { return "notrack" }

func (s SetDSCP) String() string { return fmt.Sprintf("%s dscp set 0x%02x", ip(s.V6), s.Value) }

func (s SetMark) String() string {
	return fmt.Sprintf("meta mark set meta mark & 0x%08x | 0x%08x", ^s.Mask, s.Value&s.Mask)
}

func (s SetConnMark) String() string { return fmt.Sprintf("ct mark set 0x%08x", s.Value) }

func (r RestoreMark) String() string { return fmt.Sprintf("meta mark set ct mark & 0x%08x", r.Mask) }
func (l Log) String() string         { return fmt.Sprintf("log prefix %q", l.Prefix) }

func (ClampMSS) String() string { return "tcp option maxseg size set rt mtu" }

func (Masquerade) String() string { return "masquerade" }

func (s SNAT) String() string {
	if s.Ports == (PortRange{}) {
		return fmt.Sprintf("snat %s to %s", ip(s.To.Is6()), s.To)
	}
	return fmt.Sprintf("snat %s to %s:%s", ip(s.To.Is6()), bracketed(s.To), s.Ports)
}

func (d DNAT) String() string {
	text := fmt.Sprintf("dnat %s to ", ip(d.To.Is6()))
	switch {
	case d.Ports == (PortRange{}):
		return text + d.To.String()
	case d.Ports.First == d.Ports.Last:
		return fmt.Sprintf("%s%s:%d", text, bracketed(d.To), d.First)
	}
	pairs := make([]string, 0, int(d.Ports.Last-d.Ports.First)+1)
	for port := range int(d.Ports.Last-d.Ports.First) + 1 {
		pairs = append(pairs, fmt.Sprintf("%d : %d", int(d.Ports.First)+port, int(d.First)+port))
	}
	return fmt.Sprintf("%s%s : %s dport map { %s }", text, bracketed(d.To), d.Protocol, strings.Join(pairs, ", "))
}

func bracketed(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}
