// Package port keeps the media ports: pairs of UDP sockets for RTP and RTCP, bound once, used for
// many calls, and held by the supervisor so that a crash closes none.
package port

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// Times of a pair that no call uses.
const (
	// quarantine is how long a pair rests between two calls. The last caller's late packets are
	// dropped in that time; they would have to come from the next caller's address to do harm.
	quarantine = 5 * time.Second
	// idleLimit is when an unused pair is closed: a busy hour's pairs are not kept for the night.
	idleLimit = 10 * time.Minute
)

// MaxPairs is how many pairs the supervisor holds descriptors of, over all addresses.
const MaxPairs = 8000

// lowest is the first port that needs no privilege.
const lowest = 1024

// attempts is how many ports are tried for a new pair before the pool searches them all. Ports of the
// range that other programs hold are few.
const attempts = 8

// Pair is two sockets of one address, RTP on the even port and RTCP on the odd one above it
// (RFC 3550 §11). Its descriptors are valid while a call has it.
type Pair struct {
	RTP, RTCP int            // descriptors
	Local     netip.AddrPort // of RTP
	name      string         // that the supervisor holds them under
	dscp      uint8          // that both are marked with
	released  time.Time
}

// LocalRTCP returns the address of the RTCP socket.
func (p *Pair) LocalRTCP() netip.AddrPort {
	return netip.AddrPortFrom(p.Local.Addr(), p.Local.Port()+1)
}

func (p *Pair) fds() [2]int { return [2]int{p.RTP, p.RTCP} }

// sockets calls each for both sockets.
func (p *Pair) sockets(each func(fd int, local *udpio.Sockaddr) error) error {
	rtp, rtcp := udpio.SockaddrOf(p.Local), udpio.SockaddrOf(p.LocalRTCP())
	return errors.Join(each(p.RTP, &rtp), each(p.RTCP, &rtcp))
}

// Keeper holds descriptors over a restart. It is notify.Notifier.
type Keeper interface {
	Store(name string, fds ...int) error
	Forget(name string) error
}

// Config is the range of ports of each local address, both ends included.
type Config struct{ First, Last uint16 }

// Pool owns the pairs.
type Pool struct {
	cfg    Config
	keeper Keeper

	mu    sync.Mutex // guards what follows; held for system calls on sockets, which do not block
	hosts map[netip.Addr]*host
	names map[string]bool // of open pairs
	named uint64          // last name given
	used  int
	open  int

	closing func(fd int) // is told before a socket is closed
}

// host is one local address.
type host struct {
	pairs map[uint16]*Pair // all that are open, by RTP port
	free  []*Pair          // in the order of their release
}

// New returns an empty pool.
func New(cfg Config, keeper Keeper) (*Pool, error) {
	if cfg.First < lowest || cfg.Last <= cfg.First || pairsOf(cfg) == 0 {
		return nil, problem.Fields("media.ports", []problem.Fault{{
			Path: "ports", Value: fmt.Sprintf("%d-%d", cfg.First, cfg.Last),
			Rule: "from 1024 on, with room for an even port and the one above it", Cure: "use 20000-29999",
		}})
	}
	return &Pool{
		cfg: cfg, keeper: keeper, hosts: map[netip.Addr]*host{}, names: map[string]bool{},
		closing: func(int) {},
	}, nil
}

// OnClose makes the pool tell of each socket before it closes it. It is called before the pool is used;
// closing must not use the pool.
func (p *Pool) OnClose(closing func(fd int)) { p.closing = closing }

// first returns the first even port of the range.
func first(cfg Config) uint16 { return cfg.First + cfg.First&1 }

// pairsOf returns how many pairs fit the range.
func pairsOf(cfg Config) int { return (int(cfg.Last) - int(first(cfg)) + 1) / 2 }

// Acquire returns a pair on the address local whose packets are marked with dscp.
func (p *Pool) Acquire(local netip.Addr, dscp uint8, now time.Time) (*Pair, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[local]
	if h == nil {
		h = &host{pairs: map[uint16]*Pair{}}
	}
	pair, err := p.rested(h, now)
	if pair == nil && err == nil {
		pair, err = p.bindLocked(h, local)
	}
	if err != nil {
		return nil, err
	}
	p.hosts[local] = h // only now: an address that is not ours leaves no trace
	if err := pair.ready(dscp); err != nil {
		h.free = append(h.free, pair)
		return nil, err
	}
	p.used++
	return pair, nil
}

// rested takes the pair that has rested longest, if long enough.
func (p *Pool) rested(h *host, now time.Time) (*Pair, error) {
	if len(h.free) == 0 || now.Sub(h.free[0].released) < quarantine {
		return nil, nil
	}
	pair := h.free[0]
	h.free = h.free[1:]
	return pair, nil
}

// bindLocked opens a new pair on a random port of the range that is not open yet.
func (p *Pool) bindLocked(h *host, local netip.Addr) (*Pair, error) {
	if p.open >= MaxPairs {
		return nil, problem.New(problem.Full, "media.ports.full", "too many media ports are open", "wait for calls to end")
	}
	total := pairsOf(p.cfg)
	start := rand.IntN(total)
	for i := range attempts + total {
		n := (start + i) % total
		if i < attempts {
			n = rand.IntN(total)
		}
		port := first(p.cfg) + uint16(2*n)
		if h.pairs[port] != nil {
			continue
		}
		pair, err := p.bindAtLocked(h, netip.AddrPortFrom(local, port))
		switch {
		case errors.Is(err, unix.EADDRINUSE): // by another program
		case err != nil:
			return nil, err
		default:
			return pair, nil
		}
	}
	return nil, problem.New(problem.Full, "media.ports.full", "all media ports are in use",
		"wait for calls to end, or widen the range of media ports")
}

