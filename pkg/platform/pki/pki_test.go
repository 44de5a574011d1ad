package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(text string) func() time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return func() time.Time { return t }
}

func openCA(t testing.TB, dir string, clock func() time.Time) *CA {
	t.Helper()
	ca, err := OpenCA(dir, nil, clock)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t testing.TB, ca *CA, names []string, ips ...netip.Addr) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	data, err := ca.Issue(names, ips, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	chain, err := parseChain(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) != 2 || !chain[1].Equal(ca.cert) {
		t.Fatalf("a chain of %d", len(chain))
	}
	return chain[0]
}

func TestTheCAIsMadeOnceAndLastsTwentyYears(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pki")
	first := openCA(t, dir, at("2026-11-23"))
	again := openCA(t, dir, at("2031-01-01"))
	if !first.cert.Equal(again.cert) || !first.key.Equal(again.key) {
		t.Fatal("the second start made another CA")
	}
	if want := at("2046-11-23")(); !first.cert.NotAfter.Equal(want) || !first.cert.IsCA || !first.cert.MaxPathLenZero {
		t.Fatalf("ends %v, want %v; CA %v", first.cert.NotAfter, want, first.cert.IsCA)
	}
	for _, name := range []string{"ca.key", "ca.pem"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	if other := openCA(t, t.TempDir(), at("2026-11-23")); other.cert.Subject.CommonName == first.cert.Subject.CommonName {
		t.Error("two boxes' CAs have one name")
	}
}

func TestALeafNamesEveryAddressForEveryKindOfClient(t *testing.T) {
	t.Parallel()
	ca := openCA(t, t.TempDir(), at("2026-11-23"))
	v4, v6 := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::1")
	zoned, mapped := netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::ffff:192.0.2.10")
	leaf := issue(t, ca, []string{"pbx.test", "198.51.100.7", "pbx.test", ""}, v4, v6, zoned, mapped, netip.IPv6Unspecified())
	if leaf.Subject.CommonName != "192.0.2.10" {
		t.Errorf("CN %q", leaf.Subject.CommonName)
	}
	if want := []string{"pbx.test", "192.0.2.10", "2001:db8::1", "fe80::1", "198.51.100.7"}; !slices.Equal(leaf.DNSNames, want) {
		t.Errorf("DNS names %q, want %q", leaf.DNSNames, want)
	}
	if len(leaf.IPAddresses) != 4 {
		t.Errorf("addresses %v", leaf.IPAddresses)
	}
	if life := leaf.NotAfter.Sub(leaf.NotBefore) + time.Second; life != leafLife {
		t.Errorf("life %v", life)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	for _, name := range []string{"pbx.test", "192.0.2.10", "[2001:db8::1]"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: at("2026-11-23")()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "192.0.2.11", CurrentTime: at("2026-11-23")()}); err == nil {
		t.Error("the leaf is good for another address")
	}
}

func TestCommonName(t *testing.T) {
	t.Parallel()
	ca := openCA(t, t.TempDir(), at("2026-11-23"))
	if cn := issue(t, ca, []string{"a.test", "b.test"}).Subject.CommonName; cn != "a.test" {
		t.Errorf("without addresses: %q", cn)
	}
	long := strings.Repeat("a", 60) + ".test"
	if leaf := issue(t, ca, []string{long}); leaf.Subject.CommonName != "" || !slices.Contains(leaf.DNSNames, long) {
		t.Errorf("name of %d characters: CN %q, names %q", len(long), leaf.Subject.CommonName, leaf.DNSNames)
	}
	if _, err := ca.Issue(nil, nil, ca.key.Public()); err == nil {
		t.Error("issued for nobody")
	}
}

func TestAClockThatIsWrongDoesNotBrickTLS(t *testing.T) {
	t.Parallel()
	truth := at("2027-06-01")()
	for _, wrong := range []string{"1970-01-01", "2106-02-07"} {
		ca := openCA(t, t.TempDir(), at(wrong))
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca.PEM())
		opts := x509.VerifyOptions{Roots: roots, DNSName: "pbx.test", CurrentTime: truth}
		if wrong == "1970-01-01" { // a clock that was never set: phones with the right time accept the leaf
			if _, err := issue(t, ca, []string{"pbx.test"}).Verify(opts); err != nil {
				t.Errorf("CA and leaf made in %s: %v", wrong, err)
			}
		}
		ca.clock = func() time.Time { return truth } // and once it is set, the same CA serves
		if _, err := issue(t, ca, []string{"pbx.test"}).Verify(opts); err != nil {
			t.Errorf("CA made in %s: %v", wrong, err)
		}
	}
}

func TestACrashAtFirstStartLeavesAWorkingBox(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := openCA(t, dir, time.Now).key
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil { // the key is written first
		t.Fatal(err)
	}
	if ca := openCA(t, dir, time.Now); !ca.key.Equal(key) {
		t.Fatal("the key was replaced")
	}
}

func TestADamagedCAIsAnErrorWithACure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, with, code string }{
		"no key":      {"ca.key", "", "pki.key.missing"},
		"torn key":    {"ca.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "pki.key.damaged"},
		"no PEM":      {"ca.key", "x", "pki.key.damaged"},
		"other's key": {"ca.key", "other", "pki.ca.key"},
	} {
		dir, path := t.TempDir(), ""
		openCA(t, dir, time.Now)
		path = filepath.Join(dir, c.file)
		switch c.with {
		case "":
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		case "other":
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if _, err := makeKey(path, nil); err != nil {
				t.Fatal(err)
			}
		default:
			if err := os.WriteFile(path, []byte(c.with), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := OpenCA(dir, nil, time.Now)
		if p := problem.Of(err); p.Code != c.code || p.Cure == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrivateKeysAreWrapped(t *testing.T) {
	t.Parallel()
	run, dir := t.TempDir(), t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(run, seal.ChipDir), 0o700), os.WriteFile(filepath.Join(run, seal.ChipDir, "switch"), make([]byte, 32), 0o400)); err != nil {
		t.Fatal(err)
	}
	under, err := seal.Chip(run, "switch")
	if err != nil {
		t.Fatal(err)
	}
	before, err := OpenCA(dir, nil, time.Now) // the box had no chip then
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ca, err := OpenCA(dir, under, time.Now)
		if err != nil || !ca.key.Equal(before.key) {
			t.Fatalf("another key: %v", err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	if err != nil || bytes.Contains(text, []byte(pemKey)) {
		t.Errorf("the key lies in clear: %.40q, %v", text, err)
	}
	if _, err := OpenCA(dir, nil, time.Now); problem.Of(err).Code != "seal.key.wrapped" {
		t.Errorf("without the chip: %v", err)
	}
}
