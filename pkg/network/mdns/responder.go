package mdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/coraltele/sanchar/pkg/network/onlink"
	"github.com/coraltele/sanchar/pkg/network/rate"
)

const (
	port        = 5353
	probes      = 3 // RFC 6762 §8.1
	probeEvery  = 250 * time.Millisecond
	announces   = 2 // RFC 6762 §8.3
	announceGap = time.Second
	maxNumber   = 20                     // names that are tried
	maxAnswerIn = 100 * time.Millisecond // RFC 6762 §6: 20 to 120 ms, for others may answer too
	maxDatagram = 9000

	msgServing  = "page and SIP are announced"
	msgConflict = "another host has our name, we take the next"
)

// errConflict ends a round of service: it begins again with the next name.
var errConflict = errors.New("another host has the name")

// Responder announces and answers.
type Responder struct {
	cfg Config
	log *slog.Logger
}

// New returns a responder.
func New(cfg Config, log *slog.Logger) *Responder { return &Responder{cfg: cfg, log: log} }

// Run answers until ctx ends, then says farewell. A link that is away is waited for.
func (r *Responder) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, l := range r.cfg.Links {
		wg.Go(func() {
			number := 1
			onlink.Keep(ctx, r.log, l.Iface, func(ctx context.Context) error {
				for {
					err := r.serve(ctx, l, number)
					if !errors.Is(err, errConflict) || number == maxNumber {
						return err
					}
					number++
					r.log.Warn(msgConflict, "iface", l.Iface, "number", number)
				}
			})
		})
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

// link is one link while it is served.
type link struct {
	Link
	names  names
	ours   []dns.RR
	socks  []*sock
	log    *slog.Logger
	failed chan error
}

// sock speaks one family on a link.
type sock struct {
	conn  *net.UDPConn
	group netip.AddrPort
}

type question struct {
	msg  *dns.Msg
	from netip.AddrPort
	sock *sock
}

func (r *Responder) serve(ctx context.Context, l Link, number int) error {
	k := &link{Link: l, names: names{r.cfg, number}, log: r.log, failed: make(chan error, 2)}
	k.ours = k.names.records(l)
	if err := k.open(ctx); err != nil {
		return errors.Join(err, k.close())
	}
	heard := make(chan question, 16)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, s := range k.socks {
		wg.Go(func() { k.failed <- k.listen(s, heard, stop) })
	}
	defer wg.Wait()
	defer k.close()
	defer close(stop)
	if err := k.probe(ctx, heard); err != nil || ctx.Err() != nil {
		return err
	}
	r.log.Info(msgServing, "iface", l.Iface, "host", k.names.host())
	defer k.farewell()
	return k.answerAll(ctx, heard)
}

// open joins the groups of the families of which we have addresses.
func (k *link) open(ctx context.Context) error {
	nic, err := net.InterfaceByName(k.Iface)
	if err != nil {
		return fmt.Errorf("link %s: %w", k.Iface, err)
	}
	v4, v6 := false, false
	for _, p := range k.Addrs {
		v4, v6 = v4 || p.Addr().Is4(), v6 || p.Addr().Is6()
	}
	if v4 {
		err = errors.Join(err, k.open4(ctx, nic))
	}
	if v6 {
		err = errors.Join(err, k.open6(ctx, nic))
	}
	return err
}

func (k *link) open4(ctx context.Context, nic *net.Interface) error {
	c, err := onlink.ListenUDP(ctx, k.Iface, netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	if err != nil {
		return err
	}
	k.socks = append(k.socks, &sock{c, netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 251}), port)})
	p := ipv4.NewPacketConn(c)
	return errors.Join(p.JoinGroup(nic, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251)}), p.SetMulticastInterface(nic),
		p.SetMulticastTTL(255), p.SetMulticastLoopback(false)) // RFC 6762 §11
}

func (k *link) open6(ctx context.Context, nic *net.Interface) error {
	c, err := onlink.ListenUDP(ctx, k.Iface, netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	if err != nil {
		return err
	}
	group := netip.MustParseAddr("ff02::fb")
	k.socks = append(k.socks, &sock{c, netip.AddrPortFrom(group.WithZone(onlink.Zone(nic.Index)), port)})
	p := ipv6.NewPacketConn(c)
	return errors.Join(p.JoinGroup(nic, &net.UDPAddr{IP: group.AsSlice()}), p.SetMulticastInterface(nic),
		p.SetMulticastHopLimit(255), p.SetMulticastLoopback(false))
}

func (k *link) close() (err error) {
	for _, s := range k.socks {
		err = errors.Join(err, s.conn.Close())
	}
	return err
}

func (k *link) listen(s *sock, heard chan<- question, stop <-chan struct{}) error {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return fmt.Errorf("receive on %s: %w", k.Iface, err)
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		m := new(dns.Msg)
		if !k.near(from.Addr()) || m.Unpack(buf[:n]) != nil || m.Opcode != dns.OpcodeQuery {
			continue
		}
		select {
		case heard <- question{m, from, s}:
		case <-stop:
			return nil
		}
	}
}

