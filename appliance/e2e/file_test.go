package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/digest"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/fakeswitch"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
)

// sender is a user's app at the box's file server, on the user's wire.
type sender struct {
	t    *testing.T
	user string
	base string
	http *http.Client
}

// files returns the app of a user. It trusts the box's CA and nobody else.
func (s *scene) files(user string) *sender {
	s.t.Helper()
	pem, err := os.ReadFile(s.box.CA())
	if err != nil {
		s.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	h := s.hosts[user]
	tr := &http.Transport{DialContext: h.DialContext, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	s.t.Cleanup(tr.CloseIdleConnections)
	s.box.API(h) // waits until the certificate names the address
	return &sender{t: s.t, user: user, base: fmt.Sprintf("https://%s:%d", h.Box4, boxtest.HTTPS), http: &http.Client{Transport: tr}}
}

// do does a request as Linphone does: first without credentials, then with the SIP account's.
func (f *sender) do(alg digest.Algorithm, password, method, path, kind string, body io.Reader, size int64) *http.Response {
	f.t.Helper()
	first := f.once(method, path, "", "", nil, 0)
	defer first.Body.Close()
	challenge := ""
	for _, c := range first.Header.Values("WWW-Authenticate") {
		if strings.Contains(c, "algorithm="+alg.String()+",") {
			challenge = c
		}
	}
	if first.StatusCode != http.StatusUnauthorized || challenge == "" {
		f.t.Fatalf("%s %s without credentials: %s %v", method, path, first.Status, first.Header)
	}
	return f.once(method, path, fakeswitch.Answer(alg, challenge, f.user, password, method, path), kind, body, size)
}

func (f *sender) once(method, path, auth, kind string, body io.Reader, size int64) *http.Response {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.base+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	req.ContentLength = size
	req.Header.Set("From", "sip:"+f.user+"@"+boxtest.Domain)
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := f.http.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp
}

// told is the XML that tells of a file.
type told struct {
	XMLName xml.Name `xml:"urn:gsma:params:xml:ns:rcs:rcs:fthttp file"`
	File    struct {
		Type string `xml:"type,attr"`
		Size int64  `xml:"file-size"`
		Name string `xml:"file-name"`
		Kind string `xml:"content-type"`
		Data struct {
			URL   string    `xml:"url,attr"`
			Until time.Time `xml:"until,attr"`
		} `xml:"data"`
	} `xml:"file-info"`
}

// noise is a file of so many random bytes, which sums what was read of it.
func noise(size int64) (io.Reader, hash.Hash) {
	sum := sha256.New()
	return io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{byte(size)}), size), sum), sum
}

const fileForm = "multipart/form-data;boundary=----------tqePxnsrAUXQ9-aS6lVlr-VBs1APlvKYRrZ0zg-wvHwQaMwaxpa10JSkTW6"

// form is the body that Linphone sends, and its length.
func form(name, kind string, data io.Reader, size int64) (io.Reader, int64) {
	_, boundary, _ := strings.Cut(fileForm, "boundary=")
	head := "--" + boundary + "\r\nContent-Disposition: form-data;name=\"File\";filename=\"" + name + "\"\r\nContent-Type: " + kind + "\r\n\r\n"
	tail := "\r\n--" + boundary + "--\r\n"
	return io.MultiReader(strings.NewReader(head), data, strings.NewReader(tail)), int64(len(head)) + size + int64(len(tail))
}

// send sends a file and returns what the box tells of it.
func (f *sender) send(alg digest.Algorithm, name string, data io.Reader, size int64) (t told) {
	f.t.Helper()
	body, length := form(name, "application/octet-stream", data, size)
	resp := f.do(alg, boxtest.Password(f.user), http.MethodPost, "/files/", fileForm, body, length)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, xml.Unmarshal(text, &t)); err != nil || resp.StatusCode != http.StatusOK {
		f.t.Fatalf("%s %s: %v", resp.Status, text, err)
	}
	return t
}

