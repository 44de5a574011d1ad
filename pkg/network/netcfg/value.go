package netcfg

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The types below keep a text that they cannot read in Bad, so that reading a document goes on and
// Validate finds every fault at once. A document that Validate passed has none.

// Addr is an address without a zone, or none.
type Addr struct {
	netip.Addr
	Bad string
}

// UnmarshalText never fails; see Bad.
func (a *Addr) UnmarshalText(text []byte) error {
	ip, err := netip.ParseAddr(string(text))
	*a = Addr{Addr: ip}
	if len(text) > 0 && (err != nil || ip.Zone() != "" || ip.Is4In6()) {
		*a = Addr{Bad: string(text)}
	}
	return nil
}

// MarshalText gives back what was read.
func (a Addr) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// String returns the address, or the text that is none.
func (a Addr) String() string {
	if a.Bad != "" || !a.IsValid() {
		return a.Bad
	}
	return a.Addr.String()
}

// IsZero reports whether there is neither an address nor a text.
func (a Addr) IsZero() bool { return a == Addr{} }

func (a Addr) bad() (text, rule, cure string) {
	return a.Bad, "is an IPv4 or IPv6 address", `write it as "192.0.2.1" or "2001:db8::1"`
}

// Prefix is an address with the length of its network.
type Prefix struct {
	netip.Prefix
	Bad string
}

// UnmarshalText never fails; see Bad.
func (p *Prefix) UnmarshalText(text []byte) error {
	pre, err := netip.ParsePrefix(string(text))
	*p = Prefix{Prefix: pre}
	if len(text) > 0 && (err != nil || pre.Addr().Is4In6()) {
		*p = Prefix{Bad: string(text)}
	}
	return nil
}

// MarshalText gives back what was read.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String returns the prefix, or the text that is none.
func (p Prefix) String() string {
	if p.Bad != "" || !p.IsValid() {
		return p.Bad
	}
	return p.Prefix.String()
}

// IsZero reports whether there is neither a prefix nor a text.
func (p Prefix) IsZero() bool { return p == Prefix{} }

func (p Prefix) bad() (text, rule, cure string) {
	return p.Bad, "is an address and a prefix length", `write it as "192.0.2.0/24" or "2001:db8::/64"`
}

// AddrRange is a row of addresses, both ends included: "10.1.0.100-10.1.0.199".
type AddrRange struct {
	First, Last netip.Addr
	Bad         string
}

// UnmarshalText never fails; see Bad. One address alone is a range too.
func (r *AddrRange) UnmarshalText(text []byte) error {
	from, to, two := strings.Cut(string(text), "-")
	if !two {
		to = from
	}
	first, err1 := netip.ParseAddr(strings.TrimSpace(from))
	last, err2 := netip.ParseAddr(strings.TrimSpace(to))
	*r = AddrRange{First: first, Last: last}
	if err1 != nil || err2 != nil || first.BitLen() != last.BitLen() || last.Less(first) || first.Zone()+last.Zone() != "" {
		*r = AddrRange{Bad: string(text)}
	}
	return nil
}

// MarshalText gives back what was read.
func (r AddrRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String returns the range, or the text that is none.
func (r AddrRange) String() string {
	switch {
	case r.Bad != "" || !r.First.IsValid():
		return r.Bad
	case r.First == r.Last:
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// Contains reports whether an address is in the row.
func (r AddrRange) Contains(a netip.Addr) bool {
	return a.BitLen() == r.First.BitLen() && !a.Less(r.First) && !r.Last.Less(a)
}

func (r AddrRange) bad() (text, rule, cure string) {
	return r.Bad, "is two addresses, the lower first", `write it as "10.1.0.100-10.1.0.199"`
}

// PortRange is a row of ports, both ends included: "5060" or "16384-32767".
type PortRange struct {
	First, Last uint16
	Bad         string
}

// UnmarshalText never fails; see Bad.
func (r *PortRange) UnmarshalText(text []byte) error {
	from, to, two := strings.Cut(string(text), "-")
	if !two {
		to = from
	}
	first, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
	last, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 16)
	*r = PortRange{First: uint16(first), Last: uint16(last)}
	if err1 != nil || err2 != nil || first == 0 || last < first {
		*r = PortRange{Bad: string(text)}
	}
	return nil
}

// MarshalText gives back what was read.
func (r PortRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String returns the range, or the text that is none.
func (r PortRange) String() string {
	switch {
	case r.Bad != "" || r.First == 0:
		return r.Bad
	case r.First == r.Last:
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

func (r PortRange) bad() (text, rule, cure string) {
	return r.Bad, "is a port or two, the lower first, from 1 to 65535", `write it as "5060" or "16384-32767"`
}
