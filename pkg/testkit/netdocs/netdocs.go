// Package netdocs draws network documents that are valid and otherwise as odd as may be, for tests of
// what is made out of them.
package netdocs

import (
	"fmt"
	"net/netip"

	"pgregory.net/rapid"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
)

// Draw draws a document that netcfg finds nothing wrong with.
func Draw(t *rapid.T) netcfg.Document {
	return rapid.Custom(draw).Filter(func(d netcfg.Document) bool { return len(netcfg.Validate(d)) == 0 }).Draw(t, "document")
}

func draw(t *rapid.T) (d netcfg.Document) {
	zones := rapid.IntRange(1, 4).Draw(t, "zones")
	for i := range zones {
		d.Zones = append(d.Zones, drawZone(t, i, zones))
	}
	links := rapid.IntRange(0, 6).Draw(t, "links")
	for i := range links {
		name := fmt.Sprint("eth", i)
		d.Ports = append(d.Ports, netcfg.Port{Name: name})
		d.Interfaces = append(d.Interfaces, drawInterface(t, i, name, d.Zones[rapid.IntRange(0, zones-1).Draw(t, "zone of link")].Name))
	}
	d.Firewall.Rules = drawList(t, "rules", func(i int) netcfg.Rule { return drawRule(t, i, d.Zones) })
	d.NAT = drawNAT(t, d.Zones)
	d.QoS.Bulk = drawPrefixes(t, "bulk")
	if rapid.Bool().Draw(t, "voice DSCP") {
		v := rapid.Uint8Range(0, 63).Draw(t, "code point")
		d.QoS.VoiceDSCP = &v
	}
	for i := range min(links, rapid.IntRange(0, 2).Draw(t, "uplinks")) {
		u := netcfg.Uplink{Name: fmt.Sprint("up", i), Link: fmt.Sprint("eth", i), Check: netcfg.Check{Method: netcfg.CheckLink}}
		if rapid.Bool().Draw(t, "shaped") {
			u.Shaping = &netcfg.Shaping{UpKbit: 10_000}
		}
		d.Uplinks = append(d.Uplinks, u)
	}
	return d
}

// drawList draws up to four things.
func drawList[T any](t *rapid.T, what string, one func(i int) T) (list []T) {
	for i := range rapid.IntRange(0, 4).Draw(t, what) {
		list = append(list, one(i))
	}
	return list
}

func drawZone(t *rapid.T, i, zones int) netcfg.Zone {
	kinds := []netcfg.ZoneKind{netcfg.Management, netcfg.Voice, netcfg.Guest, netcfg.Outside, netcfg.Custom}
	z := netcfg.Zone{
		Name: zoneName(i), Kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
		TrustDSCP: rapid.Bool().Draw(t, "trust"), Isolated: rapid.Bool().Draw(t, "isolated"),
	}
	if rapid.Bool().Draw(t, "own services") {
		z.Services = rapid.SliceOfNDistinct(rapid.SampledFrom(netcfg.Services()), 0, 4, rapid.ID).Draw(t, "services")
	}
	for _, to := range rapid.SliceOfNDistinct(rapid.IntRange(0, zones-1), 0, zones, rapid.ID).Draw(t, "reaches") {
		z.Reaches = append(z.Reaches, zoneName(to))
	}
	return z
}

// zoneName gives names that differ in what a packet filter's names cannot hold.
func zoneName(i int) string { return []string{"Zone 1", "Zone-1", "Zone_1", "zone.1"}[i] }

