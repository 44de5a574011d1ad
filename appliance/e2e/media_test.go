package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/baresip"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
)

// party is a phone of any make in a call with another.
type party interface {
	Call(to string)
	Answer() // the call that comes in
	Up()     // the call that was made
	Hears(want float64, others ...float64)
	HangUp()
	Over()
	AoR() string
}

// linphoneParty is a linphonec with one call at a time.
type linphoneParty struct {
	*linphone.Phone
	id int
}

func (p *linphoneParty) Call(to string) { p.id = p.Phone.Call(to) }
func (p *linphoneParty) Up()            { p.Phone.Up(p.id) }
func (p *linphoneParty) HangUp()        { p.Phone.HangUp(p.id) }
func (p *linphoneParty) Over()          { p.Phone.Over(p.id) }
func (p *linphoneParty) Answer() {
	p.id = p.Incoming()
	p.Phone.Answer(p.id)
}

func (p *linphoneParty) Hears(want float64, others ...float64) { p.Record().Hears(want, others...) }

type baresipParty struct{ *baresip.Phone }

func (p baresipParty) Over() { p.Phone.Over() }

// party starts a phone of a make that wants an encryption: "", "srtp" (SDES) or "dtls".
func (s *scene) party(maker, user, encryption string) party {
	s.t.Helper()
	if maker == "linphone" {
		return &linphoneParty{Phone: s.phone(user, "tcp", func(c *linphone.Config) { c.Encryption = encryption })}
	}
	h := s.hosts[user]
	return baresipParty{baresip.Start(s.t, h, baresip.Config{
		User: user, Password: boxtest.Password(user), Domain: boxtest.Domain, Server: boxtest.Server(h, "tcp"), Transport: "tcp", Tone: hertz(user), Encryption: encryption,
	})}
}

// Phones that protect their media in any two ways hear each other, and the record has what each leg was.
func TestEveryPairOfEncryptions(t *testing.T) {
	t.Parallel()
	names := map[string]string{"": record.ProtectionNone, "srtp": record.ProtectionSDES, "dtls": record.ProtectionDTLS}
	for _, makers := range [][2]string{{"linphone", "linphone"}, {"baresip", "linphone"}} {
		for alice, first := range names {
			for bob, second := range names {
				t.Run(makers[0]+" "+first+", "+makers[1]+" "+second, func(t *testing.T) {
					t.Parallel()
					s := open(t, "alice", "bob")
					s.policy(map[string]ctl.MediaRules{"alice": only(alice), "bob": only(bob)})
					a, b := s.party(makers[0], "alice", alice), s.party(makers[1], "bob", bob)
					s.conversation(a, b, "alice", "bob")
					s.conversation(b, a, "bob", "alice")
					for _, r := range s.records(2) {
						want := []string{first, second}
						if r.Caller.User == "bob" {
							want = []string{second, first}
						}
						if got := secured(r); strings.Join(got, " ") != strings.Join(want, " ") {
							t.Errorf("record of %s calling: %v, want %v", r.Caller.User, got, want)
						}
					}
				})
			}
		}
	}
}

// only are the rules of a user whose phones have just one way.
func only(encryption string) ctl.MediaRules {
	switch encryption {
	case "srtp":
		return ctl.MediaRules{Encryption: ctl.EncryptionRequired, Kinds: []string{"sdes"}}
	case "dtls":
		return ctl.MediaRules{Encryption: ctl.EncryptionRequired, Kinds: []string{"dtls"}}
	}
	return ctl.MediaRules{Encryption: ctl.EncryptionOff}
}

// policy changes the rules of users.
func (s *scene) policy(users map[string]ctl.MediaRules) {
	s.t.Helper()
	sw := s.box.Switch()
	st, err := sw.MediaPolicy(s.t.Context())
	if err == nil {
		st.Users = users
		_, err = sw.SetMediaPolicy(s.t.Context(), ctl.MediaPolicyChange{Policy: st.MediaPolicy, Was: st.Number, Who: "test"})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// secured is how the legs of a call were protected, the caller's first.
func secured(r record.Call) (list []string) {
	for _, l := range r.Legs {
		if l.Secured != "" {
			list = append(list, l.Secured)
		}
	}
	return list
}

// conversation is a call in which each hears the other.
func (s *scene) conversation(from, to party, caller, callee string) {
	s.t.Helper()
	from.Call(to.AoR())
	to.Answer()
	from.Up()
	to.Hears(hertz(caller), hertz(callee))
	from.Hears(hertz(callee), hertz(caller))
	from.HangUp()
	to.Over()
	from.Over()
}

// With the policy of a new box each phone gets what it can, and is known the second time.
func TestPhonesAreAskedForWhatTheyCan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ maker, encryption, secured string }{
		{"linphone", "srtp", record.ProtectionSDES},
		{"linphone", "dtls", record.ProtectionDTLS},
		{"baresip", "", record.ProtectionNone},
		{"baresip", "srtp", record.ProtectionSDES},
		{"baresip", "dtls", record.ProtectionDTLS},
	} {
		t.Run(c.maker+" "+c.secured, func(t *testing.T) {
			t.Parallel()
			s := open(t, "alice", "bob")
			alice, bob := s.party("linphone", "alice", ""), s.party(c.maker, "bob", c.encryption)
			for range 2 {
				s.conversation(alice, bob, "alice", "bob")
			}
			asked := map[string]int{}
			for _, m := range s.taps["bob"].SIP() {
				if m.Method == "INVITE" {
					asked[m.CallID]++
				}
			}
			for _, r := range s.records(2) {
				if got := secured(r); len(got) != 2 || got[1] != c.secured {
					t.Errorf("legs: %v", got)
				}
			}
			steps := map[string]int{record.ProtectionDTLS: 2, record.ProtectionSDES: 3, record.ProtectionNone: 4}[c.secured]
			n := 0
			for _, calls := range asked {
				n += calls
			}
			if n != steps {
				t.Errorf("%d INVITEs for two calls, want %d", n, steps)
			}
		})
	}
}

