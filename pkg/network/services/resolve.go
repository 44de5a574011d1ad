package services

import (
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/network/dhcp"
	"github.com/coraltele/sanchar/pkg/network/dns"
	"github.com/coraltele/sanchar/pkg/network/lldp"
	"github.com/coraltele/sanchar/pkg/network/mdns"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ntp"
	"github.com/coraltele/sanchar/pkg/network/ra"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// voicePriority is that of IEEE 802.1p for voice, as switches have it.
const voicePriority = 5

// dhcp returns what is served, and the links that cannot be yet.
func (f facts) dhcp() (cfg dhcp.Config, waiting []string) {
	for _, s := range f.doc.DHCP {
		own, ok := f.own4(s.Link)
		if !ok {
			waiting = append(waiting, s.Link)
			continue
		}
		if !f.serves(netcfg.ServeDHCP, s.Link) {
			continue
		}
		sub := f.subnet(s, own)
		cfg.Subnets = append(cfg.Subnets, sub)
		for _, r := range s.Relays {
			behind := sub
			behind.Zone, behind.Relay, behind.Prefix = sub.Zone+" behind "+r.Agent.String(), r.Agent.Addr, r.Subnet.Masked()
			behind.Ranges, behind.Routers = ranges(r.Ranges), []netip.Addr{r.Agent.Addr}
			if r.Router.IsValid() {
				behind.Routers = []netip.Addr{r.Router.Addr}
			}
			cfg.Subnets = append(cfg.Subnets, behind)
		}
	}
	return cfg, waiting
}

func (f facts) subnet(s netcfg.DHCPServer, own netip.Prefix) dhcp.Subnet {
	l, _ := f.link(s.Link)
	i, _ := f.doc.Interface(s.Link)
	sub := dhcp.Subnet{
		Zone: i.Zone, Iface: s.Link, Index: l.Index, Server: own.Addr(), Prefix: own.Masked(), Ranges: ranges(s.Ranges),
		Lease: time.Duration(s.LeaseOr()) * time.Second, Routers: []netip.Addr{own.Addr()}, DNS: only4(values(s.DNS)), NTP: only4(values(s.NTP)),
		Domain: s.Domain, TFTP: only4(values(s.Phones.TFTPServers)), Provision: s.Phones.ProvisionURL,
		VoiceVLAN: uint16(s.Phones.VLAN), VoicePriority: priority(s.Phones.Priority),
	}
	if s.Router.IsValid() {
		sub.Routers = []netip.Addr{s.Router.Addr}
	}
	if s.NoRouter {
		sub.Routers = nil
	}
	f.defaults(&sub, s)
	for _, r := range s.Reservations {
		sub.Reserved = append(sub.Reserved, dhcp.Reservation{MAC: normalMAC(r.MAC), Addr: r.Address.Addr, Name: r.Name})
	}
	for _, o := range s.Options {
		sub.Extra = append(sub.Extra, dhcp.Option{Code: o.Code, Value: optionValue(o), Class: o.VendorClass})
	}
	return sub
}

// defaults are what hosts are told where the document says nothing.
func (f facts) defaults(sub *dhcp.Subnet, s netcfg.DHCPServer) {
	own := []netip.Addr{sub.Server}
	if len(sub.DNS) == 0 {
		if sub.DNS = only4(f.servers()); f.doc.DNS.Serve && f.serves(netcfg.ServeDNS, s.Link) {
			sub.DNS = own
		}
	}
	if len(sub.NTP) == 0 && f.doc.NTP.Serve && f.serves(netcfg.ServeNTP, s.Link) {
		sub.NTP = own
	}
	if sub.Domain == "" {
		sub.Domain = f.doc.DomainOr()
	}
	switch {
	case s.Phones.NoProvision:
		sub.Provision = ""
	case sub.Provision == "":
		sub.Provision = f.provisionURL(s.Link, sub.Server)
	}
}

func ranges(list []netcfg.AddrRange) (all []dhcp.Range) {
	for _, r := range list {
		all = append(all, dhcp.Range{From: r.First, To: r.Last})
	}
	return all
}

func priority(p *uint8) uint8 {
	if p == nil {
		return voicePriority
	}
	return *p
}

func normalMAC(text string) string {
	mac, err := net.ParseMAC(text)
	if err != nil { // the document was validated
		return text
	}
	return mac.String()
}

func optionValue(o netcfg.DHCPOption) []byte {
	switch {
	case o.Text != "":
		return []byte(o.Text)
	case o.Hex != "":
		b, _ := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(o.Hex)) // it was validated
		return b
	}
	var b []byte
	for _, a := range o.Addresses {
		b = append(b, a.AsSlice()...)
	}
	return b
}

func (f facts) dns() (cfg dns.Config) {
	cfg.Domain, cfg.Box, cfg.Inside = f.doc.DomainOr(), f.doc.HostnameOr(), f.doc.DNS.AllowLAN
	for _, p := range f.places(netcfg.ServeDNS) {
		cfg.Places = append(cfg.Places, dns.Place{
			Zone: p.zone, Iface: p.link.Name, Index: p.link.Index, Addr: p.at.Addr(), Self: addrs(routable(p.link)), From: networks(p.link),
		})
	}
	cfg.Servers = withPort(f.servers(), 53)
	for _, s := range f.doc.DNS.Split {
		cfg.Split = append(cfg.Split, dns.Split{Domain: s.Domain, Servers: withPort(values(s.Servers), 53)})
	}
	for _, h := range f.doc.DNS.Hosts {
		cfg.Hosts = append(cfg.Hosts, dns.Host{Name: h.Name, Addrs: values(h.Addresses)})
	}
	for _, s := range f.doc.DHCP { // a reserved name is known before its host has come
		for _, r := range s.Reservations {
			if r.Name != "" {
				cfg.Hosts = append(cfg.Hosts, dns.Host{Name: strings.ToLower(r.Name), Addrs: []netip.Addr{r.Address.Addr}})
			}
		}
	}
	return cfg
}

