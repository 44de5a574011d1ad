package ntp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/network/onlink"
	"github.com/coraltele/sanchar/pkg/network/rate"
)

const (
	port       = 123
	perSecond  = 4 // questions of one host
	burst      = 16
	msgServing = "the time is told"
)

// Place is where the time is told: one address on one link.
type Place struct {
	Iface string
	Index int // of the link: one that was made anew needs a new socket
	Addr  netip.Addr
	From  []netip.Prefix // who may ask
}

// Server tells the time.
type Server struct {
	places []Place
	state  func() State
	log    *slog.Logger
	rates  *rate.Sources

	Answered, Refused atomic.Uint64
}

// NewServer returns a server that says what state says of the clock.
func NewServer(places []Place, state func() State, log *slog.Logger) *Server {
	return &Server{places: places, state: state, log: log, rates: rate.NewSources(rate.Limit{PerSecond: perSecond, Burst: burst})}
}

// Run serves until ctx ends. A link that is away is waited for.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range s.places {
		wg.Go(func() {
			onlink.Keep(ctx, s.log, p.Iface, func(ctx context.Context) error { return s.serve(ctx, p) })
		})
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

func (s *Server) serve(ctx context.Context, p Place) error {
	conn, err := onlink.ListenUDP(ctx, p.Iface, netip.AddrPortFrom(p.Addr, port))
	if err != nil {
		return err
	}
	defer onlink.CloseWith(ctx, conn)()
	s.log.Info(msgServing, "iface", p.Iface, "at", conn.LocalAddr())
	buf := make([]byte, 512)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		received := time.Now()
		if err != nil {
			return fmt.Errorf("receive on %s: %w", p.Iface, err)
		}
		if !p.answers(from.Addr().Unmap()) || !s.rates.Take(from.Addr().Unmap(), received) {
			s.Refused.Add(1)
			continue
		}
		b, ok := reply(buf[:n], s.state(), received, time.Now)
		if !ok {
			s.Refused.Add(1)
			continue
		}
		s.Answered.Add(1)
		_, _ = conn.WriteToUDPAddrPort(b, from) // it asks again
	}
}

func (p Place) answers(from netip.Addr) bool {
	for _, prefix := range p.From {
		if prefix.Contains(from.WithZone("")) {
			return true
		}
	}
	return false
}
