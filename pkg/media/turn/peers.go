package turn

import (
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
)

// Gate says who may be reached through the server. It is asked for each packet.
type Gate interface {
	Reachable(addr netip.Addr) bool // at some port
	Open(at netip.AddrPort) bool    // at this port
	Refresh(addresses []netip.Addr) // the box has other addresses
}

// Peers is the gate of a box.
type Peers struct {
	First, Last uint16         // of the box's own addresses: the ports that media comes to
	Closed      []netip.Prefix // besides what is always closed: management, for instance

	own atomic.Pointer[[]netip.Addr]
}

// Refresh takes the box's addresses.
func (p *Peers) Refresh(addresses []netip.Addr) { p.own.Store(&addresses) }

// Open reports whether packets may go to an address and come from it. Never to what is no unicast
// address of a network: through the server even a stranger with an account would stand where only the
// box itself stands. Of the box only its media ports are open.
func (p *Peers) Open(at netip.AddrPort) bool {
	addr := at.Addr().Unmap()
	own := p.own.Load()
	if at.Port() == 0 || own == nil || !p.Reachable(addr) {
		return false
	}
	return !slices.Contains(*own, addr) || (at.Port() >= p.First && at.Port() <= p.Last)
}

// Reachable reports whether there are ports at an address that packets may go to.
func (p *Peers) Reachable(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsGlobalUnicast() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.Zone() != "" {
		return false
	}
	return !slices.ContainsFunc(closed(), func(c netip.Prefix) bool { return c.Contains(addr) }) &&
		!slices.ContainsFunc(p.Closed, func(c netip.Prefix) bool { return c.Contains(addr) })
}

// closed are addresses that stand for something else (RFC 6890 §2.2): this network, tests of networks,
// those with an IPv4 address inside, and broadcast.
func closed() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("::/96"),
	}
}

// OwnAddresses returns the addresses that the machine has now.
func OwnAddresses() (list []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				list = append(list, addr.Unmap())
			}
		}
	}
	return list
}
