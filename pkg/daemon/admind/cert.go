package admind

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	keyFile   = "tls-key.pem"
	chainFile = "tls-chain.pem"

	askFirst  = time.Second     // while there is no certificate of the box's CA
	askMost   = time.Minute     // the pause grows to this
	renewal   = 24 * time.Hour  // a fresh one costs nothing
	settle    = 2 * time.Second // after a change of addresses: switchd hears of it, too
	selfValid = 30 * 24 * time.Hour
	clockSlip = 24 * time.Hour // our clock may be that far ahead of a browser's
)

// signer is the box's CA; addresses tells when the box has others.
type (
	signer interface {
		Sign(ctx context.Context, in ctl.CertificateRequest) (ctl.Certificate, error)
	}
	addresses interface {
		Events(ctx context.Context, each func(ctl.NetEvent) error) error
	}
)

// certificate is what the page shows: of the box's CA, with a key of our own that nobody else
// has. Until the CA answers for the first time we sign it ourselves.
type certificate struct {
	dir     string
	ca      signer
	links   addresses
	log     *slog.Logger
	key     *ecdsa.PrivateKey
	current atomic.Pointer[tls.Certificate]
}

func newCertificate(dir string, ca signer, links addresses, log *slog.Logger) (*certificate, error) {
	c := &certificate{dir: dir, ca: ca, links: links, log: log}
	var err error
	if c.key, err = loadKey(filepath.Join(dir, keyFile)); err != nil {
		return nil, fmt.Errorf("key of the page: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, chainFile))
	if err == nil {
		err = c.use(text)
	}
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		log.Warn("the kept certificate is of no use", "err", err)
	}
	return c, c.selfSign()
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

func loadKey(path string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newKey(path)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the file holds no PEM block")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

func newKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, fsx.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// use takes a chain in PEM, leaf first, if it is for our key and not over.
func (c *certificate) use(text []byte) error {
	cert := &tls.Certificate{PrivateKey: c.key}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	if len(cert.Certificate) == 0 {
		return errors.New("the chain is empty")
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	switch {
	case err != nil:
		return err
	case !c.key.PublicKey.Equal(leaf.PublicKey):
		return errors.New("the certificate is for another key")
	case time.Now().After(leaf.NotAfter):
		return fmt.Errorf("the certificate ended at %v", leaf.NotAfter)
	}
	cert.Leaf = leaf
	c.current.Store(cert)
	return nil
}

// selfSign makes a certificate that proves nothing, but keeps what is said secret from those who
// only listen.
func (c *certificate) selfSign() error {
	now := time.Now()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // RFC 5280 §4.1.2.2: at most 20 octets
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Sanchar, not yet certified"},
		NotBefore: now.Add(-clockSlip), NotAfter: now.Add(selfValid), DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, c.key.Public(), c.key)
	if err != nil {
		return err
	}
	return c.use(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// sign asks the box's CA and keeps its answer.
func (c *certificate) sign(ctx context.Context) error {
	pub, err := x509.MarshalPKIXPublicKey(c.key.Public())
	if err != nil {
		return err
	}
	answer, err := c.ca.Sign(ctx, ctl.CertificateRequest{PublicKey: pub, Names: []string{}})
	if err != nil {
		return err
	}
	text := []byte(answer.PEM)
	if err := c.use(text); err != nil {
		return fmt.Errorf("certificate of the box's CA: %w", err)
	}
	old, err := os.ReadFile(filepath.Join(c.dir, chainFile))
	if err == nil && bytes.Equal(old, text) {
		return nil
	}
	return fsx.WriteFile(filepath.Join(c.dir, chainFile), text, 0o644)
}

// run renews the certificate daily and when the box gets other addresses.
func (c *certificate) run(ctx context.Context) error {
	moved := make(chan struct{}, 1)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		c.followLinks(ctx, moved)
	}()
	pause := askFirst
	for ctx.Err() == nil {
		wait := renewal
		if err := c.sign(ctx); err != nil {
			c.log.Debug("no certificate of the box's CA", "err", err)
			wait, pause = pause, min(2*pause, askMost)
		} else {
			pause = askFirst
		}
		sleep(ctx, wait, moved)
	}
	<-followed
	return nil
}

// followLinks tells of changes, not of what it finds first.
func (c *certificate) followLinks(ctx context.Context, moved chan<- struct{}) {
	for ctx.Err() == nil {
		first := true
		err := c.links.Events(ctx, func(ev ctl.NetEvent) error {
			if ev.Links == nil {
				return nil
			}
			if first {
				first = false
				return nil
			}
			sleep(ctx, settle, nil)
			select {
			case moved <- struct{}{}:
			default: // it is about to renew anyway
			}
			return nil
		})
		c.log.Debug("netd's events ended", "err", err)
		sleep(ctx, askMost/12, nil)
	}
}

func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}
