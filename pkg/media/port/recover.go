package port

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// Adopt takes over pairs that the supervisor handed back, by the names that they were left under.
// Until Claim says which are in calls, all count as used and all hear. What is no pair of ours is
// closed and forgotten.
func (p *Pool) Adopt(handed map[string][]int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for key, fds := range handed {
		if err := p.adoptLocked(key, fds); err != nil {
			errs = append(errs, fmt.Errorf("adopt %s: %w", key, err), p.keeper.Forget(key))
			for _, fd := range fds {
				errs = append(errs, unix.Close(fd))
			}
		}
	}
	return errors.Join(errs...)
}

func (p *Pool) adoptLocked(key string, fds []int) error {
	if len(fds) != 2 {
		return fmt.Errorf("%d descriptors: not a pair", len(fds))
	}
	rtp, err := udpio.Adopt(fds[0])
	if err != nil {
		return err
	}
	rtcp, err := udpio.Adopt(fds[1])
	if err != nil {
		return err
	}
	pair := &Pair{RTP: fds[0], RTCP: fds[1], Local: rtp, name: key, dscp: unknownDSCP}
	if rtcp != pair.LocalRTCP() {
		return fmt.Errorf("%s and %s: not a pair", rtp, rtcp)
	}
	h := p.hosts[rtp.Addr()]
	if h == nil {
		h = &host{pairs: map[uint16]*Pair{}}
		p.hosts[rtp.Addr()] = h
	}
	if h.pairs[rtp.Port()] != nil {
		return fmt.Errorf("%s is open already", rtp)
	}
	p.openedLocked(h, pair)
	p.used++
	return nil
}

// unknownDSCP is no code point (RFC 2474 §3 has six bits), so that the next call marks the pair.
const unknownDSCP = 0xff

// Claim ends the recovery. It returns the pairs at wanted, opened anew if the supervisor did not have
// them, by the address of their RTP socket, and puts all others that were adopted to rest. A pair
// that cannot be had is missing from the result.
func (p *Pool) Claim(wanted map[netip.AddrPort]uint8, now time.Time) (map[netip.AddrPort]*Pair, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := map[netip.AddrPort]*Pair{}
	var errs []error
	for addr, h := range p.hosts {
		for port, pair := range h.pairs {
			at := netip.AddrPortFrom(addr, port)
			if _, ok := wanted[at]; ok {
				got[at] = pair
				continue
			}
			p.used--
			errs = append(errs, p.restLocked(pair, now))
		}
	}
	for at, dscp := range wanted {
		if got[at] == nil {
			pair, err := p.reopenLocked(at)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			got[at] = pair
		}
		errs = append(errs, got[at].claim(dscp))
	}
	return got, errors.Join(errs...)
}

func (p *Pool) reopenLocked(at netip.AddrPort) (*Pair, error) {
	if at.Port() < lowest || at.Port()%2 != 0 {
		return nil, fmt.Errorf("open %s again: not a port for RTP", at)
	}
	h := p.hosts[at.Addr()]
	if h == nil {
		h = &host{pairs: map[uint16]*Pair{}}
	}
	pair, err := p.bindAtLocked(h, at)
	if err != nil {
		return nil, err
	}
	p.hosts[at.Addr()] = h
	p.used++
	return pair, nil
}

// claim makes sure of a pair's mark, and that it hears: it may have been handed to its call just when
// the last process died.
func (p *Pair) claim(dscp uint8) error {
	return errors.Join(p.sockets(func(fd int, local *udpio.Sockaddr) error {
		if udpio.Muted(fd, local) {
			return udpio.Unmute(fd)
		}
		return nil // connected to its party, perhaps
	}), p.ready(dscp))
}
