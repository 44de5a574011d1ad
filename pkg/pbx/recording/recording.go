// Package recording decides which calls are recorded, and which keys mean what during one. It is
// pure but for the document that holds the policy.
package recording

import (
	"fmt"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// Limits of a policy: an admin reads it, and each call looks at all of it.
const (
	maxRules    = 100
	maxPatterns = 1000 // of one rule
	maxPattern  = 100  // bytes
	maxName     = 60   // letters
	minBeep     = 5    // seconds: more often nobody could talk
	maxBeep     = 300
	maxCode     = 4 // keys
)

// Schema is that of the document.
func Schema() conf.Schema[ctl.RecordingPolicy] {
	return conf.Schema[ctl.RecordingPolicy]{Default: Default, Validate: Faults}
}

// Default is the policy of a new box: nothing is recorded.
func Default() ctl.RecordingPolicy {
	return ctl.RecordingPolicy{Rules: []ctl.RecordingRule{}, Format: "opus", Toggle: "*1", Pause: "*2"}
}

// Faults returns all that is wrong with a policy.
func Faults(p ctl.RecordingPolicy) (faults []problem.Fault) {
	bad := func(path, value, rule, cure string) {
		faults = append(faults, problem.Fault{Path: path, Value: value, Rule: rule, Cure: cure})
	}
	choice := func(path, value string, of ...string) {
		for _, o := range of {
			if o == value {
				return
			}
		}
		bad(path, value, "one of "+strings.Join(of, ", "), "choose one of them")
	}
	if len(p.Rules) > maxRules {
		bad("rules", fmt.Sprint(len(p.Rules)), fmt.Sprintf("at most %d rules", maxRules), "join rules")
	}
	names := map[string]int{}
	for i, r := range p.Rules {
		at := fmt.Sprintf("rules[%d].", i)
		if n := len([]rune(r.Name)); n == 0 || n > maxName || strings.ContainsFunc(r.Name, func(c rune) bool { return c < ' ' }) {
			bad(at+"name", r.Name, fmt.Sprintf("1 to %d printable letters", maxName), "give the rule a short name")
		} else if first, twice := names[r.Name]; twice {
			bad(at+"name", r.Name, fmt.Sprintf("each rule has its own name; rules[%d] has this one", first), "choose another name")
		}
		names[r.Name] = i
		patterns(at+"people", r.People, bad)
		patterns(at+"numbers", r.Numbers, bad)
		choice(at+"side", r.Side, ctl.SideAny, ctl.SideCaller, ctl.SideCallee)
		choice(at+"record", r.Record, ctl.RecordAlways, ctl.RecordDemand, ctl.RecordNever)
		choice(at+"notice", r.Notice, ctl.NoticeNone, ctl.NoticeTell, ctl.NoticeAsk)
		choice(at+"refused", r.Refused, "go on", "end")
	}
	choice("format", p.Format, "opus", "wav")
	if p.Beep != 0 && (p.Beep < minBeep || p.Beep > maxBeep) {
		bad("beep", fmt.Sprint(p.Beep), fmt.Sprintf("0, or %d to %d seconds", minBeep, maxBeep), "give a number in between")
	}
	codes(p, bad)
	return faults
}

func patterns(path string, list []string, bad func(path, value, rule, cure string)) {
	if len(list) > maxPatterns {
		bad(path, fmt.Sprint(len(list)), fmt.Sprintf("at most %d", maxPatterns), "use patterns that end in *")
	}
	for i, s := range list {
		body := strings.TrimSuffix(s, "*")
		if s == "" || len(s) > maxPattern || strings.ContainsAny(body, "* \t\r\n") {
			bad(fmt.Sprintf("%s[%d]", path, i), s, "a name or number, or the beginning of one and a *", "write it as 101 or 10*")
		}
	}
}

func codes(p ctl.RecordingPolicy, bad func(path, value, rule, cure string)) {
	for _, c := range [...]struct{ path, code string }{{"toggle", p.Toggle}, {"pause", p.Pause}} {
		if len(c.code) > maxCode || strings.Trim(c.code, "0123456789*#ABCD") != "" || (c.code != "" && c.code[0] != '*' && c.code[0] != '#') {
			bad(c.path, c.code, fmt.Sprintf("* or #, and up to %d more keys of a telephone", maxCode-1), "write it as *1")
		}
	}
	if p.Toggle != "" && p.Pause != "" && (strings.HasPrefix(p.Toggle, p.Pause) || strings.HasPrefix(p.Pause, p.Toggle)) {
		bad("pause", p.Pause, "neither begins with the other, "+p.Toggle, "choose other keys")
	}
}

// Decide returns the rule that decides on a call, nil where none fits, and on which side the rule's
// people are: SideAny for a rule that is for everybody.
func Decide(p *ctl.RecordingPolicy, caller, callee record.Party, dialed string) (rule *ctl.RecordingRule, side string) {
	for i := range p.Rules {
		r := &p.Rules[i]
		asCaller := r.Side != ctl.SideCallee && fits(r.People, caller, "") && fits(r.Numbers, callee, dialed)
		asCallee := r.Side != ctl.SideCaller && fits(r.People, callee, dialed) && fits(r.Numbers, caller, "")
		switch {
		case !asCaller && !asCallee:
			continue
		case len(r.People) == 0, asCaller && asCallee:
			return r, ctl.SideAny
		case asCaller:
			return r, ctl.SideCaller
		}
		return r, ctl.SideCallee
	}
	return nil, ""
}

// fits reports whether a party is one of those that patterns name.
func fits(patterns []string, p record.Party, dialed string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, s := range patterns {
		begin, any := strings.CutSuffix(s, "*")
		for _, have := range [...]string{p.User, p.Number, dialed} {
			if have != "" && (strings.EqualFold(have, s) || (any && len(have) >= len(begin) && strings.EqualFold(have[:len(begin)], begin))) {
				return true
			}
		}
	}
	return false
}

// Keys finds codes in the keys that a party presses. The zero value is ready.
type Keys struct{ last string }

// Press takes a key and returns the code that it completes, "" for none.
func (k *Keys) Press(key string, codes ...string) string {
	k.last += key
	k.last = k.last[max(0, len(k.last)-maxCode):]
	for _, c := range codes {
		if c != "" && strings.HasSuffix(k.last, c) {
			k.last = ""
			return c
		}
	}
	return ""
}
