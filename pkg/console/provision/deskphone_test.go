package provision

import (
	"context"
	"encoding/xml"
	"errors"
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

const (
	mac  = "00:15:65:aa:bb:cc"
	bare = "001565aabbcc"
)

func (p *phones) bind(t *testing.T, mac string, spec ctl.DeskPhoneSpec) ctl.DeskPhone {
	t.Helper()
	phone, err := p.Bind(t.Context(), mac, spec)
	if err != nil {
		t.Fatal(err)
	}
	return phone
}

// ask fetches a file as a desk phone does; over HTTP if address begins so.
func (p *phones) ask(file, address, agent, source string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, address+PathPrefix+file, nil)
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(source), 4711).String()
	r.Header.Set("User-Agent", agent)
	w := httptest.NewRecorder()
	p.desk.ServeHTTP(w, r)
	return w
}

const (
	byTLS = "https://192.0.2.5:8443"
	plain = "http://192.0.2.5:8080"
	voice = "192.0.2.77"
)

func TestAPhoneOfEachMakerTakesItsSettingsOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		maker, file, agent, transport string
		want                          []string
	}{
		{"", bare + ".xml", "Linphone/5", "", []string{`<entry name="userid" overwrite="true">carol~1</entry>`, `<entry name="ha1" overwrite="true">` + ha1, "sip:192.0.2.5:5061;transport=tls"}},
		{"", bare + ".cfg", "Yealink SIP-T46S 66.86.0.15", "", []string{
			"#!version:1.0.0.1\n", "account.1.auth_name = carol~1\n", "account.1.password = pass-of-carol~1\n", "account.1.sip_server.1.address = pbx.test\n",
			"account.1.sip_server.1.transport_type = 2\n", "account.1.outbound_proxy.1.port = 5061\n", "account.1.srtp_encryption = 1\n",
			"static.trusted_certificates.url = https://192.0.2.5:8443/provision/ca.pem\n",
		}},
		{"yealink", strings.ToUpper(bare) + ".cfg", "", "udp", []string{"account.1.sip_server.1.transport_type = 0\n", "account.1.outbound_proxy.1.port = 5060\n", "account.1.srtp_encryption = 0\n"}},
		{"", "cfg" + bare + ".xml", "Grandstream Model HW GXP2170", "udp", []string{`<gs_provision version="1">`, "<P34>pass-of-carol~1</P34>", "<P36>carol~1</P36>", "<P48>192.0.2.5:5060</P48>", "<P130>0</P130>"}},
		{"polycom", bare + "-reg.cfg", "FileTransport PolycomVVX", "udp", []string{`reg.1.auth.userId="carol~1"`, `reg.1.auth.password="pass-of-carol~1"`, `reg.1.outboundProxy.transport="UDPOnly"`}},
		{"", bare + ".xml", "Mozilla/4.0 (compatible; snomD785-SIP 10.1)", "tls", []string{`<user_pname idx="1" perm="">carol~1</user_pname>`, `<user_outbound idx="1" perm="">192.0.2.5:5061;transport=tls</user_outbound>`, `<user_srtp idx="1" perm="">on</user_srtp>`}},
	} {
		p := start(t)
		p.bind(t, mac, ctl.DeskPhoneSpec{User: "u1", Maker: c.maker, Transport: c.transport})
		w := p.ask(c.file, byTLS, c.agent, voice)
		if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v", c.file, w.Code, w.Header())
		}
		for _, want := range c.want {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s lacks %q:\n%s", c.file, want, w.Body)
			}
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "application/xml") && xml.Unmarshal(w.Body.Bytes(), new(struct{})) != nil {
			t.Errorf("%s is no XML:\n%s", c.file, w.Body)
		}
		if again := p.ask(c.file, byTLS, c.agent, voice); again.Code != http.StatusNotFound {
			t.Errorf("%s a second time: %d", c.file, again.Code)
		}
		if len(p.used) != 1 || !strings.HasPrefix(p.used[0], "carol 192.0.2.77 ") {
			t.Errorf("told %v", p.used)
		}
	}
}

