package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

var (
	errBusy    = errors.New("too many questions at once")
	errRebind  = errors.New("a name from outside stands for an address inside")
	errNoBody  = errors.New("no server is known that could be asked")
	errMixedUp = errors.New("an answer to another question")
)

// Upstream is what is known of a server that we ask.
type Upstream struct {
	Server   netip.AddrPort
	Asked    uint64
	Failed   uint64
	LastOK   time.Time
	LastFail time.Time
	Took     time.Duration // the last answer
}

// forwarder asks other servers, each question once at a time.
type forwarder struct {
	cfg    Config
	flight singleflight.Group
	slots  chan struct{}

	mu    sync.Mutex
	known map[netip.AddrPort]*Upstream // those of the configuration
}

func newForwarder(cfg Config) *forwarder {
	f := &forwarder{cfg: cfg, slots: make(chan struct{}, maxForwards), known: map[netip.AddrPort]*Upstream{}}
	for _, s := range cfg.Servers {
		f.known[s] = &Upstream{Server: s}
	}
	for _, split := range cfg.Split {
		for _, s := range split.Servers {
			f.known[s] = &Upstream{Server: s}
		}
	}
	return f
}

// route returns who is asked for a name, and whether these are the servers of a split domain.
func (f *forwarder) route(name string) (servers []netip.AddrPort, split bool) {
	servers = f.cfg.Servers
	longest := 0
	for _, s := range f.cfg.Split {
		domain := canonical(s.Domain)
		if labels := dns.CountLabel(domain); below(name, domain) && labels > longest {
			servers, split, longest = s.Servers, true, labels
		}
	}
	return servers, split
}

// private reports whether answers about a name may hold private addresses.
func (f *forwarder) private(name string) bool {
	_, split := f.route(name)
	return split || slices.ContainsFunc(f.cfg.Inside, func(d string) bool { return below(name, canonical(d)) })
}

// ask returns the answer of the first server that gives one.
func (f *forwarder) ask(ctx context.Context, q question) (*dns.Msg, error) {
	key := fmt.Sprintf("%s %d %v", q.name, q.qtype, q.do)
	got := f.flight.DoChan(key, func() (any, error) {
		select {
		case f.slots <- struct{}{}:
			defer func() { <-f.slots }()
		default:
			return nil, errBusy
		}
		return f.askAll(ctx, q)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-got:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*dns.Msg), nil
	}
}

func (f *forwarder) askAll(ctx context.Context, q question) (*dns.Msg, error) {
	servers, _ := f.route(q.name)
	err := errNoBody
	for _, s := range f.inOrder(servers) {
		var m *dns.Msg
		if m, err = f.askOne(ctx, s, q); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue
		}
		if !f.private(q.name) && holdsPrivate(m) {
			return nil, errRebind
		}
		return m, nil
	}
	return nil, err
}

// inOrder puts servers that failed a moment ago behind those that did not.
func (f *forwarder) inOrder(servers []netip.AddrPort) []netip.AddrPort {
	now := time.Now()
	sick := func(s netip.AddrPort) int {
		u := f.known[s]
		if u.LastFail.After(u.LastOK) && now.Sub(u.LastFail) < sickTime {
			return 1
		}
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	sorted := slices.Clone(servers)
	slices.SortStableFunc(sorted, func(a, b netip.AddrPort) int { return cmp.Compare(sick(a), sick(b)) })
	return sorted
}

// askOne asks by UDP, each time from a port of its own (RFC 5452 §9.2), and by TCP what did not fit
// (RFC 7766 §5).
func (f *forwarder) askOne(ctx context.Context, server netip.AddrPort, q question) (*dns.Msg, error) {
	ask := new(dns.Msg).SetQuestion(q.name, q.qtype)
	ask.SetEdns0(udpSize, q.do)
	start := time.Now()
	m, _, err := (&dns.Client{Net: "udp", Timeout: askTime, UDPSize: udpSize}).ExchangeContext(ctx, ask, server.String())
	if err == nil && m.Truncated {
		m, _, err = (&dns.Client{Net: "tcp", Timeout: askTime}).ExchangeContext(ctx, ask, server.String())
	}
	switch {
	case err != nil:
	case len(m.Question) != 1 || canonical(m.Question[0].Name) != q.name || m.Question[0].Qtype != q.qtype:
		err = errMixedUp // RFC 5452 §9.1
	case m.Rcode == dns.RcodeServerFailure || m.Rcode == dns.RcodeRefused || m.Rcode == dns.RcodeNotImplemented:
		err = fmt.Errorf("%s answered %s", server, dns.RcodeToString[m.Rcode])
	}
	f.note(ctx, server, start, err)
	return m, err
}

func (f *forwarder) note(ctx context.Context, server netip.AddrPort, start time.Time, err error) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.known[server]
	u.Asked++
	switch {
	case err == nil:
		u.LastOK, u.Took = now.UTC(), now.Sub(start)
	case ctx.Err() == nil: // else it was us who ended
		u.Failed++
		u.LastFail = now.UTC()
	}
}

func (f *forwarder) upstreams() (all []Upstream) {
	f.mu.Lock()
	for _, u := range f.known {
		all = append(all, *u)
	}
	f.mu.Unlock()
	slices.SortFunc(all, func(a, b Upstream) int { return strings.Compare(a.Server.String(), b.Server.String()) })
	return all
}

// holdsPrivate reports whether an answer would lead a browser to a host inside: the box itself, for
// one, under the name of a stranger's page.
func holdsPrivate(m *dns.Msg) bool {
	for _, rr := range m.Answer {
		var ip []byte
		switch r := rr.(type) {
		case *dns.A:
			ip = r.A
		case *dns.AAAA:
			ip = r.AAAA
		default:
			continue
		}
		if a, ok := netip.AddrFromSlice(ip); ok && inside(a.Unmap()) {
			return true
		}
	}
	return false
}

func inside(a netip.Addr) bool {
	if a.Is6() && netip.PrefixFrom(netip.MustParseAddr("64:ff9b::"), 96).Contains(a) { // RFC 6052 §2.1
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10) // RFC 6598 §7
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || shared.Contains(a)
}
