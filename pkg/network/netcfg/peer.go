package netcfg

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// NewPeer is a phone or computer that shall come in by a tunnel from wherever it is.
type NewPeer struct {
	Link      string // of the tunnel
	Name      string
	PublicKey string
	Endpoint  string // where it finds the box; without a port the tunnel's own
}

// PeerSettings is what the program at the peer's end must know besides the keys.
type PeerSettings struct {
	Addresses []netip.Prefix // its own inside the tunnel, one of each network of the tunnel
	Reaches   []netip.Prefix // networks that it sends into the tunnel
	DNS       []netip.Addr
	Endpoint  string
	MTU       int
}

// peerKeepalive holds the binding of a NAT open between a peer and the box, in seconds.
const peerKeepalive = 25

// WithPeer returns the document with one more peer, which gets the first free addresses of the tunnel, and
// the peer's settings. Its error is a problem with everything that is wrong.
func (d Document) WithPeer(n NewPeer) (with Document, s PeerSettings, err error) {
	at := slices.IndexFunc(d.WireGuard, func(w WireGuard) bool { return w.Name == n.Link })
	if at < 0 {
		return d, s, problem.New(problem.Missing, "net.tunnel", "there is no tunnel "+n.Link, "add it to wireguard and interfaces of the network document first")
	}
	tunnel, iface := d.WireGuard[at], Interface{}
	iface, _ = d.Interface(n.Link)
	s = PeerSettings{Endpoint: n.Endpoint, MTU: tunnel.MTUOr(), Reaches: d.reachedFrom(iface), DNS: d.askedFrom(iface)}
	if _, _, err := net.SplitHostPort(n.Endpoint); err != nil {
		s.Endpoint = net.JoinHostPort(strings.Trim(n.Endpoint, "[]"), strconv.Itoa(int(tunnel.ListenPortOr())))
	}
	var faults []problem.Fault
	if !isHostPort(s.Endpoint) {
		faults = append(faults, problem.Fault{Path: "endpoint", Value: n.Endpoint, Rule: "is where the peer finds the box", Cure: `write it as "vpn.example.com" or "vpn.example.com:51820"`})
	}
	peer := WGPeer{Name: n.Name, PublicKey: n.PublicKey}
	for _, own := range iface.Addresses {
		if a, ok := tunnel.free(own.Prefix); ok {
			host := netip.PrefixFrom(a, a.BitLen())
			s.Addresses, peer.Allowed = append(s.Addresses, host), append(peer.Allowed, Prefix{Prefix: host})
		}
	}
	if len(s.Addresses) == 0 {
		faults = append(faults, problem.Fault{Path: "link", Value: n.Link, Rule: "has a network with a free address", Cure: `give the tunnel an address with room for peers, as "10.8.0.1/24"`})
		return d, s, wrong(faults...)
	}
	d.WireGuard = slices.Clone(d.WireGuard)
	d.WireGuard[at].Peers = append(slices.Clone(tunnel.Peers), peer)
	return d, s, wrong(append(faults, Validate(d)...)...)
}

// MadePeer is a peer with keys that were made for it, and the document that lets it in.
type MadePeer struct {
	With      Document
	PublicKey string
	Settings  string // file for its program; the private key in it is kept nowhere else
}

// MakePeer makes keys and settings for a peer; box is the public key of the box's end of the tunnel.
func (d Document) MakePeer(n NewPeer, box string) (made MadePeer, err error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return made, err
	}
	made.PublicKey = base64.StdEncoding.EncodeToString(key.PublicKey().Bytes())
	n.PublicKey = made.PublicKey
	var s PeerSettings
	if made.With, s, err = d.WithPeer(n); err != nil {
		return MadePeer{}, err
	}
	made.Settings = s.File(base64.StdEncoding.EncodeToString(key.Bytes()), box)
	return made, nil
}

// free returns the first address of a network that neither the box nor a peer has.
func (w WireGuard) free(own netip.Prefix) (netip.Addr, bool) {
	taken := func(a netip.Addr) bool {
		return a == own.Addr() || slices.ContainsFunc(w.Peers, func(p WGPeer) bool {
			return slices.ContainsFunc(p.Allowed, func(n Prefix) bool { return n.Contains(a) })
		})
	}
	// Most networks behind peers are one address long, so that few steps do.
	const steps = 1 << 16
	a := own.Masked().Addr().Next()                        // the first is the network's own, RFC 4291 §2.6.1 for IPv6
	for i := 0; i < steps && own.Contains(a.Next()); i++ { // the last is for broadcasts
		if !taken(a) {
			return a, true
		}
		a = a.Next()
	}
	return netip.Addr{}, false
}

// reachedFrom are the networks that hosts behind an interface may open connections to, and its own.
func (d Document) reachedFrom(i Interface) (all []netip.Prefix) {
	z, _ := d.Zone(i.Zone)
	for _, other := range d.Interfaces {
		to, _ := d.Zone(other.Zone)
		if other.Link != i.Link && (to.KindOr() == Outside || !slices.Contains(z.Reaches, other.Zone)) {
			continue
		}
		for _, p := range other.Addresses {
			if n := p.Masked(); !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return all
}

// askedFrom are the box's addresses that answer questions for names behind an interface.
func (d Document) askedFrom(i Interface) (all []netip.Addr) {
	if z, ok := d.Zone(i.Zone); ok && d.DNS.Serve && z.Offers(ServeDNS) {
		for _, p := range i.Addresses {
			all = append(all, p.Addr())
		}
	}
	return all
}

// File is what wg-quick(8) and the WireGuard apps read. It holds the peer's private key.
func (s PeerSettings) File(private, box string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Interface]\nPrivateKey = %s\nAddress = %s\n", private, list(s.Addresses))
	if len(s.DNS) > 0 {
		fmt.Fprintf(&b, "DNS = %s\n", list(s.DNS))
	}
	fmt.Fprintf(&b, "MTU = %d\n\n[Peer]\nPublicKey = %s\nEndpoint = %s\nAllowedIPs = %s\nPersistentKeepalive = %d\n", s.MTU, box, s.Endpoint, list(s.Reaches), peerKeepalive)
	return b.String()
}

func list[T fmt.Stringer](all []T) string {
	words := make([]string, 0, len(all))
	for _, v := range all {
		words = append(words, v.String())
	}
	return strings.Join(words, ", ")
}

// WithoutPeer returns the document without a peer of a tunnel: it comes in no more.
func (d Document) WithoutPeer(link, name string) (without Document, found bool) {
	d.WireGuard = slices.Clone(d.WireGuard)
	for i, w := range d.WireGuard {
		if w.Name != link {
			continue
		}
		peers := slices.DeleteFunc(slices.Clone(w.Peers), func(p WGPeer) bool { return p.Name == name })
		found = len(peers) < len(w.Peers)
		d.WireGuard[i].Peers = peers
	}
	return d, found
}
