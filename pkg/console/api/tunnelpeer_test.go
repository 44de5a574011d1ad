package api

import (
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func (n *oneNetwork) Tunnels(context.Context) ([]ctl.NetTunnel, error) {
	return []ctl.NetTunnel{{Link: "wg0", PublicKey: "Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym8="}}, n.err
}

func (n *oneNetwork) Firewall(context.Context) (ctl.Firewall, error) {
	return ctl.Firewall{Enforced: true, Rules: []ctl.FirewallRule{{Name: "drop", Drops: true, Packets: 5}}}, n.err
}

func TestANewPeerGetsKeysOfItsOwn(t *testing.T) {
	t.Parallel()
	b, _ := networkBench(t)
	w := b.do("POST", "/network/tunnels/wg0/peers", `{"address":"10.8.0.2/32","endpoint":"vpn.example.com:51820","reaches":["10.1.0.0/24","10.8.0.0/24"],"dns":["10.1.0.1"]}`)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var peer TunnelPeer
	if err := json.Unmarshal(w.Body.Bytes(), &peer); err != nil {
		t.Fatal(err)
	}
	private := regexp.MustCompile(`PrivateKey = (\S+)`).FindStringSubmatch(peer.Settings)
	raw, err := base64.StdEncoding.DecodeString(private[1])
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil || base64.StdEncoding.EncodeToString(key.PublicKey().Bytes()) != peer.PublicKey {
		t.Errorf("the keys are no pair, %v", err)
	}
	for _, line := range []string{"Address = 10.8.0.2/32\n", "DNS = 10.1.0.1\n", "PublicKey = Ym94", "Endpoint = vpn.example.com:51820\n", "AllowedIPs = 10.1.0.0/24, 10.8.0.0/24\n"} {
		if !strings.Contains(peer.Settings, line) {
			t.Errorf("no %q in\n%s", line, peer.Settings)
		}
	}
	if !strings.HasPrefix(peer.QRSVG, "<svg") {
		t.Errorf("%.40s", peer.QRSVG)
	}
	for _, entry := range b.archive.audit(t) {
		if entry.Act != "network.peer" || strings.Contains(entry.Detail+entry.Object, private[1]) {
			t.Errorf("audit %+v", entry)
		}
	}
}

func TestWhatIsWrongWithAPeerIsToldAllAtOnce(t *testing.T) {
	t.Parallel()
	b, _ := networkBench(t)
	w := b.do("POST", "/network/tunnels/wg0/peers", `{"address":"10.8.0.2","endpoint":"vpn\nPostUp = rm:1","reaches":["all"],"dns":["x"]}`)
	for _, path := range []string{`"address"`, `"endpoint"`, `"reaches[0]"`, `"dns[0]"`} {
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `"path":`+path) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w = b.do("POST", "/network/tunnels/wg9/peers", `{"address":"10.8.0.2/32","endpoint":"a:1","reaches":["10.0.0.0/8"]}`); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheFirewallIsShown(t *testing.T) {
	t.Parallel()
	b, _ := networkBench(t)
	w := b.do("GET", "/network/firewall", "")
	for _, part := range []string{`"enforced":true`, `"packets":5`, `"banned":[]`, `"conflicts":[]`} {
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), part) {
			t.Errorf("%s: %d %s", part, w.Code, w.Body)
		}
	}
}
