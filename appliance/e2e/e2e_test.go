// Package e2e tests the assembled product from outside, with programs that others wrote: phones,
// load generators and protocol decoders in network namespaces of their own.
package e2e

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/capture"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) { boxtest.Main(m, func() error { return goleak.Find() }) }

// scene is a box with users on a wire each.
type scene struct {
	t     *testing.T
	box   *boxtest.Box
	hosts map[string]*netlab.Host
	taps  map[string]*capture.Capture // what is on a user's wire
}

// open makes a box with these users.
func open(t *testing.T, users ...string) *scene {
	t.Helper()
	s := &scene{t: t, hosts: map[string]*netlab.Host{}, taps: map[string]*capture.Capture{}}
	lab := netlab.New(t)
	for _, u := range users {
		s.hosts[u] = lab.Host(t, u)
		s.taps[u] = capture.Start(t, s.hosts[u])
	}
	s.box = boxtest.Start(t, lab, boxtest.Config{Users: users})
	t.Cleanup(s.explain)
	return s
}

// explain lists what went over the wires, when a test has failed.
func (s *scene) explain() {
	if !s.t.Failed() {
		return
	}
	for user, tap := range s.taps {
		for stream, packets := range tap.RTP() {
			first, last := packets[0], packets[len(packets)-1]
			s.t.Logf("%s's wire: %s: %d packets of type %d to %d, %s to %s", user, stream, len(packets), first.Type, last.Type,
				first.At.Format(time.StampMilli), last.At.Format(time.StampMilli))
		}
	}
}

// hertz is the tone that a user's phone plays: each differs from the others' harmonics.
func hertz(user string) float64 {
	return map[string]float64{"alice": 440, "bob": 880, "carol": 1320}[user]
}

// phone starts a linphonec on the wire of a user.
func (s *scene) phone(user, transport string, more ...func(*linphone.Config)) *linphone.Phone {
	s.t.Helper()
	return linphone.Start(s.t, s.hosts[user], s.settings(user, transport, more...))
}

func (s *scene) settings(user, transport string, more ...func(*linphone.Config)) linphone.Config {
	s.t.Helper()
	h := s.hosts[user]
	cfg := linphone.Config{
		User: user, Password: boxtest.Password(user), Domain: boxtest.Domain, Server: boxtest.Server(h, transport), Transport: transport, Tone: hertz(user),
	}
	if transport == "tls" {
		cfg.CA = s.box.CA()
	}
	for _, m := range more {
		m(&cfg)
	}
	return cfg
}

// call connects two phones and returns the call's number in each.
func call(from, to *linphone.Phone) (out, in int) {
	out = from.Call(to.AoR())
	in = to.Incoming()
	from.Ringing(out)
	to.Answer(in)
	from.Up(out)
	return out, in
}

// talk checks that two phones that are in a call hear each other and nobody else.
func talk(t *testing.T, a, b *linphone.Phone, silent ...string) {
	t.Helper()
	heardByA, heardByB := a.Record(), b.Record()
	heardByA.Hears(b.Tone, append(tones(silent), a.Tone)...)
	heardByB.Hears(a.Tone, append(tones(silent), b.Tone)...)
}

func tones(users []string) (all []float64) {
	for _, u := range users {
		all = append(all, hertz(u))
	}
	return all
}
