package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
)

// Phones that check connectivity hear each other: through the box by policy, direct where the policy
// lets them and there is a way, and through the box where there is none. The wire shows where media went.
func TestPhonesThatCheckConnectivity(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path, encryption string
		reach, direct          bool // there is a way between the phones; media takes it
	}{
		{"through the box by policy", ctl.PathRelay, "", true, false},
		{"through the box by policy, with keys", ctl.PathRelay, "srtp", true, false},
		{"direct", ctl.PathDirect, "", true, true},
		{"direct, with keys", ctl.PathDirect, "srtp", true, true},
		{"no way but the box", ctl.PathDirect, "", false, false},
		{"no way but the box, with keys", ctl.PathDirect, "srtp", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, "alice", "bob")
			rules := only(c.encryption)
			rules.Path = c.path
			s.policy(map[string]ctl.MediaRules{"alice": rules, "bob": rules})
			if c.reach {
				s.forward()
			}
			ice := func(cfg *linphone.Config) { cfg.ICE, cfg.Encryption = true, c.encryption }
			alice, bob := s.phone("alice", "tcp", ice), s.phone("bob", "tcp", ice)
			out, in := call(alice, bob)
			talk(t, alice, bob)
			alice.AwaitLog(0, "ICE processing concluded")
			talk(t, alice, bob)
			alice.HangUp(out)
			bob.Over(in)
			if r := s.records(1)[0]; r.Direct != c.direct {
				t.Errorf("the record says direct: %v", r.Direct)
			}
			past := 0
			for stream, packets := range s.taps["alice"].RTP() {
				if stream.Src.Addr() == s.hosts["bob"].V4 {
					past += len(packets)
				}
			}
			if (past > 0) != c.direct {
				t.Errorf("%d packets came from bob himself", past)
			}
			if c.path == ctl.PathRelay {
				s.signalling("alice", "bob") // and neither is told where the other is
				for _, m := range s.taps["bob"].SIP() {
					if m.Method == "INVITE" && strings.HasPrefix(m.CSeq, "2 ") {
						t.Errorf("bob is asked again: %s", m)
					}
				}
			}
		})
	}
}

// forward makes the box's kernel a router between the hosts.
func (s *scene) forward() {
	s.t.Helper()
	if err := s.box.Lab.Box.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600) }); err != nil {
		s.t.Fatal(err)
	}
}

// Who is transferred out of a call past the box is heard by whom he comes to.
func TestTransfersOutOfDirectCalls(t *testing.T) {
	t.Parallel()
	for _, encryption := range []string{"", "srtp", "dtls"} {
		t.Run("encryption "+encryption, func(t *testing.T) {
			t.Parallel()
			s := open(t, "alice", "bob", "carol")
			rules := only(encryption)
			rules.Path = ctl.PathDirect
			s.policy(map[string]ctl.MediaRules{"alice": rules, "bob": rules, "carol": rules})
			s.forward()
			ice := func(cfg *linphone.Config) { cfg.ICE, cfg.Encryption = true, encryption }
			alice, bob, carol := s.phone("alice", "tcp", ice), s.phone("bob", "tcp", ice), s.phone("carol", "tcp", ice)
			out, in := call(alice, bob)
			talk(t, alice, bob)
			direct := encryption != "dtls"
			if direct {
				alice.AwaitLog(0, "ICE processing concluded")
			}
			bob.Transfer(in, carol.AoR())
			third := carol.Incoming()
			carol.Answer(third)
			bob.Over(in)
			talk(t, alice, carol, "bob")
			alice.HangUp(out)
			carol.Over(third)
			if r := s.records(1)[0]; r.Direct != direct {
				t.Errorf("the record says direct: %v", r.Direct)
			}
		})
	}
}
