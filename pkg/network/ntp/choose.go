package ntp

import (
	"cmp"
	"math"
	"slices"
	"time"
)

const (
	precision   = -20                    // 2^-20 s, about a microsecond
	minDistance = 500 * time.Microsecond // no source is believed to be better
	drift       = 15e-6                  // seconds a second that a clock may go wrong unseen (RFC 5905 §7.3, PHI)
	maxHeld     = 1500 * time.Millisecond
	maxAge      = 40 * time.Minute // of a sample; the slowest poll is 17 minutes
)

// sample is what one source said last.
type sample struct {
	at                time.Time
	offset            time.Duration // to be added to our clock
	distance          time.Duration // half the root delay and the dispersion: how wrong it may be
	delay, dispersion time.Duration // to the root
	stratum           int
	leap              int
	reference         [4]byte
}

func (s sample) distanceAt(now time.Time) time.Duration {
	age := max(0, now.Sub(s.at))
	return max(minDistance, s.distance) + time.Duration(float64(age)*drift)
}

// edge is where a source's interval of possible offsets begins or ends.
type edge struct {
	at   time.Duration
	ends bool
}

// choose returns the offset that most sources agree on, and which of them do (RFC 5905 §11.2.1: the
// intersection of their intervals). There must be more that agree than that don't: a single liar
// among three is outvoted, of two that contradict each other none is believed.
func choose(samples []sample, now time.Time) (offset time.Duration, agree []int, ok bool) {
	var edges []edge
	valid := 0
	for _, s := range samples {
		if s.usable(now) {
			d := s.distanceAt(now)
			edges = append(edges, edge{s.offset - d, false}, edge{s.offset + d, true})
			valid++
		}
	}
	low, high, most := intersection(edges)
	if most == 0 || 2*most <= valid {
		return 0, nil, false
	}
	var sum, weights float64
	for i, s := range samples {
		d := s.distanceAt(now)
		if !s.usable(now) || s.offset+d < low || s.offset-d > high {
			continue
		}
		agree = append(agree, i)
		weight := 1 / d.Seconds()
		sum, weights = sum+s.offset.Seconds()*weight, weights+weight
	}
	return time.Duration(math.Round(sum / weights * float64(time.Second))), agree, true
}

// intersection returns the interval that most intervals share, and how many do.
func intersection(edges []edge) (low, high time.Duration, most int) {
	slices.SortFunc(edges, func(a, b edge) int { // where one ends as another begins, they share a point
		return cmp.Or(cmp.Compare(a.at, b.at), map[bool]int{true: 1, false: 0}[a.ends]-map[bool]int{true: 1, false: 0}[b.ends])
	})
	open := 0
	for i, e := range edges {
		if e.ends {
			open--
			continue
		}
		if open++; open > most {
			low, high, most = e.at, edges[i+1].at, open // a begin is never last
		}
	}
	return low, high, most
}

func (s sample) usable(now time.Time) bool { return !s.at.IsZero() && now.Sub(s.at) < maxAge }
