package e2e

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
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

// A phone that sends its caller elsewhere: the box calls there itself, and the caller sees one call.
func TestAPhoneRedirects(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob", "carol")
	alice, bob, carol := s.phone("alice", "udp"), s.phone("bob", "udp"), s.phone("carol", "tcp")
	out := alice.Call(bob.AoR())
	bob.Redirect(bob.Incoming(), carol.AoR())
	in := carol.Incoming()
	carol.Answer(in)
	alice.Up(out)
	talk(t, alice, carol, "bob")
	carol.HangUp(in)
	alice.Over(out)
	for _, m := range s.signalling("alice")["alice"] {
		if m.Code >= 300 && m.Code < 400 {
			t.Errorf("alice was redirected: %s", m)
		}
	}
	if r := s.records(1)[0]; r.Callee.User != "carol" || r.Status != record.CallAnswered {
		t.Errorf("record %+v", r)
	}
}

// Who does not know the password, or does not trust the box, is not registered; and who leaves is
// called no more.
func TestWhoIsNotRegisteredIsNotCalled(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob", "carol")
	alice, bob := s.phone("alice", "udp"), s.phone("bob", "tls")
	wrong := s.settings("carol", "udp", func(c *linphone.Config) { c.Password = "a guess" })
	linphone.Open(t, s.hosts["carol"], wrong).AwaitLog(0, `to \[LinphoneRegistrationFailed\]`)
	stranger := s.settings("carol", "tls", func(c *linphone.Config) {
		c.User, c.Password, c.CA = "alice", alice.Password, s.box.StrangeCA() // right, but not for this server
	})
	linphone.Open(t, s.hosts["carol"], stranger).AwaitLog(0, `certificate verif|X509|not trusted`)
	regs, err := s.box.Switch().Registrations(t.Context())
	if err != nil || len(regs) != 2 {
		t.Errorf("bindings %+v, %v", regs, err)
	}
	bob.Quit()
	alice.Over(alice.Call(bob.AoR()))
	s.verdict(1, record.CallOffline, 480)
	api := s.box.API(s.hosts["alice"])
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(100 * time.Millisecond) {
		left := boxtest.Records[record.Registration](api, "registrations", url.Values{"user": {"bob"}})
		guesses := boxtest.Records[record.AuthFailure](api, "auth-failures", url.Values{"user": {"carol"}})
		if len(left) == 1 && left[0].Result == record.RegUnregistered && len(guesses) == 1 && guesses[0].Reason == record.AuthWrongSecret {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("records of bob %+v, and of guesses %+v", left, guesses)
		}
	}
}
