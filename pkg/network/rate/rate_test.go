package rate

import (
	"net/netip"
	"testing"
	"time"
)

func TestABucketLetsABurstThroughAndThenARate(t *testing.T) {
	t.Parallel()
	l := Limit{PerSecond: 100, Burst: 400}
	start := time.Unix(1e9, 0)
	var b Bucket
	passed := 0
	for range 800 {
		if b.Take(l, start) {
			passed++
		}
	}
	for i := range 1000 {
		if b.Take(l, start.Add(time.Duration(i)*time.Millisecond)) {
			passed++
		}
	}
	if passed < 498 || passed > 500 {
		t.Errorf("%d passed of a burst of 400 and a second at 100", passed)
	}
	if b.Take(l, start.Add(-time.Hour)) {
		t.Error("a clock that goes back fills the bucket")
	}
}

func TestOneHostDoesNotStarveOthers(t *testing.T) {
	t.Parallel()
	s := NewSources(Limit{PerSecond: 1, Burst: 10})
	now := time.Unix(1e9, 0)
	n := 0
	for s.Take(netip.MustParseAddr("10.0.0.1"), now) {
		n++
	}
	if n != 10 {
		t.Errorf("%d passed", n)
	}
	served := 0
	for i := range 100 {
		if s.Take(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), now) {
			served++
		}
	}
	if served < 95 { // a few may share the place of the first
		t.Errorf("%d of 100 others are served", served)
	}
}

func BenchmarkSources(b *testing.B) {
	s := NewSources(Limit{PerSecond: 1e9, Burst: 1e9})
	a, now := netip.MustParseAddr("2001:db8::1"), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s.Take(a, now)
	}
}
