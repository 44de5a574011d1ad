package netplan

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
)

// Desired returns what the kernel should hold for a valid document.
func Desired(doc netcfg.Document, facts Facts) State {
	w := &wanted{doc: doc, facts: facts, State: State{Settings: map[string]string{}}}
	w.links()
	w.addresses()
	w.routes()
	w.uplinks()
	w.tunnels()
	w.queues()
	w.settings()
	slices.SortStableFunc(w.Routes, orderRoutes)
	return w.State
}

type wanted struct {
	State
	doc   netcfg.Document
	facts Facts
}

func (w *wanted) v6(a netip.Addr) bool { return a.Is6() && w.facts.NoIPv6 }

// links are in an order in which they can be made: what others stand on comes first.
func (w *wanted) links() {
	for _, p := range w.doc.Ports {
		w.Links = append(w.Links, Link{Name: p.Name, Kind: KindPort, Alias: Alias + "port", Up: !p.Disabled, MTU: mtu(p.MTU)})
	}
	for _, b := range w.doc.Bonds {
		w.Links = append(w.Links, Link{
			Name: b.Name, Kind: KindBond, Alias: Alias + "bond", Up: true, MTU: mtu(b.MTU),
			Bond: Bond{Mode: string(b.ModeOr()), MonitorMillis: b.MonitorOr(), LACPFast: b.LACPFast && b.ModeOr() == netcfg.LACP},
		})
	}
	for _, b := range w.doc.Bridges {
		w.Links = append(w.Links, Link{Name: b.Name, Kind: KindBridge, Alias: Alias + "bridge", Up: true, MTU: mtu(b.MTU), STP: b.STP})
	}
	for _, v := range w.doc.VLANs {
		parent, _ := byName(w.Links, v.Parent) // without which it cannot be on
		w.Links = append(w.Links, Link{Name: v.NameOr(), Kind: KindVLAN, Alias: Alias + "vlan", Up: parent.Up, MTU: mtu(v.MTU), Parent: v.Parent, VLAN: v.ID})
	}
	for _, t := range w.doc.WireGuard {
		w.Links = append(w.Links, Link{Name: t.Name, Kind: KindWireGuard, Alias: Alias + "wireguard:" + endpoints(t), Up: true, MTU: t.MTUOr()})
	}
	for i, u := range w.doc.Uplinks {
		if u.Shaping != nil && u.Shaping.DownKbit > 0 {
			w.Links = append(w.Links, Link{Name: ifb(i), Kind: KindIFB, Alias: Alias + "ifb", Up: true, MTU: netcfg.DefaultMTU})
		}
	}
	for _, b := range w.doc.Bonds {
		w.join(b.Name, b.Members)
	}
	for _, b := range w.doc.Bridges {
		w.join(b.Name, b.Members)
	}
}

func mtu(set int) int { return cmp.Or(set, netcfg.DefaultMTU) }

// ifb is the link where what comes by an uplink queues.
func ifb(uplink int) string { return "ifbup" + strconv.Itoa(uplink) }

func (w *wanted) join(master string, members []string) {
	for i := range w.Links {
		if slices.Contains(members, w.Links[i].Name) {
			w.Links[i].Master = master
		}
	}
}

// endpoints stands for the endpoints of a tunnel's peers in the alias of its link: peers move, so
// the endpoint in the kernel does not tell what was configured.
func endpoints(t netcfg.WireGuard) string {
	h := fnv.New64a()
	for _, p := range t.Peers {
		fmt.Fprintf(h, "%s=%s\n", p.PublicKey, p.Endpoint)
	}
	return strconv.FormatUint(h.Sum64(), 16)
}

func (w *wanted) addresses() {
	for _, f := range w.doc.Interfaces {
		for _, p := range f.Addresses {
			if !w.v6(p.Addr()) {
				w.Addrs = append(w.Addrs, Addr{Link: f.Link, Prefix: p.Prefix, Ours: true})
			}
		}
		if lease, ok := w.facts.Leases[f.Link]; ok && f.DHCP4 != nil && !w.has(lease.Address.Addr()) {
			w.Addrs = append(w.Addrs, Addr{Link: f.Link, Prefix: lease.Address, Ours: true})
		}
	}
	for _, f := range w.doc.Interfaces {
		w.leased6(f)
	}
}

