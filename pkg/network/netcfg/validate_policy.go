package netcfg

import (
	"fmt"
	"net/netip"
)

func (c *checker) checkZones() {
	unique(c, "zones", c.doc.Zones, func(z Zone) string { return z.Name })
	for i, z := range c.doc.Zones {
		path := at("zones", i)
		oneOf(c, path+".kind", z.KindOr(), Management, Voice, Guest, Outside, Custom)
		if z.Name == Box {
			c.fault(path+".name", z.Name, `is not "box", which means the box itself`, "choose another name")
		}
		for j, s := range z.Services {
			oneOf(c, at(path+".services", j), s, Services()...)
		}
		for j, to := range z.Reaches {
			c.zone(at(path+".reaches", j), to)
		}
		if z.KindOr() == Outside && z.Offers(ServeDHCP) {
			c.fault(path+".services", ServeDHCP, "is not offered to an uplink", "remove it: a second DHCP server there breaks the provider's network")
		}
		if z.KindOr() == Outside && z.Offers(ServeDNS) {
			c.fault(path+".services", ServeDNS, "is not offered to an uplink", "remove it: open resolvers are used to flood others")
		}
		for _, s := range []Service{ServeProvision, ServePlainProv} {
			if z.KindOr() == Outside && z.Offers(s) {
				c.fault(path+".services", s, "is not offered to an uplink", "remove it: a phone's hardware address is no secret; let a phone far away in by a tunnel")
			}
		}
	}
}

func (c *checker) checkNAT() {
	for i, m := range c.doc.NAT.Masquerade {
		c.zone(at("nat.masquerade", i)+".zone", m.Zone)
	}
	for i, s := range c.doc.NAT.Source {
		path := at("nat.source", i)
		c.zone(path+".zone", s.Zone)
		if len(s.Sources) == 0 {
			c.fault(path+".sources", "", "names the hosts", `write it as "10.1.0.0/24"`)
		}
		c.given(path+".to", s.To)
		for j, p := range s.Sources {
			c.sameVersion(at(path+".sources", j), p.Addr(), s.To.Addr)
		}
	}
	unique(c, "nat.oneToOne", c.doc.NAT.OneToOne, func(o OneToOne) string { return o.Name })
	for i, o := range c.doc.NAT.OneToOne {
		path := at("nat.oneToOne", i)
		c.zone(path+".zone", o.Zone)
		c.given(path+".outside", o.Outside)
		c.given(path+".inside", o.Inside)
		c.sameVersion(path+".inside", o.Inside.Addr, o.Outside.Addr)
	}
	c.checkForwards()
}

func (c *checker) checkForwards() {
	unique(c, "nat.forwards", c.doc.NAT.Forwards, func(f Forward) string { return f.Name })
	for i, f := range c.doc.NAT.Forwards {
		path := at("nat.forwards", i)
		c.zone(path+".zone", f.Zone)
		oneOf(c, path+".protocol", f.Protocol, TCP, UDP)
		c.given(path+".to", f.To)
		if f.Address.IsValid() {
			c.sameVersion(path+".to", f.To.Addr, f.Address.Addr)
		}
		for j, s := range f.Sources {
			c.sameVersion(at(path+".sources", j), s.Addr(), f.To.Addr)
		}
		if f.Ports == (PortRange{}) {
			c.fault(path+".ports", "", "names the ports", `write it as "443" or "10000-10099"`)
		}
		if last := int(f.ToPort) + int(f.Ports.Last) - int(f.Ports.First); f.ToPort != 0 && last > 65535 {
			c.fault(path+".toPort", f.ToPort, fmt.Sprintf("leaves room for %d ports up to 65535", int(f.Ports.Last)-int(f.Ports.First)+1), "choose a lower one")
		}
		for j, g := range c.doc.NAT.Forwards[:i] {
			if !f.Disabled && !g.Disabled && g.Zone == f.Zone && g.Protocol == f.Protocol && f.Ports.First <= g.Ports.Last && g.Ports.First <= f.Ports.Last &&
				g.To.BitLen() == f.To.BitLen() && (g.Address == f.Address || g.Address.IsZero() || f.Address.IsZero()) && len(f.Sources)+len(g.Sources) == 0 {
				c.fault(path+".ports", f.Ports, "is apart from those of "+at("nat.forwards", j), "choose other ports, or remove one of the two")
			}
		}
	}
}

// given reports an address that is missing.
func (c *checker) given(path string, a Addr) {
	if a.IsZero() {
		c.fault(path, "", "is an IPv4 or IPv6 address", `write it as "192.0.2.1" or "2001:db8::1"`)
	}
}

func (c *checker) sameVersion(path string, a, with netip.Addr) {
	if a.IsValid() && with.IsValid() && a.BitLen() != with.BitLen() {
		c.fault(path, a, "is of the same IP version as "+with.String(), "name one of that version")
	}
}

func (c *checker) checkFirewall() {
	unique(c, "firewall.rules", c.doc.Firewall.Rules, func(r Rule) string { return r.Name })
	for i, r := range c.doc.Firewall.Rules {
		path := at("firewall.rules", i)
		oneOf(c, path+".action", r.ActionOr(), Allow, Drop, Reject)
		oneOf(c, path+".protocol", r.Protocol, AnyProtocol, TCP, UDP, ICMP)
		if r.From != "" {
			c.zone(path+".from", r.From)
		}
		if r.To != "" && r.To != Box {
			c.zone(path+".to", r.To)
		}
		if len(r.Ports) > 0 && r.Protocol != TCP && r.Protocol != UDP {
			c.fault(path+".protocol", r.Protocol, "is tcp or udp where ports are named", "choose one; two rules for both")
		}
		if len(r.Sources) > 0 && len(r.Destinations) > 0 && !shareVersion(r.Sources, r.Destinations) {
			c.fault(path+".destinations", r.Destinations[0], "has an IP version that sources have", "such a rule matches nothing: correct one of them")
		}
	}
	l := c.doc.Firewall.Limits
	const most = 1_000_000
	c.between("firewall.limits.strangerPacketsPerSecond", l.StrangerPacketsPerSecond, 1, most)
	c.between("firewall.limits.strangerBurst", l.StrangerBurst, 1, most)
	c.between("firewall.limits.allStrangersPacketsPerSecond", l.AllStrangersPacketsPerSecond, 1, most)
	c.between("firewall.limits.tlsConnectionsPerSource", l.TLSConnectionsPerSource, 1, most)
	c.between("firewall.limits.pageConnectionsPerSource", l.PageConnectionsPerSource, 1, most)
	c.between("firewall.limits.newConnectionsPerSecondSource", l.NewConnectionsPerSecondSource, 1, most)
}

func shareVersion(a, b []Prefix) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Addr().BitLen() == y.Addr().BitLen() {
				return true
			}
		}
	}
	return false
}

func (c *checker) checkQoS() {
	q := c.doc.QoS
	c.codePoint("qos.voiceDSCP", q.VoiceDSCP)
	c.codePoint("qos.signallingDSCP", q.SignallingDSCP)
	c.codePoint("qos.videoDSCP", q.VideoDSCP)
}

func (c *checker) codePoint(path string, v *uint8) {
	if v != nil && *v > 63 {
		c.fault(path, *v, "is from 0 to 63", "46 is usual for voice, 24 for signalling")
	}
}
