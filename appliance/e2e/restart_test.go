package e2e

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// Phones whose connections die with switchd sign in again by themselves; their call goes on, and
// can be changed and ended over the new connections.
func TestPhonesOnTLSAndTCPSurviveSwitchd(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.phone("alice", "tls"), s.phone("bob", "tcp")
	out, in := call(alice, bob)
	talk(t, alice, bob)
	before := map[*linphone.Phone]int{alice: len(alice.Log()), bob: len(bob.Log())}
	s.box.Kill("switchd")
	talk(t, alice, bob)
	for p, mark := range before {
		p.Registered(mark)
	}
	mark := bob.Mark()
	alice.Hold(out)
	bob.HeldBy(mark, in)
	mark = bob.Mark()
	alice.Resume(out)
	bob.UpAgain(mark, in)
	talk(t, alice, bob)
	bob.HangUp(in)
	alice.Over(out)
	if r := s.records(1)[0]; len(r.Legs) != 2 || r.Duration <= 0 {
		t.Errorf("record of a call that survived: %+v", r)
	}
}

// The relay dies in a call between phones: they hear each other again, on the same ports.
func TestPhonesHearEachOtherAfterMediadDied(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.phone("alice", "udp"), s.phone("bob", "tls")
	out, in := call(alice, bob)
	talk(t, alice, bob)
	s.box.Kill("mediad")
	talk(t, alice, bob)
	alice.HangUp(out)
	bob.Over(in)
	for _, u := range []string{"alice", "bob"} {
		if n := len(s.taps[u].RTP()); n != 2 {
			t.Errorf("media of %s went over %d paths, not one each way: %v", u, n, s.taps[u].RTP())
		}
	}
	if r := s.records(1)[0]; r.EndedBy != record.ByCaller || r.MOS < 4 {
		t.Errorf("record of a call that survived: %+v", r)
	}
}

// A box that is stopped and started knows its users, devices and records, and calls a device that
// has not signed in again.
func TestABoxThatIsStartedAgainKnowsItsDevices(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	near, far := lab.Host(t, "callers"), lab.Host(t, "callees")
	b := boxtest.Start(t, lab, boxtest.Config{Count: 2})
	from, to := line(t, near, 0), line(t, far, 1)
	b.API(near) // the records of the registrations are on their way
	b.Restart()
	out, in := connect(t, from, to)
	if code := out.HangUp(); code != 200 || !in.Ended(netlab.Patience) {
		t.Errorf("BYE was answered %d, or did not arrive", code)
	}
	api := b.API(near)
	api.Calls(1)
	for _, r := range boxtest.Records[record.Registration](api, "registrations", nil) {
		if r.Result != record.RegActive {
			t.Errorf("registration %+v", r)
		}
	}
}

// A call that rang when switchd died is ended on both sides, and has a record: nobody waits for an
// answer that nobody would pass on.
func TestACallThatRangWhenSwitchdDiedIsEnded(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.phone("alice", "udp"), s.phone("bob", "udp")
	out := alice.Call(bob.AoR())
	in := bob.Incoming()
	alice.Ringing(out)
	s.box.Kill("switchd")
	alice.Over(out)
	bob.Over(in)
	s.verdict(1, record.CallFailed, 500)
	out, in = call(alice, bob) // and both can call again
	alice.HangUp(out)
	bob.Over(in)
}
