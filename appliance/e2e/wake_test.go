package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/baresip"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// relay makes the box ask a relay beside it to wake phones, and returns what the relay is asked.
func (s *scene) relay() <-chan map[string]string {
	s.t.Helper()
	var l net.Listener
	err := s.box.Lab.Box.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	asked := make(chan map[string]string, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var values map[string]string
		if err := json.NewDecoder(r.Body).Decode(&values); err != nil {
			s.t.Error(err)
		}
		asked <- values
	}))
	_ = server.Listener.Close() // ours is in another namespace
	server.Listener = l
	server.Start()
	s.t.Cleanup(server.Close)
	if err := s.box.Switch().SetPushSettings(s.t.Context(), ctl.PushSettings{Hook: server.URL + "/wake?token=$token"}); err != nil {
		s.t.Fatal(err)
	}
	return asked
}

// A phone whose program was ended is started by the relay that the box asks, rings and talks. The
// caller, linphonec or baresip, is told 110 and waits.
func TestASleepingPhoneIsWokenByACall(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"linphonec", "baresip"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			s := open(t, "alice", "bob")
			s.policy(map[string]ctl.MediaRules{"alice": only(""), "bob": only("")}) // reports are counted that come before a handshake could end
			asked := s.relay()
			pushed := func(c *linphone.Config) { c.Push = "token-of-bob" }
			bob := s.phone("bob", "tcp", pushed)
			bob.Kill()

			var hears, hangUp func()
			switch program {
			case "linphonec":
				alice := s.phone("alice", "udp")
				out := alice.Call(bob.AoR())
				bob = wake(t, s, asked, pushed)
				alice.Ringing(out)
				bob.Answer(bob.Incoming())
				alice.Up(out)
				hears, hangUp = func() { talk(t, alice, bob) }, func() { alice.HangUp(out); alice.Over(out) }
			case "baresip":
				h := s.hosts["alice"]
				alice := baresip.Start(t, h, baresip.Config{
					User: "alice", Password: boxtest.Password("alice"), Domain: boxtest.Domain, Server: boxtest.Server(h, "tcp"), Transport: "tcp", Tone: hertz("alice"),
				})
				alice.Call(bob.AoR())
				bob = wake(t, s, asked, pushed)
				bob.Answer(bob.Incoming())
				alice.Up()
				hears = func() {
					alice.Hears(bob.Tone, alice.Tone)
					bob.Record().Hears(alice.Tone, bob.Tone)
				}
				hangUp = alice.HangUp
			}
			hears()
			hangUp()
			s.media("alice", "bob")
			told := 0
			for _, m := range s.signalling("alice", "bob")["alice"] {
				if m.Code == 110 {
					told++
				}
			}
			if told != 1 {
				t.Errorf("alice was told 110 %d times", told)
			}
			if r := s.records(1)[0]; r.Status != record.CallAnswered || len(r.Legs) != 2 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// wake starts bob's phone when the relay is asked to.
func wake(t *testing.T, s *scene, asked <-chan map[string]string, pushed func(*linphone.Config)) *linphone.Phone {
	t.Helper()
	select {
	case values := <-asked:
		if values["type"] != "call" || values["token"] != "token-of-bob" || values["from-uri"] != "sip:alice@"+boxtest.Domain {
			t.Errorf("the relay is asked %v", values)
		}
	case <-time.After(netlab.Patience):
		t.Fatal("nobody is asked to wake the phone")
	}
	return linphone.Open(t, s.hosts["bob"], s.settings("bob", "tcp", pushed))
}
