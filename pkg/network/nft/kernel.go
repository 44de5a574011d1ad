// Package nft puts a ruleset into the kernel as one transaction, reads back what is there, and feeds
// its sets.
package nft

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"

	"github.com/coraltele/sanchar/pkg/network/mediapath"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// Bounds of the socket to the kernel. A transaction is one message to it, and each part of it is
// acknowledged: a ruleset of 4,000 rules takes about 2 MB there and back.
const (
	socketBuffer = 32 << 20
	answerLimit  = time.Minute // for the kernel to answer a transaction: 6,000 rules took 7 s
)

// Kernel is the packet filter of one network namespace. Its methods may be called from any goroutine.
type Kernel struct {
	ns int // descriptor of the namespace; 0 is the caller's

	mu sync.Mutex // one transaction after the other: each begins with a look at what is there
}

// New returns the packet filter of the namespace with this descriptor; 0 means the one that the
// caller of each method is in.
func New(ns int) *Kernel { return &Kernel{ns: ns} }

func (k *Kernel) conn() (*nftables.Conn, error) {
	return nftables.New(nftables.WithNetNSFd(k.ns), nftables.WithSockOptions(socketOptions))
}

func socketOptions(c *netlink.Conn) error {
	return errors.Join(c.SetReadBuffer(socketBuffer), c.SetWriteBuffer(socketBuffer), c.SetDeadline(time.Now().Add(answerLimit)))
}

func table() *nftables.Table {
	return &nftables.Table{Name: ruleset.Table, Family: nftables.TableFamilyINet}
}

// Apply makes our table hold the ruleset, in one transaction: a packet meets the old rules or the new
// ones. What the sets hold stays. It reports false if the table held the ruleset already.
func (k *Kernel) Apply(r *ruleset.Ruleset) (changed bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, err := k.conn()
	if err != nil {
		return false, fmt.Errorf("open the packet filter: %w", err)
	}
	b := &batch{conn: c, table: table()}
	have, err := k.read(c)
	if err == nil && have.holds(r) {
		return false, nil
	}
	if err != nil && have != nil && have.exists { // somebody put into it what cannot be read: it is made anew
		c.DelTable(b.table)
		have, err = &present{}, nil
	}
	if err != nil {
		return false, err
	}
	if err := b.replace(have, r); err != nil {
		return false, fmt.Errorf("make the ruleset: %w", err)
	}
	return true, k.commit(c, r)
}

// commit sends the transaction. Answers to a large one may not all fit into the socket: what counts
// then is what the kernel holds.
func (k *Kernel) commit(c *nftables.Conn, r *ruleset.Ruleset) error {
	flushErr := c.Flush()
	if flushErr == nil {
		return nil
	}
	if holds, err := k.Holds(r); err != nil || !holds {
		return fmt.Errorf("replace the ruleset: %w", errors.Join(flushErr, err))
	}
	return nil
}

// Remove takes our table away.
func (k *Kernel) Remove() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, err := k.conn()
	if err != nil {
		return fmt.Errorf("open the packet filter: %w", err)
	}
	have, err := k.read(c)
	if err != nil || !have.exists {
		return err
	}
	c.DelTable(table())
	if err := c.Flush(); err != nil {
		return fmt.Errorf("remove the ruleset: %w", err)
	}
	return nil
}

// Holds reports whether our table holds exactly this ruleset.
func (k *Kernel) Holds(r *ruleset.Ruleset) (bool, error) {
	c, err := k.conn()
	if err != nil {
		return false, fmt.Errorf("open the packet filter: %w", err)
	}
	have, err := k.read(c)
	return err == nil && have.holds(r), err
}