// Phones that share no codec hear each other through the box.
func TestPhonesWithoutACommonCodec(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	start := func(user, codecs string) party {
		h := s.hosts[user]
		return baresipParty{baresip.Start(t, h, baresip.Config{
			User: user, Password: boxtest.Password(user), Domain: boxtest.Domain, Server: boxtest.Server(h, "tcp"), Transport: "tcp", Tone: hertz(user), Codecs: codecs,
		})}
	}
	alice, bob := start("alice", "pcmu"), start("bob", "opus/48000/2")
	s.conversation(alice, bob, "alice", "bob")
	s.conversation(bob, alice, "bob", "alice")
	for _, r := range s.records(2) {
		if !r.Transcoded {
			t.Errorf("the record of the call by %s says nothing of transcoding: %+v", r.Caller.User, r.Legs)
		}
	}
}

// Phones that key end to end talk, and the record says that nobody else could listen.
func TestPhonesThatKeyEndToEnd(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.party("linphone", "alice", "zrtp"), s.party("linphone", "bob", "zrtp")
	s.conversation(alice, bob, "alice", "bob")
	if r := s.records(1)[0]; !r.EndToEnd || r.Protection != record.ProtectionNone {
		t.Errorf("end to end %v, protection of the box %s", r.EndToEnd, r.Protection)
	}
}

// Pictures go between two phones that encrypt in different ways.
func TestVideoBetweenEncryptions(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"", ""}, {"srtp", "dtls"}, {"dtls", ""}} {
		t.Run(c[0]+" "+c[1], func(t *testing.T) {
			t.Parallel()
			s := open(t, "alice", "bob")
			s.policy(map[string]ctl.MediaRules{"alice": only(c[0]), "bob": only(c[1])})
			video := func(encryption string) func(*linphone.Config) {
				return func(cfg *linphone.Config) { cfg.Video, cfg.Encryption = true, encryption }
			}
			alice, bob := s.phone("alice", "tcp", video(c[0])), s.phone("bob", "tcp", video(c[1]))
			out, in := call(alice, bob)
			talk(t, alice, bob)
			alice.HangUp(out)
			bob.Over(in)
			for _, l := range s.records(1)[0].Legs {
				i := slices.IndexFunc(l.Streams, func(st record.Stream) bool { return st.Kind == "video" })
				if i < 0 || l.Streams[i].Codec != "VP8" || l.Streams[i].PacketsIn == 0 || l.Streams[i].PacketsOut == 0 || l.Streams[i].Refused != 0 {
					t.Errorf("no picture both ways with %s: %+v", l.Party.User, l.Streams)
				}
			}
		})
	}
}

// changing is how many packets may be on their way while keys change a few times: each time some that
// overtake the answer which brings their key.
const changing = 50

// Hold, resume and transfers do not end what protects a call.
func TestChangesOfEncryptedCalls(t *testing.T) {
	t.Parallel()
	for _, kinds := range [][3]string{{"srtp", "srtp", "srtp"}, {"dtls", "srtp", "dtls"}} {
		t.Run(strings.Join(kinds[:], " "), func(t *testing.T) {
			t.Parallel()
			s := open(t, "alice", "bob", "carol")
			phones, rules := map[string]*linphone.Phone{}, map[string]ctl.MediaRules{}
			for i, user := range []string{"alice", "bob", "carol"} {
				rules[user] = only(kinds[i])
			}
			s.policy(rules)
			for i, user := range []string{"alice", "bob", "carol"} {
				phones[user] = s.phone(user, "tcp", func(c *linphone.Config) { c.Encryption, c.AVPF = kinds[i], i == 0 })
			}
			alice, bob, carol := phones["alice"], phones["bob"], phones["carol"]
			out, in := call(alice, bob)
			talk(t, alice, bob)
			for range 2 {
				alice.Hold(out)
				alice.Resume(out)
				talk(t, alice, bob)
			}
			bob.Hold(in)
			second, third := call(bob, carol)
			talk(t, bob, carol, "alice")
			bob.TransferTo(in, second)
			bob.Over(in)
			bob.Over(second)
			talk(t, alice, carol, "bob")
			carol.Transfer(third, bob.AoR())
			fourth := bob.Incoming()
			bob.Answer(fourth)
			carol.Over(third)
			talk(t, alice, bob, "carol")
			alice.HangUp(out)
			bob.Over(fourth)
			for _, r := range s.records(2) {
				for _, l := range r.Legs {
					for _, st := range l.Streams {
						if l.Secured == record.ProtectionNone || st.Refused > changing {
							t.Errorf("%s: %s, %d packets refused", l.Party.User, l.Secured, st.Refused)
						}
					}
				}
			}
		})
	}
}
