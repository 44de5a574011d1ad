// Package filter makes the box's whole packet filter out of the network document, of what the daemons
// listen on and of the addresses that links have: zones that may reach nothing but what is said,
// address translation, the sets that keep registered phones served under a flood, and marks.
package filter

import (
	"net/netip"
	"slices"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// Facts are what the ruleset depends on besides the document.
type Facts struct {
	SIPUDP    []uint16                  `json:"sip_udp,omitempty"` // ports that switchd listens on
	SIPStream []uint16                  `json:"sip_stream,omitempty"`
	Media     ruleset.PortRange         `json:"media,omitzero"`            // that mediad takes its ports from
	STUN      []uint16                  `json:"stun,omitempty"`            // of mediad: STUN and TURN
	Page      uint16                    `json:"page,omitempty"`            // of admind's page and API
	Provision uint16                    `json:"provision,omitempty"`       // that phones are set up from
	PlainProv uint16                    `json:"plain_provision,omitempty"` // the same over HTTP
	Addresses map[string][]netip.Prefix `json:"addresses,omitempty"`       // of each link, as they are now
}

// builder gathers the rules of one ruleset.
type builder struct {
	doc   netcfg.Document
	facts Facts
	zones []zone
	rules *ruleset.Ruleset
	given map[string]bool // names of counters and chains
}

// zone is a zone of the document that has links.
type zone struct {
	netcfg.Zone
	links []string
}

func (z zone) outside() bool { return z.KindOr() == netcfg.Outside }

// in and out are conditions on the zone's links.
func (z zone) in() ruleset.Statement  { return ruleset.Interface{Names: z.links} }
func (z zone) out() ruleset.Statement { return ruleset.Interface{Out: true, Names: z.links} }

// Build makes the ruleset of a document that is valid.
func Build(doc netcfg.Document, facts Facts) *ruleset.Ruleset {
	b := &builder{doc: doc, facts: facts, rules: &ruleset.Ruleset{Sets: Sets()}, given: map[string]bool{}}
	for _, z := range doc.Zones {
		if links := doc.InZone(z.Name); len(links) > 0 {
			b.zones = append(b.zones, zone{z, links})
		}
	}
	b.raw()
	b.marks()
	b.input()
	b.forward()
	b.nat()
	return b.rules
}

// chain adds a chain with the rules, unless it has no use: an empty base chain that accepts.
func (b *builder) chain(c ruleset.Chain) {
	if len(c.Rules) == 0 && c.Hook != "" && !c.Drop {
		return
	}
	b.rules.Chains = append(b.rules.Chains, c)
}

// inside returns the links of all zones but those outside.
func (b *builder) inside() (links []string) {
	for _, z := range b.zones {
		if !z.outside() {
			links = append(links, z.links...)
		}
	}
	return links
}

// offering returns the links of the zones that may reach a service.
func (b *builder) offering(s netcfg.Service) (links []string) {
	for _, z := range b.zones {
		if z.Offers(s) {
			links = append(links, z.links...)
		}
	}
	return links
}

func (b *builder) zone(name string) (zone, bool) {
	i := slices.IndexFunc(b.zones, func(z zone) bool { return z.Name == name })
	if i < 0 {
		return zone{}, false
	}
	return b.zones[i], true
}

// addresses returns the box's addresses in a zone, those of the document and those that the links have.
func (b *builder) addresses(z zone) (all []netip.Addr) {
	for _, link := range z.links {
		i, _ := b.doc.Interface(link)
		for _, p := range i.Addresses {
			all = append(all, p.Addr())
		}
		for _, p := range b.facts.Addresses[link] {
			all = append(all, p.Addr())
		}
	}
	all = slices.DeleteFunc(all, netip.Addr.IsLinkLocalUnicast)
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// networks returns the networks that are on the zone's links, and those routed behind them.
func (b *builder) networks(z zone) (all []netip.Prefix) {
	for _, link := range z.links {
		i, _ := b.doc.Interface(link)
		for _, p := range i.Addresses {
			all = append(all, p.Masked())
		}
		for _, p := range b.facts.Addresses[link] {
			all = append(all, p.Masked())
		}
		for _, r := range b.doc.Routes {
			if r.Link == link {
				all = append(all, r.To.Masked())
			}
		}
	}
	return networksOf(slices.DeleteFunc(all, func(p netip.Prefix) bool { return p.Bits() == 0 || p.Addr().IsLinkLocalUnicast() }))
}

// networksOf sorts prefixes and leaves out those within others.
func networksOf(all []netip.Prefix) (out []netip.Prefix) {
	slices.SortFunc(all, func(a, c netip.Prefix) int {
		if n := a.Addr().Compare(c.Addr()); n != 0 {
			return n
		}
		return a.Bits() - c.Bits()
	})
	for _, p := range all {
		covered := len(out) > 0 && out[len(out)-1].Overlaps(p)
		if !covered {
			out = append(out, p)
		}
	}
	return out
}

// byFamily splits prefixes into those of IPv4 and of IPv6.
func byFamily(all []netip.Prefix) (v4, v6 []netip.Prefix) {
	for _, p := range all {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return v4, v6
}

// plain takes the addresses out of the document's type.
func plain(prefixes []netcfg.Prefix) (out []netip.Prefix) {
	for _, p := range prefixes {
		out = append(out, p.Masked())
	}
	return networksOf(out)
}
