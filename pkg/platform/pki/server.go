package pki

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

const (
	checkEvery    = time.Minute           // the clock may be set at any moment; looking costs nothing
	firstRetry    = 50 * time.Millisecond // the daemon with the CA may be starting
	longestRetry  = time.Minute
	warnAfter     = time.Second // of pause between two tries: it is away for longer than a start takes
	issueDeadline = 10 * time.Second
)

// Issuer answers with a chain in PEM, leaf first: CA.Issue, or a question to the daemon that has the CA.
type Issuer func(ctx context.Context, names []string, ips []netip.Addr, pub *ecdsa.PublicKey) (chain []byte, err error)

// Server is the certificate that a TLS server shows: key and chain are kept on disk, the chain is
// renewed when the box's addresses change and before it ends. Until an issuer has answered once it
// is self-signed.
type Server struct {
	issue Issuer
	clock func() time.Time
	log   *slog.Logger
	file  string // of the chain
	key   *ecdsa.PrivateKey
	now   atomic.Pointer[served]
	kick  chan struct{} // wakes Run

	renewing sync.Mutex // one Renew at a time
	mu       sync.Mutex // guards what follows
	names    []string
	ips      []netip.Addr
}

// served is what handshakes use; it is replaced whole.
type served struct {
	cert       tls.Certificate
	selfSigned bool
}

// OpenServer reads key and chain in dir, and makes what is missing. The key is wrapped under that of the
// security chip, unless that is nil.
func OpenServer(dir string, under *seal.Key, issue Issuer, clock func() time.Time, log *slog.Logger) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := openKey(filepath.Join(dir, "tls.key"), under, true)
	if err != nil {
		return nil, fmt.Errorf("open server certificate: %w", err)
	}
	s := &Server{issue: issue, clock: clock, log: log, key: key, file: filepath.Join(dir, "tls.pem"), kick: make(chan struct{}, 1)}
	chain, err := os.ReadFile(s.file)
	if err == nil {
		err = s.use(chain)
	}
	if err == nil {
		return s, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		log.Warn("server certificate is not usable, a new one is asked for", "err", err)
	}
	return s, s.useSelfSigned()
}

func (s *Server) useSelfSigned() error {
	template, err := serverTemplate([]string{"localhost"}, nil, s.clock())
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.key.Public(), s.key)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	s.now.Store(&served{cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: s.key, Leaf: leaf}, selfSigned: true})
	return nil
}

// use shows a chain from now on, if it is for our key.
func (s *Server) use(data []byte) error {
	chain, err := parseChain(data)
	if err != nil {
		return err
	}
	if !s.key.PublicKey.Equal(chain[0].PublicKey) {
		return errors.New("the chain is for another key")
	}
	next := &served{cert: tls.Certificate{PrivateKey: s.key, Leaf: chain[0]}}
	for i, cert := range chain {
		if i+1 < len(chain) {
			if err := cert.CheckSignatureFrom(chain[i+1]); err != nil {
				return fmt.Errorf("chain: %w", err)
			}
		}
		if i == 0 || !cert.IsCA || cert.CheckSignatureFrom(cert) != nil { // a peer that trusts the root has it (RFC 8446 §4.4.2)
			next.cert.Certificate = append(next.cert.Certificate, cert.Raw)
		}
	}
	s.now.Store(next)
	return nil
}

// SetNames says what the certificate must name. Run renews it when it does not.
func (s *Server) SetNames(names []string, ips []netip.Addr) {
	names, ips = canonical(names, ips)
	s.mu.Lock()
	same := slices.Equal(names, s.names) && slices.Equal(ips, s.ips)
	s.names, s.ips = names, ips
	s.mu.Unlock()
	if same {
		return
	}
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Renew asks the issuer for a new chain if the present one is not right. On an error the present one stays.
func (s *Server) Renew(ctx context.Context) error {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	s.mu.Lock()
	names, ips := s.names, s.ips
	s.mu.Unlock()
	if !s.due(names, ips) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, issueDeadline)
	defer cancel()
	chain, err := s.issue(ctx, names, ips, &s.key.PublicKey)
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	if err := s.use(chain); err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	s.log.Info("server certificate renewed", "names", names, "addresses", ips, "until", s.now.Load().cert.Leaf.NotAfter)
	return fsx.WriteFile(s.file, chain, 0o600)
}

// due says whether the chain must be replaced. A clock before the epoch is not set and says
// nothing about age; one before the chain's birth means that the clock was wrong then.
func (s *Server) due(names []string, ips []netip.Addr) bool {
	cur := s.now.Load()
	leaf := cur.cert.Leaf
	switch now := s.clock(); {
	case cur.selfSigned || !covers(leaf, names, ips):
		return true
	case now.Before(epoch()):
		return false
	default:
		now = plausible(now)
		renewAt := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 3 * 2)
		return now.Before(leaf.NotBefore) || now.After(renewAt)
	}
}

func covers(leaf *x509.Certificate, names []string, ips []netip.Addr) bool {
	for _, name := range names {
		if !slices.Contains(leaf.DNSNames, name) {
			return false
		}
	}
	for _, ip := range ips {
		if !slices.ContainsFunc(leaf.IPAddresses, func(have net.IP) bool {
			addr, _ := netip.AddrFromSlice(have)
			return addr.Unmap() == ip
		}) {
			return false
		}
	}
	return true
}

// Run keeps the certificate right until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	wait, retry := time.Duration(0), firstRetry
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.kick:
			retry = firstRetry
		case <-timer.C:
		}
		select { // names that were set meanwhile are looked at now
		case <-s.kick:
		default:
		}
		wait = checkEvery
		if err := s.Renew(ctx); err != nil && ctx.Err() == nil {
			if retry >= warnAfter {
				s.log.Warn("server certificate not renewed", "err", err)
			}
			wait, retry = retry, min(2*retry, longestRetry)
		} else {
			retry = firstRetry
		}
		timer.Reset(wait)
	}
}

// Leaf returns the certificate that is shown now.
func (s *Server) Leaf() *x509.Certificate { return s.now.Load().cert.Leaf }

// SelfSigned reports whether no issuer has answered yet.
func (s *Server) SelfSigned() bool { return s.now.Load().selfSigned }

// TLSConfig returns the terms of our TLS servers: TLS 1.2 and later with AEAD suites only
// (RFC 9325 §4.2), session tickets on, and always the newest certificate.
func (s *Server) TLSConfig(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2; the key is ECDSA
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &s.now.Load().cert, nil },
	}
}
