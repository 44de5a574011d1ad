package chat

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/dialplan"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// wired is a chat engine with a registrar behind a real edge.
type wired struct {
	*sipside.Side
	eng     *Engine
	records atomic.Int64
}

// ported is an edge that was given no port and tells the one that it got.
type ported struct{ *edge.Edge }

func (p ported) SentBy(f edge.Flow) netip.AddrPort {
	for _, l := range p.Listening() {
		if l.Transport == f.Transport {
			return l.Local
		}
	}
	return netip.AddrPort{}
}

func newWired(t *testing.T, users ...string) *wired {
	t.Helper()
	w := &wired{Side: sipside.New(t, users...)}
	dir := t.TempDir()
	reg, err := registrar.Open(filepath.Join(dir, "reg"), registrar.Deps{
		Log: slog.New(slog.DiscardHandler), Edge: w.Edge, Domain: w.Users.Domain, Clock: time.Now, Record: func(record.Registration) {},
		Watch: func(ev registrar.Event) {
			if ev.Gone != "" {
				w.eng.Gone(ev.Binding)
			} else if ev.New {
				w.eng.Bound(ev.Binding)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	plan := &dialplan.Plan{Ours: func(h string) bool { return h == sipside.Domain }, Lookup: w.Users.Lookup}
	w.eng = New(dir, Deps{
		Log: slog.New(slog.DiscardHandler), Wire: ported{w.Edge}, Out: w.Edge.NewOutgoing(), Devices: reg, Plan: plan, User: w.Users.ByID, Domain: w.Users.Domain,
		Record: func(_ record.Message, kept func(error)) { w.records.Add(1); kept(nil) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- reg.Run(ctx) }()
	go func() { done <- w.eng.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		w.Close(t)
	})
	w.Start(t, edge.Handlers{
		Register: reg.Register, Message: w.eng.Message, Response: w.eng.Response,
		Call: func(*edge.Inbound) bool { return false }, Failed: func(*edge.Inbound, account.Verdict) {},
	})
	return w
}

// register makes a phone of a user known.
func (w *wired) register(t *testing.T, name string, tr edge.Transport) *sipside.Phone {
	t.Helper()
	p := w.Phone(t, name, tr)
	contact := fmt.Sprintf("Contact: <sip:%s@%s;transport=%s>;+sip.instance=\"<urn:uuid:%s-%s>\"\nExpires: 600\n", name, p.Addr(), tr.Param(), name, tr.Param())
	if got := p.Ask("REGISTER", "sip:"+sipside.Domain, "sip:"+name+"@"+sipside.Domain, contact); sipside.Status(got) != 200 {
		t.Fatalf("REGISTER of %s: %s", name, got)
	}
	return p
}

// take wants a MESSAGE with this body and answers it.
func take(t *testing.T, p *sipside.Phone, body string) {
	t.Helper()
	got := p.Next(sipside.Wait)
	if !strings.HasPrefix(got, "MESSAGE ") || !strings.HasSuffix(got, "\r\n\r\n"+body) {
		t.Fatalf("got %q, not a MESSAGE %q", got, body)
	}
	answer := "SIP/2.0 200 OK\n"
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		answer += name + ": " + sipside.Header(got, name) + "\n"
	}
	p.Send(answer)
}

// Over real sockets: who is there gets it at once, over each transport, who is not when he comes.
func TestOverSockets(t *testing.T) {
	w := newWired(t, "alice", "bob")
	const bob = "sip:bob@" + sipside.Domain
	a := w.register(t, "alice", edge.UDP)
	b, c := w.register(t, "bob", edge.TCP), w.register(t, "bob", edge.UDP)
	if got := a.Ask("MESSAGE", bob, bob, "Content-Type: text/plain\n\n"+hindi); sipside.Status(got) != 202 {
		t.Fatalf("%s", got)
	}
	take(t, b, hindi)
	take(t, c, hindi)
	carol := w.Phone(t, "alice", edge.TCP)
	if got := carol.Ask("MESSAGE", "sip:alice@"+sipside.Domain, "sip:alice@"+sipside.Domain, "Content-Type: text/plain\n\nto myself"); sipside.Status(got) != 202 {
		t.Fatalf("%s", got)
	}
	take(t, a, "to myself")
	if got := a.Ask("MESSAGE", "sip:nobody@"+sipside.Domain, "sip:nobody@"+sipside.Domain, ""); sipside.Status(got) != 404 {
		t.Errorf("%s", got)
	}
	for until := time.Now().Add(sipside.Wait); w.eng.Waiting() > 0 || w.records.Load() < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d messages wait, %d records were written", w.eng.Waiting(), w.records.Load())
		}
	}
}

// FuzzMessage hands bodies to the engine as a user could: none may stop it.
func FuzzMessage(f *testing.F) {
	f.Add("message/cpim", "", cpim("alice", "bob", "id", "x"))
	f.Add("message/imdn+xml", "deflate", receipt("id", "delivery", "delivered"))
	f.Add("text/plain", "", "x")
	f.Fuzz(func(t *testing.T, kind, encoding, body string) {
		if strings.ContainsAny(kind+encoding, "\r\n\x00") || len(body) > 10_000 {
			return
		}
		text := fmt.Sprintf("MESSAGE sip:bob@%s SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bKf\r\nFrom: <sip:alice@%[1]s>;tag=t\r\nTo: <sip:bob@%[1]s>\r\nCall-ID: fuzz\r\nCSeq: 1 MESSAGE\r\nContent-Type: %s\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s",
			domain, kind, encoding, len(body), body)
		in := new(edge.Inbound)
		if in.Read([]byte(text)) != nil || in.Check() != nil {
			return
		}
		e := &Engine{deps: Deps{
			Domain: func() string { return domain }, Plan: &dialplan.Plan{Ours: func(h string) bool { return h == domain }},
		}}
		e.policy.Store(&ctl.ChatPolicy{KeepDays: defaultKeep})
		m := &incoming{in: in, from: &account.Account{ID: "a", Name: "alice"}, to: &account.Account{ID: "b", Name: "bob"}, now: time.Unix(0, 0)}
		if m.read(e) != nil {
			return
		}
		item, wire := e.item(m)
		if all := recordsOf(item, wire); len(all) != 1 || string(wire.Body) != body {
			t.Fatalf("%d records; the body became %q", len(all), wire.Body)
		}
	})
}
