package netd

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// maxNameServers is how many resolv.conf(5) has; resolvers skip the others.
const maxNameServers = 3

const msgNameServers = "the box itself asks other name servers now"

// nameServers are those that the box itself asks: the document's, or else those that were learnt.
func nameServers(doc netcfg.Document, leases []ctl.NetLease, uplinks []ctl.NetUplink) []netip.Addr {
	if len(doc.DNS.Servers) == 0 {
		return learned(doc, leases, uplinks)
	}
	var all []netip.Addr
	for _, s := range doc.DNS.Servers {
		all = append(all, s.Addr)
	}
	return all
}

// learned are the name servers that the servers of DHCP and DHCPv6 told and the document wants: those by
// uplinks that work first, in their order. Those by uplinks that do not work come last.
func learned(doc netcfg.Document, leases []ctl.NetLease, uplinks []ctl.NetUplink) (all []netip.Addr) {
	place := func(l ctl.NetLease) int {
		at := slices.IndexFunc(uplinks, func(u ctl.NetUplink) bool { return u.Link == l.Link })
		switch {
		case at < 0:
			return len(uplinks)
		case !uplinks[at].Up:
			return len(uplinks) + 1 + at
		}
		return at
	}
	leases = slices.Clone(leases)
	slices.SortStableFunc(leases, func(a, b ctl.NetLease) int { return place(a) - place(b) })
	for _, l := range leases {
		if !listens(doc, l) {
			continue
		}
		for _, a := range l.DNS {
			if a.IsLinkLocalUnicast() && a.Is6() {
				a = a.WithZone(l.Link)
			}
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}

// listens reports whether the document wants the name servers of a lease.
func listens(doc netcfg.Document, l ctl.NetLease) bool {
	i, ok := doc.Interface(l.Link)
	if l.Address.Addr().Is4() {
		return ok && i.DHCP4 != nil && !i.DHCP4.IgnoreDNS
	}
	return ok && i.DHCP6 != nil && !i.DHCP6.IgnoreDNS
}

// writeResolv tells the resolvers of all programs whom to ask. Without a name server the file is
// empty but for its first line: who reads it then asks nobody but this machine.
func (d *Daemon) writeResolv(doc netcfg.Document) {
	servers := nameServers(doc, d.network.Leases(), d.network.Uplinks())
	text := resolvConf(servers)
	if have, err := os.ReadFile(d.cfg.Resolv); err == nil && bytes.Equal(have, text) {
		return
	}
	if err := fsx.WriteFile(d.cfg.Resolv, text, 0o644); err != nil {
		d.cfg.Log.Error("name servers are not told to programs", "err", err)
		return
	}
	d.cfg.Log.Info(msgNameServers, "servers", servers)
}

// resolvConf is the text of resolv.conf(5).
func resolvConf(servers []netip.Addr) []byte {
	text := []byte("# Written by netd, which writes it again.\n")
	for _, a := range servers[:min(len(servers), maxNameServers)] {
		text = fmt.Appendf(text, "nameserver %s\n", a)
	}
	return text
}
