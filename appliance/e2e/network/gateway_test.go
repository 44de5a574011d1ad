package network

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// exchange is a switchd and a mediad on one host.
type exchange struct {
	host   *netlab.Host
	run    string // folder of the sockets
	domain string
	sw     ctl.Switch
}

// startExchange runs both daemons and waits until switchd answers.
func startExchange(t *testing.T, h *netlab.Host, domain string, users ...string) *exchange {
	t.Helper()
	x := &exchange{host: h, run: filepath.Join(h.Dir, "run"), domain: domain}
	x.daemon(t, "mediad")
	x.daemon(t, "switchd", "-domain", domain)
	x.sw = ctl.NewSwitch(filepath.Join(x.run, "switch.sock"))
	t.Cleanup(func() { _ = x.sw.Close() }) // idle connections only
	until(t, "switchd answers", func() bool { _, err := x.sw.Status(t.Context()); return err == nil })
	for _, name := range users {
		if _, err := x.sw.AddUser(t.Context(), ctl.NewUser{UserSpec: ctl.UserSpec{Name: name}, Secret: ctl.Secret{Password: boxtest.Password(name)}}); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func (x *exchange) daemon(t *testing.T, name string, args ...string) {
	t.Helper()
	args = append([]string{"-run", x.run, "-data", filepath.Join(x.host.Dir, "data", name)}, args...)
	x.host.Run(t, x.host.Command(filepath.Join(os.Getenv(boxtest.BinKey), name), args...))
}

// gateway is an exchange whose netd owns the network of its host.
type gateway struct {
	*exchange
	netd ctl.Net
}

// startGateway runs all three and makes document the confirmed one.
func startGateway(t *testing.T, h *netlab.Host, document string, users ...string) *gateway {
	t.Helper()
	g := &gateway{exchange: startExchange(t, h, boxtest.Domain, users...)}
	g.daemon(t, "netd", "-manage")
	g.netd = ctl.NewNet(filepath.Join(g.run, "net.sock"))
	t.Cleanup(func() { _ = g.netd.Close() }) // idle connections only
	var now ctl.NetDocument
	until(t, "netd has the network of the first boot", func() (is bool) {
		var err error
		now, err = g.netd.Document(t.Context())
		return err == nil && now.Number > 0
	})
	if _, err := g.netd.Apply(t.Context(), ctl.NetProposal{Document: json.RawMessage(document), Revision: now.Number, Who: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.netd.Confirm(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	until(t, "SIP and media are open", func() bool { return g.counts(t, "box.internet.sip") && g.counts(t, "box.internet.media") })
	return g
}

// counts reports whether the firewall has a rule of this name.
func (g *gateway) counts(t *testing.T, rule string) bool {
	t.Helper()
	f, err := g.netd.Firewall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(f.Rules, func(r ctl.FirewallRule) bool { return r.Name == rule })
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for late := time.Now().Add(netlab.Patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

// phone is a linphonec of a user of the exchange, which it finds at host's other end of the wire.
func (x *exchange) phone(t *testing.T, at *netlab.Host, user string, hertz float64, more ...func(*linphone.Config)) *linphone.Phone {
	t.Helper()
	cfg := linphone.Config{
		User: user, Password: boxtest.Password(user), Domain: x.domain, Server: boxtest.Server(at, "udp"), Transport: "udp", Tone: hertz,
	}
	for _, m := range more {
		m(&cfg)
	}
	return linphone.Start(t, at, cfg)
}

// connect calls from one phone to another and returns the call's number in each.
func connect(from, to *linphone.Phone) (out, in int) {
	out = from.Call(to.AoR())
	in = to.Incoming()
	to.Answer(in)
	from.Up(out)
	return out, in
}

// talk checks that both phones hear each other and nothing else.
func talk(a, b *linphone.Phone) {
	heardByA, heardByB := a.Record(), b.Record()
	heardByA.Hears(b.Tone, a.Tone)
	heardByB.Hears(a.Tone, b.Tone)
}
