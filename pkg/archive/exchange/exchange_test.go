package exchange

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/archive/scan"
	"github.com/coraltele/sanchar/pkg/archive/vault"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/digest"
	"github.com/coraltele/sanchar/pkg/sip/ftxml"
	"github.com/coraltele/sanchar/pkg/testkit/fakeswitch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	domain   = "pbx.test"
	password = "right-password"
	boundary = "----------2e750KFlXaR7VrsGxAbnx3unDgfXwrGmVMFaKWQix7H82i-US95kgXUbzYt"
)

// info is the XML that tells of a file, as any reader of XML sees it.
type info struct {
	XMLName xml.Name `xml:"urn:gsma:params:xml:ns:rcs:rcs:fthttp file"`
	File    struct {
		Name string `xml:"file-name"`
		Data struct {
			URL string `xml:"url,attr"`
		} `xml:"data"`
	} `xml:"file-info"`
}

// site is an exchange that phones reach over TLS, with a switchd behind it that knows alice and bob.
type site struct {
	*Exchange
	t     *testing.T
	dir   string
	sw    *fakeswitch.Switch
	vault *vault.Vault
	srv   *httptest.Server
	free  uint64
}

func start(t *testing.T, scanner scan.Scanner) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "ex-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{t: t, dir: filepath.Join(dir, "vault"), sw: fakeswitch.Start(t, filepath.Join(dir, "switch.sock"), domain), free: 1 << 40}
	client := ctl.NewSwitch(s.sw.Socket)
	t.Cleanup(func() { _ = client.Close() }) // idle connections only
	for _, name := range []string{"alice", "bob"} {
		if _, err := client.AddUser(t.Context(), ctl.NewUser{UserSpec: ctl.UserSpec{Name: name}, Secret: ctl.Secret{Password: password}}); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	s.vault, err = vault.Open(vault.Config{Dir: s.dir, KeyFile: filepath.Join(dir, "seal.key"), Log: log, Free: func() (uint64, error) { return s.free, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.vault.Close() })
	if s.Exchange, err = New(Config{Dir: dir, Vault: s.vault, Switch: client, Scanner: scanner, Log: log}); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	s.Handle(mux)
	s.srv = httptest.NewTLSServer(mux)
	t.Cleanup(s.srv.Close)
	return s
}

// set changes the policy.
func (s *site) set(change func(*ctl.FilePolicy)) {
	s.t.Helper()
	p, rev := s.Policy()
	change(&p)
	if _, err := s.SetPolicy(p, rev.Number, "test"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) host() string { return s.srv.Listener.Addr().String() }

// wire sends bytes as they are and reads one answer.
func (s *site) wire(text string) (*http.Response, []byte) {
	s.t.Helper()
	c, err := tls.Dial("tcp", s.host(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	go io.WriteString(c, text) //nolint:errcheck // the answer may come before all is sent
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: text[:strings.IndexByte(text, ' ')]})
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, body
}

// challenge asks as Linphone does first, and returns the challenge for an algorithm.
func (s *site) challenge(alg digest.Algorithm) string {
	s.t.Helper()
	resp, _ := s.wire("POST /files/ HTTP/1.1\r\nUser-Agent: testapp/0.1\r\nFrom: sip:alice@pbx.test\r\nHost: " + s.host() + "\r\n\r\n")
	if resp.StatusCode != http.StatusUnauthorized {
		s.t.Fatal(resp.Status)
	}
	for _, c := range resp.Header.Values("WWW-Authenticate") {
		if strings.Contains(c, "algorithm="+alg.String()+",") {
			return c
		}
	}
	s.t.Fatalf("%q", resp.Header)
	return ""
}

func (s *site) auth(user, method, uri string) string {
	s.t.Helper()
	return fakeswitch.Answer(digest.MD5, s.challenge(digest.MD5), user, password, method, uri)
}

// form is the body that Linphone sends.
func form(name, kind string, data []byte) string {
	return "--" + boundary + "\r\nContent-Disposition: form-data;name=\"File\";filename=\"" + name + "\"\r\nContent-Type: " + kind + "\r\n\r\n" +
		string(data) + "\r\n--" + boundary + "--\r\n"
}

// send posts a body as alice.
func (s *site) send(body string, header ...string) (*http.Response, []byte) {
	s.t.Helper()
	kind := "Content-Type: multipart/form-data;boundary=" + boundary + "\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for _, h := range header {
		switch {
		case strings.HasPrefix(h, "Content-Type"):
			kind = h + "\r\n"
		case strings.HasPrefix(h, "Content-Length"):
			length = h + "\r\n"
		}
	}
	return s.wire("POST /files/ HTTP/1.1\r\nUser-Agent: testapp/0.1\r\nFrom: sip:alice@pbx.test\r\nHost: " + s.host() + "\r\n" + kind +
		"Authorization: " + s.auth("alice", "POST", "/files/") + "\r\n" + length + "\r\n" + body)
}

// keep sends a file that is taken, and returns where it is.
func (s *site) keep(name, kind string, data []byte) (path string, told info) {
	s.t.Helper()
	resp, body := s.send(form(name, kind, data))
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != ftxml.MediaType {
		s.t.Fatalf("%s %s", resp.Status, body)
	}
	if err := xml.Unmarshal(body, &told); err != nil {
		s.t.Fatalf("%v in %s", err, body)
	}
	path, ok := strings.CutPrefix(told.File.Data.URL, "https://"+s.host())
	if !ok {
		s.t.Fatalf("address %q", told.File.Data.URL)
	}
	return path, told
}

// fetch gets a file as bob.
func (s *site) fetch(method, path string, header ...string) (*http.Response, []byte) {
	s.t.Helper()
	return s.wire(method + " " + path + " HTTP/1.1\r\nHost: " + s.host() + "\r\nFrom: sip:bob@pbx.test\r\nAuthorization: " + s.auth("bob", method, path) + "\r\n" +
		strings.Join(append(header, ""), "\r\n") + "\r\n")
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b) // never fails
	return b
}

