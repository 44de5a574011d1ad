package netcfg

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

func (c *checker) checkInterfaces() {
	for i, z := range c.doc.Zones {
		c.zones[z.Name] = at("zones", i)
	}
	seen := map[string]int{}
	for i, f := range c.doc.Interfaces {
		path := at("interfaces", i)
		l, ok := c.links[f.Link]
		first, twice := seen[f.Link]
		switch {
		case !ok:
			c.fault(path+".link", f.Link, "is a link of this document", "name a port, bond, bridge, VLAN or tunnel, or add it")
		case twice:
			c.fault(path+".link", f.Link, "is not that of "+at("interfaces", first), "put all addresses into one entry")
		case l.master != "":
			c.fault(path+".link", f.Link, "is not a member of "+l.master+", which takes its frames", "give the addresses to "+l.master)
		}
		seen[f.Link] = i
		c.zone(path+".zone", f.Zone)
		c.checkAddresses(path, f)
		c.checkClients(path, f, l)
	}
}

func (c *checker) checkAddresses(path string, f Interface) {
	for i, p := range f.Addresses {
		where := at(path+".addresses", i)
		if !p.IsValid() {
			if p.Bad == "" {
				c.fault(where, "", "is an address and a prefix length", "remove it, or write an address")
			}
			continue
		}
		a := p.Addr()
		switch {
		case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
			c.fault(where, p, "is an address that a host can have", "choose one of the network's")
		case a.Is4() && p.Bits() < 31 && (a == p.Masked().Addr() || a == broadcast(p.Prefix)):
			c.fault(where, p, "is neither the first nor the last of its network, which mean the network and all its hosts", "choose one between")
		case p.Bits() == 0:
			c.fault(where, p, "has a prefix length above 0", "write the length of the network")
		}
	}
}

