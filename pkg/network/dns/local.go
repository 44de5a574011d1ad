package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// local knows the names of our own.
type local struct {
	domain string // canonical, "." for none
	box    string // canonical, with the domain
	hosts  map[string][]netip.Addr
	names  map[netip.Addr]string // the first name of each address
	nets   []netip.Prefix        // whose addresses we alone know names of
	leases Names
}

func newLocal(cfg Config, leases Names) *local {
	l := &local{domain: canonical(cfg.Domain), hosts: map[string][]netip.Addr{}, names: map[netip.Addr]string{}, leases: leases}
	l.box = l.whole(cfg.Box)
	for _, h := range cfg.Hosts {
		name := l.whole(h.Name)
		l.hosts[name] = append(l.hosts[name], h.Addrs...)
		for _, a := range h.Addrs {
			if _, named := l.names[a]; !named {
				l.names[a] = name
			}
		}
	}
	for _, p := range cfg.Places {
		l.nets = append(l.nets, p.From...)
		for _, a := range p.Self {
			if _, named := l.names[a]; !named && cfg.Box != "" {
				l.names[a] = l.box
			}
		}
	}
	return l
}

// whole returns a name with our domain, if it has none.
func (l *local) whole(name string) string {
	name = canonical(name)
	if dns.CountLabel(name) == 1 && l.domain != "." {
		name += l.domain
	}
	return name
}

// never are the names that a host must not get by calling itself so: browsers and systems trust them.
func never(label string) bool { return label == "wpad" || label == "isatap" || label == "localhost" }

// answer returns what we ourselves know of a question, and false if another server is to be asked.
func (l *local) answer(q dns.Question, self []netip.Addr) (m *dns.Msg, ok bool) {
	name := canonical(q.Name)
	if addrs, ok := l.addresses(name); ok {
		return l.records(q, addrs), true
	}
	if len(self) > 0 && name != "." && l.whole(name) == l.box {
		return l.records(q, self), true
	}
	if a, ok := fromReverse(name); ok && (q.Qtype == dns.TypePTR || l.inNets(a)) {
		return l.reverse(q, a)
	}
	switch {
	case below(name, l.domain), dns.CountLabel(name) == 1 && name != ".":
		return l.nothing(q), true // a name of one label is of nobody outside
	case below(name, "invalid."), below(name, "localhost."), below(name, "onion."), below(name, "local."):
		return l.nothing(q), true // RFC 6761 §6.4, RFC 7686 §2, RFC 6762 §22: no server is asked for these
	}
	return nil, false
}

// addresses returns those of a name that we know.
func (l *local) addresses(name string) ([]netip.Addr, bool) {
	if addrs, ok := l.hosts[name]; ok {
		return addrs, true
	}
	if name == "localhost." { // RFC 6761 §6.3
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, true
	}
	label, rest, _ := strings.Cut(name, ".")
	if rest == "" && l.domain != "." { // a host that has no search list
		if addrs, ok := l.hosts[name+l.domain]; ok {
			return addrs, true
		}
	}
	if (rest == "" || rest == l.domain) && l.leases != nil && !never(label) && label+"."+l.domain != l.box {
		if a, ok := l.leases.Named(label); ok {
			return []netip.Addr{a}, true
		}
	}
	return nil, false
}

func (l *local) records(q dns.Question, addrs []netip.Addr) *dns.Msg {
	m := l.nothing(q)
	m.Rcode, m.Ns = dns.RcodeSuccess, nil
	for _, a := range addrs {
		head := dns.RR_Header{Name: q.Name, Class: dns.ClassINET, Ttl: localTTL}
		switch a = a.Unmap(); {
		case a.Is4() && q.Qtype == dns.TypeA:
			head.Rrtype = dns.TypeA
			m.Answer = append(m.Answer, &dns.A{Hdr: head, A: a.AsSlice()})
		case a.Is6() && q.Qtype == dns.TypeAAAA:
			head.Rrtype = dns.TypeAAAA
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: head, AAAA: a.AsSlice()})
		}
	}
	if len(m.Answer) == 0 {
		m.Ns = l.soa(q) // the name exists, its record of this type does not (RFC 2308 §2.2)
	}
	return m
}

func (l *local) reverse(q dns.Question, a netip.Addr) (*dns.Msg, bool) {
	name, ok := l.names[a]
	if !ok && l.leases != nil {
		if label, has := l.leases.NameOf(a); has && !never(label) {
			name, ok = label+"."+strings.TrimPrefix(l.domain, "."), true
		}
	}
	switch {
	case ok && q.Qtype == dns.TypePTR:
		m := l.nothing(q)
		m.Rcode, m.Ns = dns.RcodeSuccess, nil
		m.Answer = []dns.RR{&dns.PTR{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: localTTL}, Ptr: dns.Fqdn(name)}}
		return m, true
	case l.inNets(a):
		return l.nothing(q), true // RFC 6303 §3: what is ours is not asked outside
	}
	return nil, false
}

func (l *local) inNets(a netip.Addr) bool {
	for _, p := range l.nets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// nothing says that there is no such name.
func (l *local) nothing(q dns.Question) *dns.Msg {
	m := new(dns.Msg)
	m.Response, m.Authoritative, m.RecursionAvailable = true, true, true
	m.Question = []dns.Question{q}
	m.Rcode, m.Ns = dns.RcodeNameError, l.soa(q)
	return m
}

// soa lets whoever asked keep that there is nothing (RFC 2308 §3).
func (l *local) soa(q dns.Question) []dns.RR {
	zone := l.domain
	if !below(canonical(q.Name), zone) {
		zone = "."
	}
	return []dns.RR{&dns.SOA{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: localTTL},
		Ns:  "localhost.", Mbox: "nobody.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: localTTL,
	}}
}

// fromReverse reads the address that a name of in-addr.arpa or ip6.arpa stands for (RFC 1035 §3.5, RFC 3596 §2.5).
func fromReverse(name string) (netip.Addr, bool) {
	labels := dns.SplitDomainName(name)
	switch {
	case strings.HasSuffix(name, ".in-addr.arpa.") && len(labels) == 6:
		a, err := netip.ParseAddr(labels[3] + "." + labels[2] + "." + labels[1] + "." + labels[0])
		return a, err == nil
	case strings.HasSuffix(name, ".ip6.arpa.") && len(labels) == 34:
		var text strings.Builder
		for i := 31; i >= 0; i-- {
			text.WriteString(labels[i])
			if i%4 == 0 && i > 0 {
				text.WriteByte(':')
			}
		}
		a, err := netip.ParseAddr(text.String())
		return a, err == nil
	}
	return netip.Addr{}, false
}