func withPort(list []netip.Addr, port uint16) (all []netip.AddrPort) {
	for _, a := range list {
		all = append(all, netip.AddrPortFrom(a, port))
	}
	return all
}

func (f facts) ntpPlaces() (all []ntp.Place) {
	for _, p := range f.places(netcfg.ServeNTP) {
		all = append(all, ntp.Place{Iface: p.link.Name, Index: p.link.Index, Addr: p.at.Addr(), From: networks(p.link)})
	}
	return all
}

func (f facts) adverts() (all []ra.Link) {
	for _, a := range f.doc.Advertise {
		l, ok := f.link(a.Link)
		if !ok || !l.Up || len(routable(l)) == len(l.Addresses) { // RFC 4861 §6.1.2: it is sent from the link-local address
			continue
		}
		out := ra.Link{
			Iface: a.Link, Index: l.Index, Lifetime: time.Duration(a.LifetimeOr()) * time.Second, Interval: time.Duration(a.IntervalOr()) * time.Second,
			Managed: a.Managed, Other: a.Other, DNS: only6(values(a.DNS)), Search: a.Search, MTU: a.MTU,
		}
		for _, p := range a.Prefixes {
			out.Prefixes = append(out.Prefixes, p.Masked())
		}
		own := slices.DeleteFunc(routable(l), func(p netip.Prefix) bool { return p.Addr().Is4() })
		if len(out.Prefixes) == 0 {
			out.Prefixes = networks64(own)
		}
		if len(out.DNS) == 0 && f.doc.DNS.Serve && f.serves(netcfg.ServeDNS, a.Link) {
			out.DNS = addrs(own)
		}
		if len(out.Search) == 0 {
			out.Search = []string{f.doc.DomainOr()}
		}
		all = append(all, out)
	}
	return all
}

// networks64 are those that hosts can make addresses of (RFC 4862 §5.5.3), each once.
func networks64(own []netip.Prefix) (all []netip.Prefix) {
	for _, p := range own {
		if n := p.Masked(); n.Bits() == 64 && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

func (f facts) lldp() (cfg lldp.Config) {
	cfg.Name, cfg.Text = f.doc.HostnameOr()+"."+f.doc.DomainOr(), "Sanchar "+f.version
	for _, p := range f.places(netcfg.ServePage) { // where an admin reaches the page
		if len(cfg.Management) < 4 {
			cfg.Management = append(cfg.Management, p.at.Addr())
		}
	}
	for _, p := range f.doc.Ports {
		l, ok := f.link(p.Name)
		if !ok || p.Disabled || len(l.MAC) != len("00:00:00:00:00:00") {
			continue
		}
		cfg.Ports = append(cfg.Ports, lldp.Port{
			Iface: p.Name, Index: l.Index, Text: p.Label, Silent: slices.Contains(f.doc.LLDP.Silent, p.Name), Voice: f.voice(p.Name),
		})
	}
	return cfg
}

// voice is what phones of a port are told, nil for nothing.
func (f facts) voice(port string) *lldp.Policy {
	at := slices.IndexFunc(f.doc.LLDP.Voice, func(v netcfg.VoicePort) bool { return v.Port == port })
	if at < 0 {
		return nil
	}
	v := f.doc.LLDP.Voice[at]
	p := &lldp.Policy{VLAN: uint16(v.VLAN), Priority: priority(v.Priority), DSCP: f.doc.QoS.VoiceOr()}
	if v.DSCP != nil {
		p.DSCP = *v.DSCP
	}
	return p
}

func (f facts) mdns() (cfg mdns.Config) {
	cfg.Host, cfg.Instance = f.doc.HostnameOr(), f.doc.MDNS.Name
	if cfg.Instance == "" {
		cfg.Instance = "Sanchar " + f.doc.HostnameOr()
	}
	cfg.Services = []mdns.Service{{Type: "_https._tcp", Port: f.ports.Page, Text: []string{"path=/"}}}
	if f.ports.SIP != 0 {
		cfg.Services = append(cfg.Services, mdns.Service{Type: "_sip._udp", Port: f.ports.SIP})
	}
	for _, name := range f.doc.Serving(netcfg.ServeMDNS) {
		if l, ok := f.link(name); ok && l.Up && len(l.Addresses) > 0 {
			cfg.Links = append(cfg.Links, mdns.Link{Iface: name, Index: l.Index, Addrs: slices.Clone(l.Addresses)})
		}
	}
	return cfg
}

// sipPort returns the one of SIP over UDP that hosts of all links reach.
func sipPort(open []ctl.Listener) uint16 {
	for _, l := range open {
		if l.Transport == "udp" && !l.Address.Addr().IsLoopback() {
			return l.Address.Port()
		}
	}
	return 0
}
