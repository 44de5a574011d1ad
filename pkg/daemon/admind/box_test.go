package admind

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/testkit/fakeswitch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	owner    = "Owner"
	password = "correct horse battery"
)

// box is an admind with fakes of the other daemons around it.
type box struct {
	t    *testing.T
	cfg  Config
	sw   *fakeswitch.Switch
	d    *Daemon
	stop func()
}

// startBox runs a box without an owner. domain presets switchd's.
func startBox(t *testing.T, domain string) *box {
	t.Helper()
	dir, err := os.MkdirTemp("", "ad-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n, err := notify.New()
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, cfg: Config{
		RunDir: dir, DataDir: filepath.Join(dir, "data"), Bind: "127.0.0.1", Version: "test", Notify: n, Log: slog.New(slog.DiscardHandler),
	}}
	b.sw = fakeswitch.Start(t, b.cfg.socket("switch"), domain)
	startOthers(t, b.cfg)
	b.run()
	t.Cleanup(func() { b.stop() })
	return b
}

// startOthers runs a mediad and a netd that only tell how they are.
func startOthers(t *testing.T, cfg Config) {
	t.Helper()
	media, net := http.NewServeMux(), http.NewServeMux()
	ctl.Handle(media, "GET /v1/status", func(*http.Request, ctl.None) (ctl.MediaStatus, error) {
		return ctl.MediaStatus{Version: "m", Sessions: 1, Streams: 2}, nil
	})
	ctl.Handle(net, "GET /v1/status", func(*http.Request, ctl.None) (ctl.NetStatus, error) { return ctl.NetStatus{Version: "n"}, nil })
	links := []ctl.Link{{Name: "eth0", Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24")}}}
	ctl.Handle(net, "GET /v1/links", func(*http.Request, ctl.None) ([]ctl.Link, error) { return links, nil })
	ctl.Stream(net, "GET /v1/events", func(r *http.Request, emit func(any) error) error {
		if err := emit(ctl.NetEvent{Links: links}); err != nil {
			return err
		}
		<-r.Context().Done()
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for name, mux := range map[string]http.Handler{"media": media, "net": net} {
		wg.Go(func() {
			if err := ctl.Serve(ctx, cfg.socket(name), mux, cfg.Log); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// run starts admind on what is on disk.
func (b *box) run() {
	b.t.Helper()
	var err error
	if b.d, err = New(b.cfg); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.d.Run(ctx); err != nil {
			b.t.Error(err)
		}
	}()
	b.stop = func() { cancel(); <-done }
	client := ctl.NewAdmin(b.cfg.socket("admin"))
	for range 2000 {
		if st, err := client.Status(b.t.Context()); err == nil && st.Page != "" && b.listening() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	b.stop()
	b.t.Fatal("admind does not answer")
}

func (b *box) listening() bool {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	return b.d.port != 0
}

func (b *box) address() string {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	return fmt.Sprintf("127.0.0.1:%d", b.d.port)
}

// certified waits until the page has a certificate of the box's CA that names the box's address.
func (b *box) certified() {
	b.t.Helper()
	for range 20_000 {
		leaf := b.d.cert.Leaf()
		if leaf.Issuer.CommonName == b.sw.CA().Subject.CommonName && leaf.VerifyHostname("192.0.2.5") == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	b.t.Fatal("no certificate of the CA")
}

// browser is a client with cookies that trusts the box's CA.
type browser struct {
	b      *box
	http   *http.Client
	header http.Header // sent with each request
}

func (b *box) browser() *browser {
	b.t.Helper()
	b.certified()
	pool := x509.NewCertPool()
	pool.AddCert(b.sw.CA())
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	b.t.Cleanup(tr.CloseIdleConnections)
	return &browser{b: b, http: &http.Client{Transport: tr, Jar: jar}, header: http.Header{}}
}

// answer is what came back.
type answer struct {
	code   int
	header http.Header
	body   []byte
	problem.Error
}

// do sends body, as JSON unless it is a reader.
func (c *browser) do(method, path string, body any, header ...string) answer {
	c.b.t.Helper()
	var r io.Reader
	switch v := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(v)
	default:
		data, err := json.Marshal(v)
		if err != nil {
			c.b.t.Fatal(err)
		}
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(c.b.t.Context(), method, "https://"+c.b.address()+path, r)
	if err != nil {
		c.b.t.Fatal(err)
	}
	req.Header = c.header.Clone()
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.b.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{code: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		c.b.t.Fatal(err)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		if err := json.Unmarshal(a.body, &a.Error); err != nil {
			c.b.t.Fatalf("%v in %s", err, a.body)
		}
	}
	return a
}

// api is do below /api/v1, with an answer of this code into out.
func (c *browser) api(code int, method, path string, body, out any, header ...string) answer {
	c.b.t.Helper()
	a := c.do(method, "/api/v1"+path, body, header...)
	if a.code != code {
		c.b.t.Fatalf("%s %s: %d %s, want %d", method, path, a.code, a.body, code)
	}
	if out != nil {
		if err := json.Unmarshal(a.body, out); err != nil {
			c.b.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
	return a
}

func (b *box) code() string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.cfg.DataDir, "setup-code"))
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

type m map[string]any

// owned is a box with an owner, and its browser.
func owned(t *testing.T) (*box, *browser) {
	t.Helper()
	b := startBox(t, "")
	c := b.browser()
	c.api(200, "POST", "/setup", m{"code": b.code(), "name": owner, "password": password, "domain": "pbx.example"}, nil)
	return b, c
}
