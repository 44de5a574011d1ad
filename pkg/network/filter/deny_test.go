package filter_test

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
	"github.com/coraltele/sanchar/pkg/testkit/netdocs"
)

// first is the first packet of a TCP connection, as a chain of the filter meets it. Its destination was
// not translated.
type first struct {
	in, out  string // out is "" for packets to the box
	src, dst netip.Addr
	port     uint16
}

// Ports of the box in these tests; that of a packet is none of them.
const (
	sipPort, sipsPort, pagePort, settingsPort, plainPort = 5060, 5061, 443, 8443, 8080
	nobodysPort                                          = 31_999
)

func facts() filter.Facts {
	return filter.Facts{
		SIPUDP: []uint16{sipPort}, SIPStream: []uint16{sipPort, sipsPort}, Media: ruleset.PortRange{First: 20000, Last: 29999},
		Page: pagePort, Provision: settingsPort, PlainProv: plainPort,
	}
}

// passes reports whether the chain accepts the packet: a second reading of what the rules mean.
func passes(t *rapid.T, r *ruleset.Ruleset, chain string, p first) (decided, accepted bool) {
	at := slices.IndexFunc(r.Chains, func(c ruleset.Chain) bool { return c.Name == chain })
	if at < 0 {
		t.Fatalf("there is no chain %s", chain)
	}
	for _, rule := range r.Chains[at].Rules {
		if decided, accepted := rulePasses(t, r, rule, p); decided {
			return true, accepted
		}
	}
	return r.Chains[at].Drop, false
}

func rulePasses(t *rapid.T, r *ruleset.Ruleset, rule ruleset.Rule, p first) (decided, accepted bool) {
	for _, s := range rule.Do {
		switch s := s.(type) {
		case ruleset.Accept:
			return true, true
		case ruleset.Drop, ruleset.Reject:
			return true, false
		case ruleset.Jump:
			return passes(t, r, s.Chain, p)
		case ruleset.Log:
		default:
			if !p.fulfils(t, s) {
				return false, false
			}
		}
	}
	return false, false
}

func (p first) fulfils(t *rapid.T, s ruleset.Statement) bool {
	switch s := s.(type) {
	case ruleset.Interface:
		name := p.in
		if s.Out {
			name = p.out
		}
		return slices.Contains(s.Names, name) != s.Not
	case ruleset.Conntrack:
		return s.States&ruleset.New != 0
	case ruleset.ICMPTypes, ruleset.Translated, ruleset.Meter, ruleset.Connections:
		return false
	case ruleset.L4:
		return s.Protocol == ruleset.TCP
	case ruleset.Ports:
		return s.Protocol == ruleset.TCP && slices.ContainsFunc(s.Ranges, func(r ruleset.PortRange) bool { return r.First <= p.port && p.port <= r.Last })
	case ruleset.Family:
		return s.V6 == p.src.Is6()
	case ruleset.Addresses:
		a := p.src
		if s.Side == ruleset.Dst {
			a = p.dst
		}
		return a.Is6() == s.V6() && slices.ContainsFunc(s.Prefixes, func(pre netip.Prefix) bool { return pre.Contains(a) }) != s.Not
	case ruleset.Under, ruleset.Member:
		return true
	}
	t.Fatalf("a packet cannot be compared with %T", s)
	return false
}

// allowed says the same from the document alone.
func allowed(doc netcfg.Document, p first) bool {
	from, inZone := doc.Interface(p.in)
	to, _ := doc.Interface(p.out)
	zone, _ := doc.Zone(from.Zone)
	for _, r := range doc.Firewall.Rules {
		if ruleMatches(r, p, from.Zone, to.Zone) {
			return r.ActionOr() == netcfg.Allow
		}
	}
	switch {
	case !inZone:
		return false
	case p.out == "":
		offers := map[uint16]netcfg.Service{sipPort: netcfg.ServeSIP, sipsPort: netcfg.ServeSIP, pagePort: netcfg.ServePage, settingsPort: netcfg.ServeProvision, plainPort: netcfg.ServePlainProv, 53: netcfg.ServeDNS}
		s, known := offers[p.port]
		return known && zone.Offers(s)
	case from.Zone == to.Zone:
		return !zone.Isolated && zone.KindOr() != netcfg.Outside && len(doc.InZone(zone.Name)) > 1
	}
	return to.Zone != "" && slices.Contains(zone.Reaches, to.Zone)
}

func ruleMatches(r netcfg.Rule, p first, from, to string) bool {
	within := func(list []netcfg.Prefix, a netip.Addr) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(n netcfg.Prefix) bool { return n.Masked().Contains(a) })
	}
	switch {
	case r.Disabled, r.From != "" && r.From != from, r.Protocol == netcfg.UDP, r.Protocol == netcfg.ICMP, !within(r.Sources, p.src), !within(r.Destinations, p.dst):
		return false
	case r.To == netcfg.Box && p.out != "", r.To != "" && r.To != netcfg.Box && (p.out == "" || r.To != to):
		return false
	case len(r.Ports) == 0:
		return true
	}
	return slices.ContainsFunc(r.Ports, func(n netcfg.PortRange) bool { return n.First <= p.port && p.port <= n.Last })
}

func TestNothingPassesThatTheDocumentDoesNotAllow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		doc := netdocs.Draw(rt)
		r := filter.Build(doc, facts())
		links := []string{"stranger0"}
		for _, i := range doc.Interfaces {
			links = append(links, i.Link)
		}
		for range 20 {
			p := drawFirst(rt, doc, links)
			chain := "to-box"
			if p.out != "" {
				chain = "through"
			}
			if _, got := passes(rt, r, chain, p); got != allowed(doc, p) {
				rt.Fatalf("%+v: passes is %v, and the document says %v\n%s", p, got, !got, r)
			}
		}
	})
}

func drawFirst(t *rapid.T, doc netcfg.Document, links []string) first {
	ports := []uint16{nobodysPort, sipPort, sipsPort, pagePort, settingsPort, plainPort, 53, 22, 20000}
	for _, r := range doc.Firewall.Rules {
		for _, n := range r.Ports {
			ports = append(ports, n.First, n.Last)
		}
	}
	p := first{
		in: rapid.SampledFrom(links).Draw(t, "in"), out: rapid.SampledFrom(append([]string{""}, links...)).Draw(t, "out"),
		port: rapid.SampledFrom(ports).Draw(t, "port"),
	}
	if rapid.Bool().Draw(t, "IPv6 packet") {
		p.src, p.dst = netip.MustParseAddr("2001:db8:3::5"), netip.MustParseAddr("2001:db8:0::1")
	} else {
		p.src, p.dst = netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 9).Draw(t, "src")), 0, 5}), netip.MustParseAddr("10.1.0.1")
	}
	return p
}
