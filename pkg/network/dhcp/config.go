// Package dhcp gives the hosts of a zone their IPv4 addresses (RFC 2131) and tells phones where
// their settings and their VLAN are.
package dhcp

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bounds of what a subnet may say.
const (
	MinLease     = 2 * time.Minute // shorter ones make more traffic than they save addresses
	MaxLease     = 30 * 24 * time.Hour
	DefaultLease = 12 * time.Hour
	maxRange     = 1 << 16 // addresses of all ranges of a subnet: the table is bounded by them
)

// Range is a run of addresses that are given away, both ends included.
type Range struct{ From, To netip.Addr }

func (r Range) holds(a netip.Addr) bool { return r.From.Compare(a) <= 0 && a.Compare(r.To) <= 0 }

func (r Range) size() int {
	from, to := r.From.As4(), r.To.As4()
	n := int64(number(to)) - int64(number(from)) + 1
	return int(max(0, min(n, maxRange)))
}

func (r Range) at(i int) netip.Addr { return fromNumber(number(r.From.As4()) + uint32(i)) }

func number(b [4]byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func fromNumber(v uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// Reservation keeps an address for one host, which is known by its MAC address.
type Reservation struct {
	MAC  string // lower case, with colons
	Addr netip.Addr
	Name string // told to the host, and known to the DNS
}

// Subnet is what is served on one link.
type Subnet struct {
	Zone     string
	Iface    string
	Index    int // of the link: one that was made anew needs a new socket
	Server   netip.Addr
	Prefix   netip.Prefix
	Ranges   []Range
	Reserved []Reservation
	Lease    time.Duration // 0 is DefaultLease

	Routers, DNS, NTP []netip.Addr
	Domain            string

	Provision     string       // address of phones' settings: options 66 and 160, and those of vendors
	TFTP          []netip.Addr // option 150
	Vendor        []byte       // option 43 as it is, for those that ask for it
	VoiceVLAN     uint16       // options 132 and their like; 0 is none
	VoicePriority uint8        // option 133, 802.1p
	Extra         []Option

	Relay netip.Addr // the agent that the subnet is behind; only agents that are named are answered
}

// Option is one that an admin wrote down.
type Option struct {
	Code  uint8
	Value []byte
	Class string // only for hosts whose vendor class begins so; "" is all
}

// Config is what a server serves.
type Config struct{ Subnets []Subnet }

func (s *Subnet) lease() time.Duration {
	if s.Lease == 0 {
		return DefaultLease
	}
	return min(max(s.Lease, MinLease), MaxLease)
}

func (s *Subnet) reservedFor(mac string) (Reservation, bool) {
	for _, r := range s.Reserved {
		if strings.EqualFold(r.MAC, mac) {
			return r, true
		}
	}
	return Reservation{}, false
}

// usable reports whether an address of a range may be given to anybody.
func (s *Subnet) usable(a netip.Addr) bool {
	if !s.Prefix.Contains(a) || a == s.Server || a == s.Prefix.Masked().Addr() || a == s.broadcast() {
		return false
	}
	return !slices.ContainsFunc(s.Reserved, func(r Reservation) bool { return r.Addr == a })
}

func (s *Subnet) inRange(a netip.Addr) bool {
	for _, r := range s.Ranges {
		if r.holds(a) {
			return true
		}
	}
	return false
}

func (s *Subnet) broadcast() netip.Addr {
	host := uint32(1)<<(32-s.Prefix.Bits()) - 1
	return fromNumber(number(s.Prefix.Addr().As4()) | host)
}