// near reports whether a host is on the link (RFC 6762 §11).
func (k *link) near(a netip.Addr) bool {
	for _, p := range k.Addrs {
		if p.Contains(a.WithZone("")) {
			return true
		}
	}
	return a.IsLinkLocalUnicast()
}

// probe asks whether anybody has our names (RFC 6762 §8.1).
func (k *link) probe(ctx context.Context, heard <-chan question) error {
	ask := new(dns.Msg)
	seen := map[string]bool{}
	for _, rr := range k.ours {
		if h := rr.Header(); h.Class&cacheFlush != 0 {
			if !seen[h.Name] {
				ask.Question = append(ask.Question, dns.Question{Name: h.Name, Qtype: dns.TypeANY, Qclass: dns.ClassINET})
			}
			seen[h.Name] = true
			mine := dns.Copy(rr)
			mine.Header().Class &^= cacheFlush
			ask.Ns = append(ask.Ns, mine)
		}
	}
	wait := rand.N(probeEvery)
	for sent := 0; ; sent++ {
		if conflict, err := k.wait(ctx, heard, wait); conflict || err != nil || ctx.Err() != nil {
			return err
		}
		if sent == probes {
			return nil
		}
		k.toAll(ask)
		wait = probeEvery
	}
}

// wait hears what others say. While we only probe, nothing is answered.
func (k *link) wait(ctx context.Context, heard <-chan question, d time.Duration) (bool, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, nil
		case err := <-k.failed:
			return true, err
		case <-timer.C:
			return false, nil
		case q := <-heard:
			if contradicts(k.ours, q.msg) {
				return true, errConflict
			}
		}
	}
}

// answerAll announces, then answers, until ctx ends or somebody else has our name.
func (k *link) answerAll(ctx context.Context, heard <-chan question) error {
	announced, limit := 1, rate.NewSources(rate.Limit{PerSecond: 20, Burst: 40})
	k.toAll(response(k.ours))
	timer := time.NewTimer(announceGap)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-k.failed:
			return err
		case <-timer.C:
			if announced < announces {
				announced++
				k.toAll(response(k.ours))
			}
		case q := <-heard:
			if q.msg.Response {
				if contradicts(k.ours, q.msg) {
					return errConflict
				}
				continue
			}
			if limit.Take(q.from.Addr(), time.Now()) {
				k.answer(ctx, q)
			}
		}
	}
}

func (k *link) answer(ctx context.Context, q question) {
	answers := answer(k.ours, q.msg)
	if len(answers) == 0 {
		return
	}
	if q.from.Port() != port {
		m := legacy(q.msg, answers)
		k.send(q.sock, m, q.from)
		return
	}
	m := response(answers)
	m.Extra = additional(k.ours, answers)
	if unicast(q.msg) { // RFC 6762 §5.4
		k.send(q.sock, m, q.from)
		return
	}
	if shared(answers) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20*time.Millisecond + rand.N(maxAnswerIn)):
		}
	}
	k.send(q.sock, m, q.sock.group)
}

func unicast(m *dns.Msg) bool {
	for _, q := range m.Question {
		if q.Qclass&unicastWanted == 0 {
			return false
		}
	}
	return true
}

func shared(answers []dns.RR) bool {
	for _, rr := range answers {
		if rr.Header().Class&cacheFlush == 0 {
			return true
		}
	}
	return false
}

// response is a message of RFC 6762 §18.
func response(answers []dns.RR) *dns.Msg {
	m := new(dns.Msg)
	m.Response, m.Authoritative, m.Compress, m.Answer = true, true, true, answers
	return m
}

// farewell lets hosts forget us at once (RFC 6762 §10.1).
func (k *link) farewell() {
	var gone []dns.RR
	for _, rr := range k.ours {
		rr = dns.Copy(rr)
		rr.Header().Ttl = 0
		if rr.Header().Name != enumeration { // others may have services of these types
			gone = append(gone, rr)
		}
	}
	k.toAll(response(gone))
}

func (k *link) toAll(m *dns.Msg) {
	for _, s := range k.socks {
		k.send(s, m, s.group)
	}
}

func (k *link) send(s *sock, m *dns.Msg, to netip.AddrPort) {
	wire, err := m.Pack()
	if err == nil {
		_, err = s.conn.WriteToUDPAddrPort(wire, to)
	}
	if err != nil {
		k.log.Debug("not sent", "iface", k.Iface, "err", err)
	}
}
