// Package ruleset is a packet filter's ruleset as a value: one table of sets, counters and chains,
// with a text form that people and nft(8) can read. It knows no kernel and no zones.
package ruleset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Table is the name of our table, of the family inet: its rules see IPv4 and IPv6. What stands in
// other tables is not ours.
const Table = "sanchar"

// GenerationPrefix begins the name of an empty chain that says which ruleset the table holds.
const GenerationPrefix = "generation."

// Ruleset is all that our table holds.
type Ruleset struct {
	Sets   []Set
	Chains []Chain
}

// Set is a named set of addresses. Its elements are not part of the ruleset: they come and go.
type Set struct {
	Name    string
	V6      bool          // of IPv6 addresses
	Size    uint32        // elements at most: the kernel refuses more
	Timeout time.Duration // of elements that say nothing else; 0 for sets without time
	Dynamic bool          // rules add to it
}

// Hook is where in the kernel's path a chain is called.
type Hook string

// The hooks (nft(8), "address families").
const (
	Prerouting  Hook = "prerouting"
	Input       Hook = "input"
	Forward     Hook = "forward"
	Output      Hook = "output"
	Postrouting Hook = "postrouting"
)

// Kind says what a chain's rules may do.
type Kind string

// The kinds of base chains.
const (
	Filter Kind = "filter"
	NAT    Kind = "nat"
	Route  Kind = "route" // the route is looked up again after a new mark
)

// Priorities of base chains, by what stands before and after them in the kernel.
const (
	Raw    = -300 // before connection tracking
	Mangle = -150
	DstNAT = -100
	Normal = 0
	SrcNAT = 100
)

// Chain is a list of rules. One with a hook is called by the kernel, one without by a jump.
type Chain struct {
	Name     string
	Kind     Kind
	Hook     Hook
	Priority int
	Drop     bool // what no rule decides is dropped
	Rules    []Rule
}

// Rule is what happens to a packet that fulfils all conditions. Conditions and actions are
// evaluated in their order.
type Rule struct {
	Name string // of its counter, unique in the table; "" for rules that nobody counts
	Says string // what it does, in words for an admin
	Do   []Statement
}

// Statement is a condition or an action. The types of this package are all there are.
type Statement interface {
	fmt.Stringer
	statement()
}

// Counters returns the names of all counters, in the order of the rules.
func (r *Ruleset) Counters() (names []string) {
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			if rule.Name != "" && !slices.Contains(names, rule.Name) {
				names = append(names, rule.Name)
			}
		}
	}
	return names
}

// Rule returns the first rule with this name.
func (r *Ruleset) Rule(name string) (rule Rule, chain string, ok bool) {
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			if rule.Name == name {
				return rule, c.Name, true
			}
		}
	}
	return Rule{}, "", false
}

// Generation identifies the ruleset: two that differ in any rule have different ones.
func (r *Ruleset) Generation() string {
	sum := sha256.Sum256([]byte(r.String()))
	return GenerationPrefix + hex.EncodeToString(sum[:12])
}

// String returns the ruleset as nft(8) reads it.
func (r *Ruleset) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", Table)
	for _, name := range r.Counters() {
		fmt.Fprintf(&b, "\tcounter %s {\n\t\tpackets 0 bytes 0\n\t}\n", name)
	}
	for _, s := range r.Sets {
		b.WriteString(s.String())
	}
	for _, c := range r.Chains {
		b.WriteString(c.String())
	}
	b.WriteString("}\n")
	return b.String()
}

// String returns the set's declaration.
func (s Set) String() string {
	kind, flags := "ipv4_addr", []string{}
	if s.V6 {
		kind = "ipv6_addr"
	}
	if s.Dynamic {
		flags = append(flags, "dynamic")
	}
	if s.Timeout > 0 {
		flags = append(flags, "timeout")
	}
	text := fmt.Sprintf("\tset %s {\n\t\ttype %s\n\t\tsize %d\n", s.Name, kind, s.Size)
	if len(flags) > 0 {
		text += "\t\tflags " + strings.Join(flags, ",") + "\n"
	}
	if s.Timeout > 0 {
		text += fmt.Sprintf("\t\ttimeout %ds\n", int(s.Timeout.Seconds()))
	}
	return text + "\t}\n"
}

// String returns the chain with its rules.
func (c Chain) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\tchain %s {\n", c.Name)
	if c.Hook != "" {
		policy := "accept"
		if c.Drop {
			policy = "drop"
		}
		fmt.Fprintf(&b, "\t\ttype %s hook %s priority %d; policy %s;\n", c.Kind, c.Hook, c.Priority, policy)
	}
	for _, rule := range c.Rules {
		b.WriteString("\t\t" + rule.String() + "\n")
	}
	b.WriteString("\t}\n")
	return b.String()
}

// String returns the rule. Its counter stands before the first action, so that it counts what the
// rule acted on.
func (r Rule) String() string {
	words := make([]string, 0, len(r.Do)+2)
	counted := r.Name == ""
	for _, s := range r.Do {
		if _, acts := s.(Action); acts && !counted {
			words, counted = append(words, "counter name "+r.Name), true
		}
		words = append(words, s.String())
	}
	if !counted {
		words = append(words, "counter name "+r.Name)
	}
	if r.Name != "" {
		words = append(words, fmt.Sprintf("comment %q", r.Name))
	}
	return strings.Join(words, " ")
}
