package admind

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestThePageAndItsHeaders(t *testing.T) {
	t.Parallel()
	b := startBox(t, "")
	c := b.browser()
	a := c.do("GET", "/", nil, "Accept", "text/html")
	if a.code != 200 || !strings.Contains(string(a.body), "Sanchar") || !strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("%d %v", a.code, a.header)
	}
	if a := c.do("GET", "/provision/nothing", nil); a.code != http.StatusGone {
		t.Errorf("%d", a.code)
	}
	if a := c.do("POST", "/provision/nothing", nil); a.code != http.StatusNotFound {
		t.Errorf("%d", a.code)
	}
	a = c.do("GET", "/api/v1/status", nil)
	if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", a.header)
	}
}

// peek returns what certificate the page shows.
func (b *box) peek() *tls.ConnectionState {
	b.t.Helper()
	conn, err := tls.Dial("tcp", b.address(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	st := conn.ConnectionState()
	return &st
}

func TestTheCertificateComesFromTheBoxsCA(t *testing.T) {
	t.Parallel()
	b := startBox(t, "")
	b.certified()
	first := b.peek()
	if first.NegotiatedProtocol != "h2" || first.PeerCertificates[0].VerifyHostname("127.0.0.1") != nil {
		t.Errorf("%s %v", first.NegotiatedProtocol, first.PeerCertificates[0].Subject)
	}
	b.stop()
	b.sw.Leave()
	b.run() // switchd is away: the kept chain serves
	if again := b.peek(); !again.PeerCertificates[0].Equal(first.PeerCertificates[0]) {
		t.Error("the kept certificate was not used")
	}
	b.stop()
	for _, name := range []string{"tls.pem", "tls.key"} {
		if err := os.Remove(filepath.Join(b.cfg.DataDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	b.run() // nothing kept, and nobody to sign
	if self := b.peek().PeerCertificates[0]; !bytes.Equal(self.RawIssuer, self.RawSubject) || !b.d.cert.SelfSigned() {
		t.Errorf("issued by %v", self.Issuer)
	}
	b.sw.Return()
	b.certified()
	if st, err := os.Stat(filepath.Join(b.cfg.DataDir, "tls.key")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	b := startBox(t, "")
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.1": {InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"CBC":     {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
	} {
		if conn, err := tls.Dial("tcp", b.address(), cfg); err == nil {
			conn.Close()
			t.Errorf("%s is spoken", name)
		}
	}
}

func TestConnectionsOfOneSourceAreBounded(t *testing.T) {
	t.Parallel()
	b := startBox(t, "")
	var open []net.Conn
	for range maxConnsEach + 10 {
		c, err := net.Dial("tcp", b.address())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	closed := 0
	for _, c := range slices.Backward(open) { // the last ones were too many
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			closed++
		}
		if closed == 10 {
			return
		}
	}
	t.Errorf("%d of %d connections were refused, want 10", closed, len(open))
}

func TestTheSocketIsTakenBack(t *testing.T) {
	t.Parallel()
	b := startBox(t, "")
	b.stop()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String()) // waits in the socket's queue while nobody serves
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b.cfg.Taken = map[string][]int{socketName: {dup(t, ln)}}
	b.run()
	if b.address() != ln.Addr().String() {
		t.Fatalf("serves %s, not %s", b.address(), ln.Addr())
	}
	tc := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		t.Errorf("a connection that waited: %v", err)
	}
	b.stop()
	b.cfg.Taken = map[string][]int{socketName: {dup(t, ln)}}
	b.cfg.Bind = "127.0.0.2" // the admin moved the page
	b.run()
	if strings.HasPrefix(b.d.pageAddress(t.Context()), "https://127.0.0.1") || b.address() == ln.Addr().String() {
		t.Error("the old socket was used")
	}
}

func dup(t *testing.T, ln net.Listener) int {
	t.Helper()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 100)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestAPanicEndsOneRequest(t *testing.T) {
	t.Parallel()
	b := startBox(t, "")
	h := b.d.recovering(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/provision/secret-token", nil))
	if w.Code != 500 || strings.Contains(w.Body.String(), "boom") || !strings.Contains(w.Body.String(), `"cure"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("an aborted download is not cut")
		}
	}()
	b.d.recovering(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}

// timedWriter notes until when a request's body may come.
type timedWriter struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (w *timedWriter) SetReadDeadline(t time.Time) error {
	w.until = t
	return nil
}

func TestABodyHasItsTimeAlsoWhenNobodyReadsIt(t *testing.T) {
	t.Parallel()
	for _, body := range []io.Reader{nil, strings.NewReader("x"), io.MultiReader(strings.NewReader("of unknown length"))} {
		w := &timedWriter{ResponseRecorder: httptest.NewRecorder()}
		begin := time.Now()
		timedBody(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("DELETE", "/", body))
		if timed := !w.until.IsZero(); timed != (body != nil) || timed && w.until.Sub(begin) > 31*time.Second {
			t.Errorf("%T: until %v", body, w.until)
		}
	}
}
