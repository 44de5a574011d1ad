package edge

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// What one source may send. A stranger gets enough to register and to call, a registered device
// enough for a busy operator; all strangers together cannot take the box from the registered.
const (
	strangerRate  = 20    // messages a second
	strangerBurst = 60    // a phone that starts: registrations, subscriptions, keep-alives
	knownRate     = 200   // messages a second of a registered device's address
	allStrangers  = 2_000 // messages a second of all strangers together
)

// What guessing costs. Only a digest that came back with our nonce counts, so that a forged source
// cannot get another banned; addresses of registered devices have ten times the room, since an
// office shares one.
const (
	failuresPerMinute = 30
	failuresPerDay    = 200
	knownFactor       = 10
	firstBan          = 10 * time.Minute // doubles with each further one
	longestBan        = 24 * time.Hour
)

// The table of sources: a few places for each of many sets, made at the first message, so that it
// never grows. Who is pushed out starts anew.
const (
	limitSets = 2048
	limitWays = 4
)

type source struct {
	hash     uint64
	tokens   float32
	last     uint32 // ms since start; of the latest message
	minute   uint16 // failures of this minute
	day      uint16 // failures of this day
	minuteAt uint32 // ms since start
	dayAt    uint32
	banEnd   uint32
	bans     uint8
}

type limiter struct {
	on   bool
	seed maphash.Seed

	mu     sync.Mutex // guards what follows; held for a table look-up
	start  time.Time
	sets   [][limitWays]source
	tokens float64 // of all strangers
	last   uint32
	known  map[netip.Addr]uint32 // ms since start, until when; bounded by the registrations
}

func newLimiter(on bool) *limiter {
	return &limiter{on: on, seed: maphash.MakeSeed(), start: time.Now(), known: map[netip.Addr]uint32{}, tokens: allStrangers}
}

// ms returns now as the table keeps time. It wraps after 49 days; differences do not mind.
func (l *limiter) ms(now time.Time) uint32 {
	return uint32(now.Sub(l.start) / time.Millisecond)
}

// allow reports whether a message of this source is to be read.
func (l *limiter) allow(addr netip.Addr, now time.Time) bool {
	if !l.on {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.ms(now)
	rate, burst, known := float32(strangerRate), float32(strangerBurst), l.isKnownLocked(addr, t)
	if known {
		rate, burst = knownRate, knownRate
	}
	s := l.findLocked(addr, t, burst)
	if s.banEnd != 0 && int32(s.banEnd-t) > 0 {
		return false
	}
	s.tokens = min(s.tokens+rate*float32(t-s.last)/1000, burst)
	s.last = t
	if s.tokens < 1 || (!known && !l.strangerLocked(t)) {
		return false
	}
	s.tokens--
	return true
}

// strangerLocked takes from what all strangers have together.
func (l *limiter) strangerLocked(t uint32) bool {
	l.tokens = min(l.tokens+allStrangers*float64(t-l.last)/1000, allStrangers)
	l.last = t
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// findLocked returns the place of a source. A new one starts with a burst.
func (l *limiter) findLocked(addr netip.Addr, t uint32, burst float32) *source {
	if l.sets == nil {
		l.sets = make([][limitWays]source, limitSets)
	}
	h := l.hash(addr)
	set := &l.sets[h%limitSets]
	oldest := &set[0]
	for i := range set {
		if set[i].hash == h {
			return &set[i]
		}
		if set[i].banEnd == 0 && (oldest.banEnd != 0 || t-set[i].last > t-oldest.last) {
			oldest = &set[i]
		}
	}
	*oldest = source{hash: h, tokens: burst, last: t, minuteAt: t, dayAt: t}
	return oldest
}

// hash counts an IPv6 network of 64 bits as one source: a host there has as many addresses as it
// likes.
func (l *limiter) hash(addr netip.Addr) uint64 {
	b := addr.As16()
	if addr.Is6() {
		binary.BigEndian.PutUint64(b[8:], 0)
	}
	return maphash.Bytes(l.seed, b[:]) | 1
}

func (l *limiter) isKnownLocked(addr netip.Addr, t uint32) bool {
	until, ok := l.known[addr]
	if ok && int32(until-t) <= 0 {
		delete(l.known, addr)
		return false
	}
	return ok
}

// know marks an address as one of a registered device.
func (l *limiter) know(addr netip.Addr, until time.Time) {
	if !l.on {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[addr] = l.ms(until)
}

// failed counts a wrong digest and bans who guesses; it returns for how long, once.
func (l *limiter) failed(addr netip.Addr, now time.Time) (ban time.Duration) {
	if !l.on {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.ms(now)
	s := l.findLocked(addr, t, strangerBurst)
	if t-s.minuteAt >= uint32(time.Minute/time.Millisecond) {
		s.minute, s.minuteAt = 0, t
	}
	if t-s.dayAt >= uint32(24*time.Hour/time.Millisecond) {
		s.day, s.dayAt = 0, t
	}
	s.minute++
	s.day++
	factor := uint16(1)
	if l.isKnownLocked(addr, t) {
		factor = knownFactor
	}
	if s.minute > failuresPerMinute*factor || s.day > failuresPerDay*factor {
		ban = min(firstBan<<s.bans, longestBan)
		s.banEnd = (t + uint32(ban/time.Millisecond)) | 1
		s.bans = min(s.bans+1, 8)
		s.minute, s.day = 0, 0
	}
	return ban
}

// banned reports whether a source is banned now.
func (l *limiter) banned(addr netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.ms(now)
	s := l.findLocked(addr, t, strangerBurst)
	return s.banEnd != 0 && int32(s.banEnd-t) > 0
}

// Guessed counts a wrong digest that came another way than by SIP.
func (e *Edge) Guessed(addr netip.Addr) {
	now := time.Now()
	ban := e.limit.failed(addr, now)
	if ban == 0 {
		return
	}
	e.log.Warn("a source guesses passwords and is banned", "peer", addr, "until", now.Add(ban))
	if e.handlers.Banned != nil {
		e.handlers.Banned(sourceOf(addr), now.Add(ban))
	}
}

// sourceOf is what the limiter counts as one source.
func sourceOf(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // it fits
	return p
}

// Banned reports whether a source guessed too often.
func (e *Edge) Banned(addr netip.Addr) bool { return e.limit.banned(addr, time.Now()) }
