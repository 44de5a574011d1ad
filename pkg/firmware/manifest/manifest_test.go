package manifest

import (
	"encoding/json"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

func pair(t *testing.T) (minisign.PublicKey, minisign.PrivateKey) {
	t.Helper()
	pub, priv, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return pub, priv
}

func good() Manifest {
	m := Manifest{Format: format, Product: product, Board: "x86", Version: "1.4.2", MinVersion: "1.2.0"}
	for _, n := range Parts() {
		m.Parts = append(m.Parts, Part{Name: n, Size: 1000, SHA256: strings.Repeat("0f", 32)})
	}
	return m
}

func TestOnlySignedManifestsAreRead(t *testing.T) {
	t.Parallel()
	pub1, priv1 := pair(t)
	pub2, priv2 := pair(t)
	_, stranger := pair(t)
	keys := Keys{Trusted: []minisign.PublicKey{pub1, pub2}}
	data, err := json.Marshal(good())
	if err != nil {
		t.Fatal(err)
	}
	for i, priv := range []minisign.PrivateKey{priv1, priv2} {
		if m, err := Open(data, minisign.Sign(priv, data), keys); err != nil || m.Version != "1.4.2" {
			t.Errorf("key %d: %+v, %v", i, m, err)
		}
	}
	changed := []byte(strings.Replace(string(data), "1.4.2", "1.4.3", 1))
	for name, c := range map[string]struct{ data, signature []byte }{
		"unsigned":     {data, nil},
		"a stranger's": {data, minisign.Sign(stranger, data)},
		"changed":      {changed, minisign.Sign(priv1, data)},
		"cut":          {data[:len(data)-1], minisign.Sign(priv1, data)},
		"junk":         {data, []byte("untrusted comment: x\nAAAA\n")},
	} {
		if _, err := Open(c.data, c.signature, keys); problem.Of(err).Code != "update.signature" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFaultsOfAManifest(t *testing.T) {
	t.Parallel()
	pub, priv := pair(t)
	for name, change := range map[string]func(*Manifest){
		"format": func(m *Manifest) { m.Format = 2 }, "product": func(m *Manifest) { m.Product = "other" },
		"version": func(m *Manifest) { m.Version = "latest" }, "no patch": func(m *Manifest) { m.Version = "1" }, "build": func(m *Manifest) { m.Version = "1.2.3+x" },
		"min": func(m *Manifest) { m.MinVersion = "" }, "fewer parts": func(m *Manifest) { m.Parts = m.Parts[:2] },
		"order": func(m *Manifest) { m.Parts[0], m.Parts[1] = m.Parts[1], m.Parts[0] }, "size": func(m *Manifest) { m.Parts[0].Size = 1 << 40 },
		"sum": func(m *Manifest) { m.Parts[2].SHA256 = "00" },
	} {
		m := good()
		change(&m)
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(data, minisign.Sign(priv, data), Keys{Trusted: []minisign.PublicKey{pub}}); problem.Of(err).Code != "update.manifest" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		box  Box
		want string
	}{
		"newer":                {Box{Board: "x86", Version: "1.3.9", MinVersion: "1.0.0"}, ""},
		"the next after a try": {Box{Board: "x86", Version: "1.4.2-rc1", MinVersion: "1.0.0"}, ""},
		"another board":        {Box{Board: "rpi4", Version: "1.3.9", MinVersion: "1.0.0"}, "update.board"},
		"the same":             {Box{Board: "x86", Version: "1.4.2", MinVersion: "1.0.0"}, "update.same"},
		"older":                {Box{Board: "x86", Version: "1.10.0", MinVersion: "1.0.0"}, "update.downgrade"},
		"older, on purpose":    {Box{Board: "x86", Version: "1.10.0", MinVersion: "1.4.2", Downgrade: true}, ""},
		"not safe any more":    {Box{Board: "x86", Version: "1.10.0", MinVersion: "1.4.3", Downgrade: true}, "update.old"},
		"a box without one":    {Box{Board: "x86", Version: "dev"}, ""},
	} {
		m := good()
		err := m.Fits(c.box)
		if (c.want == "") != (err == nil) || (err != nil && problem.Of(err).Code != c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	pub, _ := pair(t)
	text, err := pub.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKeys("untrusted comment: release key\n" + string(text) + "\n\n" + string(text) + "\n")
	if err != nil || len(k.Trusted) != 2 || k.Development {
		t.Errorf("%+v, %v", k, err)
	}
	if k, err = ParseKeys("untrusted comment: development key\n" + string(text)); err != nil || !k.Development {
		t.Errorf("%+v, %v", k, err)
	}
	for _, bad := range []string{"", "untrusted comment: none\n", "junk"} {
		if _, err := ParseKeys(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzOpen(f *testing.F) {
	pub, priv, err := minisign.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("{}"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		m, err := Open(data, minisign.Sign(priv, data), Keys{Trusted: []minisign.PublicKey{pub}}) // no panic
		if err == nil {
			_ = m.Fits(Box{})
		}
	})
}
