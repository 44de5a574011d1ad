package pki

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

func fromCA(ca *CA) Issuer {
	return func(_ context.Context, names []string, ips []netip.Addr, pub *ecdsa.PublicKey) ([]byte, error) {
		return ca.Issue(names, ips, pub)
	}
}

func openServer(t testing.TB, dir string, issue Issuer, clock func() time.Time) *Server {
	t.Helper()
	s, err := OpenServer(dir, nil, issue, clock, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func renew(t testing.TB, s *Server) *x509.Certificate {
	t.Helper()
	if err := s.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.Leaf()
}

func TestTheChainIsRenewedWhenItMustBe(t *testing.T) {
	t.Parallel()
	now := at("2026-11-23")()
	clock := func() time.Time { return now }
	ca := openCA(t, t.TempDir(), clock)
	dir := t.TempDir()
	s := openServer(t, dir, fromCA(ca), clock)
	if !s.SelfSigned() {
		t.Fatal("signed before anybody was asked")
	}
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::2")
	s.SetNames([]string{"pbx.test"}, []netip.Addr{one})
	last := renew(t, s)
	steps := []struct {
		name string
		do   func()
		same bool
	}{
		{"nothing happened", func() {}, true},
		{"a new address", func() { s.SetNames([]string{"pbx.test"}, []netip.Addr{one, two}) }, false},
		{"an address left", func() { s.SetNames([]string{"pbx.test"}, []netip.Addr{two}) }, true},
		{"a new name", func() { s.SetNames([]string{"pbx.test", "other.test"}, []netip.Addr{two}) }, false},
		{"before two thirds", func() { now = now.AddDate(0, 0, 540) }, true},
		{"after two thirds", func() { now = now.AddDate(0, 0, 20) }, false},
		{"the clock is unset", func() { now = time.Unix(0, 0) }, true},
		{"the clock was wrong when it was made", func() { now = at("2026-11-24")() }, false},
		{"a clock of a later century", func() { now = at("2106-02-07")() }, false},
		{"which stays", func() {}, true},
	}
	for _, step := range steps {
		step.do()
		leaf := renew(t, s)
		if leaf.Equal(last) != step.same {
			t.Errorf("%s: same certificate: %v, want %v", step.name, leaf.Equal(last), step.same)
		}
		last = leaf
	}
	if again := openServer(t, dir, fromCA(ca), clock); again.SelfSigned() || !again.Leaf().Equal(last) {
		t.Error("the chain on disk was not taken up")
	}
}

func TestAChainThatIsNotOursIsNotUsed(t *testing.T) {
	t.Parallel()
	ca, other := openCA(t, t.TempDir(), time.Now), openCA(t, t.TempDir(), time.Now)
	answers := map[string]Issuer{
		"another key": func(context.Context, []string, []netip.Addr, *ecdsa.PublicKey) ([]byte, error) {
			return ca.Issue([]string{"x"}, nil, other.key.Public())
		},
		"another CA's signature": func(_ context.Context, _ []string, _ []netip.Addr, pub *ecdsa.PublicKey) ([]byte, error) {
			mine, err := ca.Issue([]string{"x"}, nil, pub)
			return append(mine[:len(mine)-len(ca.PEM())], other.PEM()...), err
		},
		"no chain": func(context.Context, []string, []netip.Addr, *ecdsa.PublicKey) ([]byte, error) {
			return []byte("hello"), nil
		},
		"away": func(context.Context, []string, []netip.Addr, *ecdsa.PublicKey) ([]byte, error) {
			return nil, errors.New("away")
		},
	}
	for name, issue := range answers {
		s := openServer(t, t.TempDir(), issue, time.Now)
		before := s.Leaf()
		if err := s.Renew(t.Context()); err == nil || !s.Leaf().Equal(before) || !s.SelfSigned() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADamagedChainOnDiskIsAskedForAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tls.pem"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openServer(t, dir, fromCA(openCA(t, t.TempDir(), time.Now)), time.Now)
	s.SetNames([]string{"pbx.test"}, nil)
	if renew(t, s); s.SelfSigned() {
		t.Fatal("still self-signed")
	}
}

// An issuer that is away at first is asked again with growing patience; a change is acted on at once.
func TestRunRetriesAndFollowsChanges(t *testing.T) {
	ca := openCA(t, t.TempDir(), time.Now)
	s := openServer(t, t.TempDir(), nil, time.Now)
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		start := time.Now()
		s.clock = time.Now
		s.kick = make(chan struct{}, 1)
		s.issue = func(_ context.Context, names []string, ips []netip.Addr, pub *ecdsa.PublicKey) ([]byte, error) {
			asked = append(asked, time.Since(start))
			if len(asked) < 4 {
				return nil, errors.New("away")
			}
			return ca.Issue(append(names, "pbx.test"), ips, pub)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Run(ctx) })
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []time.Duration{0, firstRetry, 3 * firstRetry, 7 * firstRetry}; !slices.Equal(asked, want) {
			t.Errorf("asked after %v, want %v", asked, want)
		}
		before := s.Leaf()
		s.SetNames([]string{"new.test"}, nil)
		synctest.Wait()
		if s.Leaf().Equal(before) {
			t.Error("a new name waited")
		}
		s.issue = func(context.Context, []string, []netip.Addr, *ecdsa.PublicKey) ([]byte, error) {
			asked = append(asked, time.Since(start))
			return nil, errors.New("away again")
		}
		s.SetNames([]string{"newer.test"}, nil)
		s.SetNames([]string{"newer.test"}, nil) // says nothing new
		synctest.Wait()
		if len(asked) != 6 {
			t.Errorf("asked after %v", asked)
		}
		cancel()
		wg.Wait()
	})
}

