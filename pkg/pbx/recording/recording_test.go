package recording

import (
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

func rule(name string, change func(*ctl.RecordingRule)) ctl.RecordingRule {
	r := ctl.RecordingRule{Name: name, Side: ctl.SideAny, Record: ctl.RecordAlways, Notice: ctl.NoticeNone, Refused: "go on"}
	if change != nil {
		change(&r)
	}
	return r
}

func TestTheFirstRuleThatFitsDecides(t *testing.T) {
	t.Parallel()
	p := Default()
	p.Rules = []ctl.RecordingRule{
		rule("board", func(r *ctl.RecordingRule) { r.People, r.Record = []string{"chair*"}, ctl.RecordNever }),
		rule("hotline", func(r *ctl.RecordingRule) { r.People, r.Side = []string{"1800"}, ctl.SideCallee }),
		rule("sales abroad", func(r *ctl.RecordingRule) {
			r.People, r.Side, r.Numbers = []string{"asha", "2*"}, ctl.SideCaller, []string{"00*"}
		}),
	}
	party := func(user, number string) record.Party { return record.Party{User: user, Number: number} }
	for name, c := range map[string]struct {
		caller, callee record.Party
		dialed, want   string
		side           string
	}{
		"nobody's":                  {party("vikram", "301"), party("ravi", "302"), "302", "", ""},
		"the board is before all":   {party("chair.one", "900"), party("desk", "1800"), "1800", "board", ctl.SideCaller},
		"called":                    {party("vikram", "301"), party("desk", "1800"), "1800", "hotline", ctl.SideCallee},
		"not when the desk calls":   {party("desk", "1800"), party("vikram", "301"), "301", "", ""},
		"by name":                   {party("Asha", "999"), party("", ""), "0044123", "sales abroad", ctl.SideCaller},
		"by the beginning":          {party("x", "217"), party("", ""), "0044123", "sales abroad", ctl.SideCaller},
		"not to a number inside":    {party("asha", "999"), party("ravi", "302"), "302", "", ""},
		"not when called from afar": {party("", "0044123"), party("asha", "999"), "999", "", ""},
	} {
		got := ""
		r, side := Decide(&p, c.caller, c.callee, c.dialed)
		if r != nil {
			got = r.Name
		}
		if got != c.want || side != c.side {
			t.Errorf("%s: %q of %q, want %q of %q", name, got, side, c.want, c.side)
		}
	}
}

func TestAllFaultsAreNamed(t *testing.T) {
	t.Parallel()
	if f := Faults(Default()); len(f) > 0 {
		t.Errorf("the default: %v", f)
	}
	p := ctl.RecordingPolicy{
		Rules: []ctl.RecordingRule{
			rule("", func(r *ctl.RecordingRule) { r.People = []string{"a*b", ""} }),
			rule("two", func(r *ctl.RecordingRule) { r.Side, r.Record, r.Notice, r.Refused = "left", "maybe", "shout", "" }),
			rule("two", nil),
		},
		Format: "mp3", Beep: 1, Toggle: "12", Pause: "*12345",
	}
	var paths []string
	for _, f := range Faults(p) {
		paths = append(paths, f.Path)
		if f.Rule == "" || f.Cure == "" {
			t.Errorf("%+v", f)
		}
	}
	want := "rules[0].name rules[0].people[0] rules[0].people[1] rules[1].side rules[1].record rules[1].notice rules[1].refused rules[2].name format beep toggle pause"
	if got := strings.Join(paths, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	p = Default()
	p.Toggle, p.Pause = "*1", "*12"
	if f := Faults(p); len(f) != 1 || f[0].Path != "pause" {
		t.Errorf("one code begins the other: %v", f)
	}
}

func TestCodesAmongKeys(t *testing.T) {
	t.Parallel()
	var k Keys
	var found []string
	for _, key := range strings.Split("1*1**2*1", "") {
		found = append(found, k.Press(key, "*1", "*2", ""))
	}
	if got := strings.Join(found, ","); got != ",,*1,,,*2,,*1" {
		t.Errorf("%s", got)
	}
}
