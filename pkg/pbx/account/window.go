package account

import (
	"hash/maphash"
	"sync"
	"time"
)

// The table of nonces in use: a few places for each of many sets, all made at the start, so that
// it never grows. Who is pushed out is challenged once more, with stale=true.
const (
	windowSets = 4096
	windowWays = 4
	windowBits = 64 // how far behind the highest nc a request may come, once each
)

// useResult says what became of a nonce count.
type useResult uint8

const (
	useFresh    useResult = iota
	useRepeated           // the very same request again: a retransmission
	useReplayed           // a count that was used, by another request
	useExpired            // the nonce is of the past
)

// nonceUse is one use of a nonce whose digest was right.
type nonceUse struct {
	random   uint64 // of the nonce
	count    uint32 // nc
	response uint32 // hash of the response, which differs with each request
	made     time.Time
	now      time.Time
}

type place struct {
	random   uint64
	seen     uint64 // bit i: count highest-i was used
	highest  uint32
	response uint32 // of the latest use
	last     uint32 // seconds since 1970
}

type window struct {
	mu   sync.Mutex // guards sets
	sets [][windowWays]place
}

func newWindow() *window { return &window{} }

var responseSeed = maphash.MakeSeed()

func hashOf(response string) uint32 { return uint32(maphash.String(responseSeed, response)) }

// use notes a use and says whether it may count.
func (w *window) use(u nonceUse) useResult {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sets == nil {
		w.sets = make([][windowWays]place, windowSets) // not before the first user is there: an idle box is small
	}
	set := &w.sets[u.random%windowSets]
	now := uint32(u.now.Unix())
	oldest := &set[0]
	for i := range set {
		p := &set[i]
		if p.random == u.random && p.highest != 0 {
			return p.use(u, now)
		}
		if p.last < oldest.last {
			oldest = p
		}
	}
	if u.now.Sub(u.made) > nonceFirst || u.count == 0 {
		return useExpired
	}
	*oldest = place{random: u.random, highest: u.count, seen: 1, response: u.response, last: now}
	return useFresh
}

func (p *place) use(u nonceUse, now uint32) useResult {
	if now-p.last > uint32(nonceInUse/time.Second) {
		return useExpired
	}
	switch {
	case u.count > p.highest:
		if ahead := u.count - p.highest; ahead < windowBits {
			p.seen = p.seen<<ahead | 1
		} else {
			p.seen = 1
		}
		p.highest, p.response, p.last = u.count, u.response, now
		return useFresh
	case u.response == p.response:
		return useRepeated
	}
	behind := p.highest - u.count
	if behind >= windowBits || p.seen&(1<<behind) != 0 {
		return useReplayed
	}
	p.seen |= 1 << behind
	p.last = now
	return useFresh
}
