package netapply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
)

// setTunnel gives a tunnel its keys and peers, all at once, and then the alias that says so.
func (k *Kernel) setTunnel(s netplan.Step, doc netcfg.Document) (err error) {
	client, err := wgctrl.New()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	key, err := k.keys.Private(s.Tunnel.Link)
	if err != nil {
		return err
	}
	port := int(s.Tunnel.ListenPort)
	config := wgtypes.Config{PrivateKey: &key, ListenPort: &port, ReplacePeers: true}
	var unresolved error
	for _, p := range s.Tunnel.Peers {
		peer, err := k.peer(p, s.Tunnel.Link)
		if err != nil {
			return err
		}
		// A name may need the network that we are about to make: without it the peer must call first.
		endpoint, err := resolve(endpointOf(doc, s.Tunnel.Link, p.PublicKey))
		unresolved = errors.Join(unresolved, err)
		peer.Endpoint = endpoint
		config.Peers = append(config.Peers, peer)
	}
	if err := client.ConfigureDevice(s.Tunnel.Link, config); err != nil {
		return err
	}
	if unresolved != nil { // the alias stays as it is, so that the next comparison finds the tunnel unfinished
		return errors.Join(errLater, unresolved)
	}
	link, err := netlink.LinkByName(s.Tunnel.Link)
	if err != nil {
		return err
	}
	return netlink.LinkSetAlias(link, s.Link.Alias)
}

func (k *Kernel) peer(p netplan.Peer, link string) (peer wgtypes.PeerConfig, err error) {
	peer.ReplaceAllowedIPs = true
	if peer.PublicKey, err = wgtypes.ParseKey(p.PublicKey); err != nil {
		return peer, err
	}
	for _, a := range p.Allowed {
		peer.AllowedIPs = append(peer.AllowedIPs, *ipNet(a))
	}
	if p.KeepaliveSeconds > 0 {
		every := time.Duration(p.KeepaliveSeconds) * time.Second
		peer.PersistentKeepaliveInterval = &every
	}
	if p.Preshared {
		shared, err := k.keys.Preshared(link, p.PublicKey)
		if err != nil {
			return peer, err
		}
		peer.PresharedKey = &shared
	}
	return peer, nil
}

func endpointOf(doc netcfg.Document, link, publicKey string) string {
	for _, t := range doc.WireGuard {
		for _, p := range t.Peers {
			if t.Name == link && p.PublicKey == publicKey {
				return p.Endpoint
			}
		}
	}
	return ""
}

// resolveTime bounds the search for a peer's name: without an uplink nobody answers.
const resolveTime = 3 * time.Second

func resolve(endpoint string) (*net.UDPAddr, error) {
	if endpoint == "" {
		return nil, nil //nolint:nilnil // no endpoint is what a peer that calls us has
	}
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("find the peer %s: %w", endpoint, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(found[0].Unmap(), uint16(number))), nil
}

// tunnels returns what is inside of the links of kind WireGuard.
func (k *Kernel) tunnels(links []netplan.Link) (all []netplan.Tunnel, err error) {
	if !slices.ContainsFunc(links, func(l netplan.Link) bool { return l.Kind == netplan.KindWireGuard }) {
		return nil, nil
	}
	client, err := wgctrl.New()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	for _, l := range links {
		if l.Kind != netplan.KindWireGuard {
			continue
		}
		d, err := client.Device(l.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, os.ErrNotExist):
			continue // removed meanwhile
		case err != nil:
			return nil, err
		}
		all = append(all, fromDevice(d))
	}
	return all, nil
}

func fromDevice(d *wgtypes.Device) netplan.Tunnel {
	t := netplan.Tunnel{Link: d.Name, ListenPort: uint16(d.ListenPort), Keyed: d.PrivateKey != wgtypes.Key{}}
	for _, p := range d.Peers {
		peer := netplan.Peer{
			PublicKey: p.PublicKey.String(), KeepaliveSeconds: int(p.PersistentKeepaliveInterval / time.Second), Preshared: p.PresharedKey != wgtypes.Key{},
		}
		for _, n := range p.AllowedIPs {
			a, _ := netip.AddrFromSlice(n.IP)
			bits, _ := n.Mask.Size()
			peer.Allowed = append(peer.Allowed, netip.PrefixFrom(a.Unmap(), bits))
		}
		slices.SortFunc(peer.Allowed, netip.Prefix.Compare)
		t.Peers = append(t.Peers, peer)
	}
	slices.SortFunc(t.Peers, func(a, b netplan.Peer) int { return cmp.Compare(a.PublicKey, b.PublicKey) })
	return t
}
