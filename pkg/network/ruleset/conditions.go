package ruleset

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Protocols of the fourth layer, by their IP protocol numbers.
const (
	ICMP   Protocol = 1
	IGMP   Protocol = 2
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
)

// Protocol is an IP protocol number.
type Protocol uint8

// String returns the protocol's name for nft.
func (p Protocol) String() string {
	switch p {
	case ICMP:
		return "icmp"
	case IGMP:
		return "igmp"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case ICMPv6:
		return "ipv6-icmp"
	}
	return strconv.Itoa(int(p))
}

// Side says which end of a packet is meant.
type Side bool

// The sides.
const (
	Src Side = false
	Dst Side = true
)

func (s Side) letter() string {
	if s == Dst {
		return "d"
	}
	return "s"
}

// Family is true of packets of one IP version.
type Family struct{ V6 bool }

// Interface is true of packets that come in (or go out) by one of the named interfaces, or with Not
// by none of them.
type Interface struct {
	Out   bool
	Not   bool
	Names []string
}

// L4 is true of packets of one protocol.
type L4 struct{ Protocol Protocol }

// Ports is true of packets of the protocol whose port is in one of the ranges.
type Ports struct {
	Protocol Protocol // TCP or UDP
	Side     Side
	Ranges   []PortRange
}

// PortRange is from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// Addresses is true of packets whose address is in one of the prefixes, which are of one family, or
// with Not in none.
type Addresses struct {
	Side     Side
	Not      bool
	Prefixes []netip.Prefix
}

// Member is true of packets whose source is in the set, or with Not is not. Of IPv6 sources, Wide
// compares the first 64 bits: a host there has as many addresses as it likes.
type Member struct {
	Set  string
	V6   bool
	Wide bool
	Not  bool
}

// State is a set of states of connection tracking.
type State uint32

// The states (nft(8), "ct state").
const (
	Invalid     State = 1
	Established State = 2
	Related     State = 4
	New         State = 8
	Untracked   State = 64
)

// Conntrack is true of packets whose connection is in one of the states.
type Conntrack struct{ States State }

// Translated is true of packets of connections whose destination was translated.
type Translated struct{}

// OriginalPorts is true of packets of connections whose destination port was in one of the ranges when
// they began, whatever it was translated to.
type OriginalPorts struct{ Ranges []PortRange }

// Local is true of packets from, or to, an address of the box, or with Not of all others.
type Local struct {
	Side Side
	Not  bool
}

// Spoofed is true of packets whose source is not reached by the interface that they came by.
type Spoofed struct{}

// ICMPTypes is true of packets of ICMP (or ICMPv6) of one of the types.
type ICMPTypes struct {
	V6    bool
	Types []uint8
}

// DSCP is true of packets with the code point (RFC 2474 §3).
type DSCP struct {
	V6    bool
	Value uint8
}

// SYN is true of the first packet of a TCP connection, and with Answer of the first one back, too.
type SYN struct{ Answer bool }

// Over is true of packets beyond a rate, in packets a second.
type Over struct{ Rate, Burst uint32 }

// Under is true of packets within a rate.
type Under struct{ Rate, Burst uint32 }

// Meter is true of packets of a source beyond a rate of its own. The sources stand in a dynamic set;
// one that finds it full is under no rate here.
type Meter struct {
	Set   string
	V6    bool
	Wide  bool
	Rate  uint32 // a second
	Burst uint32
}

// Connections is true of packets of a source that has more connections than Count.
type Connections struct {
	Set   string
	V6    bool
	Wide  bool
	Count uint32
}

func (Family) statement()        {}
func (Interface) statement()     {}
func (L4) statement()            {}
func (Ports) statement()         {}
func (Addresses) statement()     {}
func (Member) statement()        {}
func (Conntrack) statement()     {}
func (Translated) statement()    {}
func (OriginalPorts) statement() {}
func (Local) statement()         {}
func (Spoofed) statement()       {}
func (ICMPTypes) statement()     {}
func (DSCP) statement()          {}
func (SYN) statement()           {}
func (Over) statement()          {}
func (Under) statement()         {}
func (Meter) statement()         {}
func (Connections) statement()   {}

