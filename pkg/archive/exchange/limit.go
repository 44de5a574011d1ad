package exchange

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// What one source may ask. An address from which a user came lately may be a whole office's, whose
// phones all fetch what was sent to a group.
const (
	strangerRate  = 10 // requests a second
	strangerBurst = 60
	knownRate     = 200
	knownBurst    = 1000
	knownFor      = time.Hour
	// limitSources is how many sources have a place of their own. It never grows: who shares a
	// place starts it anew.
	limitSources = 4096
)

type source struct {
	hash   uint64
	tokens float64
	last   time.Time
	known  time.Time // until when
}

type limiter struct {
	seed maphash.Seed

	mu     sync.Mutex // guards places
	places []source
}

func newLimiter() *limiter { return &limiter{seed: maphash.MakeSeed()} }

// placeLocked finds a source's place. A network of 64 bits is one source of IPv6.
func (l *limiter) placeLocked(addr netip.Addr, now time.Time) *source {
	if l.places == nil {
		l.places = make([]source, limitSources) // not before somebody comes: an idle box is small
	}
	b := addr.As16()
	if addr.Is6() {
		clear(b[8:])
	}
	h := maphash.Bytes(l.seed, b[:]) | 1
	p := &l.places[h%limitSources]
	if p.hash != h {
		*p = source{hash: h, tokens: strangerBurst, last: now}
	}
	return p
}

// allow reports whether a request of this source is to be looked at.
func (l *limiter) allow(addr netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.placeLocked(addr, now)
	rate, burst := float64(strangerRate), float64(strangerBurst)
	if now.Before(p.known) {
		rate, burst = knownRate, knownBurst
	}
	p.tokens = min(burst, p.tokens+now.Sub(p.last).Seconds()*rate)
	p.last = now
	if p.tokens < 1 {
		return false
	}
	p.tokens--
	return true
}

// know marks a source from which a user came.
func (l *limiter) know(addr netip.Addr, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.placeLocked(addr, now)
	if !now.Before(p.known) {
		p.tokens = knownBurst
	}
	p.known = now.Add(knownFor)
}

// Files that are fetched at the same time: each holds a segment of 64 KiB.
const (
	maxReaders     = 96
	maxReadersEach = 12 // of one user, who may have several devices
)

// readers counts them.
type readers struct {
	mu   sync.Mutex // guards what follows
	all  int
	each map[string]int
}

func newReaders() *readers { return &readers{each: map[string]int{}} }

func (r *readers) enter(user string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all >= maxReaders || r.each[user] >= maxReadersEach {
		return false
	}
	r.all++
	r.each[user]++
	return true
}

func (r *readers) leave(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.each[user]--; r.each[user] == 0 {
		delete(r.each, user)
	}
}
