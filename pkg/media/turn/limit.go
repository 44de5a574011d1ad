package turn

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// Strangers are answered, so that clients learn their address or how to prove themselves: not more often
// than a phone that tries all its candidates, and all of them together not more than costs a tenth of a
// core. A source has a place by its hash; those that share one share the limit.
const (
	places       = 4096
	sourceRate   = 20 // answers a second
	sourceBurst  = 60
	everyoneRate = 10000
)

// limit counts answers. Its size is fixed, whoever asks.
type limit struct {
	seed    maphash.Seed
	sources [places]bucket
	all     bucket
}

// bucket fills with time.
type bucket struct {
	left float64
	at   time.Time
}

func newLimit() *limit { return &limit{seed: maphash.MakeSeed()} }

// allow reports whether a source may be answered.
func (l *limit) allow(from netip.Addr, now time.Time) bool {
	if from.Is6() { // an interface has all of its /64
		prefix, _ := from.WithZone("").Prefix(64) // of an IPv6 address there is one
		from = prefix.Addr()
	}
	b := &l.sources[maphash.Comparable(l.seed, from)%places]
	return b.take(sourceRate, sourceBurst, now) && l.all.take(everyoneRate, everyoneRate, now)
}

func (b *bucket) take(rate, burst float64, now time.Time) bool {
	if b.at.IsZero() {
		b.left = burst
	}
	b.left = min(burst, b.left+max(0, now.Sub(b.at).Seconds())*rate)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
