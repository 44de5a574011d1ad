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
	answered := make(chan error, 1)
	go func() {
		c, err := to.Answer()
		if err == nil && !c.Ended(netlab.Patience) {
			t.Error("BYE did not arrive")
		}
		answered <- err
	}()
	c, err := from.Invite(to.User)
	if err != nil {
		t.Fatal(err)
	}
	if code := c.HangUp(); code != 200 {
		t.Errorf("BYE was answered %d", code)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	api := b.API(near)
	api.Calls(1)
	for _, r := range boxtest.Records[record.Registration](api, "registrations", nil) {
		if r.Result != record.RegActive {
			t.Errorf("registration %+v", r)
		}
	}
}
