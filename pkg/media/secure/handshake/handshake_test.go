package handshake

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v2"
	"github.com/pion/transport/v2/packetio"
	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newIdentity(t testing.TB) *Identity {
	t.Helper()
	id, err := NewIdentity(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// start begins one side of a handshake whose datagrams go where *to points; the first lost of them do not.
func start(t *testing.T, id *Identity, theirs []Fingerprint, active bool, to *atomic.Pointer[Handshake], lost int) (*Handshake, chan Result) {
	t.Helper()
	done := make(chan Result, 1)
	var sent atomic.Int32
	h := Start(context.Background(), Config{
		Identity: id, Fingerprints: theirs, Active: active, Log: slog.New(slog.DiscardHandler),
		Send: func(b []byte) {
			if int(sent.Add(1)) > lost {
				if peer := to.Load(); peer != nil {
					peer.Hear(b)
				}
			}
		},
		Done: func(r Result) { done <- r },
	})
	t.Cleanup(func() {
		h.Stop()
		<-h.Ended()
	})
	return h, done
}

func TestBothGetTheSameKeys(t *testing.T) {
	t.Parallel()
	a, b := newIdentity(t), newIdentity(t)
	wrong := Fingerprint{Hash: "sha-256", Value: make([]byte, 32)}
	for name, c := range map[string]struct {
		ofA, ofB []Fingerprint // that are said of them
		lost     int
		err      bool
	}{
		"right":                 {[]Fingerprint{a.Fingerprint()}, []Fingerprint{b.Fingerprint()}, 0, false},
		"one of several":        {[]Fingerprint{wrong, a.Fingerprint()}, []Fingerprint{wrong, b.Fingerprint()}, 0, false},
		"first datagram lost":   {[]Fingerprint{a.Fingerprint()}, []Fingerprint{b.Fingerprint()}, 1, false},
		"wrong, of the client":  {[]Fingerprint{wrong}, []Fingerprint{b.Fingerprint()}, 0, true},
		"wrong, of the server":  {[]Fingerprint{a.Fingerprint()}, []Fingerprint{wrong}, 0, true},
		"none, so none is good": {nil, []Fingerprint{b.Fingerprint()}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var toA, toB atomic.Pointer[Handshake]
			hb, doneB := start(t, b, c.ofA, false, &toA, 0)
			toB.Store(hb)
			ha, doneA := start(t, a, c.ofB, true, &toB, c.lost)
			toA.Store(ha)
			if c.err {
				select {
				case r := <-doneA:
					if !errors.Is(r.Err, ErrFingerprint) && r.Err == nil {
						t.Errorf("a: %v", r.Err)
					}
				case r := <-doneB:
					if !errors.Is(r.Err, ErrFingerprint) && r.Err == nil {
						t.Errorf("b: %v", r.Err)
					}
				}
				return
			}
			ra, rb := <-doneA, <-doneB
			if ra.Err != nil || rb.Err != nil {
				t.Fatal(ra.Err, rb.Err)
			}
			if !ra.RX.Equal(&rb.TX) || !ra.TX.Equal(&rb.RX) || ra.TX.Equal(&ra.RX) || ra.RX.Suite != secure.GCM128 || !ra.RX.Valid() {
				t.Errorf("keys %v and %v", ra.RX.Suite, rb.TX.Suite)
			}
		})
	}
}

// What the reason is, the side that refuses knows.
func TestWrongFingerprintIsTheReason(t *testing.T) {
	t.Parallel()
	a, b := newIdentity(t), newIdentity(t)
	var toA, toB atomic.Pointer[Handshake]
	hb, doneB := start(t, b, []Fingerprint{b.Fingerprint()}, false, &toA, 0)
	toB.Store(hb)
	ha, _ := start(t, a, []Fingerprint{b.Fingerprint()}, true, &toB, 0)
	toA.Store(ha)
	if r := <-doneB; !errors.Is(r.Err, ErrFingerprint) {
		t.Errorf("got %v", r.Err)
	}
}

// Peers that do not do what we demand are refused.
func TestPeersThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*dtls.Config){
		"no protection of media": func(c *dtls.Config) { c.SRTPProtectionProfiles = nil },
		"no certificate":         func(c *dtls.Config) { c.Certificates = nil },
		"no extended master secret": func(c *dtls.Config) {
			c.ExtendedMasterSecret = dtls.DisableExtendedMasterSecret
		},
		"other ciphers": func(c *dtls.Config) {
			c.CipherSuites = []dtls.CipherSuiteID{dtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newIdentity(t), newIdentity(t)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			var toPeer atomic.Pointer[Handshake]
			ours, done := start(t, b, []Fingerprint{a.Fingerprint()}, false, &toPeer, 0)
			peer := &Handshake{cfg: Config{Identity: a, Send: ours.Hear}, inbox: packetio.NewBuffer()}
			toPeer.Store(peer)
			peer.first = make(chan struct{}, 1)
			cfg := peer.config(new(error))
			cfg.VerifyPeerCertificate = nil
			cfg.Certificates = []tls.Certificate{a.certificate}
			change(cfg)
			if conn, err := dtls.ClientWithContext(ctx, &wire{peer}, cfg); err == nil {
				t.Cleanup(func() { _ = conn.Close() })
			}
			cancel()
			select {
			case r := <-done:
				if r.Err == nil {
					t.Error("taken")
				}
			case <-time.After(100 * time.Millisecond): // it waits for a better attempt
			}
			_ = peer.inbox.Close()
		})
	}
}

