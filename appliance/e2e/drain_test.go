package e2e

import (
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// TestTheBoxWaitsForCalls has a call up while the box takes no new ones, as it does before it restarts into a new version.
func TestTheBoxWaitsForCalls(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob", "carol")
	alice, bob, carol := s.phone("alice", "udp"), s.phone("bob", "tcp"), s.phone("carol", "udp")
	out, in := call(alice, bob)
	sw := s.box.Switch()
	if err := sw.Drain(t.Context(), ctl.Drain{For: time.Hour}); err != nil {
		t.Fatal(err)
	}

	refused := carol.Call(bob.AoR())
	carol.Over(refused)
	rows := s.taps["carol"].Tshark(`sip.Status-Code == 503 && sip.CSeq.method == "INVITE"`, "sip.Status-Code", "sip.Retry-After")
	if len(rows) == 0 || rows[0][1] == "" {
		t.Errorf("a new call is answered %v, want 503 with Retry-After", rows)
	}
	var live struct {
		Calls []ctl.LiveCall `json:"calls"`
	}
	api := s.box.API(s.hosts["alice"])
	api.Get("/calls", &live)
	if len(live.Calls) != 1 || live.Calls[0].Caller.User != "alice" || live.Calls[0].State != ctl.CallUp {
		t.Errorf("the page shows %+v", live.Calls)
	}
	talk(t, alice, bob, "carol")

	alice.HangUp(out)
	bob.Over(in)
	if r := api.Calls(1)[0]; r.Status != record.CallAnswered || r.EndedBy != record.ByCaller {
		t.Errorf("the call that went on: %+v", r)
	}
	for until := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) { // what waits for calls looks as often
		if calls, err := sw.Calls(t.Context()); err == nil && len(calls) == 0 {
			break
		}
		if time.Now().After(until) {
			t.Fatal("the call is not over")
		}
	}
	if err := sw.Drain(t.Context(), ctl.Drain{}); err != nil {
		t.Fatal(err)
	}
	out, in = call(carol, bob) // the restart did not come: calls are taken again
	carol.HangUp(out)
	bob.Over(in)
}
