package api

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/console/provision"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// TunnelPeerKeepalive holds the binding of a NAT open between a peer and the box, in seconds.
const TunnelPeerKeepalive = 25

// maxReaches keeps the settings small enough for a QR code that a phone's camera reads.
const maxReaches = 20

// NewTunnelPeer is a phone or computer that shall come in by a WireGuard tunnel.
type NewTunnelPeer struct {
	Address  string   `json:"address" doc:"that the peer has inside the tunnel: 10.8.0.2/32"`
	Endpoint string   `json:"endpoint" doc:"where it finds the box: vpn.example.com:51820"`
	Reaches  []string `json:"reaches" doc:"networks that it reaches by the tunnel"`
	DNS      []string `json:"dns,omitempty" doc:"name servers that it asks"`
}

// TunnelPeer is the settings of a new peer. Its private key is told this once and kept nowhere.
type TunnelPeer struct {
	PublicKey string `json:"public_key" doc:"for the network document"`
	Settings  string `json:"settings" doc:"file for a WireGuard program"`
	QRSVG     string `json:"qr_svg" doc:"the same as a QR code in SVG"`
}

func (a *API) tunnelPeerOperation() {
	type input struct {
		Link string `path:"link"`
		Body NewTunnelPeer
	}
	type output struct{ Body TunnelPeer }
	op := with(http.MethodPost, get("make-tunnel-peer", "/network/tunnels/{link}/peers",
		"Make keys and settings for a new peer of a tunnel; the network document is not changed"))
	register(a, op, func(ctx context.Context, who caller, in *input) (out *output, err error) {
		err = a.act(ctx, who, "network.peer", in.Link, func(*record.Audit) error {
			peer, err := a.tunnelPeer(ctx, in.Link, in.Body)
			out = &output{peer}
			return err
		})
		return out, err
	})
}

func (a *API) tunnelPeer(ctx context.Context, link string, in NewTunnelPeer) (peer TunnelPeer, err error) {
	if faults := tunnelPeerFaults(in); len(faults) > 0 {
		return peer, problem.Fields("network.peer", faults)
	}
	all, err := a.cfg.Network.Tunnels(ctx)
	if err != nil {
		return peer, err
	}
	at := slices.IndexFunc(all, func(t ctl.NetTunnel) bool { return t.Link == link })
	if at < 0 {
		return peer, problem.New(problem.Missing, "network.tunnel", "there is no confirmed tunnel "+link, "apply and confirm the tunnel first")
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return peer, err
	}
	peer.PublicKey = base64.StdEncoding.EncodeToString(key.PublicKey().Bytes())
	peer.Settings = peerSettings(in, all[at].PublicKey, base64.StdEncoding.EncodeToString(key.Bytes()))
	peer.QRSVG, err = provision.QRSVG(peer.Settings)
	return peer, err
}

// tunnelPeerFaults keeps what would break the lines of the settings out of them.
func tunnelPeerFaults(in NewTunnelPeer) (faults []problem.Fault) {
	prefix := func(path, text string) {
		if _, err := netip.ParsePrefix(text); err != nil {
			faults = append(faults, problem.Fault{Path: path, Value: firstWords(text), Rule: "is an address and a prefix length", Cure: `write it as "10.8.0.2/32"`})
		}
	}
	prefix("address", in.Address)
	if !isEndpoint(in.Endpoint) {
		faults = append(faults, problem.Fault{Path: "endpoint", Value: firstWords(in.Endpoint), Rule: "is a host and a port", Cure: `write it as "vpn.example.com:51820"`})
	}
	if len(in.Reaches) == 0 || len(in.Reaches) > maxReaches {
		faults = append(faults, problem.Fault{Path: "reaches", Rule: fmt.Sprintf("names 1 to %d networks", maxReaches), Cure: `write them as "10.1.0.0/24"`})
		return faults
	}
	for i, text := range in.Reaches {
		prefix(fmt.Sprintf("reaches[%d]", i), text)
	}
	for i, text := range in.DNS {
		if _, err := netip.ParseAddr(text); err != nil {
			faults = append(faults, problem.Fault{Path: fmt.Sprintf("dns[%d]", i), Value: firstWords(text), Rule: "is an IPv4 or IPv6 address", Cure: `write it as "192.0.2.1" or "2001:db8::1"`})
		}
	}
	return faults
}

func isEndpoint(text string) bool {
	host, port, err := net.SplitHostPort(text)
	_, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && bad == nil && host != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// peerSettings is a file as wg-quick(8) and the WireGuard apps read it.
func peerSettings(in NewTunnelPeer, box, private string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Interface]\nPrivateKey = %s\nAddress = %s\n", private, in.Address)
	if len(in.DNS) > 0 {
		fmt.Fprintf(&b, "DNS = %s\n", strings.Join(in.DNS, ", "))
	}
	fmt.Fprintf(&b, "\n[Peer]\nPublicKey = %s\nEndpoint = %s\nAllowedIPs = %s\nPersistentKeepalive = %d\n", box, in.Endpoint, strings.Join(in.Reaches, ", "), TunnelPeerKeepalive)
	return b.String()
}
