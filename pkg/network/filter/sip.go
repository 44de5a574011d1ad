package filter

import (
	"time"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// Names of the sets. Those that end in 4 hold IPv4 addresses; those in 6, IPv6 addresses, or the first
// 64 bits of them where a host has as many addresses as it likes.
const (
	Known4, Known6         = "known4", "known6"
	Banned4, Banned6       = "banned4", "banned6"
	strangers4, strangers6 = "strangers4", "strangers6"
	callers4, callers6     = "callers4", "callers6"
	openers4, openers6     = "openers4", "openers6"
	sipConns4, sipConns6   = "sipconns4", "sipconns6"
	pageConns4, pageConns6 = "pageconns4", "pageconns6"
)

// Sizes of the sets. An element costs about 150 bytes of the kernel, one with a rate or a list of
// connections 300: all of them full take 50 MB.
const (
	knownSize    = 65_536 // sources of registered devices; a box has 10,000 users at most
	bannedSize   = 16_384 // switchd remembers 8,192
	strangerSize = 65_536 // a flood from more sources meets the cap of all strangers
	connSize     = 16_384 // sources with connections
)

// Times of the sets' elements.
const (
	knownTime    = time.Hour        // after the last registration
	bannedTime   = 10 * time.Minute // the first ban; each element has its own
	strangerTime = time.Minute      // a source that sends nothing for so long starts anew
)

// What one known source may send: twice what switchd takes of it, so that it is switchd that answers
// a busy office, and the kernel that stops a flood in its name.
const knownRate, knownBurst = 400, 400

// pingRate bounds echo requests to the box, of all zones together.
const pingRate = 200

// Sets are the named sets, always all of them: what they hold outlives a change of the rules.
func Sets() []ruleset.Set {
	pair := func(name4, name6 string, s ruleset.Set) []ruleset.Set {
		four, six := s, s
		four.Name, six.Name, six.V6 = name4, name6, true
		return []ruleset.Set{four, six}
	}
	var all []ruleset.Set
	all = append(all, pair(Known4, Known6, ruleset.Set{Size: knownSize, Timeout: knownTime})...)
	all = append(all, pair(Banned4, Banned6, ruleset.Set{Size: bannedSize, Timeout: bannedTime})...)
	all = append(all, pair(callers4, callers6, ruleset.Set{Size: knownSize, Timeout: strangerTime, Dynamic: true})...)
	all = append(all, pair(strangers4, strangers6, ruleset.Set{Size: strangerSize, Timeout: strangerTime, Dynamic: true})...)
	all = append(all, pair(openers4, openers6, ruleset.Set{Size: strangerSize, Timeout: strangerTime, Dynamic: true})...)
	all = append(all, pair(sipConns4, sipConns6, ruleset.Set{Size: connSize, Dynamic: true})...)
	all = append(all, pair(pageConns4, pageConns6, ruleset.Set{Size: connSize, Dynamic: true})...)
	return all
}

// Chains that rules jump to.
const (
	sipChain   = "sip"
	knownChain = "sip-known"
)

// raw is the first thing that a packet meets, before it costs an entry of connection tracking.
func (b *builder) raw() {
	pre := ruleset.Chain{Name: "first", Kind: ruleset.Filter, Hook: ruleset.Prerouting, Priority: ruleset.Raw}
	pre.Rules = append(pre.Rules, silent(ruleset.Interface{Names: []string{"lo"}}, ruleset.Accept{}))
	pre.Rules = append(pre.Rules, b.spoofed()...)
	pre.Rules = append(pre.Rules, b.sipFirst()...)
	b.sipChains()
	b.chain(pre)
	b.chain(ruleset.Chain{
		Name: "first-out", Kind: ruleset.Filter, Hook: ruleset.Output, Priority: ruleset.Raw,
		Rules: untracked(ruleset.Src, append(portRanges(b.facts.SIPUDP), b.media()...)),
	})
}

// media are the ports of mediad, if it has told them.
func (b *builder) media() []ruleset.PortRange {
	ranges := portRanges(b.facts.STUN)
	if b.facts.Media.Last > 0 {
		ranges = append(ranges, b.facts.Media)
	}
	return ranges
}

func portRanges(ports []uint16) (out []ruleset.PortRange) {
	for _, p := range ports {
		out = append(out, ruleset.PortRange{First: p, Last: p})
	}
	return out
}

// untracked keeps the box's own SIP and media over UDP out of connection tracking: a flood fills no
// table, and a stream costs no look-up.
func untracked(side ruleset.Side, ports []ruleset.PortRange) []ruleset.Rule {
	if len(ports) == 0 {
		return nil
	}
	return []ruleset.Rule{silent(ruleset.Ports{Protocol: ruleset.UDP, Side: side, Ranges: ports}, ruleset.NoTrack{})}
}

// sipFirst sends SIP to the box through the chain that knows registered sources from strangers.
func (b *builder) sipFirst() (rules []ruleset.Rule) {
	links := b.offering(netcfg.ServeSIP)
	udp, stream := portRanges(b.facts.SIPUDP), portRanges(b.facts.SIPStream)
	if len(links) > 0 && len(udp) > 0 {
		rules = append(rules, silent(ruleset.Interface{Names: links}, ruleset.Ports{Protocol: ruleset.UDP, Side: ruleset.Dst, Ranges: udp}, ruleset.Local{Side: ruleset.Dst}, ruleset.Jump{Chain: sipChain}))
	}
	if len(links) > 0 && len(stream) > 0 {
		rules = append(rules, b.banned("tcp", ruleset.Ports{Protocol: ruleset.TCP, Side: ruleset.Dst, Ranges: stream}, ruleset.Local{Side: ruleset.Dst})...)
		rules = append(rules, silent(
			ruleset.Interface{Names: links}, ruleset.Ports{Protocol: ruleset.TCP, Side: ruleset.Dst, Ranges: stream}, ruleset.SYN{}, ruleset.Local{Side: ruleset.Dst}, ruleset.Jump{Chain: sipChain}))
	}
	for _, rule := range untracked(ruleset.Dst, append(udp, b.media()...)) {
		rules = append(rules, silent(rule.Do[0], ruleset.Local{Side: ruleset.Dst}, ruleset.NoTrack{}))
	}
	return rules
}

func (b *builder) banned(name string, first ...ruleset.Statement) (rules []ruleset.Rule) {
	for _, v6 := range []bool{false, true} {
		set := ruleset.Member{Set: pick(v6, Banned4, Banned6), V6: v6, Wide: v6}
		rules = append(rules, b.rule("sip.banned."+name+"."+family(v6), "Sources that guessed passwords too often are dropped until their time is over",
			append(append([]ruleset.Statement{}, first...), set, ruleset.Drop{})...))
	}
	return rules
}

// sipChains are for SIP to the box: the banned are dropped, each registered source has much, each
// stranger little, and all strangers together no more than leaves the box to the registered.
func (b *builder) sipChains() {
	if len(b.offering(netcfg.ServeSIP)) == 0 || len(b.facts.SIPUDP)+len(b.facts.SIPStream) == 0 {
		return
	}
	limits := b.doc.Firewall.Limits
	known := ruleset.Chain{Name: knownChain}
	sip := ruleset.Chain{Name: sipChain, Rules: b.banned("udp")}
	for _, v6 := range []bool{false, true} {
		known.Rules = append(known.Rules, b.rule("sip.known.over."+family(v6), "A registered phone's address may send 400 packets a second to SIP",
			ruleset.Meter{Set: pick(v6, callers4, callers6), V6: v6, Rate: knownRate, Burst: knownBurst}, ruleset.Drop{}))
		sip.Rules = append(sip.Rules, b.rule("sip.known."+family(v6), "Registered phones are served before strangers",
			ruleset.Member{Set: pick(v6, Known4, Known6), V6: v6}, ruleset.Goto{Chain: knownChain}))
	}
	for _, v6 := range []bool{false, true} {
		sip.Rules = append(sip.Rules, b.rule("sip.stranger.over."+family(v6), "One unknown source may send little to SIP", ruleset.Meter{
			Set: pick(v6, strangers4, strangers6), V6: v6, Wide: true,
			Rate: uint32(limits.StrangerRateOr()), Burst: uint32(limits.StrangerBurstOr()),
		}, ruleset.Drop{}))
	}
	all := uint32(limits.AllStrangersRateOr())
	sip.Rules = append(sip.Rules, b.rule("sip.strangers.over", "All unknown sources together may send so much to SIP and no more", ruleset.Over{Rate: all, Burst: all}, ruleset.Drop{}))
	b.chain(known)
	b.chain(sip)
}

func pick(v6 bool, four, six string) string {
	if v6 {
		return six
	}
	return four
}

func family(v6 bool) string { return pick(v6, "ipv4", "ipv6") }
