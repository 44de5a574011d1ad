package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
)

// verdict checks the newest record of a call that nobody answered.
func (s *scene) verdict(n int, status string, code int) {
	s.t.Helper()
	r := s.records(n)[0]
	if r.Status != status || r.Code != code || r.Duration != 0 || !r.Answer.IsZero() {
		s.t.Errorf("record says %s with %d, answered at %s, not %s with %d", r.Status, r.Code, r.Answer, status, code)
	}
}

// records waits for the box's n call records, newest first, and wants no more.
func (s *scene) records(n int) []record.Call {
	s.t.Helper()
	for _, h := range s.hosts {
		all := s.box.API(h).Calls(n)
		if len(all) != n {
			s.t.Fatalf("%d call records instead of %d", len(all), n)
		}
		return all
	}
	panic("no host")
}

func TestCallsThatNobodyTakes(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob", "carol")
	alice := s.phone("alice", "udp")
	bob := s.phone("bob", "tcp", func(c *linphone.Config) { c.MaxCalls = 1 })

	// Cancelled by the caller while it rings.
	out := alice.Call(bob.AoR())
	in := bob.Incoming()
	alice.Ringing(out)
	alice.HangUp(out)
	bob.Over(in)
	alice.Over(out)
	s.verdict(1, record.CallCancelled, 487)

	// Declined by the callee.
	out = alice.Call(bob.AoR())
	bob.HangUp(bob.Incoming())
	alice.Over(out)
	s.verdict(2, record.CallDeclined, 603)

	// Nobody is there: carol has no phone.
	out = alice.Call("sip:carol@pbx.test")
	alice.Over(out)
	s.verdict(3, record.CallOffline, 480)

	// Busy with another call.
	carol := s.phone("carol", "udp")
	second, with := call(carol, bob)
	out = alice.Call(bob.AoR())
	alice.Over(out)
	talk(t, carol, bob) // and is not disturbed
	carol.HangUp(second)
	bob.Over(with)
	all := s.records(5)
	at := slices.IndexFunc(all, func(r record.Call) bool { return r.Status == record.CallBusy })
	if at < 0 || all[at].Code != 486 {
		t.Errorf("no record of the busy call: %+v", all)
	}
	var heard []int
	for _, m := range s.signalling("alice")["alice"] {
		if m.Code >= 300 && m.Code != 407 && strings.HasSuffix(m.CSeq, " INVITE") {
			heard = append(heard, m.Code)
		}
	}
	if want := []int{487, 603, 480, 486}; !slices.Equal(heard, want) {
		t.Errorf("alice was answered %v, not %v", heard, want)
	}
	if busy := mediaSessions(t, s.box); busy != 0 {
		t.Errorf("%d sessions are left in the relay", busy)
	}
}

// One user with two phones: both ring, one takes the call, the other is told that it was taken.
func TestTwoPhonesOfOneUser(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob", "carol")
	alice, bob := s.phone("alice", "udp"), s.phone("bob", "udp")
	other := s.phone("carol", "udp", func(c *linphone.Config) { c.User, c.Password = "bob", bob.Password }) // on carol's wire
	out := alice.Call(bob.AoR())
	first, second := bob.Incoming(), other.Incoming()
	bob.Answer(first)
	other.Over(second)
	alice.Up(out)
	talk(t, alice, bob)
	alice.HangUp(out)
	bob.Over(first)
	all := s.signalling("alice", "bob", "carol")
	if got := methods(s, "carol", all["carol"]); !slices.Equal(got, []string{"INVITE", "CANCEL", "ACK"}) {
		t.Errorf("the phone that did not take the call was sent %v", got)
	}
	if !strings.Contains(other.Log(), `cause=200`) {
		t.Error("the phone that did not take the call was not told that another did (RFC 3326)")
	}
	r := s.records(1)[0]
	if r.Status != record.CallAnswered || len(r.Legs) != 3 {
		t.Errorf("record %+v", r)
	}
}
