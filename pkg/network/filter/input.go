package filter

import (
	"net/netip"
	"strings"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// ICMP types that a host needs to be told of (RFC 792; RFC 1191 §3) and of ICMPv6 that must not be
// dropped (RFC 4890 §4.4.1): errors, neighbour discovery, multicast listeners.
func icmpErrors() ruleset.Statement { return ruleset.ICMPTypes{Types: []uint8{3, 11, 12}} }

func icmp6Errors() ruleset.Statement { return ruleset.ICMPTypes{V6: true, Types: []uint8{1, 2, 3, 4}} }

func neighbours() ruleset.Statement {
	return ruleset.ICMPTypes{V6: true, Types: []uint8{130, 131, 132, 133, 134, 135, 136, 141, 142, 143, 151, 152, 153}}
}

// spoofed drops packets that lie about where they come from (RFC 2827, RFC 3704 §2.3): inside, what
// would not be answered by the link it came by; outside, the addresses of the inside.
func (b *builder) spoofed() (rules []ruleset.Rule) {
	if links := b.inside(); len(links) > 0 {
		in := ruleset.Interface{Names: links}
		rules = append(rules,
			silent(in, ruleset.Ports{Protocol: ruleset.UDP, Ranges: ports(68)}, ruleset.Ports{Protocol: ruleset.UDP, Side: ruleset.Dst, Ranges: ports(67)}, ruleset.Accept{}), // RFC 2131 §4.1: from 0.0.0.0
			silent(in, ruleset.Addresses{Prefixes: []netip.Prefix{netip.PrefixFrom(netip.IPv6Unspecified(), 128)}}, neighbours(), ruleset.Accept{}),                           // RFC 4862 §5.4.2
			b.rule("spoofed.inside", "Packets from inside with a source that is not there are dropped", in, ruleset.Spoofed{}, ruleset.Drop{}))
	}
	var own []netip.Prefix
	for _, z := range b.zones {
		if !z.outside() {
			own = append(own, b.networks(z)...)
		}
	}
	own = networksOf(own)
	for _, z := range b.zones {
		if !z.outside() {
			continue
		}
		v4, v6 := byFamily(own)
		for _, prefixes := range [][]netip.Prefix{v4, v6} {
			if len(prefixes) > 0 {
				rules = append(rules, b.rule("spoofed."+z.Name, "Packets from "+z.Name+" in the name of the inside are dropped",
					z.in(), ruleset.Addresses{Prefixes: prefixes}, ruleset.Drop{}))
			}
		}
	}
	return rules
}

func ports(list ...uint16) []ruleset.PortRange { return portRanges(list) }

// input is what may reach the box.
func (b *builder) input() {
	in := ruleset.Chain{Name: "to-box", Kind: ruleset.Filter, Hook: ruleset.Input, Priority: ruleset.Normal, Drop: true}
	in.Rules = append(in.Rules, silent(ruleset.Interface{Names: []string{"lo"}}, ruleset.Accept{}))
	established, invalid := b.known("box")
	in.Rules = append(in.Rules, established,
		b.rule("box.neighbours", "IPv6 neighbours find each other", neighbours(), ruleset.Accept{}),
		b.rule("box.groups", "Switches ask the box which groups it listens to", ruleset.L4{Protocol: ruleset.IGMP}, ruleset.Accept{}), // RFC 3376 §5.2
		b.rule("box.errors.ipv4", "The network may tell the box of errors, such as packets that are too big", icmpErrors(), ruleset.Accept{}),
		b.rule("box.errors.ipv6", "The network may tell the box of errors, such as packets that are too big", icmp6Errors(), ruleset.Accept{}),
		invalid) // after the errors: those about what is not tracked belong to no connection
	in.Rules = append(in.Rules, b.adminRules("box", toBox, nil)...)
	for _, z := range b.zones {
		name := b.name("to-box-" + z.Name)
		rules := b.services(z)
		rules = append(rules, b.rule("box."+z.Name+".denied", "Everything else of "+z.Name+" to the box is dropped", ruleset.Drop{}))
		b.chain(ruleset.Chain{Name: name, Rules: rules})
		in.Rules = append(in.Rules, silent(z.in(), ruleset.Jump{Chain: name}))
	}
	in.Rules = append(in.Rules, b.rule("box.denied", "What comes by a link without a zone is dropped", ruleset.Drop{}))
	b.chain(in)
}

// known lets connections go on that were allowed when they began, and drops what belongs to none.
func (b *builder) known(prefix string) (established, invalid ruleset.Rule) {
	return b.rule(prefix+".established", "What was allowed to begin goes on", ruleset.Conntrack{States: ruleset.Established | ruleset.Related}, ruleset.Accept{}),
		b.rule(prefix+".invalid", "Packets that fit no connection are dropped", ruleset.Conntrack{States: ruleset.Invalid}, ruleset.Drop{})
}

// services are the rules of what a zone may reach of the box, in the order in which packets are frequent.
func (b *builder) services(z zone) (rules []ruleset.Rule) {
	for _, s := range []struct {
		service netcfg.Service
		rules   func(zone) []ruleset.Rule
	}{
		{netcfg.ServeMedia, b.serveMedia},
		{netcfg.ServeSIP, b.serveSIP},
		{netcfg.ServeDNS, b.serveDNS},
		{netcfg.ServeNTP, b.serveUDP("ntp", "ask the box for the time", 123)},
		{netcfg.ServeDHCP, b.serveUDP("dhcp", "ask the box for an address", 67, 547)},
		{netcfg.ServeMDNS, b.serveUDP("mdns", "find the box by its name", 5353)},
		{netcfg.ServePing, b.servePing},
		{netcfg.ServeProvision, func(z zone) []ruleset.Rule {
			return b.serveWeb(z, "provision", "fetch their settings", b.facts.Provision)
		}},
		{netcfg.ServePlainProv, func(z zone) []ruleset.Rule {
			return b.serveWeb(z, "provision-http", "fetch their settings unprotected", b.facts.PlainProv)
		}},
		{netcfg.ServePage, func(z zone) []ruleset.Rule { return b.serveWeb(z, "page", "open the box's page", b.facts.Page) }},
		{netcfg.ServeWireGuard, b.serveWireGuard},
	} {
		if z.Offers(s.service) {
			rules = append(rules, s.rules(z)...)
		}
	}
	return append(rules, b.clients(z)...)
}

// clients lets answers through that connection tracking does not know: those to a question that went
// to all hosts of a link (RFC 8415 §7.2).
func (b *builder) clients(z zone) (rules []ruleset.Rule) {
	linkLocal := netip.MustParsePrefix("fe80::/10") // RFC 4291 §2.5.6
	for _, link := range z.links {
		if i, _ := b.doc.Interface(link); i.DHCP6 != nil {
			rules = append(rules, b.rule("box."+z.Name+".dhcp6-client", "The box asks for its IPv6 address on "+link,
				ruleset.Interface{Names: []string{link}}, ruleset.Addresses{Prefixes: []netip.Prefix{linkLocal}},
				ruleset.Ports{Protocol: ruleset.UDP, Side: ruleset.Dst, Ranges: ports(546)}, ruleset.Accept{}))
		}
	}
	return rules
}

func (b *builder) serveMedia(z zone) []ruleset.Rule {
	if len(b.media()) == 0 {
		return nil
	}
	return []ruleset.Rule{b.rule("box."+z.Name+".media", z.may("send voice and video to the box"),
		ruleset.Ports{Protocol: ruleset.UDP, Side: ruleset.Dst, Ranges: b.media()}, ruleset.Accept{})}
}

func (b *builder) serveSIP(z zone) (rules []ruleset.Rule) {
	if len(b.facts.SIPUDP) > 0 {
		rules = append(rules, b.rule("box."+z.Name+".sip", z.may("reach the box's SIP"),
			ruleset.Ports{Protocol: ruleset.UDP, Side: ruleset.Dst, Ranges: portRanges(b.facts.SIPUDP)}, ruleset.Accept{}))
	}
	if len(b.facts.SIPStream) == 0 {
		return rules
	}
	port := ruleset.Ports{Protocol: ruleset.TCP, Side: ruleset.Dst, Ranges: portRanges(b.facts.SIPStream)}
	rules = append(rules, b.bounded(z, "sip-stream", port, b.doc.Firewall.Limits.TLSConnectionsOr(), [2]string{sipConns4, sipConns6})...)
	return append(rules, b.rule("box."+z.Name+".sip-stream", z.may("reach the box's SIP over TCP and TLS"), port, ruleset.Accept{}))
}

// bounded drops connections of a source beyond those that it may hold, and those that it opens too fast.
// Registered sources stand for an office behind one address and may hold more, as many as there are.
func (b *builder) bounded(z zone, name string, port ruleset.Statement, each int, sets [2]string) (rules []ruleset.Rule) {
	rate := uint32(b.doc.Firewall.Limits.NewConnectionsOr())
	for _, v6 := range []bool{false, true} {
		stranger := ruleset.Member{Set: pick(v6, Known4, Known6), V6: v6, Not: true}
		prefix := "box." + z.Name + "." + name
		rules = append(rules,
			b.rule(prefix+".fast."+family(v6), "One source may open so many connections a second", port, stranger,
				ruleset.Meter{Set: pick(v6, openers4, openers6), V6: v6, Wide: true, Rate: rate, Burst: rate}, ruleset.Drop{}),
			b.rule(prefix+".many."+family(v6), "One source may hold so many connections", port, stranger,
				ruleset.Connections{Set: pick(v6, sets[0], sets[1]), V6: v6, Wide: true, Count: uint32(each)}, ruleset.Drop{}))
	}
	return rules
}

// serveWeb opens a port of the page, or one of those where phones fetch their settings.
func (b *builder) serveWeb(z zone, name, what string, port uint16) []ruleset.Rule {
	if port == 0 {
		return nil
	}
	match := ruleset.Ports{Protocol: ruleset.TCP, Side: ruleset.Dst, Ranges: ports(port)}
	rules := b.bounded(z, name, match, b.doc.Firewall.Limits.PageConnectionsOr(), [2]string{pageConns4, pageConns6})
	return append(rules, b.rule("box."+z.Name+"."+name, z.may(what), match, ruleset.Accept{}))
}

func (b *builder) serveDNS(z zone) []ruleset.Rule {
	dns := func(p ruleset.Protocol) ruleset.Statement {
		return ruleset.Ports{Protocol: p, Side: ruleset.Dst, Ranges: ports(53)}
	}
	says := z.may("ask the box for names")
	return []ruleset.Rule{
		b.rule("box."+z.Name+".dns", says, dns(ruleset.UDP), ruleset.Accept{}),
		b.rule("box."+z.Name+".dns-tcp", says, dns(ruleset.TCP), ruleset.Accept{}), // RFC 7766 §5
	}
}

func (b *builder) serveUDP(name, what string, list ...uint16) func(zone) []ruleset.Rule {
	return func(z zone) []ruleset.Rule {
		return []ruleset.Rule{b.rule("box."+z.Name+"."+name, z.may(what),
			ruleset.Ports{Protocol: ruleset.UDP, Side: ruleset.Dst, Ranges: ports(list...)}, ruleset.Accept{})}
	}
}

func (b *builder) servePing(z zone) (rules []ruleset.Rule) {
	for _, v6 := range []bool{false, true} {
		echo := ruleset.ICMPTypes{V6: v6, Types: []uint8{8}}
		if v6 {
			echo.Types = []uint8{128}
		}
		rules = append(rules, b.rule("box."+z.Name+".ping."+family(v6), z.may("ping the box"), echo, ruleset.Under{Rate: pingRate, Burst: pingRate}, ruleset.Accept{}))
	}
	return rules
}

func (b *builder) serveWireGuard(z zone) []ruleset.Rule {
	var list []uint16
	for _, w := range b.doc.WireGuard {
		list = append(list, w.ListenPortOr())
	}
	if len(list) == 0 {
		return nil
	}
	return b.serveUDP("wireguard", "call the box's tunnels: "+strings.Join(names(b.doc.WireGuard), ", "), list...)(z)
}

func names(tunnels []netcfg.WireGuard) (all []string) {
	for _, w := range tunnels {
		all = append(all, w.Name)
	}
	return all
}