// highest measures a daemon's memory until stop is called, and returns its largest.
func (s *scene) highest(daemon string) (stop func() int) {
	var most atomic.Int64
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			most.Store(max(most.Load(), int64(s.box.Memory(daemon))))
			select {
			case <-end:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	return func() int { close(end); <-ended; return int(most.Load()) }
}

// memoryRise is what a file on its way may cost the daemon, however large it is.
const memoryRise = 16 << 20

// Users send each other a file of 300 kB and one of 200 MB with their SIP accounts' digest; each
// comes back byte for byte, and none passes through the box's memory as a whole.
func TestFilesBetweenUsers(t *testing.T) {
	s := open(t, "alice", "bob")
	alice, bob := s.files("alice"), s.files("bob")
	for alg, size := range map[digest.Algorithm]int64{digest.MD5: 300_000, digest.SHA256: 200 << 20} {
		before := s.box.Memory("admind")
		stop := s.highest("admind")
		data, sent := noise(size)
		begin := time.Now()
		f := alice.send(alg, "report.bin", data, size)
		took := time.Since(begin)
		if f.File.Type != "file" || f.File.Size != size || f.File.Name != "report.bin" || time.Until(f.File.Data.Until) < 24*time.Hour {
			t.Errorf("%+v", f)
		}
		// The recipient reaches the box by his own address of it.
		path := f.path()
		begin = time.Now()
		resp := bob.do(alg, boxtest.Password("bob"), http.MethodGet, path, "", nil, 0)
		got := sha256.New()
		n, err := io.Copy(got, resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil || n != size || string(got.Sum(nil)) != string(sent.Sum(nil)) {
			t.Errorf("%s: %d of %d bytes came back, the same: %v, %v", resp.Status, n, size, string(got.Sum(nil)) == string(sent.Sum(nil)), err)
		}
		most := stop()
		t.Logf("%d bytes: sent in %v, fetched in %v; admind had %.1f MB before, %.1f MB at most", size, took, time.Since(begin), float64(before)/1e6, float64(most)/1e6)
		if most-before > memoryRise {
			t.Errorf("admind grew by %d bytes for a file of %d", most-before, size)
		}
	}
	s.box.Kill("admind")
	var u ctl.FileUsage
	s.box.API(s.hosts["alice"]).Get("/files/usage", &u)
	if u.Files != 2 || u.Bytes != 200<<20+300_000 {
		t.Errorf("after a crash: %+v", u)
	}
}

// What is refused is refused in words, and leaves nothing on disk.
func TestFilesThatAreRefused(t *testing.T) {
	s := open(t, "alice")
	alice := s.files("alice")
	api := s.box.API(s.hosts["alice"])
	right := boxtest.Password("alice")
	for name, c := range map[string]struct {
		password, name, kind string
		size                 int64
		code                 int
	}{
		"over-size":             {right, "big.bin", "application/octet-stream", 257 << 20, 400},
		"program":               {right, "a.bin", "application/x-executable", -1, 400},
		"path in the name":      {right, "../../etc/passwd", "text/plain", 100, 400},
		"path of another world": {right, `..\\..\\boot.ini`, "text/plain", 100, 400},
		"wrong password":        {"wrong", "a.txt", "text/plain", 100, 401},
		"broken form":           {right, "a.txt", "text/plain\r\nno header", 100, 400},
	} {
		data := io.Reader(strings.NewReader("\x7fELF\x02\x01\x01"))
		if c.size < 0 {
			c.size = 7
		} else {
			data, _ = noise(c.size)
		}
		body, length := form(c.name, c.kind, data, c.size)
		resp := alice.do(digest.SHA256, c.password, http.MethodPost, "/files/", fileForm, body, length)
		text, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != c.code || (c.code == 400 && len(text) < 10) {
			t.Errorf("%s: %s %q %v", name, resp.Status, text, err)
		}
	}
	var u ctl.FileUsage
	if api.Get("/files/usage", &u); u.Files != 0 || u.Bytes != 0 {
		t.Errorf("%+v", u)
	}
	if left := s.box.Folder("admin", "vault", "new"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if left := s.box.Folder("admin", "vault", "files"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// tell sends a phone the MESSAGE that tells of a file, as its proxy would.
func (s *scene) tell(user string, f told) {
	s.t.Helper()
	h := s.hosts[user]
	body := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<file xmlns="urn:gsma:params:xml:ns:rcs:rcs:fthttp" xmlns:am="urn:gsma:params:xml:ns:rcs:rcs:rram">
<file-info type="file">
<file-size>%d</file-size>
<file-name>%s</file-name>
<content-type>%s</content-type>
<data url="https://%s:%d%s" until="%s"/>
</file-info>
</file>
`, f.File.Size, f.File.Name, f.File.Kind, h.Box4, boxtest.HTTPS, f.path(), f.File.Data.Until.Format(time.RFC3339))
	c, err := s.box.Lab.Box.Dial("udp", fmt.Sprintf("%s:5060", h.V4))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	_, err = fmt.Fprintf(c, "MESSAGE sip:%s@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKfile;rport\r\nFrom: <sip:alice@%s>;tag=f\r\nTo: <sip:%s@%s>\r\nCSeq: 20 MESSAGE\r\n"+
		"Call-ID: file\r\nMax-Forwards: 70\r\nContent-Type: application/vnd.gsma.rcs-ft-http+xml\r\nContent-Length: %d\r\n\r\n%s",
		user, h.V4, c.LocalAddr(), boxtest.Domain, user, boxtest.Domain, len(body), body)
	if err != nil {
		s.t.Fatal(err)
	}
}

// path is where the file is on the box.
func (f told) path() string { return f.File.Data.URL[strings.Index(f.File.Data.URL, "/files/"):] }

// An unmodified Linphone that is told of a file fetches it over TLS with the digest of its account.
func TestLinphoneFetchesAFile(t *testing.T) {
	s := open(t, "alice", "bob")
	bob := s.phone("bob", "udp", func(c *linphone.Config) { c.CA, c.Fetch = s.box.CA(), true })
	data, sent := noise(300_000)
	f := s.files("alice").send(digest.MD5, "वार्षिक report.bin", data, 300_000)
	mark := len(bob.Log())
	s.tell("bob", f)
	got, err := os.ReadFile(bob.Fetched(mark, "report.bin"))
	if sum := sha256.Sum256(got); err != nil || string(sum[:]) != string(sent.Sum(nil)) {
		t.Errorf("%d bytes were fetched, %v", len(got), err)
	}
}