// Foreign returns the tables that are not ours, such as "inet docker". They are left alone.
func (k *Kernel) Foreign() (names []string, err error) {
	c, err := k.conn()
	if err != nil {
		return nil, fmt.Errorf("open the packet filter: %w", err)
	}
	tables, err := c.ListTables()
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	for _, t := range tables {
		if !ours(t) && (t.Name != mediapath.TableName || t.Family != nftables.TableFamilyNetdev) {
			names = append(names, familyName(t.Family)+" "+t.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func ours(t *nftables.Table) bool {
	return t.Name == ruleset.Table && t.Family == nftables.TableFamilyINet
}

func familyName(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyINet:
		return "inet"
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	case nftables.TableFamilyARP:
		return "arp"
	case nftables.TableFamilyNetdev:
		return "netdev"
	case nftables.TableFamilyBridge:
		return "bridge"
	case nftables.TableFamilyUnspecified:
	}
	return fmt.Sprint(byte(f))
}

// present is what our table holds, as far as it takes to tell one ruleset from another.
type present struct {
	exists   bool
	chains   map[string]*nftables.Chain
	rules    map[string][]string // comments of each chain's rules, "" for those without
	sets     map[string]*nftables.Set
	counters []string
}

func (k *Kernel) read(c *nftables.Conn) (*present, error) {
	p := &present{chains: map[string]*nftables.Chain{}, sets: map[string]*nftables.Set{}}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	if p.exists = slices.ContainsFunc(tables, ours); !p.exists {
		return p, nil
	}
	for _, part := range []func(*nftables.Conn) error{p.readChains, p.readSets, p.readCounters} {
		if err := part(c); err != nil {
			return p, err
		}
	}
	p.rules, err = k.comments()
	return p, err
}

func (p *present) readChains(c *nftables.Conn) error {
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return fmt.Errorf("list chains: %w", err)
	}
	for _, chain := range chains {
		if chain.Table.Name != ruleset.Table {
			continue
		}
		p.chains[chain.Name] = chain
	}
	return nil
}

func (p *present) readSets(c *nftables.Conn) error {
	sets, err := c.GetSets(table())
	if err != nil {
		return fmt.Errorf("list sets: %w", err)
	}
	for _, s := range sets {
		if !s.Anonymous {
			p.sets[s.Name] = s
		}
	}
	return nil
}

func (p *present) readCounters(c *nftables.Conn) error {
	objects, err := c.GetNamedObjects(table())
	if err != nil {
		return fmt.Errorf("list counters: %w", err)
	}
	for _, o := range objects {
		if named, ok := o.(*nftables.NamedObj); ok && named.Type == nftables.ObjTypeCounter {
			p.counters = append(p.counters, named.Name)
		}
	}
	return nil
}

// holds compares by the generation that the table names, and by the rules and sets that stand there:
// somebody may have removed one by hand.
func (p *present) holds(r *ruleset.Ruleset) bool {
	if !p.exists || p.chains[r.Generation()] == nil || len(p.chains) != len(r.Chains)+1 || len(p.sets) != len(r.Sets) {
		return false
	}
	for _, s := range r.Sets {
		if have := p.sets[s.Name]; have == nil || !sameSet(have, s) {
			return false
		}
	}
	for _, c := range r.Chains {
		have := p.chains[c.Name]
		if have == nil || !sameChain(have, c) || !slices.EqualFunc(p.rules[c.Name], c.Rules, func(name string, rule ruleset.Rule) bool { return name == rule.Name }) {
			return false
		}
	}
	return true
}

func sameSet(have *nftables.Set, want ruleset.Set) bool {
	return have.KeyType.Bytes == keyType(want).Bytes && have.Size == want.Size && have.Dynamic == want.Dynamic && have.Timeout == want.Timeout
}

func keyType(s ruleset.Set) nftables.SetDatatype {
	if s.V6 {
		return nftables.TypeIP6Addr
	}
	return nftables.TypeIPAddr
}

// sameChain compares what cannot be changed in place, and the policy.
func sameChain(have *nftables.Chain, want ruleset.Chain) bool {
	return sameHook(have, want) && (want.Hook == "" || (have.Policy != nil && (*have.Policy == nftables.ChainPolicyDrop) == want.Drop))
}

func sameHook(have *nftables.Chain, want ruleset.Chain) bool {
	if have.Hooknum == nil || want.Hook == "" {
		return have.Hooknum == nil && want.Hook == ""
	}
	return *have.Hooknum == *hook(want.Hook) && int(*have.Priority) == want.Priority && have.Type == nftables.ChainType(want.Kind)
}

func hook(h ruleset.Hook) *nftables.ChainHook {
	switch h {
	case ruleset.Prerouting:
		return nftables.ChainHookPrerouting
	case ruleset.Input:
		return nftables.ChainHookInput
	case ruleset.Forward:
		return nftables.ChainHookForward
	case ruleset.Output:
		return nftables.ChainHookOutput
	case ruleset.Postrouting:
		return nftables.ChainHookPostrouting
	}
	return nil
}

// Generation returns the generation that our table names; "" if it names none.
func (k *Kernel) Generation() (string, error) {
	c, err := k.conn()
	if err != nil {
		return "", fmt.Errorf("open the packet filter: %w", err)
	}
	have, err := k.read(c)
	if err != nil {
		return "", err
	}
	for name := range have.chains {
		if strings.HasPrefix(name, ruleset.GenerationPrefix) {
			return name, nil
		}
	}
	return "", nil
}
