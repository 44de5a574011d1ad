package health

import (
	"context"
	"errors"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// fakeNet is a network as netd tells of it.
type fakeNet struct {
	st  ctl.NetState
	err error
}

func (n fakeNet) State(context.Context) (ctl.NetState, error) { return n.st, n.err }

func TestWhatANewVersionIsBlamedFor(t *testing.T) {
	t.Parallel()
	const tunnel, address = "wg0 gets its keys and peers", "eth0 gets 192.0.2.1/24"
	before := Faults{Fault: []string{"eth9: no such device"}, Left: []string{address}, Waiting: []string{"eth1 is not there"}}
	for name, c := range map[string]struct {
		now    ctl.NetState
		before Faults
		want   string
	}{
		"all is well":                             {ctl.NetState{}, Faults{}, ""},
		"a fault":                                 {ctl.NetState{Fault: "eth0: refused"}, Faults{}, "eth0: refused"},
		"a step that is left":                     {ctl.NetState{Left: []string{address}}, Faults{}, "it is not as it should be yet: " + address},
		"a port whose driver is not there":        {ctl.NetState{Waiting: []string{"eth0 is not there"}}, Faults{}, "it is not as it should be yet: eth0 is not there"},
		"a cable that was pulled in the trial":    {ctl.NetState{Left: []string{tunnel}, Later: []string{tunnel}}, Faults{}, ""},
		"as bad as before":                        {ctl.NetState{Fault: "eth9: no such device", Left: []string{address}, Waiting: []string{"eth1 is not there"}}, before, ""},
		"better than before":                      {ctl.NetState{Waiting: []string{"eth1 is not there"}}, before, ""},
		"worse than before":                       {ctl.NetState{Fault: "eth9: no such device\neth0: refused", Left: []string{address}}, before, "eth0: refused"},
		"what waits, and what does not":           {ctl.NetState{Left: []string{tunnel, address}, Later: []string{tunnel}}, Faults{}, "it is not as it should be yet: " + address},
		"something else than before is no less":   {ctl.NetState{Waiting: []string{"eth0 is not there"}}, before, "it is not as it should be yet: eth0 is not there"},
		"what waited before is left for good now": {ctl.NetState{Left: []string{tunnel}}, Faults{}, "it is not as it should be yet: " + tunnel},
	} {
		check := Config{Network: fakeNet{st: c.now}, Before: c.before}
		got := ""
		if err := check.network(t.Context()); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	away := errors.New("netd does not answer")
	if err := (&Config{Network: fakeNet{err: away}, Before: before}).network(t.Context()); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
}
