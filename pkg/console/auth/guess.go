package auth

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// rate allows burst at once and one more after each interval.
type rate struct {
	burst int
	every time.Duration
}

// How many guesses are evaluated. Only wrong ones count, so nobody is locked out by what he knows.
const (
	maxSources = 4096 // sources remembered; the rate for all strangers holds beyond it
)

func perMinute() rate    { return rate{burst: 10, every: 6 * time.Second} }    // of a source
func perDay() rate       { return rate{burst: 100, every: 864 * time.Second} } // of a source: 200 on the first day
func forStrangers() rate { return rate{burst: 60, every: 2 * time.Second} }    // of all that never signed in

// bucket is a rate's state: when it will be full again. The zero value is full.
type bucket time.Time

// wait returns how long until one more is allowed.
func (b bucket) wait(r rate, now time.Time) time.Duration {
	toFull := max(0, time.Time(b).Sub(now))
	return max(0, toFull-time.Duration(r.burst-1)*r.every)
}

func (b *bucket) take(r rate, now time.Time) {
	full := time.Time(*b)
	if full.Before(now) {
		full = now
	}
	*b = bucket(full.Add(r.every))
}

func (b *bucket) giveBack(r rate) { *b = bucket(time.Time(*b).Add(-r.every)) }

// guesses throttles by source and, for strangers, in all.
type guesses struct {
	mu        sync.Mutex // guards what follows
	sources   map[netip.Prefix]*sourceGuesses
	strangers bucket
}

type sourceGuesses struct {
	minute, day bucket
	last        time.Time
}

func newGuesses() *guesses { return &guesses{sources: map[netip.Prefix]*sourceGuesses{}} }

// Throttled says how long to wait before the next guess.
type Throttled struct {
	Wait time.Duration
}

func (t *Throttled) Error() string { return fmt.Sprintf("throttled for %v", t.Wait) }

// take counts a guess before it is evaluated. giveBack uncounts it, when it was right.
func (g *guesses) take(source netip.Addr, known bool) (giveBack func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	s := g.sourceLocked(source, now)
	wait := max(s.minute.wait(perMinute(), now), s.day.wait(perDay(), now))
	if !known {
		wait = max(wait, g.strangers.wait(forStrangers(), now))
	}
	if wait > 0 {
		return nil, throttled(wait)
	}
	s.last = now
	s.minute.take(perMinute(), now)
	s.day.take(perDay(), now)
	if !known {
		g.strangers.take(forStrangers(), now)
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		s.minute.giveBack(perMinute())
		s.day.giveBack(perDay())
		if !known {
			g.strangers.giveBack(forStrangers())
		}
	}, nil
}

func throttled(wait time.Duration) error {
	seconds := int((wait + time.Second - 1) / time.Second)
	return problem.Wrap(&Throttled{wait}, problem.Denied, "signin.throttled",
		fmt.Sprintf("too many wrong guesses: the next one is looked at in %d s", seconds), "wait, then try again")
}

// sourceLocked finds the state of a source: an IPv4 address, or the /64 that one IPv6 user has
// all addresses of.
func (g *guesses) sourceLocked(source netip.Addr, now time.Time) *sourceGuesses {
	bits := 64
	if source = source.Unmap(); source.Is4() {
		bits = 32
	}
	p, err := source.Prefix(bits)
	if err != nil { // no address: all such share one state
		p = netip.Prefix{}
	}
	s := g.sources[p]
	if s == nil {
		if len(g.sources) >= maxSources {
			g.forgetLocked(now)
		}
		s = &sourceGuesses{last: now}
		g.sources[p] = s
	}
	return s
}

// forgetLocked drops the sources that are full again, or else the one heard of least recently.
func (g *guesses) forgetLocked(now time.Time) {
	var oldest netip.Prefix
	var at time.Time
	for p, s := range g.sources {
		if time.Time(s.day).Before(now) {
			delete(g.sources, p)
		} else if at.IsZero() || s.last.Before(at) {
			oldest, at = p, s.last
		}
	}
	if len(g.sources) >= maxSources {
		delete(g.sources, oldest)
	}
}
