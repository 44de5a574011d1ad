package switchd

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestWhichLinksLeadOut(t *testing.T) {
	t.Parallel()
	two := func(fibre, radio bool) []ctl.NetUplink {
		return []ctl.NetUplink{{Name: "Fibre", Link: "wan0", Up: fibre}, {Name: "Radio", Link: "wan1", Up: radio}}
	}
	for name, c := range map[string]struct {
		link    string
		uplinks []ctl.NetUplink
		want    bool
	}{
		"one inside":        {"lan0", two(false, true), true},
		"one that works":    {"wan1", two(false, true), true},
		"one that does not": {"wan0", two(false, true), false},
		"none works: there is nowhere to move to": {"wan0", two(false, false), true},
		"no uplinks": {"wan0", nil, true},
	} {
		if got := leadsOut(c.link, c.uplinks); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