func (f Family) String() string {
	if f.V6 {
		return "meta nfproto ipv6"
	}
	return "meta nfproto ipv4"
}

func (i Interface) String() string {
	key := "iifname "
	if i.Out {
		key = "oifname "
	}
	quoted := make([]string, len(i.Names))
	for n, name := range i.Names {
		quoted[n] = strconv.Quote(name)
	}
	return key + not(i.Not) + oneOf(quoted)
}

func (l L4) String() string { return "meta l4proto " + l.Protocol.String() }

func (p Ports) String() string {
	return fmt.Sprintf("%s %sport %s", p.Protocol, p.Side.letter(), rangesText(p.Ranges))
}

func (o OriginalPorts) String() string { return "ct original proto-dst " + rangesText(o.Ranges) }

func rangesText(ranges []PortRange) string {
	texts := make([]string, len(ranges))
	for i, r := range ranges {
		texts[i] = r.String()
	}
	return oneOf(texts)
}

// String returns the range as nft has it.
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// V6 reports whether the prefixes are of IPv6.
func (a Addresses) V6() bool { return a.Prefixes[0].Addr().Is6() }

func (a Addresses) String() string {
	texts := make([]string, len(a.Prefixes))
	for i, p := range a.Prefixes {
		texts[i] = prefixText(p)
	}
	return ip(a.V6()) + " " + a.Side.letter() + "addr " + not(a.Not) + oneOf(texts)
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// source returns the name of the address that a rule about sources looks at.
func source(v6, wide bool) string {
	if v6 && wide {
		return "ip6 saddr & ffff:ffff:ffff:ffff::"
	}
	return ip(v6) + " saddr"
}

func (m Member) String() string { return source(m.V6, m.Wide) + " " + not(m.Not) + "@" + m.Set }

func (c Conntrack) String() string {
	var words []string
	for _, s := range []struct {
		state State
		word  string
	}{{Established, "established"}, {Related, "related"}, {New, "new"}, {Invalid, "invalid"}, {Untracked, "untracked"}} {
		if c.States&s.state != 0 {
			words = append(words, s.word)
		}
	}
	return "ct state " + strings.Join(words, ",")
}

func (Translated) String() string { return "ct status dnat" }
func (l Local) String() string    { return "fib " + l.Side.letter() + "addr type " + not(l.Not) + "local" }
func (Spoofed) String() string    { return "fib saddr . iif oif missing" }

func (i ICMPTypes) String() string {
	texts := make([]string, len(i.Types))
	for n, t := range i.Types {
		texts[n] = strconv.Itoa(int(t))
	}
	if i.V6 {
		return "icmpv6 type " + oneOf(texts)
	}
	return "icmp type " + oneOf(texts)
}

func (d DSCP) String() string { return fmt.Sprintf("%s dscp 0x%02x", ip(d.V6), d.Value) }

func (s SYN) String() string {
	if s.Answer {
		return "tcp flags & (syn | rst) == syn"
	}
	return "tcp flags & (fin | syn | rst | ack) == syn"
}

func (o Over) String() string {
	return fmt.Sprintf("limit rate over %d/second burst %d packets", o.Rate, o.Burst)
}

func (u Under) String() string {
	return fmt.Sprintf("limit rate %d/second burst %d packets", u.Rate, u.Burst)
}

func (m Meter) String() string {
	return fmt.Sprintf("update @%s { %s limit rate over %d/second burst %d packets }", m.Set, source(m.V6, m.Wide), m.Rate, m.Burst)
}

func (c Connections) String() string {
	return fmt.Sprintf("add @%s { %s ct count over %d }", c.Set, source(c.V6, c.Wide), c.Count)
}

func ip(v6 bool) string {
	if v6 {
		return "ip6"
	}
	return "ip"
}

func not(n bool) string {
	if n {
		return "!= "
	}
	return ""
}

func oneOf(texts []string) string {
	if len(texts) == 1 {
		return texts[0]
	}
	return "{ " + strings.Join(texts, ", ") + " }"
}
