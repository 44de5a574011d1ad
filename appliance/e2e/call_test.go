package e2e

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/record"
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
			for i, r := range s.box.API(s.hosts["alice"]).Calls(2) { // newest first
				want := []string{record.ByCallee, record.ByCaller}[i]
				if r.Status != record.CallAnswered || r.EndedBy != want || r.Duration <= 0 || len(r.Legs) != 2 {
					t.Errorf("record %+v, not answered and ended by %s", r, want)
				}
			}
		})
	}
}
