package filter

import (
	"net/netip"
	"slices"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// dynamicPorts is where translated sources go whose own port is one of the box's (RFC 6335 §6).
func (b *builder) dynamicPorts() ruleset.PortRange {
	const first, last, lowest = 49_152, 65_535, 1024
	if m := b.facts.Media; m.Last >= first && m.First > lowest {
		return ruleset.PortRange{First: lowest, Last: m.First - 1}
	}
	return ruleset.PortRange{First: first, Last: last}
}

// nat is every translation of addresses.
func (b *builder) nat() {
	dst := ruleset.Chain{Name: "translate-in", Kind: ruleset.NAT, Hook: ruleset.Prerouting, Priority: ruleset.DstNAT}
	src := ruleset.Chain{Name: "translate-out", Kind: ruleset.NAT, Hook: ruleset.Postrouting, Priority: ruleset.SrcNAT}
	for _, f := range b.forwards() {
		dst.Rules = append(dst.Rules, f.in(b)...)
		src.Rules = append(src.Rules, f.back(b)...)
	}
	for _, o := range b.doc.NAT.OneToOne {
		dstRules, srcRules := b.oneToOne(o)
		dst.Rules, src.Rules = append(dst.Rules, dstRules...), append(src.Rules, srcRules...)
	}
	for _, s := range b.doc.NAT.Source {
		src.Rules = append(src.Rules, b.sourceNAT(s)...)
	}
	for _, m := range b.doc.NAT.Masquerade {
		src.Rules = append(src.Rules, b.masquerade(m)...)
	}
	b.chain(dst)
	b.chain(src)
}

func pickPrefixes(v6 bool, four, six []netip.Prefix) []netip.Prefix {
	if v6 {
		return six
	}
	return four
}

// sourceNAT gives some hosts an address of the box.
func (b *builder) sourceNAT(s netcfg.SourceNAT) (rules []ruleset.Rule) {
	z, ok := b.zone(s.Zone)
	v4, v6 := byFamily(plain(s.Sources))
	from := within(ruleset.Src, pickPrefixes(s.To.Is6(), v4, v6))
	if !ok || len(from) == 0 {
		return nil
	}
	match := append([]ruleset.Statement{z.out()}, from...)
	return append(b.aside(match, s.To.Addr),
		b.rule("nat.source."+s.To.String(), "Some hosts reach "+z.Name+" as "+s.To.String(), append(match, ruleset.SNAT{To: s.To.Addr})...))
}

// masquerade hides the hosts of other zones, never the box itself: its own addresses are right.
func (b *builder) masquerade(m netcfg.Masquerade) (rules []ruleset.Rule) {
	z, ok := b.zone(m.Zone)
	if !ok {
		return nil
	}
	v4, v6 := byFamily(plain(m.Sources))
	if len(m.Sources) == 0 {
		v4 = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	}
	for _, from := range [][]netip.Prefix{v4, v6} {
		if len(from) == 0 {
			continue
		}
		match := append(within(ruleset.Src, from), ruleset.Local{Not: true})
		for _, link := range z.links {
			out := ruleset.Interface{Out: true, Names: []string{link}}
			if a, ok := b.primary(link, from[0].Addr().Is6()); ok {
				rules = append(rules, b.aside(append([]ruleset.Statement{out}, match...), a)...)
			}
		}
		rules = append(rules, b.rule("nat.masquerade."+z.Name, "Hosts reach "+z.Name+" by the box's address there",
			append(append([]ruleset.Statement{z.out()}, match...), ruleset.Masquerade{})...))
	}
	return rules
}

// primary is the address that the box has on a link before others.
func (b *builder) primary(link string, v6 bool) (netip.Addr, bool) {
	i, _ := b.doc.Interface(link)
	all := b.facts.Addresses[link]
	for _, p := range i.Addresses {
		all = append(slices.Clone(all), p.Prefix)
	}
	for _, p := range all {
		if a := p.Addr(); a.Is6() == v6 && !a.IsLinkLocalUnicast() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// aside moves a host's UDP source port out of the way that is one of those that the box keeps
// untracked: else the answers would be taken for the box's own.
func (b *builder) aside(match []ruleset.Statement, to netip.Addr) []ruleset.Rule {
	own := append(portRanges(b.facts.SIPUDP), b.media()...)
	if len(own) == 0 {
		return nil
	}
	return []ruleset.Rule{silent(append(slices.Clone(match), ruleset.Ports{Protocol: ruleset.UDP, Ranges: own}, ruleset.SNAT{To: to, Ports: b.dynamicPorts()})...)}
}

// oneToOne binds both addresses. What may come in is for the firewall's rules to say.
func (b *builder) oneToOne(o netcfg.OneToOne) (dst, src []ruleset.Rule) {
	z, ok := b.zone(o.Zone)
	if !ok || o.Outside.Is6() != o.Inside.Is6() {
		return nil, nil
	}
	outside, inside := one(o.Outside.Addr), one(o.Inside.Addr)
	says := o.Outside.String() + " in " + z.Name + " stands for " + o.Inside.String()
	in := ruleset.Addresses{Side: ruleset.Dst, Prefixes: outside}
	dst = append(dst, b.rule("nat.one."+o.Name+".in", says, z.in(), in, ruleset.DNAT{To: o.Inside.Addr}))
	src = append(src, b.rule("nat.one."+o.Name+".out", says, z.out(), ruleset.Addresses{Prefixes: inside}, ruleset.SNAT{To: o.Outside.Addr}))
	if links, home := b.hairpin(o.Zone, o.Inside.Addr); o.Hairpin && len(links) > 0 {
		dst = append(dst, b.rule("nat.one."+o.Name+".hairpin", says+", for hosts inside too", ruleset.Interface{Names: links}, in, ruleset.DNAT{To: o.Inside.Addr}))
		src = append(src, b.turnBack("nat.one."+o.Name+".back", home, o.Inside.Addr)...)
	}
	return dst, src
}

func one(a netip.Addr) []netip.Prefix { return []netip.Prefix{netip.PrefixFrom(a, a.BitLen())} }

// turnBack gives a host that calls its neighbour by the outside address the box's address: else the
// neighbour would answer past the box.
func (b *builder) turnBack(name string, home zone, to netip.Addr) []ruleset.Rule {
	v4, v6 := byFamily(b.networks(home))
	near := pickPrefixes(to.Is6(), v4, v6)
	if len(near) == 0 {
		return nil
	}
	return []ruleset.Rule{b.rule(name, "Hosts beside "+to.String()+" reach it by the outside address, through the box",
		ruleset.Translated{}, ruleset.Addresses{Prefixes: near}, ruleset.Addresses{Side: ruleset.Dst, Prefixes: one(to)}, ruleset.Masquerade{})}
}

// hairpin returns the links whose hosts may call an inside host by the address that the box has in the
// zone outside: those beside it, and those that may reach either zone anyway.
func (b *builder) hairpin(outside string, to netip.Addr) (links []string, home zone) {
	for _, z := range b.zones {
		if slices.ContainsFunc(b.networks(z), func(p netip.Prefix) bool { return p.Contains(to) }) {
			home = z
		}
	}
	for _, z := range b.zones {
		near := z.Name == home.Name || slices.Contains(z.Reaches, outside) || slices.Contains(z.Reaches, home.Name)
		if near && z.Name != outside {
			links = append(links, z.links...)
		}
	}
	return links, home
}

// portForward is a forward of the document that can be made.
type portForward struct {
	netcfg.Forward
	zone     zone
	protocol ruleset.Protocol
	sources  []netip.Prefix // of the family
}

func (b *builder) forwards() (all []portForward) {
	for _, f := range b.doc.NAT.Forwards {
		z, ok := b.zone(f.Zone)
		if f.Disabled || !ok || (!f.Address.IsZero() && f.Address.Is6() != f.To.Is6()) {
			continue
		}
		v4, v6 := byFamily(plain(f.Sources))
		p := portForward{Forward: f, zone: z, protocol: ruleset.TCP, sources: pickPrefixes(f.To.Is6(), v4, v6)}
		if f.Protocol == netcfg.UDP {
			p.protocol = ruleset.UDP
		}
		if len(f.Sources) == 0 || len(p.sources) > 0 {
			all = append(all, p)
		}
	}
	return all
}

func (f portForward) first() uint16 {
	if f.ToPort == 0 {
		return f.Ports.First
	}
	return f.ToPort
}

// outer are the ports that come in, inner those that they become.
func (f portForward) outer() ruleset.Statement {
	return ruleset.Ports{Protocol: f.protocol, Side: ruleset.Dst, Ranges: f.ports()}
}

func (f portForward) ports() []ruleset.PortRange {
	return []ruleset.PortRange{{First: f.Ports.First, Last: f.Ports.Last}}
}

func (f portForward) inner() ruleset.Statement {
	last := f.first() + (f.Ports.Last - f.Ports.First)
	return ruleset.Ports{Protocol: f.protocol, Side: ruleset.Dst, Ranges: []ruleset.PortRange{{First: f.first(), Last: last}}}
}

func (f portForward) action() ruleset.Action {
	d := ruleset.DNAT{To: f.To.Addr}
	if f.first() != f.Ports.First {
		d.Protocol, d.Ports, d.First = f.protocol, ruleset.PortRange{First: f.Ports.First, Last: f.Ports.Last}, f.first()
	}
	return d
}

func (f portForward) says() string {
	return string(f.Protocol) + " " + f.Ports.String() + " of the box in " + f.Zone + " goes to " + f.To.String()
}

// at matches the address that is forwarded.
func (f portForward) at() ruleset.Statement {
	if f.Address.IsZero() {
		return ruleset.Local{Side: ruleset.Dst}
	}
	return ruleset.Addresses{Side: ruleset.Dst, Prefixes: one(f.Address.Addr)}
}

// in are the rules that translate what comes in.
func (f portForward) in(b *builder) (rules []ruleset.Rule) {
	match := append([]ruleset.Statement{f.zone.in(), ruleset.Family{V6: f.To.Is6()}}, within(ruleset.Src, f.sources)...)
	rules = append(rules, b.rule("nat.forward."+f.Name, f.says(), append(match, f.at(), f.outer(), f.action())...))
	links, _ := b.hairpin(f.Zone, f.To.Addr)
	if at := f.outsideAddresses(b); f.Hairpin && len(links) > 0 && len(at) > 0 {
		match := append([]ruleset.Statement{ruleset.Interface{Names: links}}, within(ruleset.Src, f.sources)...)
		rules = append(rules, b.rule("nat.forward."+f.Name+".hairpin", f.says()+", for hosts inside too",
			append(match, ruleset.Addresses{Side: ruleset.Dst, Prefixes: at}, f.outer(), f.action())...))
	}
	return rules
}

func (f portForward) outsideAddresses(b *builder) (at []netip.Prefix) {
	if !f.Address.IsZero() {
		return one(f.Address.Addr)
	}
	for _, a := range b.addresses(f.zone) {
		if a.Is6() == f.To.Is6() {
			at = append(at, one(a)...)
		}
	}
	return at
}

// back are the rules that make the answers to hosts inside come back through the box.
func (f portForward) back(b *builder) []ruleset.Rule {
	if !f.Hairpin {
		return nil
	}
	_, home := b.hairpin(f.Zone, f.To.Addr)
	return b.turnBack("nat.forward."+f.Name+".back", home, f.To.Addr)
}

// forwarded lets translated connections through, each by the forward that made it: the host may be
// reached by other translations, too, which open nothing.
func (b *builder) forwarded() (rules []ruleset.Rule) {
	for _, f := range b.forwards() {
		links := slices.Clone(f.zone.links)
		if inside, _ := b.hairpin(f.Zone, f.To.Addr); f.Hairpin {
			links = append(links, inside...)
		}
		match := append([]ruleset.Statement{ruleset.Interface{Names: links}, ruleset.Translated{}}, within(ruleset.Src, f.sources)...)
		rules = append(rules, b.rule("through.forward."+f.Name, f.says(), append(match,
			ruleset.Addresses{Side: ruleset.Dst, Prefixes: one(f.To.Addr)}, f.inner(), ruleset.OriginalPorts{Ranges: f.ports()}, ruleset.Accept{})...))
	}
	for _, o := range b.doc.NAT.OneToOne {
		if links, home := b.hairpin(o.Zone, o.Inside.Addr); o.Hairpin && len(links) > 0 && len(home.links) > 0 && !home.Isolated {
			rules = append(rules, b.rule("through.one."+o.Name, "Hosts beside "+o.Inside.String()+" reach it by "+o.Outside.String(),
				home.in(), home.out(), ruleset.Translated{}, ruleset.Addresses{Side: ruleset.Dst, Prefixes: one(o.Inside.Addr)}, ruleset.Accept{}))
		}
	}
	return rules
}
