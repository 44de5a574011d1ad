package switchd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is how long a test waits for what must come.
const wait = 10 * time.Second

type box struct {
	t      *testing.T
	dir    string
	client ctl.Switch
	stop   func()
	status ctl.SwitchStatus
}

// start runs switchd as its program does, in dir.
func start(t *testing.T, dir, domain string) *box {
	t.Helper()
	return startWith(t, dir, domain, false)
}

// startLimited is start with limits per source.
func startLimited(t *testing.T, dir, domain string) *box {
	t.Helper()
	return startWith(t, dir, domain, true)
}

func startWith(t *testing.T, dir, domain string, limits bool) *box {
	t.Helper()
	d, err := New(Config{
		RunDir: filepath.Join(dir, "run"), DataDir: filepath.Join(dir, "switch"), Bind: "127.0.0.1", Domain: domain, Limits: limits, Version: "test",
		Notify: &notify.Notifier{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	b := &box{t: t, dir: dir, client: ctl.NewSwitch(filepath.Join(dir, "run", "switch.sock"))}
	b.stop = sync.OnceFunc(func() {
		b.client.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.stop)
	for deadline := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
		if b.status, err = b.client.Status(t.Context()); err == nil {
			return b
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func (b *box) port(transport string) netip.AddrPort {
	for _, l := range b.status.Listeners {
		if l.Transport == transport {
			return l.Address
		}
	}
	b.t.Fatalf("no listener of %s", transport)
	return netip.AddrPort{}
}

// register makes a phone of a user known; its password is sipside's.
func (b *box) register(user string) net.Conn {
	b.t.Helper()
	c, err := net.Dial("udp", b.port("udp").String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	target := "sip:" + sipside.Domain
	buf := make([]byte, 65536)
	ask := func(seq int, extra string) string {
		text := fmt.Sprintf("REGISTER %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d;rport\r\nFrom: <sip:%s@%s>;tag=1\r\nTo: <sip:%s@%s>\r\nCall-ID: %s\r\nCSeq: %d REGISTER\r\n"+
			"Max-Forwards: 70\r\nContact: <sip:%s@%s>;expires=60\r\n%sContent-Length: 0\r\n\r\n",
			target, c.LocalAddr(), seq, user, sipside.Domain, user, sipside.Domain, c.LocalAddr(), seq, user, c.LocalAddr(), strings.ReplaceAll(extra, "\n", "\r\n"))
		if _, err := c.Write([]byte(text)); err != nil {
			b.t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(buf)
		if err != nil {
			b.t.Fatal(err)
		}
		return string(buf[:n])
	}
	challenge := ask(1, "")
	if got := ask(2, sipside.Authorization(challenge, user, sipside.Password, "REGISTER", target)); sipside.Status(got) != 200 {
		b.t.Fatalf("registration of %s: %s", user, got)
	}
	return c
}

func (b *box) add(name string) ctl.UserWithSecret {
	b.t.Helper()
	u, err := b.client.AddUser(b.t.Context(), ctl.NewUser{UserSpec: ctl.UserSpec{Name: name}, Secret: ctl.Secret{Password: sipside.Password}})
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

func TestUsersThroughTheSocket(t *testing.T) {
	b := start(t, t.TempDir(), "")
	ctx := t.Context()
	if _, err := b.client.AddUser(ctx, ctl.NewUser{UserSpec: ctl.UserSpec{Name: "early"}}); !problem.Is(err, problem.Conflict) {
		t.Fatalf("a user before the domain: %v", err)
	}
	if err := b.client.SetDomain(ctx, ctl.Domain{Domain: sipside.Domain}); err != nil {
		t.Fatal(err)
	}
	u := b.add("alice")
	b.register("alice")
	if got, err := b.client.User(ctx, u.ID); err != nil || got.Devices != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	spec := u.UserSpec
	spec.Numbers = []string{"101"}
	if _, err := b.client.ChangeUser(ctx, u.ID, 99, spec); !problem.Is(err, problem.Conflict) {
		t.Errorf("a change of another revision: %v", err)
	}
	changed, err := b.client.ChangeUser(ctx, u.ID, u.Revision, spec)
	if err != nil || changed.Numbers[0] != "101" || changed.Devices != 1 {
		t.Fatalf("%+v %v", changed, err)
	}
	csv := "user,password\nbob,secret-pass\ncarol,secret-pass\n"
	if res, err := b.client.CheckUsers(ctx, strings.NewReader(csv)); err != nil || res.Added != 2 {
		t.Errorf("%+v %v", res, err)
	}
	if res, err := b.client.ImportUsers(ctx, strings.NewReader(csv)); err != nil || res.Added != 2 {
		t.Errorf("%+v %v", res, err)
	}
	if _, err := b.client.ImportUsers(ctx, strings.NewReader("user,password\nd e,x\n")); problem.Of(err).Faults[0].Path != "line 2: name" {
		t.Errorf("%v", err)
	}
	if page, err := b.client.Users(ctx, ctl.UserQuery{Limit: 2}); err != nil || len(page.Users) != 2 || page.Total != 3 || page.Next != "bob" {
		t.Errorf("%+v %v", page, err)
	}
	if res, err := b.client.ResetSecret(ctx, u.ID, ctl.Secret{}); err != nil || len(res.Password) != 26 {
		t.Errorf("%+v %v", res, err)
	}
	if regs, err := b.client.Registrations(ctx); err != nil || len(regs) != 0 {
		t.Errorf("devices with the old password stay: %+v %v", regs, err)
	}
	if err := b.client.RemoveUser(ctx, u.ID); err != nil {
		t.Error(err)
	}
	if _, err := b.client.User(ctx, u.ID); !problem.Is(err, problem.Missing) {
		t.Errorf("%v", err)
	}
	if err := b.client.HangUp(ctx, "nothing", "root"); !problem.Is(err, problem.Missing) {
		t.Errorf("%v", err)
	}
}

func TestEventsTellWhatChanges(t *testing.T) {
	b := start(t, t.TempDir(), sipside.Domain)
	u := b.add("alice")
	b.register("alice")
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	got := make(chan ctl.SwitchEvent, 100)
	listening := make(chan error, 1)
	go func() {
		listening <- b.client.Events(ctx, func(ev ctl.SwitchEvent) error { got <- ev; return nil })
	}()
	if ev := <-got; ev.Registered == nil || ev.Registered.User != "alice" {
		t.Fatalf("the stream starts with %+v", ev)
	}
	spec := u.UserSpec
	spec.Disabled = true
	if _, err := b.client.ChangeUser(ctx, u.ID, u.Revision, spec); err != nil {
		t.Fatal(err)
	}
	gone, changed := false, false
	for !gone || !changed {
		select {
		case ev := <-got:
			gone = gone || (ev.Unregistered != nil && ev.Unregistered.User == "alice")
			changed = changed || ev.UserChanged == u.ID
		case <-ctx.Done():
			t.Fatalf("gone %v, changed %v", gone, changed)
		}
	}
	cancel()
	<-listening
}

func TestTheCASignsForThePage(t *testing.T) {
	b := start(t, t.TempDir(), sipside.Domain)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	chain, err := b.client.Sign(t.Context(), ctl.CertificateRequest{PublicKey: der, Names: []string{"page.pbx.test", "192.0.2.77"}})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := b.client.CA(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca.PEM))
	block, _ := pem.Decode([]byte(chain.PEM))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"page.pbx.test", "192.0.2.77", "127.0.0.1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.client.Sign(t.Context(), ctl.CertificateRequest{PublicKey: []byte("nonsense")}); !problem.Is(err, problem.Invalid) {
		t.Errorf("%v", err)
	}
}

func TestRecordsWaitForTheArchiveAndBindingsOutliveAStop(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir, sipside.Domain)
	b.add("alice")
	b.register("alice")
	for deadline := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		if st, err := b.client.Status(t.Context()); err == nil && st.RecordsQueued == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the registration's record is not queued")
		}
	}
	b.stop()

	var mu sync.Mutex // guards kinds
	var kinds []record.Kind
	mux := http.NewServeMux()
	ctl.Handle(mux, "POST /v1/records", func(_ *http.Request, in ctl.Batch) (ctl.Ack, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range in.Records {
			kinds = append(kinds, e.Kind)
			var r record.Registration
			if err := json.Unmarshal(e.Data, &r); err != nil || r.User != "alice" || r.Result != record.RegActive {
				t.Errorf("%s %v", e.Data, err)
			}
		}
		return ctl.Ack{Stored: len(in.Records)}, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- ctl.Serve(ctx, filepath.Join(dir, "run", "admin.sock"), mux, slog.New(slog.DiscardHandler))
	}()
	b = start(t, dir, "")
	if regs, err := b.client.Registrations(t.Context()); err != nil || len(regs) != 1 {
		t.Errorf("%+v %v", regs, err)
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		if st, err := b.client.Status(t.Context()); err == nil && st.RecordsQueued == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the record does not reach the archive")
		}
	}
	b.stop()
	cancel()
	if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(kinds) != 1 || kinds[0] != record.KindRegistration {
		t.Errorf("%v", kinds)
	}
}

func TestBindAddresses(t *testing.T) {
	if _, err := bindAddresses("not an address"); err == nil || !strings.Contains(err.Error(), "0.0.0.0") {
		t.Errorf("%v", err)
	}
	if got, err := bindAddresses("[::1]"); err != nil || got[0] != netip.IPv6Loopback() {
		t.Errorf("%v %v", got, err)
	}
	if got, err := bindAddresses(""); err != nil || !got[0].IsUnspecified() {
		t.Errorf("%v %v", got, err)
	}
}

// What an admin decides about messages is kept; what waits is counted.
func TestChatThroughTheSocket(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir, sipside.Domain)
	ctx := t.Context()
	if err := b.client.SetChatPolicy(ctx, ctl.ChatPolicy{KeepDays: 99}); !problem.Is(err, problem.Invalid) {
		t.Errorf("99 days: %v", err)
	}
	if err := b.client.SetChatPolicy(ctx, ctl.ChatPolicy{KeepDays: 14}); err != nil {
		t.Fatal(err)
	}
	b.add("alice")
	b.add("bob")
	b.message("alice", "bob", "hello")
	for restarted := false; ; restarted = true {
		for until := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
			st, err := b.client.Status(ctx)
			p, err2 := b.client.ChatPolicy(ctx)
			if err == nil && err2 == nil && st.Messages == 1 && p.KeepDays == 14 {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("status %+v, policy %+v, %v", st, p, errors.Join(err, err2))
			}
		}
		if restarted {
			return
		}
		b.stop()
		b = start(t, dir, "")
	}
}

// message lets a user write to another, and wants that the box takes it.
func (b *box) message(from, to, text string) {
	b.t.Helper()
	c, err := net.Dial("udp", b.port("udp").String())
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	target := "sip:" + to + "@" + sipside.Domain
	buf := make([]byte, 65536)
	authorization, code := "", 0
	for seq := range 2 {
		request := fmt.Sprintf("MESSAGE %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d;rport\r\nFrom: <sip:%s@%s>;tag=1\r\nTo: <%[1]s>\r\nCall-ID: m\r\nCSeq: %[3]d MESSAGE\r\n"+
			"Max-Forwards: 70\r\n%[6]sContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
			target, c.LocalAddr(), seq+1, from, sipside.Domain, strings.ReplaceAll(authorization, "\n", "\r\n"), len(text), text)
		if _, err := c.Write([]byte(request)); err != nil {
			b.t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(buf)
		if err != nil {
			b.t.Fatal(err)
		}
		code = sipside.Status(string(buf[:n]))
		authorization = sipside.Authorization(string(buf[:n]), from, sipside.Password, "MESSAGE", target)
	}
	if code != 202 {
		b.t.Fatalf("a message was answered %d", code)
	}
}

func TestTheBoxsOwnAccountsAreNotSeen(t *testing.T) {
	b := start(t, t.TempDir(), sipside.Domain)
	ctx := t.Context()
	b.add("alice")
	if _, err := b.client.SetMediaPolicy(ctx, ctl.MediaPolicyChange{Policy: ctl.MediaPolicy{Site: ctl.MediaRules{Encryption: ctl.EncryptionRequired}}, Who: "root"}); err != nil {
		t.Fatal(err)
	}
	made, err := b.client.MakeProbes(ctx)
	if err != nil || len(made) != 2 {
		t.Fatalf("%+v, %v", made, err)
	}
	page, err := b.client.Users(ctx, ctl.UserQuery{})
	if err != nil || page.Total != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	if policy, err := b.client.MediaPolicy(ctx); err != nil || policy.Number != 1 || len(policy.Users) != 0 {
		t.Errorf("%+v, %v", policy, err)
	}
	if st, err := b.client.Status(ctx); err != nil || st.Users != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	if err := b.client.DropProbes(ctx); err != nil {
		t.Error(err)
	}
}