func drawInterface(t *rapid.T, i int, link, zone string) netcfg.Interface {
	in := netcfg.Interface{Link: link, Zone: zone}
	if rapid.Bool().Draw(t, "IPv4") {
		in.Addresses = append(in.Addresses, netcfg.Prefix{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 1}), rapid.IntRange(16, 30).Draw(t, "bits"))})
	}
	if rapid.Bool().Draw(t, "IPv6") {
		in.Addresses = append(in.Addresses, netcfg.Prefix{Prefix: netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::1", i)), 64)})
	}
	if rapid.Bool().Draw(t, "DHCPv6") {
		in.DHCP6 = &netcfg.DHCP6Client{Address: true}
	}
	return in
}

// drawPrefix draws a network inside, outside, or everything of a family.
func drawPrefix(t *rapid.T) netcfg.Prefix {
	if rapid.Bool().Draw(t, "of IPv6") {
		a := netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::%x", rapid.IntRange(0, 9).Draw(t, "net"), rapid.IntRange(0, 9).Draw(t, "host")))
		p, _ := a.Prefix(rapid.SampledFrom([]int{0, 32, 47, 64, 127, 128}).Draw(t, "bits")) // all fit
		return netcfg.Prefix{Prefix: p}
	}
	a := netip.AddrFrom4([4]byte{rapid.SampledFrom([]byte{0, 10, 192, 255}).Draw(t, "first"), byte(rapid.IntRange(0, 9).Draw(t, "net")), 0, rapid.Byte().Draw(t, "host")})
	p, _ := a.Prefix(rapid.SampledFrom([]int{0, 8, 15, 24, 31, 32}).Draw(t, "bits")) // all fit
	return netcfg.Prefix{Prefix: p}
}

func drawPrefixes(t *rapid.T, what string) []netcfg.Prefix {
	return drawList(t, what, func(int) netcfg.Prefix { return drawPrefix(t) })
}

func drawPorts(t *rapid.T) netcfg.PortRange {
	first := rapid.Uint16Range(1, 65535).Draw(t, "first port")
	return netcfg.PortRange{First: first, Last: first + rapid.Uint16Range(0, min(9, 65535-first)).Draw(t, "more ports")}
}

func drawZoneName(t *rapid.T, zones []netcfg.Zone, more ...string) string {
	names := more
	for _, z := range zones {
		names = append(names, z.Name)
	}
	return rapid.SampledFrom(names).Draw(t, "zone")
}

func drawRule(t *rapid.T, i int, zones []netcfg.Zone) netcfg.Rule {
	r := netcfg.Rule{
		Name: fmt.Sprintf("rule %d", i), Action: rapid.SampledFrom([]netcfg.Action{netcfg.Allow, netcfg.Drop, netcfg.Reject}).Draw(t, "action"),
		From: drawZoneName(t, zones, ""), To: drawZoneName(t, zones, "", netcfg.Box),
		Sources: drawPrefixes(t, "sources"), Destinations: drawPrefixes(t, "destinations"),
		Protocol: rapid.SampledFrom([]netcfg.Protocol{netcfg.AnyProtocol, netcfg.TCP, netcfg.UDP, netcfg.ICMP}).Draw(t, "protocol"),
		Log:      rapid.Bool().Draw(t, "log"), Disabled: rapid.IntRange(0, 5).Draw(t, "disabled") == 0,
	}
	if r.Protocol == netcfg.TCP || r.Protocol == netcfg.UDP {
		r.Ports = drawList(t, "ports", func(int) netcfg.PortRange { return drawPorts(t) })
	}
	return r
}

func drawAddr(t *rapid.T, v6 bool) netcfg.Addr {
	if v6 {
		return netcfg.Addr{Addr: netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::%x", rapid.IntRange(0, 9).Draw(t, "net"), rapid.IntRange(2, 99).Draw(t, "host")))}
	}
	return netcfg.Addr{Addr: netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 9).Draw(t, "net")), 0, byte(rapid.IntRange(2, 200).Draw(t, "host"))})}
}

func drawNAT(t *rapid.T, zones []netcfg.Zone) (n netcfg.NAT) {
	n.Masquerade = drawList(t, "masquerade", func(int) netcfg.Masquerade {
		return netcfg.Masquerade{Zone: drawZoneName(t, zones), Sources: drawPrefixes(t, "sources")}
	})
	n.Source = drawList(t, "source", func(int) netcfg.SourceNAT {
		p := drawPrefix(t)
		return netcfg.SourceNAT{Zone: drawZoneName(t, zones), Sources: []netcfg.Prefix{p}, To: drawAddr(t, p.Addr().Is6())}
	})
	n.OneToOne = drawList(t, "one to one", func(i int) netcfg.OneToOne {
		v6 := rapid.Bool().Draw(t, "of IPv6")
		return netcfg.OneToOne{
			Name: fmt.Sprintf("one %d", i), Zone: drawZoneName(t, zones), Outside: drawAddr(t, v6), Inside: drawAddr(t, v6),
			Hairpin: rapid.Bool().Draw(t, "hairpin"),
		}
	})
	n.Forwards = drawList(t, "forwards", func(i int) netcfg.Forward { return drawForward(t, i, zones) })
	return n
}

func drawForward(t *rapid.T, i int, zones []netcfg.Zone) netcfg.Forward {
	v6 := rapid.Bool().Draw(t, "of IPv6")
	f := netcfg.Forward{
		Name: fmt.Sprintf("forward %d", i), Zone: drawZoneName(t, zones), Protocol: rapid.SampledFrom([]netcfg.Protocol{netcfg.TCP, netcfg.UDP}).Draw(t, "protocol"),
		Ports: drawPorts(t), To: drawAddr(t, v6), Hairpin: rapid.Bool().Draw(t, "hairpin"),
	}
	if rapid.Bool().Draw(t, "an address") {
		f.Address = drawAddr(t, v6)
	}
	if rapid.Bool().Draw(t, "other ports") {
		f.ToPort = rapid.Uint16Range(1, 65535-(f.Ports.Last-f.Ports.First)).Draw(t, "to port")
	}
	return f
}
