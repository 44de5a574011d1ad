// Package rate bounds how often hosts are served, in memory that does not grow with their number.
package rate

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Limit is how many events are let through in a second, and after silence at once.
type Limit struct{ PerSecond, Burst float64 }

// Bucket counts the events of one source. The zero value is full.
type Bucket struct {
	tokens float64
	last   time.Time
}

// Take reports whether one more event is within the limit, and counts it if so.
func (b *Bucket) Take(l Limit, now time.Time) bool {
	if b.last.IsZero() {
		b.tokens = l.Burst
	} else if d := now.Sub(b.last); d > 0 {
		b.tokens = min(l.Burst, b.tokens+d.Seconds()*l.PerSecond)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// places is how many buckets there are for all hosts of the world; two hosts may share one. Who
// wants to starve another cannot find out with whom it shares: the seed is secret.
const places = 4096

// Sources counts the events of many hosts.
type Sources struct {
	limit Limit
	seed  maphash.Seed

	mu      sync.Mutex
	buckets [places]Bucket
}

// NewSources returns a counter that lets each host do as much as the limit says.
func NewSources(l Limit) *Sources { return &Sources{limit: l, seed: maphash.MakeSeed()} }

// Take reports whether one more event of a host is within the limit, and counts it if so.
func (s *Sources) Take(from netip.Addr, now time.Time) bool {
	at := maphash.Comparable(s.seed, from) % places
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buckets[at].Take(s.limit, now)
}
