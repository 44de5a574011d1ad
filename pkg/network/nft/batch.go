package nft

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"

	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// elementsPerMessage keeps a message of set elements below 64 KiB, which is what the length of its
// attribute can say.
const elementsPerMessage = 500

// batch gathers the messages of one transaction.
type batch struct {
	conn  *nftables.Conn
	table *nftables.Table
	ids   uint32 // of the sets made in it
}

// replace turns what is there into the ruleset. Base chains stay in place, so that no packet finds
// a hook without them; sets and counters stay with what they hold.
func (b *batch) replace(have *present, r *ruleset.Ruleset) error {
	b.conn.AddTable(b.table)
	b.conn.FlushTable(b.table)
	b.dropChains(have, r)
	if err := b.sets(have, r); err != nil {
		return err
	}
	b.counters(have, r)
	for _, c := range r.Chains {
		b.conn.AddChain(b.chain(c))
	}
	b.conn.AddChain(&nftables.Chain{Name: r.Generation(), Table: b.table})
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			if err := b.rule(c.Name, rule); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *batch) dropChains(have *present, r *ruleset.Ruleset) {
	for name, chain := range have.chains {
		i := slices.IndexFunc(r.Chains, func(c ruleset.Chain) bool { return c.Name == name })
		if i < 0 || !sameHook(chain, r.Chains[i]) {
			b.conn.DelChain(&nftables.Chain{Name: name, Table: b.table})
		}
	}
}

// sets removes sets that are wanted no more, or otherwise, and makes those that are missing.
func (b *batch) sets(have *present, r *ruleset.Ruleset) error {
	for name, set := range have.sets {
		i := slices.IndexFunc(r.Sets, func(s ruleset.Set) bool { return s.Name == name })
		if i < 0 || !sameSet(set, r.Sets[i]) {
			b.conn.DelSet(&nftables.Set{Table: b.table, Name: name})
		}
	}
	for _, s := range r.Sets {
		if set := have.sets[s.Name]; set != nil && sameSet(set, s) {
			continue
		}
		made := namedSet(b.table, s)
		made.ID = b.nextID()
		if err := b.conn.AddSet(made, nil); err != nil {
			return fmt.Errorf("set %s: %w", s.Name, err)
		}
	}
	return nil
}

func namedSet(t *nftables.Table, s ruleset.Set) *nftables.Set {
	return &nftables.Set{
		Table: t, Name: s.Name, KeyType: keyType(s), Size: s.Size, Dynamic: s.Dynamic,
		HasTimeout: s.Timeout > 0, Timeout: s.Timeout, KeyByteOrder: binaryutil.BigEndian,
	}
}

func (b *batch) nextID() uint32 {
	b.ids++
	return b.ids
}

func (b *batch) counters(have *present, r *ruleset.Ruleset) {
	wanted := r.Counters()
	for _, name := range have.counters {
		if !slices.Contains(wanted, name) {
			b.conn.DeleteObject(b.counter(name))
		}
	}
	for _, name := range wanted {
		if !slices.Contains(have.counters, name) {
			b.conn.AddObject(b.counter(name))
		}
	}
}

func (b *batch) counter(name string) *nftables.NamedObj {
	return &nftables.NamedObj{Table: b.table, Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}}
}

func (b *batch) chain(c ruleset.Chain) *nftables.Chain {
	made := &nftables.Chain{Name: c.Name, Table: b.table}
	if c.Hook == "" {
		return made
	}
	policy := nftables.ChainPolicyAccept
	if c.Drop {
		policy = nftables.ChainPolicyDrop
	}
	made.Hooknum, made.Priority = hook(c.Hook), nftables.ChainPriorityRef(nftables.ChainPriority(c.Priority))
	made.Type, made.Policy = nftables.ChainType(c.Kind), &policy
	return made
}

func (b *batch) rule(chain string, r ruleset.Rule) error {
	e := &encoder{batch: b}
	exprs, err := e.rule(&r)
	if err != nil {
		return err
	}
	made := &nftables.Rule{Table: b.table, Chain: &nftables.Chain{Name: chain}, Exprs: exprs}
	if r.Name != "" {
		made.UserData = userdata.AppendString(nil, userdata.TypeComment, r.Name)
	}
	b.conn.AddRule(made)
	return nil
}

// anonymous makes a constant set for the rule that is being encoded. The kernel names it.
func (b *batch) anonymous(set *nftables.Set, elements []nftables.SetElement) error {
	set.Table, set.Anonymous, set.Constant = b.table, true, true
	set.ID, set.Name = b.nextID(), "__set%d"
	if err := b.conn.AddSet(set, elements[:min(len(elements), elementsPerMessage)]); err != nil {
		return err
	}
	open := *set
	open.Anonymous = false // the library adds to named sets only; the kernel knows this one by its id
	for rest := elements[min(len(elements), elementsPerMessage):]; len(rest) > 0; {
		n := min(len(rest), elementsPerMessage)
		if err := b.conn.SetAddElements(&open, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}