// The daemon that has the CA starts a moment after us, while our own names still change: each change
// that it does not answer must not make the next try later, and is nothing to warn of.
func TestAnIssuerThatStartsLaterIsFoundSoon(t *testing.T) {
	ca := openCA(t, t.TempDir(), time.Now)
	s := openServer(t, t.TempDir(), nil, time.Now)
	synctest.Test(t, func(t *testing.T) {
		var warned strings.Builder
		s.log = slog.New(slog.NewTextHandler(&warned, nil))
		s.clock = time.Now
		s.kick = make(chan struct{}, 1)
		up := time.Now().Add(300 * time.Millisecond)
		s.issue = func(_ context.Context, names []string, ips []netip.Addr, pub *ecdsa.PublicKey) ([]byte, error) {
			if time.Now().Before(up) {
				return nil, errors.New("away")
			}
			return ca.Issue(append(names, "pbx.test"), ips, pub)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Run(ctx) })
		for i := range 8 {
			s.SetNames([]string{"pbx.test"}, []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})})
			synctest.Wait()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s.SelfSigned() || strings.Contains(warned.String(), "WARN") {
			t.Errorf("a second later: self-signed %v, log %s", s.SelfSigned(), warned.String())
		}
		cancel()
		wg.Wait()
	})
}

func listen(t testing.TB, s *Server) net.Listener {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", s.TLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return ln
}

func dial(ln net.Listener, cfg *tls.Config) (tls.ConnectionState, error) {
	c, err := tls.Dial("tcp", ln.Addr().String(), cfg)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	_, err = c.Write([]byte("x"))
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1)) // a TLS 1.3 ticket comes with the first data
	}
	return c.ConnectionState(), err
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	ca := openCA(t, t.TempDir(), time.Now)
	s := openServer(t, t.TempDir(), fromCA(ca), time.Now)
	s.SetNames([]string{"pbx.test"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	renew(t, s)
	ln := listen(t, s)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())

	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		if st, err := dial(ln, cfg); err != nil || st.DidResume || len(st.PeerCertificates) != 1 {
			t.Fatalf("%s: %v, resumed %v, %d certificates", tls.VersionName(version), err, st.DidResume, len(st.PeerCertificates))
		}
		if st, err := dial(ln, cfg); err != nil || !st.DidResume {
			t.Errorf("%s again: %v, resumed %v", tls.VersionName(version), err, st.DidResume)
		}
	}
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.1":       {RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"a CBC suite":   {RootCAs: roots, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
		"another name":  {RootCAs: roots, ServerName: "evil.test"},
		"unknown roots": {RootCAs: x509.NewCertPool()},
	} {
		if _, err := dial(ln, cfg); err == nil {
			t.Errorf("%s: a connection", name)
		}
	}
}

// A renewal under load changes what new handshakes see and breaks none.
func TestTheCertificateIsSwappedWhileServing(t *testing.T) {
	t.Parallel()
	ca := openCA(t, t.TempDir(), time.Now)
	s := openServer(t, t.TempDir(), fromCA(ca), time.Now)
	s.SetNames([]string{"0.test"}, nil)
	renew(t, s)
	ln := listen(t, s)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				if _, err := dial(ln, &tls.Config{RootCAs: roots, ServerName: "0.test"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, name := range []string{"1.test", "2.test", "3.test"} {
		s.SetNames([]string{"0.test", name}, nil)
		renew(t, s)
		if _, err := dial(ln, &tls.Config{RootCAs: roots, ServerName: name}); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	wg.Wait()
}

// OpenSSL is another reader of the same rules.
func TestOpenSSLAcceptsAddressAndName(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	ca := openCA(t, dir, time.Now)
	s := openServer(t, t.TempDir(), fromCA(ca), time.Now)
	s.SetNames([]string{"pbx.test"}, []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("2001:db8::1")})
	renew(t, s)
	ln := listen(t, s)
	for name, c := range map[string]struct {
		verify []string
		ok     bool
	}{
		"address":         {[]string{"-verify_ip", "127.0.0.1"}, true},
		"second address":  {[]string{"-verify_ip", "2001:db8::1"}, true},
		"name":            {[]string{"-verify_hostname", "pbx.test"}, true},
		"address as name": {[]string{"-verify_hostname", "127.0.0.1"}, true},
		"another address": {[]string{"-verify_ip", "127.0.0.2"}, false},
	} {
		args := append([]string{"s_client", "-connect", ln.Addr().String(), "-CAfile", filepath.Join(dir, "ca.pem"), "-x509_strict", "-verify_return_error"}, c.verify...)
		cmd := exec.CommandContext(t.Context(), openssl, args...)
		cmd.Stdin = strings.NewReader("")
		out, err := cmd.CombinedOutput()
		if ok := err == nil && strings.Contains(string(out), "Verify return code: 0 (ok)"); ok != c.ok {
			t.Errorf("%s: accepted %v, want %v: %v\n%s", name, ok, c.ok, err, out)
		}
	}
}
