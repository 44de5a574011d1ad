package hooks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/archive/records"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// rig is hooks that follow an archive, both with files of their own.
type rig struct {
	t       testing.TB
	dir     string
	archive *records.Archive
	hooks   *Engine
	stop    func()
}

// noPhones is a switchd that is told nothing.
func noPhones(context.Context, ctl.TakenMessage) error { panic("no hook stands for phones") }

func start(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	r.run()
	t.Cleanup(func() { r.stop() })
	return r
}

// open opens archive and hooks as admind does, but targets may be on this machine.
func open(dir string) (a *records.Archive, e *Engine, err error) {
	a, err = records.New(records.Config{
		Dir: dir + "/records", Log: quiet(), Free: func() (uint64, error) { return 1 << 40, nil },
		Followed: func() (uint64, bool) { return e.Followed() },
		Stored:   func([]record.Envelope) { e.Wake() },
	})
	if err != nil {
		return nil, nil, err
	}
	e, err = Open(Config{Dir: dir, Archive: a, Taken: noPhones, Product: "Test/1", Log: quiet()})
	if err != nil {
		return nil, nil, err
	}
	e.way = here
	for _, w := range e.workers {
		if err := w.adopt(w.doc); err != nil {
			return nil, nil, err
		}
	}
	return a, e, nil
}

// here is the way to a target on this machine, whatever its name.
func here(s *ctl.HookSpec) (http.RoundTripper, error) {
	way, err := newTransport(s, nil)
	if err != nil {
		return nil, err
	}
	dial := way.DialContext
	way.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return dial(ctx, network, "127.0.0.1:"+port)
	}
	return way, nil
}

func (r *rig) run() {
	r.t.Helper()
	var err error
	if r.archive, r.hooks, err = open(r.dir); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for _, part := range []func(context.Context) error{r.archive.Run, r.hooks.Run} {
		wait.Go(func() {
			if err := part(ctx); err != nil {
				r.t.Error(err)
			}
		})
	}
	r.stop = func() { cancel(); wait.Wait() }
}

func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.run()
}

// message is one of a user to another.
func message(from, to, text string) record.Message {
	at := time.Now().UTC()
	id := ids.Record(at)
	return record.Message{
		ID: id, Type: record.MessageContent, CallID: "c-" + id, Thread: from + " " + to, Sender: record.Party{User: from}, Recipient: record.Party{User: to}, At: at,
		ContentType: "text/plain", Content: []byte(text), Text: text, Status: record.MessageStored, Changes: []record.Change{{At: at, Status: record.MessageStored}},
	}
}

func envelope(m record.Message) record.Envelope {
	data, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return record.Envelope{ID: m.ID, Kind: record.KindMessage, Version: record.Version, Data: data}
}

func (r *rig) store(all ...record.Message) {
	r.t.Helper()
	for _, m := range all {
		if _, err := r.archive.Store(context.Background(), []record.Envelope{envelope(m)}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// target is another system: it keeps what it took and refuses what is not signed.
type target struct {
	t   testing.TB
	srv *httptest.Server

	mu      sync.Mutex // guards what follows
	secrets []string
	behave  func(w http.ResponseWriter, r *http.Request) bool // true: it was answered; may be nil
	got     []delivery
	news    chan struct{}
}

type delivery struct {
	id     string
	signed int // signatures
	ctl.HookEvent
}

func newTarget(t testing.TB) *target {
	g := &target{t: t, news: make(chan struct{}, 10_000)}
	g.srv = httptest.NewTLSServer(g)
	g.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(g.srv.Close)
	return g
}

func (g *target) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.srv.Certificate().Raw}))
}

// url has the name that the target's certificate is for.
func (g *target) url() string { return strings.Replace(g.srv.URL, "127.0.0.1", "example.com", 1) }

func (g *target) spec(name string, events ...string) ctl.HookSpec {
	if events == nil {
		events = []string{ctl.HookNew}
	}
	return ctl.HookSpec{Name: name, URL: g.url() + "/in?x=1", Events: events, CA: g.ca(), Content: true}
}

func (g *target) set(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
}

func (g *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	behave := g.behave
	g.mu.Unlock()
	if behave != nil && behave(w, r) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the box gave up
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	d := delivery{id: r.Header.Get("webhook-id"), signed: len(strings.Fields(r.Header.Get("webhook-signature")))}
	if n := verified(r.Header, body, g.secrets); n == 0 || r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost || r.URL.RawQuery != "x=1" {
		g.t.Errorf("%s %s %v: %d signatures are right", r.Method, r.URL, r.Header, n)
	}
	if err := json.Unmarshal(body, &d.HookEvent); err != nil {
		g.t.Errorf("%v in %s", err, body)
	}
	g.got = append(g.got, d)
	g.news <- struct{}{}
}

// verified counts the secrets that signed a request, as Standard Webhooks has it: base64 of the
// HMAC-SHA256 over id, time and body, keyed with the bytes behind whsec_.
func verified(h http.Header, body []byte, secrets []string) (n int) {
	at, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
		return 0
	}
	for _, s := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
		if err != nil || len(key) < 24 {
			return 0
		}
		mac := hmac.New(sha256.New, key)
		io.WriteString(mac, h.Get("webhook-id")+"."+h.Get("webhook-timestamp")+"."+string(body))
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		if slices.Contains(strings.Fields(h.Get("webhook-signature")), want) {
			n++
		}
	}
	return n
}

// await waits until the target took n events, and returns all.
func (g *target) await(n int) []delivery {
	g.t.Helper()
	late := time.After(30 * time.Second)
	for {
		g.mu.Lock()
		got := slices.Clone(g.got)
		g.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-g.news:
		case <-late:
			g.t.Fatalf("%d of %d events came", len(got), n)
		}
	}
}

// hook adds a hook whose target knows its secret.
func (r *rig) hook(g *target, s ctl.HookSpec) ctl.Hook {
	r.t.Helper()
	h, secret, err := r.hooks.Add(context.Background(), s, "Owner")
	if err != nil {
		r.t.Fatal(err)
	}
	g.set(func() { g.secrets = append(g.secrets, secret) })
	return h
}

// health waits until a hook's health is as wanted.
func (r *rig) health(id string, want func(*ctl.HookHealth) bool) ctl.HookHealth {
	r.t.Helper()
	var h ctl.Hook
	for range 3000 {
		var err error
		if h, err = r.hooks.Get(context.Background(), id); err != nil {
			r.t.Fatal(err)
		}
		if want(&h.Health) {
			return h.Health
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Fatalf("health is %+v %+v", h.Health, h.Health.Failure)
	return h.Health
}

func texts(all []delivery) (list []string) {
	for _, d := range all {
		list = append(list, d.Data.Message.Text)
	}
	return list
}

func numbered(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("text ", i))
	}
	return list
}
