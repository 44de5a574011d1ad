package lldp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coraltele/sanchar/pkg/network/onlink"
)

const (
	every      = 30 * time.Second // IEEE 802.1AB §9.2.5.7: msgTxInterval
	holdTimes  = 4                // msgTxHold
	fastEvery  = time.Second      // TIA-1057 §11.2.1: a phone that comes is told at once
	fastCount  = 4
	maxPerPort = 16 // neighbours: behind a simple switch there are several

	msgNeighbour = "neighbour"
	msgGone      = "neighbour is gone"
)

// Port is one that is spoken on.
type Port struct {
	Iface  string
	Index  int // of the link: one that was made anew needs a new socket
	Text   string
	Silent bool // it listens only
	Voice  *Policy
}

// Config is what is told, and where.
type Config struct {
	Name, Text string // of the box
	Management []netip.Addr
	Ports      []Port
}

// Agent speaks and listens on ports.
type Agent struct {
	cfg Config
	log *slog.Logger

	mu    sync.Mutex
	known map[string]map[string]heard // by port, then by chassis and port of the neighbour
}

type heard struct {
	Neighbour
	until time.Time
}

// New returns an agent.
func New(cfg Config, log *slog.Logger) *Agent {
	a := &Agent{cfg: cfg, log: log, known: map[string]map[string]heard{}}
	for _, p := range cfg.Ports {
		a.known[p.Iface] = map[string]heard{}
	}
	return a
}

// Neighbours returns those that were heard and whose time is not over, by port and name.
func (a *Agent) Neighbours() (all []Neighbour) {
	now := time.Now()
	a.mu.Lock()
	for _, port := range a.known {
		for _, h := range port {
			if now.Before(h.until) {
				all = append(all, h.Neighbour)
			}
		}
	}
	a.mu.Unlock()
	slices.SortFunc(all, func(x, y Neighbour) int {
		return cmp.Or(strings.Compare(x.Port, y.Port), strings.Compare(x.Name, y.Name), strings.Compare(x.Chassis, y.Chassis))
	})
	return all
}

// Run speaks and listens until ctx ends. A port that is away is waited for.
func (a *Agent) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range a.cfg.Ports {
		wg.Go(func() {
			onlink.Keep(ctx, a.log, p.Iface, func(ctx context.Context) error { return a.serve(ctx, p) })
		})
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

// groups are all that bridges keep on the cable, IEEE 802.1AB §7.1.
func groups() []net.HardwareAddr {
	return []net.HardwareAddr{{1, 0x80, 0xc2, 0, 0, 0x0e}, {1, 0x80, 0xc2, 0, 0, 3}, {1, 0x80, 0xc2, 0, 0, 0}}
}

func (a *Agent) serve(ctx context.Context, p Port) error {
	nic, err := net.InterfaceByName(p.Iface)
	if err != nil {
		return fmt.Errorf("port %s: %w", p.Iface, err)
	}
	f, err := onlink.Packet(p.Iface, EtherType, nil)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, g := range groups() {
		if err := onlink.Join(f, p.Iface, g); err != nil {
			return fmt.Errorf("join on %s: %w", p.Iface, err)
		}
	}
	phones, failed := make(chan struct{}, 1), make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { failed <- a.listen(f, p, nic.HardwareAddr, phones) })
	defer wg.Wait()
	defer f.Close()
	return a.speak(ctx, f, p, nic.HardwareAddr, phones, failed)
}

// speak tells who we are, often while a phone has just come, and says farewell.
func (a *Agent) speak(ctx context.Context, f *os.File, p Port, mac net.HardwareAddr, phones <-chan struct{}, failed <-chan error) error {
	if p.Silent {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		}
	}
	h := hello{
		mac: mac, port: p.Iface, text: cmp.Or(p.Text, p.Iface), name: a.cfg.Name, desc: a.cfg.Text, management: a.cfg.Management,
		seconds: uint16(every / time.Second * holdTimes), voice: p.Voice,
	}
	defer func() {
		h.seconds = 0
		_, _ = f.Write(h.frame()) // the port may be gone
	}()
	fast := 0
	for {
		h.med = a.hasPhone(p.Iface)
		if _, err := f.Write(h.frame()); err != nil && !away(err) {
			return fmt.Errorf("send on %s: %w", p.Iface, err)
		}
		wait := every
		if fast > 0 {
			fast, wait = fast-1, fastEvery
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-phones:
			fast = fastCount - 1
		case <-time.After(wait):
		}
	}
}

// away reports whether a port is down, which is nothing to stop for.
func away(err error) bool {
	return errors.Is(err, syscall.ENETDOWN) || errors.Is(err, syscall.ENOBUFS)
}

func (a *Agent) listen(f *os.File, p Port, own net.HardwareAddr, phones chan<- struct{}) error {
	buf := make([]byte, 1600)
	for {
		n, err := f.Read(buf)
		if errors.Is(err, syscall.ENETDOWN) { // said once, when the port goes down
			continue
		}
		if err != nil {
			return fmt.Errorf("receive on %s: %w", p.Iface, err)
		}
		if n >= headerBytes && string(buf[6:12]) == string(own) {
			continue // what we said
		}
		nb, err := parse(buf[:n])
		if err != nil {
			continue // of no use, and anybody can send it
		}
		nb.Port = p.Iface
		if a.hear(nb, time.Now()) && nb.MED {
			select {
			case phones <- struct{}{}:
			default:
			}
		}
	}
}

// hear keeps a neighbour, and reports whether it is new.
func (a *Agent) hear(n Neighbour, now time.Time) (fresh bool) {
	key := n.Chassis + " " + n.PortID
	a.mu.Lock()
	defer a.mu.Unlock()
	port := a.known[n.Port]
	for k, h := range port {
		if now.After(h.until) {
			delete(port, k)
		}
	}
	_, had := port[key]
	switch {
	case n.seconds == 0: // a farewell
		if had {
			delete(port, key)
			a.log.Info(msgGone, "iface", n.Port, "neighbour", n.Name)
		}
		return false
	case !had && len(port) >= maxPerPort:
		return false
	}
	port[key] = heard{n, now.Add(time.Duration(n.seconds) * time.Second)}
	if !had {
		a.log.Info(msgNeighbour, "iface", n.Port, "neighbour", n.Name, "chassis", n.Chassis, "model", n.Model)
	}
	return !had
}

func (a *Agent) hasPhone(port string) bool {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range a.known[port] {
		if h.MED && now.Before(h.until) {
			return true
		}
	}
	return false
}
