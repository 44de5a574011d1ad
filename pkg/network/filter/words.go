package filter

import (
	"fmt"
	"strings"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// maxName bounds the name of a counter: a rule's comment holds 128 bytes in all.
const maxName = 100

// rule makes a rule that is counted under a name: parts of what it is about, joined by dots.
func (b *builder) rule(name, says string, do ...ruleset.Statement) ruleset.Rule {
	return ruleset.Rule{Name: b.name(name), Says: says, Do: do}
}

// silent makes a rule that nobody counts or sees.
func silent(do ...ruleset.Statement) ruleset.Rule { return ruleset.Rule{Do: do} }

// name makes a name out of one that may hold anything; each is given once.
func (b *builder) name(name string) string {
	base := word(name)
	name = base
	for n := 2; b.given[name]; n++ {
		name = fmt.Sprintf("%s.%d", base, n)
	}
	b.given[name] = true
	return name
}

// word keeps what nft(8) takes in a name, which begins with a letter.
func word(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '_'
	}, name)
	return name[:min(len(name), maxName)]
}

// people names those in a zone.
func (z zone) people() string {
	switch z.KindOr() {
	case netcfg.Management:
		return "Admins in " + z.Name
	case netcfg.Voice:
		return "Phones in " + z.Name
	case netcfg.Guest:
		return "Guests in " + z.Name
	case netcfg.Outside:
		return "Anybody in " + z.Name
	case netcfg.Custom:
	}
	return "Hosts in " + z.Name
}

// may says what those in a zone may do.
func (z zone) may(what string) string { return z.people() + " may " + what }
