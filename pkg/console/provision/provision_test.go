package provision

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const ha1 = "17da395cecf8315884760f5dc5f6944f"

// fakeSwitch answers for one user, u1.
type fakeSwitch struct {
	away     bool
	disabled bool
	name     string
	bound    string // the only address of the TLS port
	full     bool   // no more devices

	mu      sync.Mutex // guards what follows
	made    int
	secrets map[string]string // ids of users by the logins of their devices
}

func (f *fakeSwitch) Status(context.Context) (ctl.SwitchStatus, error) {
	if f.away {
		return ctl.SwitchStatus{}, problem.New(problem.Unavailable, "switchd.away", "away", "wait")
	}
	return ctl.SwitchStatus{Domain: "pbx.test", Listeners: []ctl.Listener{
		{Transport: "udp", Address: netip.MustParseAddrPort("0.0.0.0:5060")},
		{Transport: "tls", Address: netip.MustParseAddrPort(f.tls())},
	}}, nil
}

// tls is the address of the TLS port.
func (f *fakeSwitch) tls() string { return cmp.Or(f.bound, "0.0.0.0") + ":5061" }

func (f *fakeSwitch) User(_ context.Context, id string) (ctl.User, error) {
	if id != "u1" && id != "u3" {
		return ctl.User{}, problem.New(problem.Missing, "user.missing", "no", "list")
	}
	return ctl.User{ID: id, UserSpec: ctl.UserSpec{Name: "carol", DisplayName: f.name, Disabled: f.disabled}}, nil
}

func (f *fakeSwitch) AddDevice(_ context.Context, id string) (ctl.DeviceSecret, error) {
	if f.full {
		return ctl.DeviceSecret{}, problem.New(problem.Full, "user.devices", "many", "remove some")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	login := fmt.Sprint("carol~", f.made)
	f.secrets[login] = id
	return ctl.DeviceSecret{Login: login, Password: "pass-of-" + login, HA1: ha1}, nil
}

func (f *fakeSwitch) RemoveDevice(_ context.Context, _, login string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.secrets, login)
	return nil
}

func (f *fakeSwitch) CA(context.Context) (ctl.Certificate, error) {
	return ctl.Certificate{PEM: "-----BEGIN CERTIFICATE-----"}, nil
}

// logins are those of devices that can sign in.
func (f *fakeSwitch) logins() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.secrets))
}

type phones struct {
	*Provision
	sw   *fakeSwitch
	used []string
	mux  *http.ServeMux // of the page
	desk *http.ServeMux // of phones alone
	dir  string
}

