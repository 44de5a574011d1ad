package netcfg

import (
	"encoding/hex"
	"net"
	"net/netip"
	"net/url"
	"time"
)

func (c *checker) checkNameService() {
	for i, h := range c.doc.DNS.Hosts {
		path := at("dns.hosts", i)
		if !isDomain(h.Name) {
			c.fault(path+".name", h.Name, "is a name in the DNS", `write it as "printer" or "files.office.example"`)
		}
		if len(h.Addresses) == 0 {
			c.fault(path+".addresses", "", "has one address at least", "name it")
		}
		for j, a := range h.Addresses {
			c.given(at(path+".addresses", j), a)
		}
	}
	for i, s := range c.doc.DNS.Split {
		path := at("dns.split", i)
		if !isDomain(s.Domain) {
			c.fault(path+".domain", s.Domain, "is a name in the DNS", `write it as "corp.example"`)
		}
		if len(s.Servers) == 0 {
			c.fault(path+".servers", "", "has one server at least", "name those that know the domain")
		}
	}
	for i, d := range c.doc.DNS.AllowLAN {
		if !isDomain(d) {
			c.fault(at("dns.allowLAN", i), d, "is a name in the DNS", `write it as "corp.example"`)
		}
	}
	for i, s := range c.doc.NTP.Sources {
		if _, err := netip.ParseAddr(s); err != nil && !isDomain(s) {
			c.fault(at("ntp.sources", i), s, "is a name or an address", `write it as "ntp.example.com"`)
		}
	}
	if n := c.doc.MDNS.Name; len(n) > 63 { // RFC 6763 §4.1.1
		c.fault("mdns.name", n, "has at most 63 bytes", "shorten it")
	}
}

func (c *checker) checkDHCP() {
	seen := map[string]int{}
	for i, s := range c.doc.DHCP {
		path := at("dhcp", i)
		if first, twice := seen[s.Link]; twice {
			c.fault(path+".link", s.Link, "is not that of "+at("dhcp", first), "put all ranges into one entry")
		}
		seen[s.Link] = i
		f, ok := c.hasInterface(path+".link", s.Link)
		if z, known := c.doc.Zone(f.Zone); ok && known && !z.Offers(ServeDHCP) {
			c.fault(path+".link", s.Link, "is in a zone that may reach the service dhcp; "+z.Name+" may not", "add dhcp to the services of the zone")
		}
		nets := subnets4(f)
		if ok && len(nets) == 0 {
			c.fault(path+".link", s.Link, "has a static IPv4 address", "give the interface one")
		}
		c.between(path+".leaseSeconds", s.LeaseSeconds, 60, int(365*24*time.Hour/time.Second))
		c.checkRanges(path+".ranges", s.Ranges, nets, f)
		c.checkReservations(path+".reservations", s.Reservations, nets, f)
		c.checkOptions(path, s)
		for j, r := range s.Relays {
			where := at(path+".relays", j)
			c.given(where+".agent", r.Agent)
			if r.Subnet.IsZero() {
				c.fault(where+".subnet", "", "is the network of the hosts there", `write it as "10.2.0.0/24"`)
			} else if r.Subnet.IsValid() {
				c.checkRanges(where+".ranges", r.Ranges, []netip.Prefix{r.Subnet.Masked()}, Interface{})
			}
		}
	}
}

func subnets4(f Interface) (nets []netip.Prefix) {
	for _, p := range f.Addresses {
		if p.IsValid() && p.Addr().Is4() {
			nets = append(nets, p.Masked())
		}
	}
	return nets
}

// within returns the network that holds an address.
func within(nets []netip.Prefix, a netip.Addr) (netip.Prefix, bool) {
	return find(nets, func(n netip.Prefix) bool { return n.Contains(a) })
}

func (c *checker) checkRanges(list string, ranges []AddrRange, nets []netip.Prefix, f Interface) {
	if len(ranges) == 0 {
		c.fault(list, "", "has one range at least", `write it as "10.1.0.100-10.1.0.199"`)
	}
	for i, r := range ranges {
		path := at(list, i)
		if r.Bad != "" || !r.First.IsValid() {
			continue
		}
		first, ok1 := within(nets, r.First)
		last, ok2 := within(nets, r.Last)
		if len(nets) > 0 && (!ok1 || !ok2 || first != last) {
			c.fault(path, r, "is in one network of the link", "choose addresses of "+nets[0].String())
		} else if len(nets) > 0 && first.Bits() < 31 && (r.First == first.Addr() || r.Last == broadcast(first)) {
			c.fault(path, r, "leaves out the first and the last of the network, which mean the network and all its hosts", "narrow it")
		}
		for _, own := range f.Addresses {
			if r.Contains(own.Addr()) {
				c.fault(path, r, "leaves out our own address "+own.Addr().String(), "divide or narrow it")
			}
		}
		for j, other := range ranges[:i] {
			if other.Contains(r.First) || r.Contains(other.First) {
				c.fault(path, r, "does not overlap "+at(list, j), "divide them")
			}
		}
	}
}