// A Polycom phone asks for a file first that can hold no settings. It does not use the time up.
func TestThePolycomMasterNamesTheFileWithTheSettings(t *testing.T) {
	t.Parallel()
	p := start(t)
	if w := p.ask(bare+".cfg", byTLS, "FileTransport PolycomVVX", voice); w.Code != http.StatusNotFound {
		t.Errorf("before it is bound: %d", w.Code)
	}
	p.bind(t, mac, ctl.DeskPhoneSpec{User: "u1"})
	for range 2 {
		if w := p.ask(bare+".cfg", byTLS, "FileTransport PolycomVVX", voice); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `CONFIG_FILES="[PHONE_MAC_ADDRESS]-reg.cfg"`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if w := p.ask(bare+"-reg.cfg", byTLS, "FileTransport PolycomVVX", voice); w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
}

// Who may not have a file cannot tell whether the phone exists.
func TestUnknownClosedAndTakenAreAnsweredAlike(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t)
		p.bind(t, mac, ctl.DeskPhoneSpec{User: "u1", Hours: 1})
		p.bind(t, "00:15:65:00:00:01", ctl.DeskPhoneSpec{User: "u1", Maker: "snom"})
		time.Sleep(time.Hour)
		p.bind(t, "00:15:65:00:00:02", ctl.DeskPhoneSpec{User: "u1"})
		p.ask("001565000002.xml", byTLS, "", voice)
		p.bind(t, "00:15:65:00:00:03", ctl.DeskPhoneSpec{User: "u3"})
		if err := p.Revoke("u3"); err != nil {
			t.Fatal(err)
		}
		unknown := p.ask("ffffffffffff.xml", byTLS, "", voice)
		for name, file := range map[string]string{"closed": bare + ".xml", "of another maker": "001565000001.cfg", "taken": "001565000002.xml", "of who is gone": "001565000003.xml"} {
			w := p.ask(file, byTLS, "", voice)
			if w.Code != http.StatusNotFound || w.Body.String() != unknown.Body.String() || len(w.Header()) != len(unknown.Header()) {
				t.Errorf("%s: %d %q %v, unknown is %q %v", name, w.Code, w.Body, w.Header(), unknown.Body, unknown.Header())
			}
		}
		if l, err := p.Phones(""); err != nil || l.Refused != 5 || len(l.Phones) != 3 {
			t.Errorf("%+v, %v", l, err)
		}
	})
}

func TestThePageAloneServesNoDeskPhone(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.bind(t, mac, ctl.DeskPhoneSpec{User: "u1"})
	if w := p.fetch(http.MethodGet, bare+".xml"); w.Code != http.StatusGone {
		t.Errorf("the page: %d", w.Code)
	}
	if w := p.ask(p.issue(t, "u1", ""), byTLS, "", voice); w.Code != http.StatusOK {
		t.Errorf("a token where phones come: %d", w.Code)
	}
	if w := p.ask("ca.pem", plain, "", voice); w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), "-----BEGIN CERTIFICATE") {
		t.Errorf("the CA: %d", w.Code)
	}
	r := httptest.NewRequest(http.MethodHead, byTLS+PathPrefix+bare+".xml", nil)
	w := httptest.NewRecorder()
	p.desk.ServeHTTP(w, r)
	if w.Code != http.StatusNotFound {
		t.Errorf("HEAD: %d", w.Code)
	}
}

// Who tries addresses out is not looked at any more for the rest of the minute, others are.
func TestGuessingIsSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t)
		p.bind(t, mac, ctl.DeskPhoneSpec{User: "u1"})
		const guesser = "192.0.2.200"
		for range missesEach {
			p.ask("001565000000.xml", byTLS, "", guesser)
		}
		if w := p.ask(bare+".xml", byTLS, "", guesser); w.Code != http.StatusNotFound {
			t.Errorf("who guessed long enough gets it: %d", w.Code)
		}
		if p.misses.slotLocked(netip.MustParseAddr(guesser)) == p.misses.slotLocked(netip.MustParseAddr(voice)) {
			t.Skip("the two sources share a slot this time")
		}
		if w := p.ask(bare+".xml", byTLS, "", voice); w.Code != http.StatusOK {
			t.Errorf("another one: %d", w.Code)
		}
		p.bind(t, mac, ctl.DeskPhoneSpec{User: "u1"})
		time.Sleep(time.Minute)
		if w := p.ask(bare+".xml", byTLS, "", guesser); w.Code != http.StatusOK {
			t.Errorf("a minute later: %d", w.Code)
		}
	})
}

func TestOneOfTwoDeskPhonesWins(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.bind(t, mac, ctl.DeskPhoneSpec{User: "u1"})
	var mu sync.Mutex
	codes := map[int]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			w := p.ask(bare+".xml", byTLS, "", voice)
			mu.Lock()
			defer mu.Unlock()
			codes[w.Code]++
		})
	}
	wg.Wait()
	if codes[http.StatusOK] != 1 || codes[http.StatusNotFound] != 7 || len(p.sw.logins()) != 1 {
		t.Errorf("%v, secrets of %v", codes, p.sw.logins())
	}
}

