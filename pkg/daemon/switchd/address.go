package switchd

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/aor"
)

// localAddresses asks the kernel for our addresses, until netd tells.
func localAddresses() (map[netip.Addr]bool, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of the box: %w", err)
	}
	own := map[netip.Addr]bool{}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own[p.Addr().Unmap().WithZone("")] = true
		}
	}
	return own, nil
}

// takeAddresses takes over what netd tells.
func (d *Daemon) takeAddresses(links []ctl.Link) {
	own := map[netip.Addr]bool{}
	for _, l := range links {
		for _, p := range l.Addresses {
			own[p.Addr().Unmap().WithZone("")] = true
		}
	}
	was := *d.own.Swap(&own)
	d.nameCertificate()
	for a := range was {
		if !own[a] {
			d.calls.Moved(d.owns)
			return
		}
	}
}

// addresses are those that a phone may know the box by, in a stable order: routed ones first.
func (d *Daemon) addresses() (list []netip.Addr) {
	for a := range *d.own.Load() {
		if !a.IsLinkLocalUnicast() {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b netip.Addr) int {
		if a.IsLoopback() != b.IsLoopback() {
			return map[bool]int{true: 1, false: -1}[a.IsLoopback()]
		}
		return a.Compare(b)
	})
	return list
}

func (d *Daemon) owns(a netip.Addr) bool { return (*d.own.Load())[a] }

// ours reports whether a host of a URI is the box: its domain, its name or one of its addresses.
func (d *Daemon) ours(host string) bool {
	if domain := d.users.Domain(); domain != "" && strings.EqualFold(host, domain) {
		return true
	}
	u := aor.URI{Host: host}
	a, ok := u.Addr()
	return ok && (d.owns(a.Unmap()) || d.edge.IsOurs(host))
}

// bindAddresses reads --bind: one address, or all of both families.
func bindAddresses(bind string) ([]netip.Addr, error) {
	if bind == "" || bind == "0.0.0.0" || bind == "::" {
		all := []netip.Addr{netip.IPv4Unspecified()}
		if ln, err := net.Listen("tcp6", "[::1]:0"); err == nil { // a kernel without IPv6
			_ = ln.Close()
			all = append(all, netip.IPv6Unspecified())
		}
		return all, nil
	}
	a, err := netip.ParseAddr(strings.Trim(bind, "[]"))
	if err != nil {
		return nil, fmt.Errorf("address %q to listen at: not an IP address; give one of the box's, or 0.0.0.0 for all", bind)
	}
	return []netip.Addr{a.Unmap()}, nil
}