func start(t *testing.T) *phones {
	t.Helper()
	p := &phones{sw: &fakeSwitch{name: `Carol "C" <x>`, secrets: map[string]string{}}, mux: http.NewServeMux(), dir: t.TempDir()}
	var err error
	var mu sync.Mutex
	files := func(host string) string { return "https://" + host + "/files/" }
	p.Provision, err = New(Config{Dir: p.dir, Switch: p.sw, Log: slog.New(slog.DiscardHandler), Files: files, Used: func(_ context.Context, u ctl.User, f Fetch) error {
		mu.Lock()
		defer mu.Unlock()
		p.used = append(p.used, u.Name+" "+f.Source.String()+" "+f.Agent)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.Handle(p.mux)
	p.desk = http.NewServeMux()
	p.HandlePhones(p.desk)
	t.Cleanup(func() { p.Close() })
	return p
}

func (p *phones) fetch(method, token string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://192.0.2.5:8443"+PathPrefix+token, nil)
	r.RemoteAddr = "192.0.2.77:4711"
	r.Header.Set("User-Agent", "LinphoneAndroid/6")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.mux.ServeHTTP(w, r)
	return w
}

func (p *phones) issue(t *testing.T, user, transport string) string {
	t.Helper()
	token, expires, err := p.Issue(user, ha1, transport)
	if err != nil || time.Until(expires) > lifetime || len(token) < 50 {
		t.Fatalf("%q %v %v", token, expires, err)
	}
	return token
}

// entries reads a document as a phone does.
func entries(t *testing.T, text []byte) map[string]string {
	t.Helper()
	var doc document
	if err := xml.Unmarshal(text, &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	got := map[string]string{}
	for _, s := range doc.Sections {
		for _, e := range s.Entries {
			if !e.Overwrite {
				t.Errorf("%s/%s does not overwrite", s.Name, e.Name)
			}
			got[s.Name+"/"+e.Name] = e.Value
		}
	}
	return got
}

func TestAPhoneSetsItselfUpOnce(t *testing.T) {
	t.Parallel()
	for _, header := range [][]string{nil, {"X-Linphone-Provisioning", "1"}} {
		p := start(t)
		token := p.issue(t, "u1", "")
		w := p.fetch(http.MethodGet, token, header...)
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/xml") || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		got := entries(t, w.Body.Bytes())
		for key, want := range map[string]string{
			"auth_info_0/username": "carol", "auth_info_0/ha1": ha1, "auth_info_0/realm": "pbx.test", "auth_info_0/algorithm": "MD5",
			"proxy_0/reg_proxy": "<sip:192.0.2.5:5061;transport=tls>", "proxy_0/reg_route": "<sip:192.0.2.5:5061;transport=tls;lr>",
			"proxy_0/reg_identity": `"Carol \"C\" <x>" <sip:carol@pbx.test>`, "proxy_0/reg_expires": "600", "proxy_0/lime_server_url": "",
			"lime/enabled": "0", "sip/default_proxy": "0", "sip/media_encryption": "srtp",
		} {
			if v, ok := got[key]; !ok || v != want {
				t.Errorf("%s is %q, want %q", key, v, want)
			}
		}
		if len(p.used) != 1 || p.used[0] != "carol 192.0.2.77 LinphoneAndroid/6" {
			t.Errorf("told: %v", p.used)
		}
		if w := p.fetch(http.MethodGet, token, header...); w.Code != http.StatusGone {
			t.Errorf("a second time: %d", w.Code)
		}
	}
}

func TestTheTransportAskedForAndIPv6(t *testing.T) {
	t.Parallel()
	p := start(t)
	w := p.fetch(http.MethodGet, p.issue(t, "u1", "udp"), "Host", "[2001:db8::5]:8443")
	got := entries(t, w.Body.Bytes())
	if got["misc/file_transfer_server_url"] != "https://[2001:db8::5]:8443/files/" {
		t.Errorf("%v", got)
	}
	if got["proxy_0/reg_proxy"] != "<sip:[2001:db8::5]:5060;transport=udp>" || got["sip/media_encryption"] != "none" {
		t.Errorf("%v", got)
	}
	p.sw.bound = "192.0.2.99"
	if got := entries(t, p.fetch(http.MethodGet, p.issue(t, "u1", "")).Body.Bytes()); got["proxy_0/reg_proxy"] != "<sip:192.0.2.99:5061;transport=tls>" {
		t.Errorf("a port on one address: %v", got)
	}
	if w := p.fetch(http.MethodGet, p.issue(t, "u1", "tcp")); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a transport that the box does not serve: %d", w.Code)
	}
}

func TestWhatDoesNotUseATokenUp(t *testing.T) {
	t.Parallel()
	p := start(t)
	token := p.issue(t, "u1", "")
	if w := p.fetch(http.MethodHead, token); w.Code != http.StatusForbidden {
		t.Errorf("HEAD: %d", w.Code)
	}
	p.sw.away = true
	if w := p.fetch(http.MethodGet, token); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("switchd away: %d", w.Code)
	}
	p.sw.away = false
	if w := p.fetch(http.MethodGet, token, "Host", `"><x`); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a host that is none: %d", w.Code)
	}
	if w := p.fetch(http.MethodGet, token); w.Code != http.StatusOK {
		t.Errorf("then: %d", w.Code)
	}
}

func TestWhatEndsAToken(t *testing.T) {
	t.Parallel()
	p := start(t)
	first := p.issue(t, "u1", "")
	second := p.issue(t, "u1", "")
	if w := p.fetch(http.MethodGet, first); w.Code != http.StatusGone {
		t.Errorf("a newer one was issued: %d", w.Code)
	}
	p.sw.disabled = true
	if w := p.fetch(http.MethodGet, second); w.Code != http.StatusGone {
		t.Errorf("the user is disabled: %d", w.Code)
	}
	p.sw.disabled = false
	if err := p.Revoke("u1"); err != nil {
		t.Fatal(err)
	}
	if w := p.fetch(http.MethodGet, second); w.Code != http.StatusGone {
		t.Errorf("revoked: %d", w.Code)
	}
	if w := p.fetch(http.MethodGet, p.issue(t, "gone", "")); w.Code != http.StatusGone {
		t.Errorf("the user was removed: %d", w.Code)
	}
	for _, token := range []string{"x", strings.Repeat("0", 52), "%00"} {
		if w := p.fetch(http.MethodGet, token); w.Code != http.StatusGone {
			t.Errorf("%q: %d", token, w.Code)
		}
	}
}

func TestTokensExpireAndSurviveARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t)
		token, late := p.issue(t, "u1", ""), p.issue(t, "u2", "")
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := New(p.cfg)
		if err != nil {
			t.Fatal(err)
		}
		p.Provision, p.mux = again, http.NewServeMux()
		p.Handle(p.mux)
		if w := p.fetch(http.MethodGet, token); w.Code != http.StatusOK {
			t.Errorf("after a restart: %d", w.Code)
		}
		time.Sleep(lifetime + time.Second)
		if w := p.fetch(http.MethodGet, late); w.Code != http.StatusGone {
			t.Errorf("after a day: %d", w.Code)
		}
	})
}