// nothingLeft checks that no file, and nothing of one, is there.
func (s *site) nothingLeft() {
	s.t.Helper()
	for _, dir := range []string{"new", "files"} {
		entries, err := os.ReadDir(filepath.Join(s.dir, dir))
		if err != nil || len(entries) > 0 {
			s.t.Errorf("%s: %v %v", dir, entries, err)
		}
	}
	if u, err := s.Usage(); err != nil || u.Files != 0 || u.Bytes != 0 {
		s.t.Errorf("%+v %v", u, err)
	}
}

func TestTheExchangeAsLinphoneDoesIt(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, alg := range []digest.Algorithm{digest.MD5, digest.SHA256} {
		data := noise(300_000)
		challenge := s.challenge(alg)
		auth := func(user, method, uri string) string {
			return "Authorization: " + fakeswitch.Answer(alg, challenge, user, password, method, uri) + "\r\n"
		}
		head := "POST /files/ HTTP/1.1\r\nUser-Agent: testapp/0.1\r\nFrom: sip:alice@pbx.test\r\nHost: " + s.host() + "\r\n"
		if resp, body := s.wire(head + auth("alice", "POST", "/files/") + "\r\n"); resp.StatusCode != http.StatusNoContent || len(body) > 0 {
			t.Errorf("a post without a body: %s", resp.Status)
		}
		body := form("report.bin", "application/octet-stream", data)
		resp, answer := s.wire(head + "Content-Type: multipart/form-data;boundary=" + boundary + "\r\n" + auth("alice", "POST", "/files/") +
			fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body)
		want := regexp.MustCompile(`^<\?xml version="1.0" encoding="UTF-8"\?>
<file xmlns="urn:gsma:params:xml:ns:rcs:rcs:fthttp"><file-info type="file"><file-size>300000</file-size><file-name>report.bin</file-name>` +
			`<content-type>application/octet-stream</content-type><data url="https://127.0.0.1:\d+(/files/[0-9a-z]{32})" until="[0-9-]+T[0-9:]+Z"/></file-info></file>$`)
		m := want.FindSubmatch(answer)
		if resp.StatusCode != http.StatusOK || m == nil {
			t.Fatalf("%s %s", resp.Status, answer)
		}
		path := string(m[1])
		resp, _ = s.wire("GET " + path + " HTTP/1.1\r\nFrom: sip:bob@pbx.test\r\nHost: " + s.host() + "\r\n\r\n")
		if resp.StatusCode != http.StatusUnauthorized || len(resp.Header.Values("WWW-Authenticate")) != 2 {
			t.Errorf("without digest: %s", resp.Status)
		}
		resp, got := s.wire("GET " + path + " HTTP/1.1\r\nFrom: sip:bob@pbx.test\r\nHost: " + s.host() + "\r\n" + auth("bob", "GET", path) + "\r\n")
		if resp.StatusCode != http.StatusOK || !bytes.Equal(got, data) {
			t.Errorf("%s, %d bytes", resp.Status, len(got))
		}
		for name, want := range map[string]string{
			"Content-Type": "application/octet-stream", "Content-Disposition": "attachment; filename=report.bin", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'", "Content-Length": "300000",
		} {
			if resp.Header.Get(name) != want {
				t.Errorf("%s: %q", name, resp.Header.Get(name))
			}
		}
	}
}

func TestWhoIsNoUserLearnsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	path, _ := s.keep("a.txt", "text/plain", []byte("x"))
	challenge := s.challenge(digest.MD5)
	answers := map[string]string{}
	for name, auth := range map[string]string{
		"none":     "",
		"wrong":    fakeswitch.Answer(digest.MD5, challenge, "alice", "wrong", "GET", path),
		"unknown":  fakeswitch.Answer(digest.MD5, challenge, "nobody", password, "GET", path),
		"no file":  "",
		"not read": "Digest " + strings.Repeat("x", 5000),
		"basic":    "Basic YWxpY2U6cmlnaHQtcGFzc3dvcmQ=",
	} {
		at := path
		if name == "no file" {
			at = "/files/0123456789"
		}
		line := ""
		if auth != "" {
			line = "Authorization: " + auth + "\r\n"
		}
		resp, body := s.wire("GET " + at + " HTTP/1.1\r\nHost: h\r\n" + line + "\r\n")
		resp.Header.Del("Date")
		answers[fmt.Sprint(resp.Status, resp.Header, string(body))] = name
	}
	if len(answers) != 1 {
		t.Errorf("strangers are told apart: %q", answers)
	}
	// A body is not taken, not even a small part of a large one.
	begin := time.Now()
	resp, _ := s.wire("POST /files/ HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data;boundary=x\r\nContent-Length: 1000000000\r\n\r\n")
	if resp.StatusCode != http.StatusUnauthorized || time.Since(begin) > 10*time.Second {
		t.Errorf("%s after %v", resp.Status, time.Since(begin))
	}
	resp, _ = s.wire("GET " + path + " HTTP/1.1\r\nHost: h\r\nFrom: sip:bob@pbx.test\r\nAuthorization: " + s.auth("alice", "GET", path) + "\r\n\r\n")
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("as another: %s", resp.Status)
	}
}

func TestPartsOfAFile(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	data := noise(200_000)
	path, _ := s.keep("a.bin", "application/octet-stream", data)
	resp, _ := s.fetch("GET", path)
	etag := resp.Header.Get("ETag")
	modified := resp.Header.Get("Last-Modified")
	for _, c := range []struct {
		method string
		header []string
		code   int
		want   []byte
	}{
		{"GET", []string{"Range: bytes=0-9"}, 206, data[:10]},
		{"GET", []string{"Range: bytes=65530-65545"}, 206, data[65530:65546]},
		{"GET", []string{"Range: bytes=100000-"}, 206, data[100000:]},
		{"GET", []string{"Range: bytes=-7"}, 206, data[199_993:]},
		{"GET", []string{"Range: bytes=200000-"}, 416, nil},
		{"GET", []string{"Range: bytes=100000-", "If-Range: " + etag}, 206, data[100000:]},
		{"GET", []string{"Range: bytes=100000-", "If-Range: \"other\""}, 200, data},
		{"GET", []string{"Range: bytes=100000-", "If-Range: " + modified}, 206, data[100000:]},
		{"GET", []string{"Range: bytes=0-0,2-2,4-4"}, 200, data},
		{"GET", []string{"If-None-Match: " + etag}, 304, nil},
		{"HEAD", nil, 200, nil},
		{"HEAD", []string{"Range: bytes=0-9"}, 206, nil},
	} {
		resp, got := s.fetch(c.method, path, c.header...)
		if resp.StatusCode != c.code || (c.want != nil && !bytes.Equal(got, c.want)) || (c.method == "HEAD" && resp.ContentLength <= 0) {
			t.Errorf("%s %q: %s, %d bytes", c.method, c.header, resp.Status, len(got))
		}
	}
	for _, missing := range []string{"/files/nothing", "/files/..", "/files/%2e%2e%2fvault.db", "/files/a/b"} {
		if resp, _ := s.fetch("GET", missing); resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusTemporaryRedirect {
			t.Errorf("%s: %s", missing, resp.Status)
		}
	}
}
