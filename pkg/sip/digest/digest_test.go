package digest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/racing"
)

// The example of RFC 7616 §3.9.1, for both algorithms.
func TestExampleOfTheRFC(t *testing.T) {
	for alg, want := range map[Algorithm]string{
		MD5:    "8ca523f5e9506fed4657c9700eebdbec",
		SHA256: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		c, err := ParseCredentials(fmt.Sprintf(`Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=%s, `+
			`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", `+
			`qop=auth, response="%s", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`, alg, want))
		if err != nil {
			t.Fatal(err)
		}
		ha1 := HA1(alg, "Mufasa", "http-auth@example.org", "Circle of Life")
		if !c.Verify(ha1, "GET") || c.Answer(ha1, "GET") != want {
			t.Errorf("%s: the example is refused", alg)
		}
		if c.Verify(ha1, "PUT") || c.Verify(HA1(alg, "Mufasa", "http-auth@example.org", "circle of life"), "GET") {
			t.Errorf("%s: a wrong method or password is taken", alg)
		}
		c.Response = strings.Repeat("0", len(c.Response))
		if c.Verify(ha1, "GET") {
			t.Errorf("%s: a wrong response is taken", alg)
		}
	}
}

func TestParseCredentials(t *testing.T) {
	const good = `username="a\"b", realm="r",nonce="n" , uri="sip:x",response="0", cnonce="c", nc=0000000a, qop=auth`
	c, err := ParseCredentials("digest  " + good)
	if n, ok := c.Count(); err != nil || c.Username != `a"b` || n != 10 || !ok {
		t.Fatalf("%+v %v", c, err)
	}
	for in, want := range map[string]error{
		"":                         ErrScheme,
		"NoOneKnows opaque-data=x": ErrScheme,
		"Digest":                   ErrFields,
		"Digest username":          ErrSyntax,
		`Digest username="a`:       ErrSyntax,
		`Digest username="a"b="c"`: ErrSyntax,
		"Digest algorithm=MD4":     ErrSyntax,
		"Digest " + strings.Replace(good, `realm="r"`, `realm=""`, 1):    ErrFields,
		"Digest " + strings.Replace(good, `, qop=auth`, ``, 1):           ErrQOP,
		"Digest " + strings.Replace(good, `qop=auth`, `qop=auth-int`, 1): ErrQOP,
		"Digest " + strings.Replace(good, `0000000a`, `a`, 1):            ErrFields,
	} {
		if _, err := ParseCredentials(in); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
	}
	c.NC = "0000000x"
	if _, ok := c.Count(); ok {
		t.Error("nc of 0000000x is a number")
	}
}

func TestNonceProvesItself(t *testing.T) {
	key := NewKey([]byte("secret"), "pbx.test")
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	at := time.Unix(1_795_000_000, 0)
	nonce := string(key.Append(nil, at, 42, here))
	if len(nonce) != NonceText {
		t.Fatalf("length %d, want %d", len(nonce), NonceText)
	}
	if made, random, ok := key.Check(nonce, here); !ok || !made.Equal(at) || random != 42 {
		t.Fatalf("%v %d %v", made, random, ok)
	}
	if _, _, ok := key.Check(nonce, there); ok {
		t.Error("a nonce is taken from another address")
	}
	if _, _, ok := NewKey([]byte("secret"), "other").Check(nonce, here); ok {
		t.Error("a nonce of another realm is taken")
	}
	if _, _, ok := NewKey([]byte("other"), "pbx.test").Check(nonce, here); ok {
		t.Error("a nonce of another key is taken")
	}
	for i := range nonce {
		forged := []byte(nonce)
		forged[i] ^= 1
		if _, _, ok := key.Check(string(forged), here); ok && i != len(nonce)-1 { // the last character has unused bits
			t.Errorf("a nonce with character %d changed is taken", i)
		}
	}
	if _, _, ok := key.Check("", here); ok {
		t.Error("no nonce is taken")
	}
}

func TestChallenge(t *testing.T) {
	got := string(AppendChallenge(nil, "pbx.test", []byte("n"), SHA256, true))
	if want := `Digest realm="pbx.test", nonce="n", algorithm=SHA-256, qop="auth", stale=true`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestVerifyAllocatesNothing(t *testing.T) {
	key := NewKey([]byte("secret"), "pbx.test")
	here := netip.MustParseAddr("192.0.2.1")
	nonce := key.Append(nil, time.Unix(1, 0), 1, here)
	header, ha1 := authorization(string(nonce))
	buf := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		c, err := ParseCredentials(header)
		_, _, ok := key.Check(c.Nonce, here)
		if err != nil || !ok || !c.Verify(ha1, "REGISTER") {
			t.Fatal("refused")
		}
		buf = AppendChallenge(buf[:0], "pbx.test", nonce, MD5, false)
	}); n != 0 && !racing.On {
		t.Errorf("%v allocations", n)
	}
}

func authorization(nonce string) (header string, ha1 []byte) {
	ha1 = HA1(MD5, "alice", "pbx.test", "secret")
	c := Credentials{Username: "alice", Realm: "pbx.test", Nonce: nonce, URI: "sip:pbx.test", CNonce: "Uk8RNIwD~vwvhIqB", NC: "00000001"}
	return fmt.Sprintf(`Digest realm="pbx.test", nonce="%s", algorithm=MD5, username="alice",  uri="sip:pbx.test", response="%s", cnonce="%s", nc=00000001, qop=auth`,
		nonce, c.Answer(ha1, "REGISTER"), c.CNonce), ha1
}

func FuzzParseCredentials(f *testing.F) {
	header, ha1 := authorization("n")
	f.Add(header)
	f.Add(`Digest username="\", realm=,=,"`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCredentials(s)
		if err != nil {
			return
		}
		if c.Verify(ha1, "REGISTER") != (c.Response == c.Answer(ha1, "REGISTER")) {
			t.Fatalf("Verify and Answer differ on %q", s)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	key := NewKey([]byte("secret"), "pbx.test")
	here := netip.MustParseAddr("192.0.2.1")
	header, ha1 := authorization(string(key.Append(nil, time.Unix(1, 0), 1, here)))
	b.ReportAllocs()
	for b.Loop() {
		c, _ := ParseCredentials(header)
		if _, _, ok := key.Check(c.Nonce, here); !ok || !c.Verify(ha1, "REGISTER") {
			b.Fatal(hex.EncodeToString(ha1))
		}
	}
}
