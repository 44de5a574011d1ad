package ra

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv6"

	"github.com/coraltele/sanchar/pkg/network/onlink"
)

// RFC 4861 §10.
const (
	initialCount    = 3
	initialInterval = 16 * time.Second
	minDelay        = 3 * time.Second // between two that all hosts hear
	maxAnswerDelay  = 500 * time.Millisecond

	msgServing = "router advertisements are sent"
)

// Advertiser advertises on links.
type Advertiser struct {
	links []Link
	log   *slog.Logger
	Sent  atomic.Uint64
}

// New returns an advertiser.
func New(links []Link, log *slog.Logger) *Advertiser { return &Advertiser{links: links, log: log} }

// Run advertises until ctx ends. A link that is away is waited for.
func (a *Advertiser) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, l := range a.links {
		wg.Go(func() {
			onlink.Keep(ctx, a.log, l.Iface, func(ctx context.Context) error { return a.serve(ctx, l) })
		})
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

// router is one link while it is served.
type router struct {
	*Advertiser
	Link
	nic  *net.Interface
	conn *ipv6.PacketConn
	last time.Time // an advertisement was sent
}

func (a *Advertiser) serve(ctx context.Context, l Link) error {
	nic, err := net.InterfaceByName(l.Iface)
	if err != nil {
		return fmt.Errorf("link %s: %w", l.Iface, err)
	}
	pc, err := onlink.ListenICMPv6(ctx, l.Iface)
	if err != nil {
		return err
	}
	defer pc.Close()
	r := &router{Advertiser: a, Link: l, nic: nic, conn: ipv6.NewPacketConn(pc)}
	if err := r.prepare(); err != nil {
		return fmt.Errorf("prepare %s: %w", l.Iface, err)
	}
	asked, failed := make(chan struct{}, 1), make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { failed <- r.listen(asked) })
	defer wg.Wait()
	defer pc.Close()
	a.log.Info(msgServing, "iface", l.Iface, "prefixes", l.Prefixes)
	return r.speak(ctx, asked, failed)
}

// prepare keeps to what RFC 4861 §6.1 wants: 255 hops, and only solicitations are heard.
func (r *router) prepare() error {
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeRouterSolicitation)
	if err := r.conn.SetICMPFilter(&only); err != nil {
		return err
	}
	if err := r.conn.SetControlMessage(ipv6.FlagHopLimit, true); err != nil {
		return err
	}
	if err := r.conn.SetMulticastHopLimit(255); err != nil {
		return err
	}
	if err := r.conn.SetMulticastLoopback(false); err != nil {
		return err
	}
	return r.conn.JoinGroup(r.nic, &net.IPAddr{IP: net.IPv6linklocalallrouters})
}

func (r *router) listen(asked chan<- struct{}) error {
	buf := make([]byte, 1500)
	for {
		n, cm, from, err := r.conn.ReadFrom(buf)
		if err != nil {
			return fmt.Errorf("receive on %s: %w", r.Iface, err)
		}
		source, _ := netip.AddrFromSlice(from.(*net.IPAddr).IP)
		if cm == nil || !solicits(buf[:n], cm.HopLimit, source) {
			continue
		}
		select {
		case asked <- struct{}{}:
		default: // the next advertisement answers it too
		}
	}
}

// speak sends at times that differ from link to link, soon when a host asks, and says farewell. All
// hear each answer, so a flood of questions makes one advertisement in three seconds.
func (r *router) speak(ctx context.Context, asked <-chan struct{}, failed <-chan error) error {
	defer r.send(true)
	for sent := 1; ; sent++ {
		if err := r.send(false); err != nil {
			return err
		}
		most := r.interval()
		if sent < initialCount {
			most = min(most, initialInterval)
		}
		wait := time.NewTimer(most*33/100 + rand.N(most*67/100)) // RFC 4861 §6.2.1: MinRtrAdvInterval is a third
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case err := <-failed:
			wait.Stop()
			return err
		case <-wait.C:
		case <-asked:
			wait.Stop()
			if !r.pause(ctx) {
				return nil
			}
		}
	}
}

// pause is RFC 4861 §6.2.6: a random delay, and not too soon after the one before.
func (r *router) pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(max(rand.N(maxAnswerDelay), time.Until(r.last.Add(minDelay)))):
		return true
	}
}

func (r *router) send(last bool) error {
	r.last = time.Now()
	to := &net.IPAddr{IP: net.IPv6linklocalallnodes, Zone: onlink.Zone(r.nic.Index)}
	if _, err := r.conn.WriteTo(r.message(r.nic.HardwareAddr, last), &ipv6.ControlMessage{IfIndex: r.nic.Index}, to); err != nil {
		return fmt.Errorf("send on %s: %w", r.Iface, err)
	}
	r.Sent.Add(1)
	return nil
}
