// Package pki is the box's own certificate authority and the server certificates under it: made at
// first start, renewed in time, right for clients that match an address by name only.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

const (
	caYears  = 20
	leafLife = 825 * 24 * time.Hour // browsers and iOS refuse server certificates that live longer
	backdate = 24 * time.Hour       // a phone's clock may be behind ours

	maxCommonName = 64 // RFC 5280 §A.1, ub-common-name
)

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// epoch is before any box was made. A clock that shows less is not set.
func epoch() time.Time { return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC) }

// plausible moves a clock that cannot be right to the nearest time that can: certificates must not
// depend on a dead clock battery.
func plausible(now time.Time) time.Time {
	switch last := epoch().AddDate(caYears, 0, 0); {
	case now.Before(epoch()):
		return epoch()
	case now.After(last):
		return last
	}
	return now
}

// CA signs server certificates. Its methods may be called from any goroutine.
type CA struct {
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	clock func() time.Time
}

// OpenCA reads the CA in dir, and makes one when there is none. Phones trust the CA for its whole
// life, so a CA that has lost its key is an error and not replaced. Its key is wrapped under that of the
// security chip, unless that is nil.
func OpenCA(dir string, under *seal.Key, clock func() time.Time) (*CA, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	certFile := filepath.Join(dir, "ca.pem")
	certPEM, err := os.ReadFile(certFile)
	made := errors.Is(err, fs.ErrNotExist)
	if err != nil && !made {
		return nil, err
	}
	// A key alone is what a crash leaves at the first start: nobody has seen its certificate.
	key, err := openKey(filepath.Join(dir, "ca.key"), under, made)
	if err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	if made {
		if certPEM, err = makeCA(key, clock()); err == nil {
			err = fsx.WriteFile(certFile, certPEM, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("make CA: %w", err)
		}
	}
	chain, err := parseChain(certPEM)
	if err != nil {
		return nil, fmt.Errorf("open CA %s: %w", certFile, err)
	}
	if !key.PublicKey.Equal(chain[0].PublicKey) || !chain[0].IsCA {
		return nil, problem.New(problem.Invalid, "pki.ca.key", "the CA's certificate and key in "+dir+" do not belong together", restoreCure)
	}
	return &CA{key: key, cert: chain[0], clock: clock}, nil
}

const restoreCure = "restore both files from a backup; or remove both to get a new CA, which every phone must then be given"

// openKey reads the private key at path, or makes it when mayMake is set.
func openKey(path string, under *seal.Key, mayMake bool) (*ecdsa.PrivateKey, error) {
	data, err := seal.ReadFile(path, under)
	switch {
	case errors.Is(err, fs.ErrNotExist) && mayMake:
		return makeKey(path, under)
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem.New(problem.Missing, "pki.key.missing", "the private key "+path+" is gone", restoreCure)
	case err != nil:
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemKey {
		return nil, problem.New(problem.Invalid, "pki.key.damaged", "the private key "+path+" is damaged", restoreCure)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "pki.key.damaged", "the private key "+path+" is damaged", restoreCure)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, problem.New(problem.Invalid, "pki.key.kind", "the private key "+path+" is not of the kind ECDSA", restoreCure)
	}
	return ec, nil
}

func makeKey(path string, under *seal.Key) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, seal.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), under)
}

// makeCA starts the CA's life at the epoch and not now: it is never in a phone's future, whatever
// the box's clock showed at the first start.
func makeCA(key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Sanchar"}, CommonName: "Sanchar box " + ids.Random(5)},
		NotBefore:             epoch().Add(-backdate),
		NotAfter:              plausible(now).AddDate(caYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}), nil
}

// PEM returns the CA's certificate, for phones and browsers to trust.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: ca.cert.Raw})
}

// Issue returns a chain in PEM, leaf first, for a server with these names, addresses and key.
func (ca *CA) Issue(names []string, ips []netip.Addr, pub crypto.PublicKey) ([]byte, error) {
	template, err := serverTemplate(names, ips, ca.clock())
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, pub, ca.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate of %v %v: %w", names, ips, err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}), ca.PEM()...), nil
}

// serverTemplate names every address as iPAddress, as RFC 9525 §6.4 and browsers want it, and again
// as dNSName and the first in CN, since Linphone matches nothing else.
func serverTemplate(names []string, ips []netip.Addr, now time.Time) (*x509.Certificate, error) {
	names, ips = canonical(names, ips)
	if len(names)+len(ips) == 0 {
		return nil, errors.New("issue certificate: no name and no address")
	}
	t := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Sanchar"}},
		NotBefore:             plausible(now).Add(-backdate),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              names,
	}
	t.NotAfter = t.NotBefore.Add(leafLife - time.Second) // both ends belong to the life (RFC 5280 §4.1.2.5)
	for _, ip := range ips {
		t.IPAddresses = append(t.IPAddresses, net.IP(ip.AsSlice()))
		t.DNSNames = append(t.DNSNames, ip.String())
	}
	if cn := t.DNSNames[len(names)%len(t.DNSNames)]; len(cn) <= maxCommonName { // the first address, else the first name
		t.Subject.CommonName = cn
	}
	return t, nil
}

// canonical drops what cannot stand in a certificate or stands there already. Names that are
// addresses become addresses.
func canonical(names []string, ips []netip.Addr) ([]string, []netip.Addr) {
	var outNames []string
	var outIPs []netip.Addr
	add := func(ip netip.Addr) {
		if ip = ip.Unmap().WithZone(""); ip.IsValid() && !ip.IsUnspecified() && !slices.Contains(outIPs, ip) {
			outIPs = append(outIPs, ip)
		}
	}
	for _, ip := range ips {
		add(ip)
	}
	for _, name := range names {
		if ip, err := netip.ParseAddr(name); err == nil {
			add(ip)
		} else if name != "" && !slices.Contains(outNames, name) {
			outNames = append(outNames, name)
		}
	}
	return outNames, outIPs
}

func parseChain(data []byte) (chain []*x509.Certificate, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != pemCertificate {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, errors.New("no certificate in it")
	}
	return chain, nil
}
