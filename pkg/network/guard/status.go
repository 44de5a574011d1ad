package guard

import (
	"errors"
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/nft"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Status is the packet filter in words, with what its rules counted.
func (g *Guard) Status() (ctl.Firewall, error) {
	g.mu.Lock()
	doc, facts, fault := g.doc, g.facts, g.fault
	g.mu.Unlock()
	st := ctl.Firewall{Enforced: !g.cfg.PlanOnly && doc != nil && fault == nil}
	st.Known, st.Unlisted = g.feed.known()
	if fault != nil {
		st.Fault = fault.Error()
	}
	if doc == nil {
		return st, nil
	}
	r := filter.Build(*doc, facts)
	st.Conflicts = filter.Conflicts(*doc, facts)
	counts, err := g.cfg.Kernel.Counts()
	st.Generation, st.Rules = r.Generation(), rulesOf(r, counts)
	if errors.Is(err, nft.ErrNoTable) {
		return st, nil
	}
	return st, errors.Join(err, g.kernelState(&st))
}

func (g *Guard) kernelState(st *ctl.Firewall) (err error) {
	if st.Foreign, err = g.cfg.Kernel.Foreign(); err != nil {
		return err
	}
	for _, name := range []string{filter.Banned4, filter.Banned6} {
		elements, err := g.cfg.Kernel.Elements(g.feed.sets[name])
		if err != nil {
			return err
		}
		for _, e := range elements {
			st.Banned = append(st.Banned, banOf(e))
		}
	}
	return nil
}

func banOf(e nft.Element) ctl.Ban {
	bits := 32
	if e.Addr.Is6() {
		bits = 64
	}
	p, _ := e.Addr.Prefix(bits) // it fits
	return ctl.Ban{Source: p, Until: time.Now().Add(e.Expires).UTC().Truncate(time.Second)}
}

// rulesOf lists the rules that are counted, in the order in which a packet meets them.
func rulesOf(r *ruleset.Ruleset, counts map[string]nft.Count) (rules []ctl.FirewallRule) {
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			if rule.Name == "" {
				continue
			}
			drops := slices.Contains(rule.Do, ruleset.Statement(ruleset.Drop{})) || slices.Contains(rule.Do, ruleset.Statement(ruleset.Reject{}))
			n := counts[rule.Name]
			rules = append(rules, ctl.FirewallRule{Name: rule.Name, Place: c.Name, Says: rule.Says, Drops: drops, Packets: n.Packets, Bytes: n.Bytes})
		}
	}
	return rules
}
