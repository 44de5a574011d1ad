// Package ra tells the hosts of a link their IPv6 prefixes, router and name servers by router
// advertisements (RFC 4861, RFC 8106).
package ra

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Types of messages and options, RFC 4861 §4 and RFC 8106 §5.
const (
	typeSolicitation  = 133
	typeAdvertisement = 134

	optSourceLink = 1
	optPrefix     = 3
	optMTU        = 5
	optRDNSS      = 25
	optDNSSL      = 31

	onLink     = 0x80 // of a prefix
	autonomous = 0x40
	managed    = 0x80 // of an advertisement
	other      = 0x40

	hopLimit = 64 // that hosts should use

	// RFC 4861 §6.2.1: AdvValidLifetime and AdvPreferredLifetime. A month and a week are its
	// defaults; a day lets a prefix that the provider took away be forgotten.
	validTime     = 24 * time.Hour
	preferredTime = 4 * time.Hour
)

// Link is what is told on one link.
type Link struct {
	Iface    string
	Index    int            // of the link: one that was made anew needs a new socket
	Prefixes []netip.Prefix // of 64 bits; hosts make addresses of them (RFC 4862 §5.5.3)
	Lifetime time.Duration  // of us as a default router; 0 is not one
	Interval time.Duration  // at most, between two advertisements
	Managed  bool           // addresses are got by DHCPv6
	Other    bool           // other things are
	DNS      []netip.Addr
	Search   []string
	MTU      int // 0 says nothing
}

// message writes an advertisement; the kernel adds the checksum. A last one says that we are no
// router any more (RFC 4861 §6.2.5).
func (l Link) message(mac net.HardwareAddr, last bool) []byte {
	var flags byte
	if l.Managed {
		flags |= managed
	}
	if l.Other {
		flags |= other
	}
	lifetime := l.Lifetime
	if last {
		lifetime = 0
	}
	b := []byte{typeAdvertisement, 0, 0, 0, hopLimit, flags}
	b = binary.BigEndian.AppendUint16(b, uint16(min(lifetime/time.Second, 9000))) // RFC 4861 §6.2.1
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)                                         // reachable time and retransmissions: the hosts' own
	if len(mac) == 6 {
		b = append(append(b, optSourceLink, 1), mac...)
	}
	if l.MTU > 0 {
		b = binary.BigEndian.AppendUint32(append(b, optMTU, 1, 0, 0), uint32(l.MTU))
	}
	for _, p := range l.Prefixes {
		b = prefix(b, p)
	}
	return l.names(b, last)
}

func prefix(b []byte, p netip.Prefix) []byte {
	b = append(b, optPrefix, 4, byte(p.Bits()), onLink|autonomous)
	b = binary.BigEndian.AppendUint32(b, uint32(validTime/time.Second))
	b = binary.BigEndian.AppendUint32(b, uint32(preferredTime/time.Second))
	b = append(b, 0, 0, 0, 0)
	return append(b, p.Masked().Addr().AsSlice()...)
}

// names are the name servers and search domains. RFC 8106 §5.1: they hold three intervals.
func (l Link) names(b []byte, last bool) []byte {
	seconds := uint32(3 * l.interval() / time.Second)
	if last {
		seconds = 0
	}
	if len(l.DNS) > 0 {
		b = binary.BigEndian.AppendUint32(append(b, optRDNSS, byte(1+2*len(l.DNS)), 0, 0), seconds)
		for _, a := range l.DNS {
			b = append(b, a.AsSlice()...)
		}
	}
	if domains := labels(l.Search); len(domains) > 0 {
		b = binary.BigEndian.AppendUint32(append(b, optDNSSL, byte(1+len(domains)/8), 0, 0), seconds)
		b = append(b, domains...)
	}
	return b
}

// labels writes names as RFC 1035 §3.1 does, filled up with zeros to units of eight bytes.
func labels(names []string) (b []byte) {
	for _, name := range names {
		start := len(b)
		for label := range strings.SplitSeq(strings.Trim(name, "."), ".") {
			if label == "" || len(label) > 63 {
				b = b[:start]
				break
			}
			b = append(append(b, byte(len(label))), label...)
		}
		if len(b) > start {
			b = append(b, 0)
		}
	}
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

// solicits reports whether a message asks for an advertisement, and keeps the rules of RFC 4861 §6.1.1.
func solicits(b []byte, hops int, from netip.Addr) bool {
	if len(b) < 8 || b[0] != typeSolicitation || b[1] != 0 || hops != 255 {
		return false
	}
	for opts := b[8:]; len(opts) > 0; {
		if len(opts) < 2 || opts[1] == 0 || len(opts) < int(opts[1])*8 {
			return false
		}
		if opts[0] == optSourceLink && from.IsUnspecified() {
			return false
		}
		opts = opts[int(opts[1])*8:]
	}
	return from.IsLinkLocalUnicast() || from.IsUnspecified()
}

func (l Link) interval() time.Duration {
	const least, most, usual = 4 * time.Second, 1800 * time.Second, 600 * time.Second // RFC 4861 §6.2.1
	if l.Interval == 0 {
		return usual
	}
	return min(max(l.Interval, least), most)
}