func TestASecretLastsUntilThePhoneHasTheNextOne(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.bind(t, mac, ctl.DeskPhoneSpec{User: "u1"})
	p.ask(bare+".xml", plain, "Linphone/5\x01", voice)
	phone := p.bind(t, bare, ctl.DeskPhoneSpec{User: "u1"})
	if phone.Login != "carol~1" || !phone.Plain || phone.Agent != "Linphone/5" || phone.From.String() != voice || !isOpen(phone) {
		t.Errorf("opened again: %+v", phone)
	}
	if got := p.sw.logins(); !slices.Equal(got, []string{"carol~1"}) {
		t.Errorf("before it came: %v", got)
	}
	p.ask(bare+".xml", byTLS, "", voice)
	if got := p.sw.logins(); !slices.Equal(got, []string{"carol~2"}) {
		t.Errorf("after it came: %v", got)
	}
	p.bind(t, mac, ctl.DeskPhoneSpec{User: "u3"})
	if got := p.sw.logins(); len(got) != 0 {
		t.Errorf("another's phone now: %v", got)
	}
	p.ask(bare+".xml", byTLS, "", voice)
	if _, err := p.Unbind(t.Context(), "00-15-65-AA-BB-CC"); err != nil || len(p.sw.logins()) != 0 {
		t.Errorf("removed: %v, %v", err, p.sw.logins())
	}
	if _, err := p.Unbind(t.Context(), mac); !problem.Is(err, problem.Missing) {
		t.Errorf("removed twice: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(p.dir, fileName))
	if err != nil || strings.Contains(string(data), "pass-of-") || strings.Contains(string(data), ha1) {
		t.Errorf("the file has a secret, or cannot be read: %v", err)
	}
}

func TestWhatDoesNotUseThePhonesTimeUp(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.bind(t, mac, ctl.DeskPhoneSpec{User: "u1"})
	p.sw.away = true
	if w := p.ask(bare+".xml", byTLS, "", voice); w.Code != http.StatusServiceUnavailable {
		t.Errorf("switchd away: %d", w.Code)
	}
	p.sw.away, p.sw.disabled = false, true
	if w := p.ask(bare+".xml", byTLS, "", voice); w.Code != http.StatusNotFound {
		t.Errorf("disabled: %d", w.Code)
	}
	p.sw.disabled, p.sw.full = false, true
	if w := p.ask(bare+".xml", byTLS, "", voice); w.Code == http.StatusOK {
		t.Errorf("no more devices: %d", w.Code)
	}
	p.sw.full = false
	if w := p.ask(bare+".xml", byTLS, "", voice); w.Code != http.StatusOK {
		t.Errorf("then: %d", w.Code)
	}
	p.bind(t, mac, ctl.DeskPhoneSpec{User: "u1"})
	p.cfg.Used = func(context.Context, ctl.User, Fetch) error { return errors.New("no audit") }
	if w := p.ask(bare+".xml", byTLS, "", voice); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "carol") {
		t.Errorf("unseen: %d %s", w.Code, w.Body)
	}
}

func TestEveryFaultOfAPhoneIsTold(t *testing.T) {
	t.Parallel()
	p := start(t)
	_, err := p.Bind(t.Context(), "01:00:00:00:00:0z", ctl.DeskPhoneSpec{User: "u1", Maker: "acme", Transport: "sctp", Hours: 1000})
	var paths []string
	for _, f := range problem.Of(err).Faults {
		paths = append(paths, f.Path)
	}
	if !slices.Equal(paths, []string{"mac", "maker", "transport", "hours"}) {
		t.Errorf("%v: %v", paths, err)
	}
	for _, mac := range []string{"", "01:00:5e:00:00:01", "000000000000", "0015.65aa.bbc", strings.Repeat("0", 500)} {
		if _, err := p.Bind(t.Context(), mac, ctl.DeskPhoneSpec{User: "u1"}); !problem.Is(err, problem.Invalid) {
			t.Errorf("%q: %v", mac, err)
		}
	}
	if _, err := p.Bind(t.Context(), mac, ctl.DeskPhoneSpec{User: "gone"}); !problem.Is(err, problem.Missing) {
		t.Errorf("of nobody: %v", err)
	}
}

func FuzzFileOf(f *testing.F) {
	for _, name := range []string{bare + ".xml", bare + ".cfg", "cfg" + bare + ".xml", bare + "-reg.cfg", "y000000000066.cfg", "cfg.xml", "%00"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		mac, form := fileOf(name)
		if (form == formNone) != (mac == "") || form != formNone && (len(mac) != 17 || normalMAC(mac) != mac) {
			t.Errorf("%q: %q %d", name, mac, form)
		}
	})
}
