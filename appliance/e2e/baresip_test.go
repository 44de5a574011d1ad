package e2e

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/baresip"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
)

// Another program on either side: baresip and linphonec call each other.
func TestBaresipAndLinphone(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	s.policy(map[string]ctl.MediaRules{"alice": only(""), "bob": only("")}) // reports are counted that come before a handshake could end
	h := s.hosts["alice"]
	alice := baresip.Start(t, h, baresip.Config{
		User: "alice", Password: boxtest.Password("alice"), Domain: boxtest.Domain, Server: boxtest.Server(h, "tcp"), Transport: "tcp",
		Tone: hertz("alice"),
	})
	bob := s.phone("bob", "udp")

	alice.Call(bob.AoR())
	in := bob.Incoming()
	bob.Answer(in)
	alice.Up()
	alice.Hears(bob.Tone, alice.Tone)
	bob.Record().Hears(alice.Tone, bob.Tone)
	alice.HangUp()
	bob.Over(in)

	out := bob.Call(alice.AoR())
	alice.Answer()
	bob.Up(out)
	alice.Hears(bob.Tone, alice.Tone)
	bob.Record().Hears(alice.Tone, bob.Tone)
	bob.HangUp(out)
	alice.Over()
	bob.Over(out)
	s.media("alice", "bob")
	s.signalling("bob")
	s.records(2)
}
