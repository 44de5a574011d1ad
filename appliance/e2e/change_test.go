package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
)

// rxWithin counts the media packets that a user's phone is sent within a time from now.
func (s *scene) rxWithin(user string, d time.Duration) (n int) {
	s.t.Helper()
	begin := time.Now()
	time.Sleep(d)
	for stream, packets := range s.taps[user].RTP() {
		for _, p := range packets {
			if stream.Dst.Addr() == s.hosts[user].V4 && p.At.After(begin) {
				n++
			}
		}
	}
	return n
}

// holdLook is how long a held call is looked at.
const holdLook = time.Second

func TestHoldAndResumeByEitherSide(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.phone("alice", "udp"), s.phone("bob", "udp")
	out, in := call(alice, bob)
	talk(t, alice, bob)
	for _, c := range []struct {
		holder, held     *linphone.Phone
		holdsID, heldID  int
		holdsOn, heldsOn string
	}{{alice, bob, out, in, "alice", "bob"}, {bob, alice, in, out, "bob", "alice"}} {
		mark := c.held.Mark()
		c.holder.Hold(c.holdsID)
		c.held.HeldBy(mark, c.heldID)
		if n := s.rxWithin(c.holdsOn, holdLook); n > 0 {
			t.Errorf("%s holds the call and is sent %d packets", c.holdsOn, n)
		}
		mark = c.held.Mark()
		c.holder.Resume(c.holdsID)
		c.held.UpAgain(mark, c.heldID)
		talk(t, alice, bob)
	}
	alice.HangUp(out)
	bob.Over(in)
	directions := map[string][]string{}
	for user, all := range s.signalling("alice", "bob") {
		for _, m := range all {
			for _, d := range []string{"sendonly", "recvonly", "inactive"} {
				if strings.Contains(m.Body, d) && m.Src == s.hosts[user].Box4 {
					directions[user] = append(directions[user], d)
				}
			}
		}
	}
	for user, want := range map[string]string{"alice": "recvonly sendonly", "bob": "sendonly recvonly"} {
		if got := strings.Join(directions[user], " "); got != want {
			t.Errorf("%s was sent the directions %q, not %q", user, got, want)
		}
	}
	s.records(1)
}

func TestBlindTransfer(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob", "carol")
	alice, bob, carol := s.phone("alice", "udp"), s.phone("bob", "udp"), s.phone("carol", "udp")
	out, in := call(alice, bob)
	talk(t, alice, bob)
	bob.Transfer(in, carol.AoR())
	from, third := carol.IncomingFrom()
	if !strings.Contains(from, "alice@") {
		t.Errorf("carol sees a call from %s", from)
	}
	mark := alice.Mark()
	carol.Answer(third)
	bob.Over(in)
	alice.UpAgain(mark, out)
	talk(t, alice, carol, "bob")
	carol.HangUp(third)
	alice.Over(out)
	s.signalling("alice", "bob", "carol")
	s.media("alice", "bob", "carol")
	r := s.records(1)[0] // what the caller calls one call is one record
	if len(r.Legs) != 3 || r.Legs[2].Role != record.RoleTarget || r.Legs[2].Party.User != "carol" || r.Legs[1].Cause != "transferred" {
		t.Errorf("record of a blind transfer: %+v", r)
	}
}

// Bob holds alice, asks carol, and connects the two.
func TestAttendedTransfer(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob", "carol")
	alice, bob, carol := s.phone("alice", "udp"), s.phone("bob", "udp"), s.phone("carol", "udp")
	out, in := call(alice, bob)
	talk(t, alice, bob)
	bob.Hold(in)
	second, third := call(bob, carol)
	talk(t, bob, carol, "alice")
	bob.TransferTo(in, second)
	bob.Over(in)
	bob.Over(second)
	talk(t, alice, carol, "bob")
	alice.HangUp(out)
	carol.Over(third)
	s.signalling("alice", "bob", "carol")
	s.media("alice", "bob", "carol")
	for _, r := range s.records(2) {
		if r.Status != record.CallAnswered || r.Duration <= 0 {
			t.Errorf("record of an attended transfer: %+v", r)
		}
		if joined := len(r.Legs) == 3; joined != (r.Caller.User == "alice") {
			t.Errorf("legs of the call by %s: %+v", r.Caller.User, r.Legs)
		}
	}
	if left := mediaSessions(t, s.box); left != 0 {
		t.Errorf("%d sessions are left in the relay", left)
	}
}

// The caller transfers, and the target declines: the two go on with each other.
func TestATransferThatFailsLeavesTheCall(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob", "carol")
	alice, bob, carol := s.phone("alice", "udp"), s.phone("bob", "tcp"), s.phone("carol", "udp")
	out, in := call(alice, bob)
	talk(t, alice, bob)
	from := len(alice.Log())
	alice.Transfer(out, carol.AoR())
	carol.HangUp(carol.Incoming())
	alice.AwaitLog(from, `SIP/2.0 603`) // in the NOTIFY (RFC 3515 §2.4.5)
	talk(t, alice, bob, "carol")
	bob.HangUp(in)
	alice.Over(out)
	s.signalling("alice", "carol")
	if r := s.records(1)[0]; r.Status != record.CallAnswered || r.EndedBy != record.ByCallee {
		t.Errorf("record of a transfer that failed: %+v", r)
	}
}

// Both sides hold: nobody is sent anything until both have resumed (RFC 3264 §8.4).
func TestBothSidesHold(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.phone("alice", "udp"), s.phone("bob", "tcp")
	out, in := call(alice, bob)
	talk(t, alice, bob)
	mark := bob.Mark()
	alice.Hold(out)
	bob.HeldBy(mark, in)
	bob.Hold(in)
	if a, b := s.rxWithin("alice", holdLook), s.rxWithin("bob", holdLook); a+b > 0 {
		t.Errorf("while both hold, alice is sent %d packets and bob %d", a, b)
	}
	mark = alice.Mark()
	alice.Command(fmt.Sprint("resume ", out))
	alice.HeldBy(mark, out) // bob still holds
	mark = alice.Mark()
	bob.Resume(in)
	alice.UpAgain(mark, out)
	talk(t, alice, bob)
	alice.HangUp(out)
	bob.Over(in)
	s.records(1)
}
