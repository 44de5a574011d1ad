package filter

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// forward is what may go through the box.
func (b *builder) forward() {
	f := ruleset.Chain{Name: "through", Kind: ruleset.Filter, Hook: ruleset.Forward, Priority: ruleset.Normal, Drop: true}
	established, invalid := b.known("through")
	f.Rules = append(f.Rules, established, invalid)
	f.Rules = append(f.Rules, b.adminRules("through", through, nil)...)
	f.Rules = append(f.Rules, b.forwarded()...)
	for _, z := range b.zones {
		f.Rules = append(f.Rules, b.reaches(z)...)
	}
	for _, z := range b.zones {
		f.Rules = append(f.Rules, b.rule("through."+z.Name+".denied", "Everything else of "+z.Name+" to other networks is dropped", z.in(), ruleset.Drop{}))
	}
	f.Rules = append(f.Rules, b.rule("through.denied", "What comes by a link without a zone goes nowhere", ruleset.Drop{}))
	b.chain(f)
}

// reaches are the zones that the hosts of a zone may open connections to. Links of a zone reach each
// other unless it is isolated; the box carries nothing from one uplink to another.
func (b *builder) reaches(z zone) (rules []ruleset.Rule) {
	if len(z.links) > 1 && !z.Isolated && !z.outside() {
		rules = append(rules, b.rule("through."+z.Name+".within", z.may("reach each other"), z.in(), z.out(), ruleset.Accept{}))
	}
	for _, name := range z.Reaches {
		to, ok := b.zone(name)
		if !ok || name == z.Name {
			continue
		}
		rules = append(rules, b.rule("through."+z.Name+"."+name, z.may("reach "+name), z.in(), to.out(), ruleset.Accept{}))
	}
	return rules
}

// place says what an admin's rule is about in one chain.
type place bool

const (
	toBox   place = false
	through place = true
)

// adminRules are the rules of the document, as far as they are about this place.
func (b *builder) adminRules(prefix string, at place, rules []ruleset.Rule) []ruleset.Rule {
	for _, r := range b.doc.Firewall.Rules {
		if r.Disabled || (at == toBox && r.To != "" && r.To != netcfg.Box) || (at == through && r.To == netcfg.Box) {
			continue
		}
		var match []ruleset.Statement
		if r.From != "" {
			from, ok := b.zone(r.From)
			if !ok {
				continue
			}
			match = append(match, from.in())
		}
		if r.To != "" && r.To != netcfg.Box {
			to, ok := b.zone(r.To)
			if !ok {
				continue
			}
			match = append(match, to.out())
		}
		rules = append(rules, b.adminRule(prefix, r, match)...)
	}
	return rules
}

// adminRule makes one rule, or one for each family that its addresses are of.
func (b *builder) adminRule(prefix string, r netcfg.Rule, match []ruleset.Statement) (rules []ruleset.Rule) {
	for _, addresses := range addressPairs(plain(r.Sources), plain(r.Destinations)) {
		for _, protocol := range protocols(r) {
			do := append(append(append([]ruleset.Statement{}, match...), addresses...), protocol...)
			if r.Log {
				rules = append(rules, silent(append(append([]ruleset.Statement{}, do...), ruleset.Under{Rate: logRate, Burst: logRate}, ruleset.Log{Prefix: "sanchar " + word(r.Name) + ": "})...))
			}
			rules = append(rules, b.rule(prefix+".rule."+r.Name, "Rule "+r.Name+": "+ruleWords(r), append(do, actionOf(r))...))
		}
	}
	return rules
}

// logRate is how many lines a second a rule may write into the kernel's log.
const logRate = 5

func actionOf(r netcfg.Rule) ruleset.Action {
	switch r.ActionOr() {
	case netcfg.Drop:
		return ruleset.Drop{}
	case netcfg.Reject:
		return ruleset.Reject{}
	case netcfg.Allow:
	}
	return ruleset.Accept{}
}

func ruleWords(r netcfg.Rule) string {
	what := cmp.Or(string(r.Protocol), "everything")
	for _, p := range r.Ports {
		what += " " + p.String()
	}
	done := map[netcfg.Action]string{netcfg.Allow: "allowed", netcfg.Drop: "dropped", netcfg.Reject: "refused"}[r.ActionOr()]
	return fmt.Sprintf("%s from %s to %s is %s", what, cmp.Or(r.From, "anywhere"), cmp.Or(r.To, "anywhere"), done)
}

// protocols are the alternatives of what a rule says of protocol and ports; nothing is one.
func protocols(r netcfg.Rule) [][]ruleset.Statement {
	protocol := ruleset.TCP
	switch r.Protocol {
	case netcfg.AnyProtocol:
		return [][]ruleset.Statement{nil}
	case netcfg.ICMP:
		return [][]ruleset.Statement{{ruleset.L4{Protocol: ruleset.ICMP}}, {ruleset.L4{Protocol: ruleset.ICMPv6}}}
	case netcfg.UDP:
		protocol = ruleset.UDP
	case netcfg.TCP:
	}
	if len(r.Ports) == 0 {
		return [][]ruleset.Statement{{ruleset.L4{Protocol: protocol}}}
	}
	ranges := make([]ruleset.PortRange, len(r.Ports))
	for i, p := range r.Ports {
		ranges[i] = ruleset.PortRange{First: p.First, Last: p.Last}
	}
	return [][]ruleset.Statement{{ruleset.Ports{Protocol: protocol, Side: ruleset.Dst, Ranges: ranges}}}
}

// addressPairs are the alternatives of what is said of both addresses: a packet has one family.
func addressPairs(src, dst []netip.Prefix) (pairs [][]ruleset.Statement) {
	if len(src)+len(dst) == 0 {
		return [][]ruleset.Statement{nil}
	}
	src4, src6 := byFamily(src)
	dst4, dst6 := byFamily(dst)
	for _, f := range [][2][]netip.Prefix{{src4, dst4}, {src6, dst6}} {
		if (len(src) > 0 && len(f[0]) == 0) || (len(dst) > 0 && len(f[1]) == 0) {
			continue
		}
		var pair []ruleset.Statement
		pair = append(pair, within(ruleset.Src, f[0])...)
		pair = append(pair, within(ruleset.Dst, f[1])...)
		pairs = append(pairs, pair)
	}
	return pairs
}

// within is true of packets whose address is in one of the prefixes, of one family; of none, always.
func within(side ruleset.Side, prefixes []netip.Prefix) []ruleset.Statement {
	switch {
	case len(prefixes) == 0:
		return nil
	case prefixes[0].Bits() == 0: // it covers the others
		return []ruleset.Statement{ruleset.Family{V6: prefixes[0].Addr().Is6()}}
	}
	return []ruleset.Statement{ruleset.Addresses{Side: side, Prefixes: prefixes}}
}