// leased6 adds what DHCPv6 servers gave: the link's own address, and for the link that a prefix is
// delegated to the first address of its first network.
func (w *wanted) leased6(f netcfg.Interface) {
	lease, ok := w.facts.Leases6[f.Link]
	if !ok || f.DHCP6 == nil || w.facts.NoIPv6 {
		return
	}
	if f.DHCP6.Address && lease.Address.IsValid() && !w.has(lease.Address) {
		w.Addrs = append(w.Addrs, Addr{Link: f.Link, Prefix: netip.PrefixFrom(lease.Address, lease.Address.BitLen()), Ours: true})
	}
	if inside := f.DHCP6.DelegateTo; inside != "" && lease.Prefix.IsValid() {
		if first := lease.Prefix.Masked().Addr().Next(); !w.has(first) {
			w.Addrs = append(w.Addrs, Addr{Link: inside, Prefix: netip.PrefixFrom(first, 64), Ours: true})
		}
	}
}

func (w *wanted) has(a netip.Addr) bool {
	return slices.ContainsFunc(w.Addrs, func(have Addr) bool { return have.Prefix.Addr() == a })
}

func (w *wanted) routes() {
	for _, r := range w.doc.Routes {
		link := r.Link
		if link == "" && r.Via.IsValid() {
			link = w.linkOf(r.Via.Addr)
		}
		if !w.v6(r.To.Addr()) {
			w.Routes = append(w.Routes, Route{
				To: r.To.Prefix, Via: r.Via.Addr, Link: link, Metric: r.MetricOr(), Table: mainTable, Source: r.Source.Addr, Kind: r.KindOr(), Ours: true,
			})
		}
	}
	for _, t := range w.doc.WireGuard {
		for _, p := range t.Peers {
			for _, to := range p.Allowed {
				if !w.v6(to.Addr()) && to.Bits() > 0 { // a tunnel that carries everything is an uplink
					w.Routes = append(w.Routes, Route{To: to.Masked(), Link: t.Name, Metric: 50, Table: mainTable, Kind: netcfg.Unicast, Ours: true})
				}
			}
		}
	}
	for _, f := range w.doc.Interfaces {
		lease := w.facts.Leases[f.Link]
		if f.DHCP4 == nil || f.DHCP4.IgnoreRouter || !lease.Router.IsValid() || w.isUplink(f.Link) {
			continue
		}
		w.Routes = append(w.Routes, Route{To: everything(false), Via: lease.Router, Link: f.Link, Metric: lonelyMetric, Table: mainTable, Kind: netcfg.Unicast, Ours: true})
	}
}

func (w *wanted) isUplink(link string) bool {
	return slices.ContainsFunc(w.doc.Uplinks, func(u netcfg.Uplink) bool { return u.Link == link })
}

// linkOf returns the link whose network holds an address.
func (w *wanted) linkOf(a netip.Addr) (link string) {
	longest := -1
	for _, have := range w.Addrs {
		if have.Prefix.Contains(a) && have.Prefix.Bits() > longest {
			link, longest = have.Link, have.Prefix.Bits()
		}
	}
	return link
}

func everything(v6 bool) netip.Prefix {
	if v6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

func (w *wanted) tunnels() {
	for _, t := range w.doc.WireGuard {
		tunnel := Tunnel{Link: t.Name, ListenPort: t.ListenPortOr(), Keyed: true}
		for _, p := range t.Peers {
			peer := Peer{PublicKey: p.PublicKey, KeepaliveSeconds: p.KeepaliveSeconds, Preshared: p.Preshared}
			for _, a := range p.Allowed {
				peer.Allowed = append(peer.Allowed, a.Masked())
			}
			slices.SortFunc(peer.Allowed, netip.Prefix.Compare)
			tunnel.Peers = append(tunnel.Peers, peer)
		}
		slices.SortFunc(tunnel.Peers, func(a, b Peer) int { return cmp.Compare(a.PublicKey, b.PublicKey) })
		w.Tunnels = append(w.Tunnels, tunnel)
	}
}

func (w *wanted) queues() {
	for i, u := range w.doc.Uplinks {
		if u.Shaping == nil {
			continue
		}
		queue := func(link, from string, kbit int) {
			q := Queue{Link: link, Shaper: u.Shaping.ShaperOr(), Kbit: kbit, From: from}
			if q.Shaper == netcfg.HTB {
				q.VoiceKbit = kbit * u.Shaping.VoicePercentOr() / 100
			}
			w.Queues = append(w.Queues, q)
		}
		queue(u.Link, "", u.Shaping.UpKbit)
		if u.Shaping.DownKbit > 0 {
			queue(ifb(i), u.Link, u.Shaping.DownKbit)
		}
	}
}