// Garbage and a handshake that never goes on cost a bounded memory and end with Stop.
func TestGarbageIsBounded(t *testing.T) {
	t.Parallel()
	var nobody atomic.Pointer[Handshake]
	h, done := start(t, newIdentity(t), nil, false, &nobody, 0)
	b := make([]byte, 1500)
	b[0] = 22
	for range 10000 {
		h.Hear(b)
	}
	if n := h.inbox.Count(); n > waiting {
		t.Errorf("%d datagrams wait", n)
	}
	h.Stop()
	<-h.Ended()
	if len(done) != 0 {
		t.Error("a handshake that was stopped was told of")
	}
	h.Hear(b) // late ones do no harm
}

func TestIdentityStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now()
	first, err := LoadIdentity(dir, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadIdentity(dir, nil, now)
	if err != nil || string(again.Fingerprint().Value) != string(first.Fingerprint().Value) {
		t.Errorf("another one after a restart, %v", err)
	}
	if st, err := os.Stat(filepath.Join(dir, file)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	later, err := LoadIdentity(dir, nil, now.Add(lifetime-renewLeft+time.Hour))
	if err != nil || string(later.Fingerprint().Value) == string(first.Fingerprint().Value) {
		t.Errorf("not renewed, %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadIdentity(dir, nil, now); err != nil {
		t.Errorf("a torn file: %v", err)
	}
	if _, err := LoadIdentity(filepath.Join(dir, "missing"), nil, now); err == nil {
		t.Error("kept in a folder that is not there")
	}
	if key, ok := first.certificate.PrivateKey.(*ecdsa.PrivateKey); !ok || key.Curve != elliptic.P256() {
		t.Error("not of the curve that the suites need")
	}
}

func TestFingerprints(t *testing.T) {
	t.Parallel()
	for f, want := range map[*Fingerprint]bool{
		{Hash: "sha-256", Value: make([]byte, 32)}: true, {Hash: "SHA-512", Value: make([]byte, 64)}: true,
		{Hash: "sha-384", Value: make([]byte, 48)}: true, {Hash: "sha-256", Value: make([]byte, 12)}: false,
		{Hash: "sha-1", Value: make([]byte, 20)}: false, {Hash: "md5", Value: make([]byte, 16)}: false,
	} {
		if f.Known() != want {
			t.Errorf("%s of %d bytes: %v", f.Hash, len(f.Value), !want)
		}
	}
}

func TestTheIdentityIsWrapped(t *testing.T) {
	t.Parallel()
	run, dir, now := t.TempDir(), t.TempDir(), time.Now()
	if err := errors.Join(os.MkdirAll(filepath.Join(run, seal.ChipDir), 0o700), os.WriteFile(filepath.Join(run, seal.ChipDir, "media"), make([]byte, 32), 0o400)); err != nil {
		t.Fatal(err)
	}
	under, err := seal.Chip(run, "media")
	if err != nil {
		t.Fatal(err)
	}
	first, err := LoadIdentity(dir, nil, now) // the box had no chip then
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadIdentity(dir, under, now)
	if err != nil || string(again.Fingerprint().Value) != string(first.Fingerprint().Value) {
		t.Errorf("another one when it is wrapped, %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, file)); err != nil || strings.Contains(string(text), "PRIVATE") {
		t.Errorf("the key lies in clear, %v", err)
	}
	if _, err := LoadIdentity(dir, nil, now); err == nil {
		t.Error("it opens without the chip")
	}
}
