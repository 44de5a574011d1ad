package ruleset

import (
	"net/netip"
	"testing"
	"time"
)

func prefix(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }

// What the packet filter of a box uses is compared with nft(8) itself, in package nft; here are the
// forms that depend on values.
func TestStatementsAsText(t *testing.T) {
	t.Parallel()
	six := netip.MustParseAddr("2001:db8::5")
	for want, s := range map[string]Statement{
		`iifname "eth0"`:                 Interface{Names: []string{"eth0"}},
		`oifname != { "eth0", "eth1" }`:  Interface{Out: true, Not: true, Names: []string{"eth0", "eth1"}},
		"udp sport 5060-5061":            Ports{Protocol: UDP, Ranges: []PortRange{{5060, 5061}}},
		"tcp dport { 1, 5-6 }":           Ports{Protocol: TCP, Side: Dst, Ranges: []PortRange{{1, 1}, {5, 6}}},
		"ip saddr != 10.0.0.0/8":         Addresses{Not: true, Prefixes: prefix("10.0.0.0/8")},
		"ip6 daddr 2001:db8::5":          Addresses{Side: Dst, Prefixes: prefix("2001:db8::5/128")},
		"ct state established,related":   Conntrack{States: Established | Related},
		"ct state new,invalid,untracked": Conntrack{States: New | Invalid | Untracked},
		"fib saddr type != local":        Local{Not: true},
		"icmpv6 type 128":                ICMPTypes{V6: true, Types: []uint8{128}},
		"meta l4proto 47":                L4{Protocol: 47},
		"snat ip6 to [2001:db8::5]:1-2":  SNAT{To: six, Ports: PortRange{1, 2}},
		"snat ip6 to 2001:db8::5":        SNAT{To: six},
		"dnat ip6 to 2001:db8::5":        DNAT{To: six},
		"dnat ip6 to [2001:db8::5]:80":   DNAT{To: six, Protocol: TCP, Ports: PortRange{8080, 8080}, First: 80},
		"ip saddr != @known":             Member{Set: "known", Not: true},
		"ip6 saddr @known":               Member{Set: "known", V6: true},
		"ip6 dscp set 0x2e":              SetDSCP{V6: true, Value: 46},
		"tcp flags & (syn | rst) == syn": SYN{Answer: true},
		`log prefix "a: "`:               Log{Prefix: "a: "},
		"ct mark set 0x00000100":         SetConnMark{Value: 0x100},
	} {
		if got := s.String(); got != want {
			t.Errorf("%T is %q, want %q", s, got, want)
		}
	}
	ports := DNAT{To: netip.MustParseAddr("10.0.0.1"), Protocol: UDP, Ports: PortRange{7, 8}, First: 70}
	if got, want := ports.String(), "dnat ip to 10.0.0.1 : udp dport map { 7 : 70, 8 : 71 }"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGenerationTellsRulesetsApart(t *testing.T) {
	t.Parallel()
	with := func(change func(*Ruleset)) string {
		r := &Ruleset{
			Sets:   []Set{{Name: "s", Size: 1, Timeout: time.Minute}},
			Chains: []Chain{{Name: "c", Kind: Filter, Hook: Input, Drop: true, Rules: []Rule{{Name: "a", Says: "words", Do: []Statement{Drop{}}}}}},
		}
		change(r)
		return r.Generation()
	}
	same := with(func(*Ruleset) {})
	if got := with(func(r *Ruleset) { r.Chains[0].Rules[0].Says = "other words" }); got != same {
		t.Error("words alone make another ruleset")
	}
	for name, change := range map[string]func(*Ruleset){
		"policy":  func(r *Ruleset) { r.Chains[0].Drop = false },
		"size":    func(r *Ruleset) { r.Sets[0].Size = 2 },
		"verdict": func(r *Ruleset) { r.Chains[0].Rules[0].Do[0] = Accept{} },
		"name":    func(r *Ruleset) { r.Chains[0].Rules[0].Name = "b" },
	} {
		if with(change) == same {
			t.Errorf("another %s makes no other ruleset", name)
		}
	}
}

func TestTheCounterStandsBeforeTheFirstAction(t *testing.T) {
	t.Parallel()
	r := Rule{Name: "n", Do: []Statement{L4{Protocol: TCP}, Accept{}}}
	if got, want := r.String(), `meta l4proto tcp counter name n accept comment "n"`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	set := &Ruleset{Chains: []Chain{{Name: "c", Rules: []Rule{r, r, {Do: []Statement{Drop{}}}}}}}
	if names := set.Counters(); len(names) != 1 || names[0] != "n" {
		t.Errorf("counters are %v", names)
	}
	if _, chain, ok := set.Rule("n"); !ok || chain != "c" {
		t.Errorf("rule n stands in %q", chain)
	}
}
