package provision

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// missesEach is how many requests of one source that lead to nothing are looked at in a minute. A
	// phone asks for some files that the box does not have; who tries addresses out asks for thousands.
	missesEach = 30
	// missSlots is what sources are told apart by. Some share a slot, and its limit.
	missSlots = 1024
)

// misses counts requests that lead to nothing in a fixed space, whoever sends them.
type misses struct {
	all  atomic.Uint64
	seed maphash.Seed

	mu     sync.Mutex // guards what follows
	minute int64
	each   [missSlots]uint8
}

func newMisses() *misses { return &misses{seed: maphash.MakeSeed()} }

// over reports whether a source has used its share of this minute up.
func (m *misses) over(source netip.Addr) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.slotLocked(source) >= missesEach
}

// add counts one.
func (m *misses) add(source netip.Addr) {
	m.all.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.slotLocked(source); *n < missesEach {
		*n++
	}
}

func (m *misses) slotLocked(source netip.Addr) *uint8 {
	if now := time.Now().Unix() / 60; now != m.minute {
		m.minute, m.each = now, [missSlots]uint8{}
	}
	bits := 32
	if source.Is6() {
		bits = 64 // one host has all of them
	}
	prefix, _ := source.Prefix(bits) // of an address that is none it is none
	return &m.each[maphash.Comparable(m.seed, prefix)%missSlots]
}