// broadcast returns the last address of an IPv4 network.
func broadcast(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

func (c *checker) checkClients(path string, f Interface, l link) {
	if f.DHCP4 != nil {
		if l.kind == "tunnel" {
			c.fault(path+".dhcp4", f.Link, "is no tunnel: DHCP needs Ethernet", "give the tunnel its address under addresses")
		}
		if id, err := hex.DecodeString(f.DHCP4.ClientID); err != nil || len(id) == 1 || len(id) > 255 { // RFC 2132 §9.14
			c.fault(path+".dhcp4.clientID", f.DHCP4.ClientID, "is 2 to 255 bytes in hexadecimal", "leave it out, or ask the provider")
		}
		if n := f.DHCP4.Hostname; n != "" && !label.MatchString(n) {
			c.fault(path+".dhcp4.hostname", n, "is letters, digits and hyphens", "choose another name")
		}
	}
	if f.DHCP6 == nil {
		return
	}
	if !f.DHCP6.Address && f.DHCP6.DelegateTo == "" {
		c.fault(path+".dhcp6", "", "asks for an address or for a prefix", "set address or delegateTo, or remove it")
	}
	if to := f.DHCP6.DelegateTo; to == f.Link && to != "" {
		c.fault(path+".dhcp6.delegateTo", to, "is another link", "name the link of the hosts inside")
	} else if to != "" {
		c.hasInterface(path+".dhcp6.delegateTo", to)
	}
	c.between(path+".dhcp6.prefixLength", f.DHCP6.PrefixLength, 32, 64)
}

// checkSubnets reports networks that lie on two links: the box would answer to one of them only.
func (c *checker) checkSubnets() {
	type used struct {
		path, link string
		prefix     netip.Prefix
	}
	var all []used
	for i, f := range c.doc.Interfaces {
		for j, p := range f.Addresses {
			if !p.IsValid() || p.Addr().IsLinkLocalUnicast() {
				continue
			}
			path := at(at("interfaces", i)+".addresses", j)
			for _, u := range all {
				switch {
				case u.prefix.Addr() == p.Addr():
					c.fault(path, p, "is not that of "+u.path, "choose another address")
				case u.link != f.Link && u.prefix.Overlaps(p.Prefix):
					c.fault(path, p, "is of another network than "+u.path+", which is on "+u.link, "choose networks that do not overlap")
				default:
					continue
				}
				break
			}
			all = append(all, used{path, f.Link, p.Prefix})
		}
	}
}

func (c *checker) checkRoutes() {
	for i, r := range c.doc.Routes {
		path := at("routes", i)
		oneOf(c, path+".kind", r.KindOr(), Unicast, Blackhole, Unreachable)
		c.between(path+".metric", r.Metric, 1, 1_000_000)
		if r.To.IsZero() {
			c.fault(path+".to", "", "is a network", `write it as "10.0.0.0/8"`)
		}
		if r.To.IsValid() && r.To.Masked() != r.To.Prefix {
			c.fault(path+".to", r.To, "has no bits beyond its length", "write "+r.To.Masked().String())
		}
		if r.KindOr() != Unicast {
			if r.Link != "" || r.Via.IsValid() {
				c.fault(path+".kind", r.Kind, "has neither link nor via", "remove them")
			}
			continue
		}
		c.checkVia(path, r)
	}
}

func (c *checker) checkVia(path string, r Route) {
	if r.Link == "" && r.Via.IsZero() {
		c.fault(path+".via", "", "or the link is there", "name the gateway, or the link for hosts that are on it")
	}
	if r.Link != "" {
		c.hasInterface(path+".link", r.Link)
	}
	if r.To.IsValid() {
		c.sameVersion(path+".via", r.Via.Addr, r.To.Addr())
		c.sameVersion(path+".source", r.Source.Addr, r.To.Addr())
	}
	if r.Via.IsValid() && r.Link == "" && !c.onLink(r.Via.Addr) {
		c.fault(path+".via", r.Via, "is in a network of one of the interfaces, or the link is named", "name a gateway that the box reaches directly, or the link")
	}
}

// onLink reports whether an interface has an address of the same network.
func (c *checker) onLink(a netip.Addr) bool {
	for _, f := range c.doc.Interfaces {
		for _, p := range f.Addresses {
			if p.IsValid() && p.Contains(a) {
				return true
			}
		}
	}
	return false
}

// maxUplinks is what fits the byte of the packet mark with room for zero, see MarkUplinkMask.
const maxUplinks = 8

func (c *checker) checkUplinks() {
	unique(c, "uplinks", c.doc.Uplinks, func(u Uplink) string { return u.Name })
	if n := len(c.doc.Uplinks); n > maxUplinks {
		c.fault("uplinks", n, fmt.Sprintf("has at most %d entries", maxUplinks), "remove some")
	}
	seen := map[string]int{}
	for i, u := range c.doc.Uplinks {
		path := at("uplinks", i)
		if first, twice := seen[u.Link]; twice {
			c.fault(path+".link", u.Link, "is not that of "+at("uplinks", first), "one uplink for one link")
		}
		seen[u.Link] = i
		f, ok := c.hasInterface(path+".link", u.Link)
		if ok && u.Gateway4.IsZero() && u.Gateway6.IsZero() && f.DHCP4 == nil && !f.SLAAC && c.links[u.Link].kind != "tunnel" {
			c.fault(path+".gateway4", "", "is there unless DHCP or advertisements tell it", "name the gateway, or let "+u.Link+" ask for an address")
		}
		if u.Gateway4.IsValid() && !u.Gateway4.Is4() {
			c.fault(path+".gateway4", u.Gateway4, "is an IPv4 address", "IPv6 gateways are gateway6")
		}
		if u.Gateway6.IsValid() && !u.Gateway6.Is6() {
			c.fault(path+".gateway6", u.Gateway6, "is an IPv6 address", "IPv4 gateways are gateway4")
		}
		c.checkCheck(path+".check", u.Check)
		if u.Shaping != nil {
			c.checkShaping(path+".shaping", *u.Shaping)
		}
	}
}

func (c *checker) checkCheck(path string, k Check) {
	oneOf(c, path+".method", k.MethodOr(), CheckPing, CheckARP, CheckTCP, CheckLink)
	c.between(path+".intervalSeconds", k.IntervalSeconds, 1, 3600)
	c.between(path+".timeoutSeconds", k.TimeoutSeconds, 1, 60)
	c.between(path+".failAfter", k.FailAfter, 1, 100)
	c.between(path+".recoverAfter", k.RecoverAfter, 1, 100)
	if k.TimeoutOr() > k.IntervalOr() {
		c.fault(path+".timeoutSeconds", k.TimeoutOr(), "is at most the interval", "shorten it, or check less often")
	}
	if k.MethodOr() == CheckTCP && len(k.Targets) == 0 {
		c.fault(path+".targets", "", "names who is connected to", `write it as "192.0.2.1:443"`)
	}
	for i, target := range k.Targets {
		addr, err := netip.ParseAddr(target)
		if k.MethodOr() == CheckTCP {
			var ap netip.AddrPort
			ap, err = netip.ParseAddrPort(target)
			addr = ap.Addr()
		}
		// A name would need the very uplink that is being checked.
		if err != nil || addr.Zone() != "" {
			c.fault(at(path+".targets", i), target, "is an address, for tcp with a port", `write it as "192.0.2.1", "192.0.2.1:443" or "[2001:db8::1]:443"`)
		}
	}
}

func (c *checker) checkShaping(path string, s Shaping) {
	oneOf(c, path+".shaper", s.ShaperOr(), HTB, CAKE)
	const least, most = 64, 100_000_000 // below 64 kbit/s there is no room for one call
	if s.UpKbit < least || s.UpKbit > most {
		c.fault(path+".upKbit", s.UpKbit, fmt.Sprintf("is from %d to %d", least, most), "write a little less than the line carries, in kbit/s")
	}
	c.between(path+".downKbit", s.DownKbit, least, most)
	c.between(path+".voicePercent", s.VoicePercent, 5, 90)
}

func (c *checker) checkTunnels() {
	ports := map[uint16]int{}
	for i, w := range c.doc.WireGuard {
		path := at("wireguard", i)
		if first, twice := ports[w.ListenPortOr()]; twice {
			c.fault(path+".listenPort", w.ListenPortOr(), "is not that of "+at("wireguard", first), "choose another port")
		}
		ports[w.ListenPortOr()] = i
		unique(c, path+".peers", w.Peers, func(p WGPeer) string { return p.Name })
		c.checkPeers(path+".peers", w.Peers)
	}
}

func (c *checker) checkPeers(list string, peers []WGPeer) {
	keys, behind := map[string]int{}, map[netip.Prefix]int{}
	for i, p := range peers {
		path := at(list, i)
		if raw, err := base64.StdEncoding.DecodeString(p.PublicKey); err != nil || len(raw) != 32 {
			c.fault(path+".publicKey", p.PublicKey, "is 32 bytes in base64", "copy the public key of the other end")
		} else if first, twice := keys[p.PublicKey]; twice {
			c.fault(path+".publicKey", p.PublicKey, "is not that of "+at(list, first), "every peer has a key of its own")
		}
		keys[p.PublicKey] = i
		c.between(path+".keepaliveSeconds", p.KeepaliveSeconds, 1, int(time.Hour/time.Second))
		if p.Endpoint != "" && !isHostPort(p.Endpoint) {
			c.fault(path+".endpoint", p.Endpoint, "is a host and a port", `write it as "vpn.example.com:51820"`)
		}
		if len(p.Allowed) == 0 {
			c.fault(path+".allowed", "", "names what is behind the peer", `write it as "10.8.0.2/32"`)
		}
		for j, a := range p.Allowed {
			if first, twice := behind[a.Prefix]; twice && a.IsValid() {
				c.fault(at(path+".allowed", j), a, "is not behind "+at(list, first)+" too: the tunnel would send to one of them only", "divide the network")
			}
			behind[a.Prefix] = i
		}
	}
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, err2 := strconv.ParseUint(port, 10, 16)
	_, isAddr := netip.ParseAddr(host)
	return err == nil && err2 == nil && n > 0 && (isAddr == nil || isDomain(host))
}
