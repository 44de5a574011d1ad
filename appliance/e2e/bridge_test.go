package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// otherSystem is what a hook's events go to: an HTTPS server on a wire of its own.
type otherSystem struct {
	t    *testing.T
	addr string
	ca   string // PEM

	mu     sync.Mutex // guards what follows
	secret []byte
	got    map[string]ctl.HookEvent // by webhook-id
	order  []string
}

func startOther(t *testing.T, h *netlab.Host) *otherSystem {
	t.Helper()
	o := &otherSystem{t: t, got: map[string]ctl.HookEvent{}}
	cert, text := selfSigned(t, h.V4)
	o.ca = text
	var ln net.Listener
	err := h.Do(func() (err error) {
		ln, err = net.Listen("tcp", netip.AddrPortFrom(h.V4, 0).String()) //nolint:noctx // a wire of the lab answers at once
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	o.addr = ln.Addr().String()
	srv := &http.Server{Handler: o, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: netlab.Patience}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}})) // until it is closed
	}()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return o
}

func selfSigned(t *testing.T, ip netip.Addr) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{ip.AsSlice()},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (o *otherSystem) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the box gave up, or was killed
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	id := r.Header.Get("webhook-id")
	mac := hmac.New(sha256.New, o.secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, r.Header.Get("webhook-timestamp"), body)
	if r.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		o.t.Errorf("an event is not signed: %v", r.Header)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var ev ctl.HookEvent
	if err := json.Unmarshal(body, &ev); err != nil {
		o.t.Errorf("%v in %s", err, body)
	}
	if _, again := o.got[id]; !again {
		o.got[id] = ev
		o.order = append(o.order, id)
	}
}

// hook makes the box tell the other system.
func (o *otherSystem) hook(api *boxtest.API, spec ctl.HookSpec) ctl.Hook {
	o.t.Helper()
	var made struct {
		ctl.Hook
		Secret string `json:"secret"`
	}
	spec.Name, spec.URL, spec.Content, spec.CA = "other system", "https://"+o.addr+"/", true, o.ca
	api.Post("/hooks", spec, &made)
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(made.Secret, "whsec_"))
	if err != nil {
		o.t.Fatal(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.secret = secret
	return made.Hook
}

// await waits until an event has come that is wanted.
func (o *otherSystem) await(what string, want func(ctl.HookEvent) bool) ctl.HookEvent {
	o.t.Helper()
	for until := time.Now().Add(netlab.Patience); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		o.mu.Lock()
		for _, id := range o.order {
			if ev := o.got[id]; want(ev) {
				o.mu.Unlock()
				return ev
			}
		}
		o.mu.Unlock()
	}
	o.t.Fatalf("no event came of %s", what)
	return ctl.HookEvent{}
}

// TestBridgesBothWays lets a program write to a phone, which answers: the program hears of that, and of
// what became of its own message.
func TestBridgesBothWays(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob", "crm")
	other := startOther(t, s.hosts["crm"])
	api := s.box.API(s.hosts["crm"])
	h := other.hook(api, ctl.HookSpec{Events: []string{ctl.HookNew, ctl.HookStatus, ctl.HookReceipt}})
	var res ctl.HookResult
	api.Post("/hooks/"+h.ID+"/test", nil, &res)
	if !res.OK || res.Code != http.StatusOK {
		t.Fatalf("%+v %+v", res, res.Failure)
	}
	var token struct {
		Secret string `json:"secret"`
	}
	api.Post("/tokens", map[string]any{"name": "tickets", "role": "sender", "senders": []string{"bob"}}, &token)
	program := api.As(token.Secret)

	alice, bob := s.phone("alice", "tls"), s.phone("bob", "udp")
	request := map[string]string{"from": "bob", "to": boxtest.Number(0), "text": namaste}
	var sent, again ctl.SentMessage
	program.Post("/messages", request, &sent, "Idempotency-Key", "ticket 1")
	if by := alice.Reads(0, namaste); by != bob.AoR() {
		t.Errorf("alice reads that %s wrote", by)
	}
	bob.Reads(0, namaste) // his own phone has a copy
	program.Post("/messages", request, &again, "Idempotency-Key", "ticket 1")
	if !again.Again || again.ID != sent.ID {
		t.Errorf("%+v after %+v", again, sent)
	}
	alice.Write(bob.AoR(), "it works")
	ev := other.await("alice's answer", func(ev ctl.HookEvent) bool { return ev.Type == ctl.HookNew && ev.Data.Message.Text == "it works" })
	if m := ev.Data.Message; m.Sender.User != "alice" || m.Recipient.User != "bob" || m.SentByAPI {
		t.Errorf("%+v", m)
	}
	own := other.await("the program's message", func(ev ctl.HookEvent) bool { return ev.Type == ctl.HookNew && ev.Data.Message.ID == sent.ID })
	if m := own.Data.Message; m.Text != namaste || !m.SentByAPI || m.Token != "tickets" || m.CallID != sent.CallID {
		t.Errorf("%+v", m)
	}
	other.await("its receipt", func(ev ctl.HookEvent) bool {
		return ev.Type == ctl.HookReceipt && ev.Data.Status == record.MessageDelivered && ev.Data.Message.About == sent.ID
	})
	if n := alice.Shown(0, namaste); n != 1 {
		t.Errorf("alice was shown the message %d times", n)
	}
	if err := program.Try("/messages", &json.RawMessage{}); err == nil || !strings.Contains(err.Error(), "token.role") {
		t.Errorf("a token that may only send reads: %v", err)
	}
}

// TestBridgesSurviveKills kills admind and switchd again and again while a program sends: each message
// that it was told is taken comes to the other system, in order, and waits no more: the other system
// stands for the recipient's phone.
func TestBridgesSurviveKills(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob", "crm")
	other := startOther(t, s.hosts["crm"])
	api := s.box.API(s.hosts["crm"])
	other.hook(api, ctl.HookSpec{Events: []string{ctl.HookNew}, Users: []string{"bob"}, Takes: true})
	const count = 40
	var ids []string
	for i := range count {
		if i%10 == 5 {
			s.box.Kill([]string{"admind", "switchd"}[i/10%2])
		}
		request := map[string]string{"from": "alice", "to": "bob", "text": fmt.Sprint("number ", i)}
		var sent ctl.SentMessage
		for until := time.Now().Add(netlab.Patience); ; time.Sleep(100 * time.Millisecond) {
			err := api.TryPost("/messages", request, &sent, "Idempotency-Key", fmt.Sprint("k", i))
			if err == nil {
				break
			}
			if time.Now().After(until) {
				t.Fatal(err)
			}
		}
		ids = append(ids, sent.ID)
	}
	other.await("the last message", func(ev ctl.HookEvent) bool { return ev.Data.Message.ID == ids[count-1] })
	s.waits(0)
	other.mu.Lock()
	defer other.mu.Unlock()
	var came []string
	for _, id := range other.order {
		came = append(came, other.got[id].Data.Message.ID)
	}
	if fmt.Sprint(came) != fmt.Sprint(ids) {
		t.Errorf("came %q, sent %q", came, ids)
	}
}
