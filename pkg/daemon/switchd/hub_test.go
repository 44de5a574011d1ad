package switchd

import (
	"fmt"
	"slices"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func live(id, state string) ctl.SwitchEvent {
	return ctl.SwitchEvent{Call: &ctl.LiveCall{ID: id, State: state}}
}

// heard takes a listener's news in short form.
func heard(l *listener) (short []string) {
	for _, line := range l.take() {
		switch ev := line.(ctl.SwitchEvent); {
		case ev.Call != nil:
			short = append(short, ev.Call.ID+" "+ev.Call.State)
		case ev.CallEnded != "":
			short = append(short, ev.CallEnded+" ended")
		case ev.Registered != nil:
			short = append(short, ev.Registered.ID+" in")
		case ev.Unregistered != nil:
			short = append(short, ev.Unregistered.ID+" out")
		}
	}
	return short
}

func TestHubTellsTheLatest(t *testing.T) {
	h := newHub()
	l, idle := h.join(), h.join()
	defer l.leave()
	l.begin(ctl.Lines{live("old", "up")})
	for _, step := range []struct {
		told []ctl.SwitchEvent
		want []string
	}{
		{[]ctl.SwitchEvent{live("a", "trying"), live("b", "trying"), live("a", "up")}, []string{"a up", "b trying"}},
		{[]ctl.SwitchEvent{live("c", "up"), {CallEnded: "c"}}, nil},
		{[]ctl.SwitchEvent{live("a", "held"), {CallEnded: "a"}, {CallEnded: "old"}}, []string{"a ended", "old ended"}},
		{[]ctl.SwitchEvent{{Registered: &ctl.Registration{ID: "r"}}}, []string{"r in"}},
		{[]ctl.SwitchEvent{{Unregistered: &ctl.Registration{ID: "r"}}}, []string{"r out"}},
		{nil, nil},
	} {
		for _, ev := range step.told {
			h.tell(ev)
		}
		if got := heard(l); !slices.Equal(got, step.want) {
			t.Errorf("after %v heard %q, want %q", step.told, got, step.want)
		}
	}
	idle.leave()
	h.tell(live("d", "up"))
	if len(idle.pending) != 2+1+1+1 { // b, a's and old's ends, c's, r: what it never took, and no more
		t.Errorf("a listener that left holds %d events", len(idle.pending))
	}
}

// A call that ends while a listener is being told what there is must not stay on its page.
func TestHubWhileListenerBegins(t *testing.T) {
	h := newHub()
	l := h.join()
	h.tell(live("a", "up"))
	h.tell(ctl.SwitchEvent{CallEnded: "a"})
	l.begin(ctl.Lines{live("a", "up")})
	if got := heard(l); !slices.Equal(got, []string{"a ended"}) {
		t.Errorf("heard %q", got)
	}
	if len(l.shown) != 0 {
		t.Errorf("remembers %v", l.shown)
	}
}

func TestHubIsBounded(t *testing.T) {
	h := newHub()
	l := h.join()
	l.begin(nil)
	for i := range 10_000 {
		id := fmt.Sprint(i)
		h.tell(live(id, "up"))
		h.tell(ctl.SwitchEvent{CallEnded: id})
	}
	if len(l.pending) != 0 || len(l.order) != 0 {
		t.Errorf("%d events and an order of %d for nothing", len(l.pending), len(l.order))
	}
}
