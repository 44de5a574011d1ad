// Package handshake agrees on the keys of SRTP with a party by DTLS on the media path (RFC 5764). The
// library that speaks DTLS is used for the handshake only, and nobody else sees it.
package handshake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "crypto/sha256" // hashes of fingerprints
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// Fingerprint is the hash of a certificate (RFC 8122 §5).
type Fingerprint struct {
	Hash  string // "sha-256"
	Value []byte
}

// hashes are those that we compute. RFC 8122 §5.1 has older ones: with a hash that can be made to collide
// the certificate would prove nothing.
func hashOf(name string) (crypto.Hash, bool) {
	switch strings.ToLower(name) {
	case "sha-256":
		return crypto.SHA256, true
	case "sha-384":
		return crypto.SHA384, true
	case "sha-512":
		return crypto.SHA512, true
	}
	return 0, false
}

// Known reports whether the fingerprint is by a hash that we take, and of its length.
func (f Fingerprint) Known() bool {
	h, ok := hashOf(f.Hash)
	return ok && len(f.Value) == h.Size()
}

// of reports whether the fingerprint is that of a certificate.
func (f Fingerprint) of(certificate []byte) bool {
	h, ok := hashOf(f.Hash)
	if !ok {
		return false
	}
	sum := h.New()
	sum.Write(certificate)
	return slices.Equal(sum.Sum(nil), f.Value)
}

// Identity is the box's certificate for media. It names nobody: its fingerprint in SDP is what vouches
// for it.
type Identity struct {
	certificate tls.Certificate
	expires     time.Time
}

const (
	lifetime  = 365 * 24 * time.Hour
	renewLeft = 30 * 24 * time.Hour // a certificate that ends sooner is replaced at start
	file      = "dtls.pem"
)

// NewIdentity makes a certificate.
func NewIdentity(now time.Time) (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make media certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return nil, fmt.Errorf("make media certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "media"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(lifetime), // a party's clock may be behind
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make media certificate: %w", err)
	}
	return &Identity{certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, expires: template.NotAfter}, nil
}

// LoadIdentity returns the certificate in the folder dir, or makes one that stays there: an offer that was
// sent before a restart names it. It is wrapped under the key of the security chip, unless that is nil.
func LoadIdentity(dir string, under *seal.Key, now time.Time) (*Identity, error) {
	path := filepath.Join(dir, file)
	text, err := seal.ReadFile(path, under)
	if err == nil {
		if id, err := parse(text); err == nil && now.Before(id.expires.Add(-renewLeft)) {
			return id, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read media certificate: %w", err)
	}
	id, err := NewIdentity(now)
	if err != nil {
		return nil, err
	}
	if text, err = id.pem(); err != nil {
		return nil, err
	}
	if err := seal.WriteFile(path, text, under); err != nil {
		return nil, fmt.Errorf("keep media certificate: %w", err)
	}
	return id, nil
}

func parse(text []byte) (*Identity, error) {
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("read media certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("read media certificate: %w", err)
	}
	return &Identity{certificate: pair, expires: leaf.NotAfter}, nil
}

func (i *Identity) pem() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(i.certificate.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("keep media certificate: %w", err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate.Certificate[0]})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), nil
}

// Fingerprint is what SDP says of the certificate.
func (i *Identity) Fingerprint() Fingerprint {
	sum := crypto.SHA256.New()
	sum.Write(i.certificate.Certificate[0])
	return Fingerprint{Hash: "sha-256", Value: sum.Sum(nil)}
}
