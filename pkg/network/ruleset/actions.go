package ruleset

import (
	"fmt"
	"net/netip"
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

// Return goes back to the chain that jumped here.
type Return struct{}

// NoTrack keeps the packet out of connection tracking.
type NoTrack struct{}

// SetDSCP writes the code point (RFC 2474 §3).
type SetDSCP struct {
	V6    bool
	Value uint8
}

// SetMark writes the packet's mark within the mask and leaves its other bits.
type SetMark struct{ Value, Mask uint32 }

// SetPriority chooses the class of an egress queue: major and minor of a queueing discipline.
type SetPriority struct{ Major, Minor uint16 }

// ClampMSS lowers the segment size that a SYN announces to what the route carries (RFC 4459 §3.2).
type ClampMSS struct{}

// Masquerade gives the packet the address of the interface that it leaves by.
type Masquerade struct{}

// SNAT gives the packet a source of To's. A prefix maps each address to the one with the same host part.
type SNAT struct{ To netip.Prefix }

// DNAT gives the packet a destination of To's, and the ports if they are set.
type DNAT struct {
	To    netip.Prefix
	Ports PortRange // zero leaves the port
}

func (Accept) statement()      {}
func (Drop) statement()        {}
func (Reject) statement()      {}
func (Jump) statement()        {}
func (Return) statement()      {}
func (NoTrack) statement()     {}
func (SetDSCP) statement()     {}
func (SetMark) statement()     {}
func (SetPriority) statement() {}
func (ClampMSS) statement()    {}
func (Masquerade) statement()  {}
func (SNAT) statement()        {}
func (DNAT) statement()        {}

func (Accept) action()      {}
func (Drop) action()        {}
func (Reject) action()      {}
func (Jump) action()        {}
func (Return) action()      {}
func (NoTrack) action()     {}
func (SetDSCP) action()     {}
func (SetMark) action()     {}
func (SetPriority) action() {}
func (ClampMSS) action()    {}
func (Masquerade) action()  {}
func (SNAT) action()        {}
func (DNAT) action()        {}

func (Accept) String() string  { return "accept" }
func (Drop) String() string    { return "drop" }
func (Reject) String() string  { return "reject with icmpx admin-prohibited" }
func (j Jump) String() string  { return "jump " + j.Chain }
func (Return) String() string  { return "return" }
func (NoTrack) String() string { return "notrack" }

func (s SetDSCP) String() string { return fmt.Sprintf("%s dscp set 0x%02x", ip(s.V6), s.Value) }

func (s SetMark) String() string {
	return fmt.Sprintf("meta mark set meta mark & 0x%08x | 0x%08x", ^s.Mask, s.Value&s.Mask)
}

func (s SetPriority) String() string { return fmt.Sprintf(`meta priority set "%x:%x"`, s.Major, s.Minor) }

func (ClampMSS) String() string   { return "tcp option maxseg size set rt mtu" }
func (Masquerade) String() string { return "masquerade" }

func (s SNAT) String() string { return "snat " + natTarget(s.To, PortRange{}) }
func (d DNAT) String() string { return "dnat " + natTarget(d.To, d.Ports) }

func natTarget(to netip.Prefix, ports PortRange) string {
	addr, prefix := to.Addr().String(), ""
	if !to.IsSingleIP() {
		addr, prefix = to.String(), " prefix"
	}
	if ports == (PortRange{}) {
		return fmt.Sprintf("%s%s to %s", ip(to.Addr().Is6()), prefix, addr)
	}
	if to.Addr().Is6() {
		addr = "[" + addr + "]"
	}
	return fmt.Sprintf("%s to %s:%s", ip(to.Addr().Is6()), addr, ports)
}
