package filter

import (
	"net/netip"
	"slices"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// marks are what is written on packets: the uplink that a connection came by, code points that can be
// trusted, and the class that shapers queue by.
func (b *builder) marks() {
	b.uplinkMarks()
	b.chain(ruleset.Chain{Name: "marks-own", Kind: ruleset.Filter, Hook: ruleset.Output, Priority: ruleset.Mangle, Rules: b.ownDSCP()})
	through := ruleset.Chain{Name: "marks-through", Kind: ruleset.Filter, Hook: ruleset.Forward, Priority: ruleset.Mangle, Rules: b.untrusted()}
	through.Rules = append(through.Rules, silent(ruleset.SYN{Answer: true}, ruleset.ClampMSS{})) // tunnels and PPPoE carry less than both ends think
	b.chain(through)
	b.chain(ruleset.Chain{Name: "classes", Kind: ruleset.Filter, Hook: ruleset.Postrouting, Priority: ruleset.Mangle, Rules: b.classes()})
}

// uplinkMarks make answers leave by the uplink that the question came by, where there are several.
func (b *builder) uplinkMarks() {
	if len(b.doc.Uplinks) < 2 {
		return
	}
	in := ruleset.Chain{Name: "uplinks", Kind: ruleset.Filter, Hook: ruleset.Prerouting, Priority: ruleset.Mangle}
	var links []string
	for at, u := range b.doc.Uplinks {
		links = append(links, u.Link)
		in.Rules = append(in.Rules, silent(ruleset.Interface{Names: []string{u.Link}}, ruleset.Conntrack{States: ruleset.New}, ruleset.SetConnMark{Value: netcfg.UplinkMark(at)}))
	}
	in.Rules = append(in.Rules, silent(ruleset.Interface{Not: true, Names: links}, ruleset.RestoreMark{Mask: netcfg.MarkUplinkMask}))
	b.chain(in)
	b.chain(ruleset.Chain{
		Name: "uplinks-own", Kind: ruleset.Route, Hook: ruleset.Output, Priority: ruleset.Mangle,
		Rules: []ruleset.Rule{silent(ruleset.Conntrack{States: ruleset.Established | ruleset.Related}, ruleset.RestoreMark{Mask: netcfg.MarkUplinkMask})},
	})
}

// ownDSCP gives the box's own media and signalling the code points of the document, where the sockets
// have others: those over UDP are marked by default, streams are not.
func (b *builder) ownDSCP() (rules []ruleset.Rule) {
	q := b.doc.QoS
	for _, v6 := range []bool{false, true} {
		for _, change := range []struct{ from, to uint8 }{{udpio.DSCPVoice, q.VoiceOr()}, {udpio.DSCPVideo, q.VideoOr()}} {
			if change.from != change.to && len(b.media()) > 0 {
				rules = append(rules, silent(ruleset.DSCP{V6: v6, Value: change.from},
					ruleset.Ports{Protocol: ruleset.UDP, Ranges: b.media()}, ruleset.SetDSCP{V6: v6, Value: change.to}))
			}
		}
		if q.SignallingOr() != udpio.DSCPSignaling && len(b.facts.SIPUDP) > 0 {
			rules = append(rules, silent(ruleset.Ports{Protocol: ruleset.UDP, Ranges: portRanges(b.facts.SIPUDP)}, ruleset.SetDSCP{V6: v6, Value: q.SignallingOr()}))
		}
		if len(b.facts.SIPStream) > 0 {
			rules = append(rules, silent(ruleset.Ports{Protocol: ruleset.TCP, Ranges: portRanges(b.facts.SIPStream)}, ruleset.SetDSCP{V6: v6, Value: q.SignallingOr()}))
		}
	}
	return rules
}

// untrusted clears the code points of zones whose hosts are not trusted with them (RFC 2474 §7.1).
func (b *builder) untrusted() (rules []ruleset.Rule) {
	var links []string
	for _, z := range b.zones {
		if !z.TrustDSCP {
			links = append(links, z.links...)
		}
	}
	if len(links) == 0 {
		return nil
	}
	in := ruleset.Interface{Names: links}
	return []ruleset.Rule{silent(in, ruleset.SetDSCP{}), silent(in, ruleset.SetDSCP{V6: true})}
}

// classes tell the shapers what is urgent, by code points that are ours or trusted by now.
func (b *builder) classes() (rules []ruleset.Rule) {
	if !slices.ContainsFunc(b.doc.Uplinks, func(u netcfg.Uplink) bool { return u.Shaping != nil }) {
		return nil
	}
	q := b.doc.QoS
	classify := func(c netcfg.Class, match ...ruleset.Statement) {
		rules = append(rules, silent(append(match, ruleset.SetMark{Value: uint32(c), Mask: netcfg.MarkClassMask})...))
	}
	for _, v6 := range []bool{false, true} {
		classify(netcfg.ClassVoice, ruleset.DSCP{V6: v6, Value: q.VoiceOr()})
		classify(netcfg.ClassSignalling, ruleset.DSCP{V6: v6, Value: q.SignallingOr()})
		classify(netcfg.ClassVideo, ruleset.DSCP{V6: v6, Value: q.VideoOr()})
	}
	v4, v6 := byFamily(plain(q.Bulk))
	for _, prefixes := range [][]netip.Prefix{v4, v6} {
		for _, side := range []ruleset.Side{ruleset.Src, ruleset.Dst} {
			if len(prefixes) > 0 {
				classify(netcfg.ClassBulk, within(side, prefixes)...)
			}
		}
	}
	return rules
}
