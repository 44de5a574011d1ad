package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
)

// Calls over each transport and between two, both ways: media, RTCP, ACK and BYE, and one record.
func TestCallsBothWaysOverEachTransport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ alice, bob string }{{"udp", "udp"}, {"tcp", "tcp"}, {"tls", "tls"}, {"udp", "tls"}} {
		t.Run(c.alice+" and "+c.bob, func(t *testing.T) {
			t.Parallel()
			s := open(t, "alice", "bob")
			alice, bob := s.phone("alice", c.alice), s.phone("bob", c.bob)
			out, in := call(alice, bob)
			talk(t, alice, bob)
			alice.HangUp(out)
			bob.Over(in)
			alice.Over(out)

			out, in = call(bob, alice)
			talk(t, bob, alice)
			alice.HangUp(in) // this time the callee does
			bob.Over(out)
			alice.Over(in)

			s.media("alice", "bob")
			s.signalling("alice", "bob")
			for i, r := range s.records(2) { // newest first
				want := []string{record.ByCallee, record.ByCaller}[i]
				if r.Status != record.CallAnswered || r.EndedBy != want || r.Duration <= 0 || len(r.Legs) != 2 {
					t.Errorf("record %+v, not answered and ended by %s", r, want)
				}
			}
			if streams := mediaSessions(t, s.box); streams != 0 {
				t.Errorf("%d sessions are left in the relay", streams)
			}
		})
	}
}

func mediaSessions(t *testing.T, b *boxtest.Box) int {
	t.Helper()
	list, err := b.Media().Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A phone that knows only IPv6 talks with one that knows only IPv4.
func TestACallBetweenIPv6AndIPv4(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	if !s.box.Lab.V6 {
		t.Skip("the kernel has no IPv6")
	}
	alice := s.phone("alice", "udp", func(c *linphone.Config) { c.Server = netip.AddrPortFrom(s.hosts["alice"].Box6, boxtest.SIP) })
	bob := s.phone("bob", "tcp")
	out, in := call(alice, bob)
	talk(t, alice, bob)
	bob.HangUp(in)
	alice.Over(out)
	for stream := range s.taps["alice"].RTP() {
		if !stream.Src.Addr().Is6() {
			t.Errorf("media of alice by IPv4: %s", stream)
		}
	}
	for stream := range s.taps["bob"].RTP() {
		if !stream.Src.Addr().Is4() {
			t.Errorf("media of bob by IPv6: %s", stream)
		}
	}
}

// The phones write nothing but their GRUU in Contact (RFC 5627), and yet ACK and BYE reach them.
func TestACKAndBYEReachThePeerThroughItsGRUU(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.phone("alice", "udp"), s.phone("bob", "udp")
	for _, hangUpFirst := range []*linphone.Phone{alice, bob} {
		out, in := call(alice, bob)
		if hangUpFirst == alice {
			alice.HangUp(out)
		} else {
			bob.HangUp(in)
		}
		alice.Over(out)
		bob.Over(in)
	}
	s.records(2)
	all := s.signalling("alice", "bob")
	for _, m := range slices.Concat(all["alice"], all["bob"]) {
		fromPhone := m.Src != s.hosts["alice"].Box4 && m.Src != s.hosts["bob"].Box4
		hasContact := strings.HasSuffix(m.CSeq, " INVITE") && (m.Method == "INVITE" || m.Code == 200)
		if fromPhone && hasContact && !strings.Contains(m.Contact, ";gr=urn:uuid:") {
			t.Errorf("Contact is no GRUU: %s %s", m, m.Contact)
		}
	}
	if got := methods(s, "bob", all["bob"]); !slices.Equal(got, []string{"INVITE", "ACK", "BYE", "INVITE", "ACK"}) {
		t.Errorf("bob was sent %v", got)
	}
	if got := methods(s, "alice", all["alice"]); !slices.Equal(got, []string{"BYE"}) {
		t.Errorf("alice was sent %v", got)
	}
	if !strings.Contains(bob.Log(), "BYE sip:") || !strings.Contains(alice.Log(), "BYE sip:") {
		t.Error("the phones' own logs tell of no BYE")
	}
}

// Digits that are dialled in a call arrive as RFC 4733 telephone events.
func TestDigitsInACall(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.phone("alice", "udp"), s.phone("bob", "udp")
	out, in := call(alice, bob)
	talk(t, alice, bob)
	for _, digit := range []string{"5", "#"} {
		mark := bob.Mark()
		alice.Command(digit)
		bob.Digit(mark, digit)
	}
	alice.HangUp(out)
	bob.Over(in)
}

// A phone with video calls one without: the box passes the offer on, and both agree on no video.
func TestVideoIsOfferedAndDeclined(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice := s.phone("alice", "udp", func(c *linphone.Config) { c.Video = true })
	bob := s.phone("bob", "udp")
	out, in := call(alice, bob)
	talk(t, alice, bob)
	alice.HangUp(out)
	bob.Over(in)
	offers, answers := 0, 0
	for user, all := range s.signalling("alice", "bob") {
		for _, m := range all {
			if strings.HasSuffix(m.CSeq, " INVITE") && m.Method == "INVITE" && user == "bob" {
				offers++
				if !strings.Contains(m.Body, "video ") || strings.Contains(m.Body, "video 0 ") {
					t.Errorf("bob is not offered video: %s", m.Body)
				}
			}
			if strings.HasSuffix(m.CSeq, " INVITE") && m.Code == 200 && user == "alice" {
				answers++
				if !strings.Contains(m.Body, "video 0 ") {
					t.Errorf("alice is not told that there is no video: %s", m.Body)
				}
			}
		}
	}
	if offers == 0 || answers == 0 {
		t.Errorf("%d offers, %d answers", offers, answers)
	}
}