func (c *checker) checkReservations(list string, all []Reservation, nets []netip.Prefix, f Interface) {
	macs, addrs := map[string]int{}, map[netip.Addr]int{}
	for i, r := range all {
		path := at(list, i)
		mac, err := net.ParseMAC(r.MAC)
		if err != nil || len(mac) != 6 {
			c.fault(path+".mac", r.MAC, "is a MAC address", `write it as "00:11:22:33:44:55"`)
		} else if first, twice := macs[mac.String()]; twice {
			c.fault(path+".mac", r.MAC, "is not that of "+at(list, first), "one address for one host")
		}
		macs[mac.String()] = i
		c.given(path+".address", r.Address)
		if _, ok := within(nets, r.Address.Addr); r.Address.IsValid() && len(nets) > 0 && !ok {
			c.fault(path+".address", r.Address, "is in a network of the link", "choose one of "+nets[0].String())
		}
		if first, twice := addrs[r.Address.Addr]; twice && r.Address.IsValid() {
			c.fault(path+".address", r.Address, "is not that of "+at(list, first), "choose another")
		}
		addrs[r.Address.Addr] = i
		if _, own := find(f.Addresses, func(p Prefix) bool { return p.IsValid() && p.Addr() == r.Address.Addr }); own {
			c.fault(path+".address", r.Address, "is not our own", "choose another")
		}
		if r.Name != "" && !label.MatchString(r.Name) {
			c.fault(path+".name", r.Name, "is letters, digits and hyphens", "choose another name")
		}
	}
}

func (c *checker) checkOptions(path string, s DHCPServer) {
	if u, err := url.Parse(s.Phones.ProvisionURL); s.Phones.ProvisionURL != "" && (err != nil || u.Host == "" || len(s.Phones.ProvisionURL) > 255) {
		c.fault(path+".phones.provisionURL", s.Phones.ProvisionURL, "is a URL of at most 255 bytes", `write it as "https://pbx.example/provision/"`)
	}
	c.between(path+".phones.vlan", s.Phones.VLAN, 1, 4094)
	c.priority(path+".phones.priority", s.Phones.Priority)
	for i, o := range s.Options {
		where := at(path+".options", i)
		// RFC 2132 §2: 0 and 255 are padding and end. Those that DHCP itself needs are ours.
		if o.Code == 0 || o.Code == 255 || o.Code >= 50 && o.Code <= 61 || o.Code == 1 || o.Code == 82 {
			c.fault(where+".code", o.Code, "is none that the server sets itself", "remove it")
		}
		raw, err := hex.DecodeString(o.Hex)
		if err != nil || len(raw) > 255 || len(o.Text) > 255 || len(o.Addresses) > 63 {
			c.fault(where, o.Hex, "has at most 255 bytes, in hexadecimal if hex", "shorten or correct it")
		}
		set := 0
		for _, is := range []bool{o.Text != "", o.Hex != "", len(o.Addresses) > 0} {
			if is {
				set++
			}
		}
		if set != 1 {
			c.fault(where, o.Code, "has exactly one of text, hex and addresses", "keep one of them")
		}
		for j, a := range o.Addresses {
			if !a.Is4() && a.Bad == "" {
				c.fault(at(where+".addresses", j), a, "is an IPv4 address", "DHCPv4 carries no other")
			}
		}
	}
}

func (c *checker) priority(path string, v *uint8) {
	if v != nil && *v > 7 {
		c.fault(path, *v, "is from 0 to 7", "5 is usual for voice")
	}
}

func (c *checker) checkAdverts() {
	seen := map[string]int{}
	for i, r := range c.doc.Advertise {
		path := at("advertise", i)
		if first, twice := seen[r.Link]; twice {
			c.fault(path+".link", r.Link, "is not that of "+at("advertise", first), "put all prefixes into one entry")
		}
		seen[r.Link] = i
		f, ok := c.hasInterface(path+".link", r.Link)
		if ok && f.SLAAC {
			c.fault(path+".link", r.Link, "does not itself take addresses from advertisements", "remove slaac there, or this")
		}
		for j, p := range r.Prefixes {
			// RFC 4862 §5.5.3: with hosts' identifiers of 64 bits only such a prefix makes an address.
			if p.IsValid() && (!p.Addr().Is6() || p.Bits() != 64 || p.Masked() != p.Prefix) {
				c.fault(at(path+".prefixes", j), p, "is an IPv6 network of length 64", `write it as "2001:db8:0:1::/64"`)
			}
		}
		c.between(path+".intervalSeconds", r.IntervalSeconds, 4, 1800) // RFC 4861 §6.2.1
		c.between(path+".lifetimeSeconds", r.LifetimeSeconds, 4, 9000) // the same
		c.between(path+".mtu", r.MTU, minMTU, maxMTU)
		if !r.NotRouter && r.LifetimeOr() < r.IntervalOr() {
			c.fault(path+".lifetimeSeconds", r.LifetimeOr(), "is at least the interval", "lengthen it")
		}
		for j, d := range r.Search {
			if !isDomain(d) {
				c.fault(at(path+".search", j), d, "is a name in the DNS", `write it as "office.example"`)
			}
		}
	}
}

func (c *checker) checkLLDP() {
	isPort := func(path, name string) {
		if c.links[name].kind != "port" {
			c.fault(path, name, "is a port of this document", "name one of ports")
		}
	}
	for i, p := range c.doc.LLDP.Silent {
		isPort(at("lldp.silent", i), p)
	}
	for i, v := range c.doc.LLDP.Voice {
		path := at("lldp.voice", i)
		isPort(path+".port", v.Port)
		c.between(path+".vlan", v.VLAN, 1, 4094)
		c.priority(path+".priority", v.Priority)
		c.codePoint(path+".dscp", v.DSCP)
	}
}
