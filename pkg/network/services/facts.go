// Package services runs what the box does for the hosts of its zones, as the network document says:
// DHCP, names, the time, neighbours, and IPv6 prefixes.
package services

import (
	"net/netip"
	"slices"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// facts are what the document does not say.
type facts struct {
	doc       netcfg.Document
	links     []ctl.Link
	learned   []netip.Addr // name servers that DHCP or advertisements told
	ports     Ports
	version   string
	provision string // path of phones' settings
}

// Ports are where the box is reached.
type Ports struct {
	Page   uint16 // HTTPS
	SIP    uint16 // UDP; 0 is none
	Phones uint16 // of their settings, HTTPS; 0 is none
	Plain  uint16 // the same over HTTP
}

// provisionURL is where phones on a link that reach us at an address find their settings; "" is nowhere.
// HTTP is for zones that say so: who trusts no box's authority gets there what he cannot have otherwise.
func (f facts) provisionURL(link string, box netip.Addr) string {
	at := func(scheme string, port uint16) string {
		return scheme + "://" + netip.AddrPortFrom(box, port).String() + f.provision
	}
	switch {
	case f.ports.Plain != 0 && f.serves(netcfg.ServePlainProv, link):
		return at("http", f.ports.Plain)
	case f.ports.Phones != 0 && f.serves(netcfg.ServeProvision, link):
		return at("https", f.ports.Phones)
	}
	return ""
}

func (f facts) link(name string) (ctl.Link, bool) {
	at := slices.IndexFunc(f.links, func(l ctl.Link) bool { return l.Name == name })
	if at < 0 {
		return ctl.Link{}, false
	}
	return f.links[at], true
}

// routable are the addresses of a link that hosts on it reach us by.
func routable(l ctl.Link) (all []netip.Prefix) {
	for _, p := range l.Addresses {
		if !p.Addr().IsLinkLocalUnicast() {
			all = append(all, p)
		}
	}
	return all
}

func addrs(prefixes []netip.Prefix) (all []netip.Addr) {
	for _, p := range prefixes {
		all = append(all, p.Addr())
	}
	return all
}

// own4 is our IPv4 address on a link, and the network that it is in: the first that the document
// gives and the kernel has.
func (f facts) own4(name string) (netip.Prefix, bool) {
	l, ok := f.link(name)
	i, described := f.doc.Interface(name)
	if !ok || !described {
		return netip.Prefix{}, false
	}
	for _, p := range i.Addresses {
		if p.Addr().Is4() && slices.Contains(l.Addresses, p.Prefix) {
			return p.Prefix, true
		}
	}
	return netip.Prefix{}, false
}

// serves reports whether the hosts of a link are offered a service.
func (f facts) serves(s netcfg.Service, link string) bool {
	return slices.Contains(f.doc.Serving(s), link)
}

// place is one of our addresses on a link that offers a service.
type place struct {
	link ctl.Link
	zone string
	at   netip.Prefix
}

// places are all that offer a service, in the document's order.
func (f facts) places(s netcfg.Service) (all []place) {
	for _, name := range f.doc.Serving(s) {
		l, ok := f.link(name)
		if !ok || !l.Up {
			continue
		}
		i, _ := f.doc.Interface(name)
		for _, p := range routable(l) {
			all = append(all, place{l, i.Zone, p})
		}
	}
	return all
}

// networks are those of a link: who is in none of them does not belong there.
func networks(l ctl.Link) (all []netip.Prefix) {
	for _, p := range l.Addresses {
		all = append(all, p.Masked())
	}
	return all
}

func values(list []netcfg.Addr) (all []netip.Addr) {
	for _, a := range list {
		all = append(all, a.Addr)
	}
	return all
}

// servers are the name servers that the box asks; itself it does not ask.
func (f facts) servers() []netip.Addr {
	all := f.learned
	if len(f.doc.DNS.Servers) > 0 {
		all = values(f.doc.DNS.Servers)
	}
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool {
		return slices.ContainsFunc(f.links, func(l ctl.Link) bool { return slices.Contains(addrs(l.Addresses), a) })
	})
}

func only4(list []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return !a.Is4() })
}

func only6(list []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return a.Is4() })
}