func TestOnlyOneOfTwoPhonesWins(t *testing.T) {
	t.Parallel()
	p := start(t)
	token := p.issue(t, "u1", "")
	var mu sync.Mutex
	codes := map[int]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			w := p.fetch(http.MethodGet, token)
			mu.Lock()
			defer mu.Unlock()
			codes[w.Code]++
		})
	}
	wg.Wait()
	if codes[http.StatusOK] != 1 || codes[http.StatusGone] != 7 {
		t.Fatalf("%v", codes)
	}
}

func TestNeitherTokenNorCredentialIsOnDisk(t *testing.T) {
	t.Parallel()
	p := start(t)
	token := p.issue(t, "u1", "")
	data, err := os.ReadFile(filepath.Join(p.dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(token)) || bytes.Contains(data, []byte(ha1)) || !bytes.Contains(data, []byte("u1")) {
		t.Fatal("the file tells a secret, or holds nothing")
	}
	g, err := p.find(token)
	if err != nil {
		t.Fatal(err)
	}
	g.User = "u2"
	if _, err := unseal(token, g); err == nil {
		t.Fatal("a credential can be moved to another user")
	}
}

func TestUsedCanStopTheAnswer(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.cfg.Used = func(context.Context, ctl.User, Fetch) error { return errors.New("no audit") }
	w := p.fetch(http.MethodGet, p.issue(t, "u1", ""))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), ha1) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func TestQRCodes(t *testing.T) {
	t.Parallel()
	const text = "https://192.0.2.5:8443/provision/0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk"
	img, err := QRPNG(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(img)); err != nil {
		t.Fatal(err)
	}
	svg, err := QRSVG(text)
	if err != nil || xml.Unmarshal([]byte(svg), new(struct{})) != nil {
		t.Fatalf("%v: %.100s", err, svg)
	}
	if _, err := QRSVG(strings.Repeat("x", 5000)); err == nil {
		t.Fatal("a text that fits no code")
	}
}