// bindAtLocked opens the pair whose RTP port is at.
func (p *Pool) bindAtLocked(h *host, at netip.AddrPort) (*Pair, error) {
	pair := &Pair{Local: at}
	opts := udpio.Options{ReceiveBuffer: udpio.MediaBuffer, SendBuffer: udpio.MediaBuffer}
	var err error
	if pair.RTP, err = udpio.Open(at, opts); err != nil {
		return nil, openProblem(at.Addr(), err)
	}
	if pair.RTCP, err = udpio.Open(pair.LocalRTCP(), opts); err != nil {
		return nil, openProblem(at.Addr(), errors.Join(err, unix.Close(pair.RTP)))
	}
	pair.name = p.nameLocked()
	if err := p.keeper.Store(pair.name, pair.RTP, pair.RTCP); err != nil {
		return nil, errors.Join(err, pair.close())
	}
	p.openedLocked(h, pair)
	return pair, nil
}

func openProblem(local netip.Addr, err error) error {
	switch {
	case errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT):
		return problem.Wrap(err, problem.Invalid, "media.local", "the address "+local.String()+" is not one of this box",
			"name an address that an interface of the box has")
	case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
		return problem.Wrap(err, problem.Full, "media.descriptors", "the box has no descriptors left for media ports",
			"wait for calls to end")
	}
	return err
}

func (p *Pool) openedLocked(h *host, pair *Pair) {
	h.pairs[pair.Local.Port()] = pair
	p.names[pair.name] = true
	p.open++
}

// NamePrefix starts the names that pairs are left with the supervisor under.
const NamePrefix = "rtp"

// nameSpace bounds the numbers in names to three digits, so that those of 8,000 pairs fit what a
// program can be told (notify.Notifier.Store). The address is not in the name: the socket tells it.
const nameSpace = 36 * 36 * 36

// nameLocked returns a name that no open pair has.
func (p *Pool) nameLocked() string {
	for {
		p.named = (p.named + 1) % nameSpace
		if name := NamePrefix + strconv.FormatUint(p.named, 36); !p.names[name] {
			return name
		}
	}
}

// ready makes a resting pair hear and marks it.
func (p *Pair) ready(dscp uint8) error {
	var errs []error
	for _, fd := range p.fds() {
		if !p.released.IsZero() { // a new one was never mute
			errs = append(errs, udpio.Unmute(fd))
		}
	}
	p.released = time.Time{}
	if p.dscp != dscp {
		for _, fd := range p.fds() {
			errs = append(errs, udpio.SetDSCP(fd, dscp))
		}
		p.dscp = dscp
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("ready ports of %s: %w", p.Local, err)
	}
	return nil
}

// Release takes a pair back: it hears nothing until its next call.
func (p *Pool) Release(pair *Pair, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	return p.restLocked(pair, now)
}

func (p *Pool) restLocked(pair *Pair, now time.Time) error {
	if err := pair.sockets(udpio.Mute); err != nil { // a socket in doubt is not used again
		return errors.Join(fmt.Errorf("release ports of %s: %w", pair.Local, err), p.closeLocked(pair))
	}
	pair.released = now
	h := p.hosts[pair.Local.Addr()]
	h.free = append(h.free, pair)
	return nil
}

// closeLocked closes a pair that is in no list of free ones.
func (p *Pool) closeLocked(pair *Pair) error {
	delete(p.hosts[pair.Local.Addr()].pairs, pair.Local.Port())
	delete(p.names, pair.name)
	p.open--
	for _, fd := range pair.fds() {
		p.closing(fd)
	}
	return errors.Join(p.keeper.Forget(pair.name), pair.close())
}

func (p *Pair) close() error { return errors.Join(unix.Close(p.RTP), unix.Close(p.RTCP)) }

// Sweep closes the pairs that have not been used for long.
func (p *Pool) Sweep(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for addr, h := range p.hosts {
		for len(h.free) > 0 && now.Sub(h.free[0].released) >= idleLimit {
			pair := h.free[0]
			h.free = h.free[1:]
			errs = append(errs, p.closeLocked(pair))
		}
		if len(h.pairs) == 0 {
			delete(p.hosts, addr)
		}
	}
	return errors.Join(errs...)
}

// Use tells how many ports are in use and how many are open: two for each pair.
func (p *Pool) Use() (used, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return 2 * p.used, 2 * p.open
}

// Fullest returns how much of its range the busiest address has in use, from 0 to 1.
func (p *Pool) Fullest() (most float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.hosts {
		most = max(most, float64(len(h.pairs)-len(h.free))/float64(pairsOf(p.cfg)))
	}
	return most
}

// Close closes all sockets of ours. The supervisor goes on holding its own.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, h := range p.hosts {
		for _, pair := range h.pairs {
			errs = append(errs, pair.close())
		}
	}
	p.hosts, p.names, p.used, p.open = map[netip.Addr]*host{}, map[string]bool{}, 0, 0
	return errors.Join(errs...)
}
