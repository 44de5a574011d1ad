package netcfg

import (
	"crypto/ecdh"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

const roaming = `{"ports":[{"name":"eth0"},{"name":"eth1"},{"name":"wan0"}],
	"wireguard":[{"name":"wg0","peers":[{"name":"site","publicKey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","allowed":["10.8.0.0/30","10.9.0.0/24"]}]}],
	"zones":[{"name":"Out","kind":"uplink"},{"name":"Phones","kind":"voice"},{"name":"Guests","kind":"guest"},{"name":"Remote","kind":"voice","reaches":["Phones","Out"]}],
	"interfaces":[{"link":"wan0","zone":"Out","addresses":["192.0.2.1/24"]},{"link":"eth0","zone":"Phones","addresses":["10.1.0.1/24"]},
		{"link":"eth1","zone":"Guests","addresses":["10.2.0.1/24"]},{"link":"wg0","zone":"Remote","addresses":["10.8.0.4/29","2001:db8:8::1/64"]}],
	"dns":{"serve":true}}`

const otherKey = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func TestANewPeerHasAllThatItNeeds(t *testing.T) {
	t.Parallel()
	doc, err := Parse([]byte(roaming))
	if err != nil {
		t.Fatal(err)
	}
	with, s, err := doc.WithPeer(NewPeer{Link: "wg0", Name: "ann", PublicKey: otherKey, Endpoint: "vpn.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `[Interface]
PrivateKey = private
Address = 10.8.0.5/32, 2001:db8:8::2/128
DNS = 10.8.0.4, 2001:db8:8::1
MTU = 1420

[Peer]
PublicKey = box
Endpoint = vpn.example.com:51820
AllowedIPs = 10.1.0.0/24, 10.8.0.0/29, 2001:db8:8::/64
PersistentKeepalive = 25
`
	if got := s.File("private", "box"); got != want {
		t.Errorf("settings are\n%s", got)
	}
	if got := strings.Join(Diff(doc, with), "\n"); !strings.Contains(got, "ann") || len(doc.WireGuard[0].Peers) != 1 {
		t.Errorf("difference %q, before %+v", got, doc.WireGuard)
	}
	full, s, err := with.WithPeer(NewPeer{Link: "wg0", Name: "bob", PublicKey: strings.Replace(otherKey, "AQ", "AR", 1), Endpoint: "192.0.2.1:4500"})
	if err != nil || s.Addresses[0].String() != "10.8.0.6/32" || s.Endpoint != "192.0.2.1:4500" {
		t.Errorf("the next one: %+v, %v", s, err)
	}
	if _, s, _ := full.WithPeer(NewPeer{Link: "wg0", Name: "c", PublicKey: strings.Replace(otherKey, "AQ", "Ag", 1), Endpoint: "192.0.2.1"}); len(s.Addresses) != 1 || s.Addresses[0].Addr().Is4() {
		t.Errorf("IPv4 is used up, and yet: %+v", s)
	}
	if back, found := with.WithoutPeer("wg0", "ann"); !found || len(Diff(doc, back)) != 0 {
		t.Errorf("after it was removed: %v", Diff(doc, back))
	}
	if _, found := with.WithoutPeer("wg0", "nobody"); found {
		t.Error("a peer that is not there was removed")
	}
}

func TestAPeerThatCannotBe(t *testing.T) {
	t.Parallel()
	doc, err := Parse([]byte(roaming))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		peer   NewPeer
		faults int
		kind   problem.Kind
	}{
		"no tunnel":          {NewPeer{Link: "wg9", Name: "x", PublicKey: otherKey, Endpoint: "a.example"}, 0, problem.Missing},
		"a name that is had": {NewPeer{Link: "wg0", Name: "site", PublicKey: otherKey, Endpoint: "a.example"}, 1, problem.Invalid},
		"a line more":        {NewPeer{Link: "wg0", Name: "x", PublicKey: otherKey, Endpoint: "a\nPostUp = rm:1"}, 1, problem.Invalid},
		"no endpoint":        {NewPeer{Link: "wg0", Name: "x", PublicKey: otherKey}, 1, problem.Invalid},
		"a key that is had":  {NewPeer{Link: "wg0", Name: "x", PublicKey: doc.WireGuard[0].Peers[0].PublicKey, Endpoint: "a.example"}, 1, problem.Invalid},
	} {
		_, _, err := doc.WithPeer(c.peer)
		if p := problem.Of(err); err == nil || p.Kind != c.kind || len(p.Faults) != c.faults {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The keys that are made are a pair, and each peer has its own.
func TestAPeerThatIsMadeHasAPairOfKeys(t *testing.T) {
	t.Parallel()
	doc, err := Parse([]byte(roaming))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, name := range []string{"ann", "bob"} {
		made, err := doc.MakePeer(NewPeer{Link: "wg0", Name: name, Endpoint: "vpn.example.com"}, "box")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(made.Settings, "PrivateKey = ")
		private, _, _ := strings.Cut(rest, "\n")
		raw, err := base64.StdEncoding.DecodeString(private)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ecdh.X25519().NewPrivateKey(raw)
		if err != nil || base64.StdEncoding.EncodeToString(key.PublicKey().Bytes()) != made.PublicKey {
			t.Errorf("the keys are no pair, %v", err)
		}
		peers := made.With.WireGuard[0].Peers
		if last := peers[len(peers)-1]; last.Name != name || last.PublicKey != made.PublicKey || seen[private] {
			t.Errorf("%+v", last)
		}
		seen[private], doc = true, made.With
	}
	if _, err := doc.MakePeer(NewPeer{Link: "wg0", Name: "eve", Endpoint: "vpn\nPostUp = rm"}, "box"); !problem.Is(err, problem.Invalid) {
		t.Errorf("a second line: %v", err)
	}
}
