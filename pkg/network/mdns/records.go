// Package mdns announces the box's page and its SIP service to the hosts of a link, and answers for
// them (RFC 6762, RFC 6763).
package mdns

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Times that records hold, in seconds: RFC 6762 §10.
const (
	hostTTL    = 120
	serviceTTL = 4500
	legacyTTL  = 10 // RFC 6762 §6.7: to who does not speak mDNS

	cacheFlush      = 1 << 15 // RFC 6762 §10.2: in the class, this record replaces others
	unicastWanted   = 1 << 15 // RFC 6762 §5.4: in the class of a question
	maxAnswers      = 32      // of a question that names us, known answers included
	enumeration     = "_services._dns-sd._udp.local."
	maxInstanceName = 63 // bytes, RFC 6763 §4.1.1
)

// Service is something that is announced.
type Service struct {
	Type string // "_https._tcp"
	Port uint16
	Text []string // "key=value", RFC 6763 §6
}

// Link is where it is announced.
type Link struct {
	Iface string
	Index int            // of the link: one that was made anew needs new sockets
	Addrs []netip.Prefix // ours there; only hosts of these networks are answered
}

// Config is what is announced, and where.
type Config struct {
	Host     string // one label
	Instance string // as a person reads it
	Services []Service
	Links    []Link
}

// names are what we are called on one link. Another one may have the name already: then it gets a number.
type names struct {
	cfg    Config
	number int // 1 for none
}

func (n names) host() string {
	if n.number > 1 {
		return fmt.Sprintf("%s-%d.local.", n.cfg.Host, n.number)
	}
	return n.cfg.Host + ".local."
}

func (n names) instance(s Service) string {
	label := n.cfg.Instance
	if n.number > 1 {
		label = fmt.Sprintf("%s (%d)", label, n.number) // RFC 6762 §9, appendix D
	}
	label = label[:min(len(label), maxInstanceName)]
	return escaped(label) + "." + s.Type + ".local."
}

// escaped writes a label as the library reads it.
func escaped(label string) string {
	var b strings.Builder
	for i := range len(label) {
		switch c := label[i]; {
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		case strings.IndexByte(`.\"(); @$`, c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// records are all that we say on a link. Those that are ours alone have the bit that flushes caches.
func (n names) records(l Link) (all []dns.RR) {
	head := func(name string, kind uint16, ttl uint32, unique bool) dns.RR_Header {
		class := uint16(dns.ClassINET)
		if unique {
			class |= cacheFlush
		}
		return dns.RR_Header{Name: name, Rrtype: kind, Class: class, Ttl: ttl}
	}
	for _, p := range l.Addrs {
		if a := p.Addr(); a.Is4() {
			all = append(all, &dns.A{Hdr: head(n.host(), dns.TypeA, hostTTL, true), A: a.AsSlice()})
		} else {
			all = append(all, &dns.AAAA{Hdr: head(n.host(), dns.TypeAAAA, hostTTL, true), AAAA: a.AsSlice()})
		}
	}
	for _, s := range n.cfg.Services {
		kind, instance, text := s.Type+".local.", n.instance(s), s.Text
		if len(text) == 0 {
			text = []string{""} // RFC 6763 §6.1: there is always one
		}
		all = append(
			all,
			&dns.PTR{Hdr: head(enumeration, dns.TypePTR, serviceTTL, false), Ptr: kind}, // RFC 6763 §9
			&dns.PTR{Hdr: head(kind, dns.TypePTR, serviceTTL, false), Ptr: instance},
			&dns.SRV{Hdr: head(instance, dns.TypeSRV, hostTTL, true), Port: s.Port, Target: n.host()},
			&dns.TXT{Hdr: head(instance, dns.TypeTXT, serviceTTL, true), Txt: text},
		)
	}
	return all
}

// answer returns what of ours a message asks for and does not know already (RFC 6762 §7.1).
func answer(ours []dns.RR, m *dns.Msg) (answers []dns.RR) {
	for _, q := range m.Question[:min(len(m.Question), maxAnswers)] {
		if class := q.Qclass &^ unicastWanted; class != dns.ClassINET && class != dns.ClassANY {
			continue
		}
		for _, rr := range ours {
			h := rr.Header()
			if (q.Qtype == h.Rrtype || q.Qtype == dns.TypeANY) && strings.EqualFold(q.Name, h.Name) && !knows(m, rr) && !contains(answers, rr) {
				answers = append(answers, rr)
			}
		}
	}
	return answers
}

// knows reports whether who asks has the answer, with more than half of its time left.
func knows(m *dns.Msg, rr dns.RR) bool {
	for _, known := range m.Answer[:min(len(m.Answer), maxAnswers)] {
		if same(known, rr) && known.Header().Ttl >= rr.Header().Ttl/2 {
			return true
		}
	}
	return false
}

func contains(list []dns.RR, rr dns.RR) bool {
	for _, have := range list {
		if have == rr {
			return true
		}
	}
	return false
}

// same compares two records without times and the bit that flushes caches.
func same(a, b dns.RR) bool {
	if a.Header().Rrtype != b.Header().Rrtype {
		return false
	}
	x, y := dns.Copy(a), dns.Copy(b)
	for _, h := range []*dns.RR_Header{x.Header(), y.Header()} {
		h.Class &^= cacheFlush
		h.Ttl = 0
	}
	return dns.IsDuplicate(x, y)
}

// additional are what who asked will ask next (RFC 6763 §12).
func additional(ours, answers []dns.RR) (more []dns.RR) {
	add := func(name string) {
		for _, rr := range ours {
			if strings.EqualFold(rr.Header().Name, name) && !contains(answers, rr) && !contains(more, rr) {
				more = append(more, rr)
			}
		}
	}
	for _, rr := range answers {
		switch r := rr.(type) {
		case *dns.PTR:
			if r.Hdr.Name != enumeration {
				add(r.Ptr)
			}
		case *dns.SRV:
			add(r.Target)
		}
	}
	for _, rr := range more[:len(more):len(more)] {
		if srv, ok := rr.(*dns.SRV); ok {
			add(srv.Target)
		}
	}
	return more
}

// contradicts reports whether somebody says other things under names that are ours alone (RFC 6762 §9).
func contradicts(ours []dns.RR, m *dns.Msg) bool {
	for _, theirs := range append(m.Answer[:len(m.Answer):len(m.Answer)], m.Ns...) { // a probe has them in the authority section
		conflict, agreed := false, false
		for _, rr := range ours {
			h := rr.Header()
			if h.Class&cacheFlush == 0 || h.Rrtype != theirs.Header().Rrtype || !strings.EqualFold(h.Name, theirs.Header().Name) {
				continue
			}
			conflict, agreed = true, agreed || same(rr, theirs)
		}
		if conflict && !agreed && theirs.Header().Ttl > 0 {
			return true
		}
	}
	return false
}

// legacy makes a reply for who asks from another port: as of an ordinary name server (RFC 6762 §6.7).
func legacy(m *dns.Msg, answers []dns.RR) *dns.Msg {
	reply := new(dns.Msg).SetReply(m)
	reply.Authoritative = true
	for _, rr := range answers {
		rr = dns.Copy(rr)
		rr.Header().Class &^= cacheFlush
		rr.Header().Ttl = min(rr.Header().Ttl, legacyTTL)
		reply.Answer = append(reply.Answer, rr)
	}
	return reply
}
