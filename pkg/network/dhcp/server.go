package dhcp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/coraltele/sanchar/pkg/network/onlink"
	"github.com/coraltele/sanchar/pkg/network/rate"
)

// Limits of what one link may cost.
const (
	perSecond    = 100 // messages; 500 phones that start together need a few seconds
	burst        = 400
	maxProbes    = 32 // at once; who is not probed asks again
	maxDatagram  = 1500
	compactEvery = 10 * time.Minute
)

const (
	msgServing  = "addresses are given"
	msgLease    = "lease"
	msgConflict = "address is in use by a host without a lease"
	msgFailed   = "lease not kept, host not answered"
	msgSend     = "reply not sent"
)

// Counters tell what became of the messages.
type Counters struct {
	Received, Answered, Dropped, Refused atomic.Uint64
}

// Server answers on the links of its subnets.
type Server struct {
	cfg      Config
	table    *Table
	log      *slog.Logger
	probe    func(ctx context.Context, iface string, a netip.Addr) (used bool)
	Counters Counters
}

// New returns a server of the leases in table.
func New(cfg Config, table *Table, log *slog.Logger) *Server {
	return &Server{cfg: cfg, table: table, log: log, probe: arpProbe}
}

// Run serves until ctx ends. A link that is away is waited for.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range s.cfg.Subnets {
		sub := &s.cfg.Subnets[i]
		if sub.Relay.IsValid() {
			continue // it is served on the link of its agent
		}
		wg.Go(func() {
			onlink.Keep(ctx, s.log, sub.Iface, func(ctx context.Context) error { return s.serve(ctx, sub) })
		})
	}
	ticker := time.NewTicker(compactEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := s.table.compact(time.Now()); err != nil {
				s.log.Error(msgFailed, "err", err)
			}
		}
	}
}

// link is one link while it is served.
type link struct {
	*Server
	sub     *Subnet
	conn    *net.UDPConn
	work    sync.WaitGroup
	probing chan struct{} // holds a token for each probe under way
	rate    rate.Bucket
}

func (s *Server) serve(ctx context.Context, sub *Subnet) error {
	conn, err := onlink.ListenUDP(ctx, sub.Iface, netip.AddrPortFrom(netip.IPv4Unspecified(), serverPort))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &link{Server: s, sub: sub, conn: conn, probing: make(chan struct{}, maxProbes)}
	defer l.work.Wait()
	defer cancel()
	defer onlink.CloseWith(ctx, conn)()
	s.log.Info(msgServing, "iface", sub.Iface, "zone", sub.Zone)
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return fmt.Errorf("receive on %s: %w", sub.Iface, err)
		}
		s.Counters.Received.Add(1)
		now := time.Now()
		if !l.rate.Take(rate.Limit{PerSecond: perSecond, Burst: burst}, now) || !l.receive(ctx, buf[:n], from.Addr().Unmap(), now) {
			s.Counters.Dropped.Add(1)
		}
	}
}

// receive answers one datagram, at once or when its lease is on disk, or its address is seen to be unused.
func (l *link) receive(ctx context.Context, b []byte, from netip.Addr, now time.Time) bool {
	m, err := dhcpv4.FromBytes(b)
	if err != nil {
		return false
	}
	sub := l.subnetOf(m, from)
	if sub == nil {
		return false
	}
	ans, ok := sub.decide(l.table, m, now)
	if !ok {
		return false
	}
	if ans.taken.IsValid() {
		l.table.markTaken(ans.taken, now.Add(keepTaken))
		l.log.Warn(msgConflict, "addr", ans.taken, "told", m.ClientHWAddr)
	}
	switch {
	case ans.keep != nil:
		l.keep(ans)
	case ans.probe.IsValid():
		return l.offer(ctx, sub, ans)
	default:
		l.send(ans)
	}
	return true
}

// subnetOf returns the subnet of the link, or of the relay agent that the message came through.
func (l *link) subnetOf(m *dhcpv4.DHCPv4, from netip.Addr) *Subnet {
	relay := toAddr(m.GatewayIPAddr)
	if !relay.IsValid() {
		return l.sub
	}
	for i := range l.cfg.Subnets {
		// The agent sends from the address that it puts into giaddr, or at least from its subnet's link.
		if sub := &l.cfg.Subnets[i]; sub.behind(relay) && sub.Iface == l.sub.Iface && (from == relay || l.sub.Prefix.Contains(from)) {
			return sub
		}
	}
	return nil
}

// keep sends the reply when the lease is on disk, and not at all when it cannot be kept: then the
// host asks again.
func (l *link) keep(ans answer) {
	l.work.Add(1)
	l.table.put(*ans.keep, func(err error) {
		defer l.work.Done()
		if err != nil {
			l.log.Error(msgFailed, "addr", ans.keep.Addr, "err", err)
			return
		}
		l.log.Debug(msgLease, "addr", ans.keep.Addr, "mac", ans.keep.MAC, "until", ans.keep.Expires)
		if ans.reply != nil {
			l.send(ans)
		}
	})
}

// offer probes before it offers, beside the reader, a bounded number at once.
func (l *link) offer(ctx context.Context, sub *Subnet, ans answer) bool {
	select {
	case l.probing <- struct{}{}:
	default:
		return false
	}
	l.work.Go(func() {
		defer func() { <-l.probing }()
		if sub == l.sub && l.probe(ctx, sub.Iface, ans.probe) {
			l.table.markTaken(ans.probe, time.Now().Add(keepTaken))
			l.log.Warn(msgConflict, "addr", ans.probe, "iface", sub.Iface)
			return // the host repeats its DISCOVER and is offered another
		}
		if ctx.Err() == nil {
			l.send(ans)
		}
	})
	return true
}

func (l *link) send(ans answer) {
	if ans.reply.MessageType() == dhcpv4.MessageTypeNak {
		l.Counters.Refused.Add(1)
	}
	if _, err := l.conn.WriteToUDPAddrPort(ans.reply.ToBytes(), ans.to); err != nil {
		l.log.Warn(msgSend, "iface", l.sub.Iface, "err", err)
		return
	}
	l.Counters.Answered.Add(1)
}
