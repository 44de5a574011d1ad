package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func (n *oneNetwork) Tunnels(context.Context) ([]ctl.NetTunnel, error) {
	return []ctl.NetTunnel{{Link: "wg0", PublicKey: "Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym8="}}, n.err
}

func (n *oneNetwork) Firewall(context.Context) (ctl.Firewall, error) {
	return ctl.Firewall{Enforced: true, Rules: []ctl.FirewallRule{{Name: "drop", Drops: true, Packets: 5}}}, n.err
}

const peerSettings = "[Interface]\nPrivateKey = c2VjcmV0\n"

func (n *oneNetwork) MakePeer(_ context.Context, link string, in ctl.NetPeerWish) (ctl.NetPeer, error) {
	if link != "wg0" || n.err != nil {
		return ctl.NetPeer{}, problem.New(problem.Missing, "net.tunnel", "there is no tunnel "+link, "add it")
	}
	return ctl.NetPeer{Document: in.Document, PublicKey: "cHVibGlj", Settings: peerSettings}, nil
}

func TestANewPeerIsShownOnceAndItsKeyStandsNowhere(t *testing.T) {
	t.Parallel()
	b, _ := networkBench(t)
	w := b.do("POST", "/network/tunnels/wg0/peers", `{"name":"ann","endpoint":"vpn.example.com","document":{"hostname":"x"}}`)
	var peer TunnelPeer
	if err := json.Unmarshal(w.Body.Bytes(), &peer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	if peer.Settings != peerSettings || !strings.HasPrefix(peer.QRSVG, "<svg") || string(peer.Document) != `{"hostname":"x"}` {
		t.Errorf("%+v", peer)
	}
	for _, entry := range b.archive.audit(t) {
		if entry.Act != "network.peer" || strings.Contains(entry.Detail+entry.Object, "c2VjcmV0") {
			t.Errorf("audit %+v", entry)
		}
	}
	if w = b.do("POST", "/network/tunnels/wg9/peers", `{"name":"ann","endpoint":"vpn.example.com"}`); w.Code != http.StatusNotFound {
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
