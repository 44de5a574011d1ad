package dns

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"

	"github.com/coraltele/sanchar/pkg/network/onlink"
	"github.com/coraltele/sanchar/pkg/network/rate"
)

const (
	port = 53

	msgServing = "names are answered"
	msgRebind  = "an answer was held back: a name from outside for an address inside"
	msgFailed  = "no server answered"
)

// Counters tell what became of the questions.
type Counters struct {
	Asked, Local, Cached, Forwarded, Stale, Failed, Rebound, Refused atomic.Uint64
}

// Server answers questions.
type Server struct {
	cfg      Config
	log      *slog.Logger
	local    *local
	cache    *cache
	forward  *forwarder
	rates    *rate.Sources
	Counters Counters
}

// New returns a server. leases may be nil.
func New(cfg Config, leases Names, log *slog.Logger) *Server {
	return &Server{
		cfg: cfg, log: log, local: newLocal(cfg, leases), cache: newCache(cmp.Or(cfg.Entries, DefaultEntries)),
		forward: newForwarder(cfg), rates: rate.NewSources(rate.Limit{PerSecond: perSecond, Burst: burst}),
	}
}

// Upstreams tells how the servers are that we ask.
func (s *Server) Upstreams() []Upstream { return s.forward.upstreams() }

// Size returns the number of answers in the cache.
func (s *Server) Size() int { return s.cache.size() }

// Run serves until ctx ends. A link that is away is waited for.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range s.cfg.Places {
		wg.Go(func() {
			onlink.Keep(ctx, s.log, p.Iface, func(ctx context.Context) error { return s.serve(ctx, p) })
		})
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

// serve answers at one place, by UDP and TCP.
func (s *Server) serve(ctx context.Context, p Place) error {
	at := netip.AddrPortFrom(p.Addr, port)
	udp, err := onlink.ListenUDP(ctx, p.Iface, at)
	if err != nil {
		return err
	}
	tcp, err := onlink.ListenTCP(ctx, p.Iface, at)
	if err != nil {
		return errors.Join(err, udp.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) { s.handle(ctx, p, w, m) })
	servers := []*dns.Server{
		{PacketConn: udp, Handler: h, UDPSize: udpSize},
		{
			Listener: netutil.LimitListener(tcp, maxConnections), Handler: h, MaxTCPQueries: maxPerConn,
			ReadTimeout: idleTime, WriteTimeout: idleTime, IdleTimeout: func() time.Duration { return idleTime },
		},
	}
	ended := make(chan error, len(servers))
	for _, srv := range servers {
		go func() { ended <- srv.ActivateAndServe() }()
	}
	s.log.Info(msgServing, "iface", p.Iface, "at", at)
	var first error
	select {
	case <-ctx.Done():
	case first = <-ended:
		ended <- nil // it is waited for below as the others
	}
	cancel()
	_ = errors.Join(udp.Close(), tcp.Close()) // before they serve, a shutdown would not be heard
	for _, srv := range servers {
		_ = srv.Shutdown() // waits for those that are answered
	}
	for range servers {
		<-ended
	}
	return first
}

// handle answers one question, or not at all if a stranger asks.
func (s *Server) handle(ctx context.Context, p Place, w dns.ResponseWriter, ask *dns.Msg) {
	from := source(w.RemoteAddr())
	if !p.answers(from) || !s.rates.Take(from, time.Now()) {
		s.Counters.Refused.Add(1)
		return
	}
	s.Counters.Asked.Add(1)
	m := s.reply(ctx, p, ask)
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		m.Truncate(room(ask))
	}
	_ = w.WriteMsg(m) // whoever asked is gone
}

// room is what fits into a datagram of who asks (RFC 6891 §6.2.3).
func room(ask *dns.Msg) int {
	if opt := ask.IsEdns0(); opt != nil {
		return int(min(max(opt.UDPSize(), dns.MinMsgSize), udpSize))
	}
	return dns.MinMsgSize
}

// reply makes the answer of a question.
func (s *Server) reply(ctx context.Context, p Place, ask *dns.Msg) *dns.Msg {
	if ask.Opcode != dns.OpcodeQuery || len(ask.Question) != 1 || ask.Question[0].Qclass != dns.ClassINET {
		return new(dns.Msg).SetRcode(ask, dns.RcodeNotImplemented)
	}
	q := ask.Question[0]
	switch q.Qtype {
	case dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR: // RFC 8482 §4: nobody needs all at once
		return new(dns.Msg).SetRcode(ask, dns.RcodeNotImplemented)
	}
	opt := ask.IsEdns0()
	m, err := s.find(ctx, p, q, opt != nil && opt.Do())
	if err != nil {
		m = new(dns.Msg).SetRcode(ask, s.failed(q, err))
	}
	m.Id, m.Response, m.RecursionDesired, m.RecursionAvailable = ask.Id, true, ask.RecursionDesired, true
	m.Question = ask.Question // with the case of letters that was asked
	m.Extra = withoutOPT(m.Extra)
	if opt != nil {
		m.SetEdns0(udpSize, opt.Do())
	}
	return m
}

// find looks at what we know, then in the cache, then asks.
func (s *Server) find(ctx context.Context, p Place, q dns.Question, do bool) (*dns.Msg, error) {
	if _, split := s.forward.route(canonical(q.Name)); !split {
		if m, ok := s.local.answer(q, p.Self); ok {
			s.Counters.Local.Add(1)
			return m, nil
		}
	} else if addrs, ok := s.local.hosts[canonical(q.Name)]; ok { // what an admin wrote goes before all
		return s.local.records(q, addrs), nil
	}
	key := question{canonical(q.Name), q.Qtype, do}
	if m := s.cache.get(key, time.Now(), false); m != nil {
		s.Counters.Cached.Add(1)
		return m, nil
	}
	m, err := s.forward.ask(ctx, key)
	if err == nil {
		s.Counters.Forwarded.Add(1)
		s.cache.put(key, m, time.Now())
		m = m.Copy() // others may have got the same one
		m.Authoritative, m.AuthenticatedData = false, false
		return m, nil
	}
	if m := s.cache.get(key, time.Now(), true); m != nil && !errors.Is(err, errRebind) {
		s.Counters.Stale.Add(1)
		return m, nil
	}
	return nil, err
}

func (s *Server) failed(q dns.Question, err error) int {
	switch {
	case errors.Is(err, errRebind):
		s.Counters.Rebound.Add(1)
		s.log.Warn(msgRebind, "name", q.Name)
		return dns.RcodeRefused
	case errors.Is(err, errBusy):
		s.Counters.Refused.Add(1)
	default:
		s.Counters.Failed.Add(1)
		s.log.Debug(msgFailed, "name", q.Name, "err", err)
	}
	return dns.RcodeServerFailure
}

func withoutOPT(extra []dns.RR) (rest []dns.RR) {
	for _, rr := range extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			rest = append(rest, rr)
		}
	}
	return rest
}

func (p Place) answers(from netip.Addr) bool {
	for _, prefix := range p.From {
		if prefix.Contains(from) {
			return true
		}
	}
	return false
}

func source(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
