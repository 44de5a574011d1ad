package ids

import (
	"testing"
	"time"
)

func TestRecordSortsByTimeAndTellsIt(t *testing.T) {
	at := time.UnixMilli(1_795_000_000_123)
	first, later := Record(at), Record(at.Add(time.Millisecond))
	if first >= later {
		t.Fatalf("%q does not sort before %q", first, later)
	}
	for range 100 {
		if a, b := Record(at.Add(7*time.Microsecond)), Record(at.Add(8*time.Microsecond)); a >= b || a <= Record(at) {
			t.Fatalf("%q is not between its microsecond's neighbours", a)
		}
	}
	if got, ok := RecordTime(first); !ok || !got.Equal(at) {
		t.Fatalf("time of %q: got %v %v, want %v", first, got, ok, at)
	}
	if p := RecordPrefix(at); p > first || p <= Record(at.Add(-time.Millisecond)) {
		t.Fatalf("prefix %q is not between the ids of its millisecond and the one before", p)
	}
	head, ok := Head(first)
	if p := HeadPrefix(head); !ok || p > first || first >= HeadPrefix(head+1) {
		t.Fatalf("head %x of %q does not stand for it", head, first)
	}
	for _, bad := range []string{"", "short", "UUUUUUUUUUUUUUUUUUUUUUUUUU"} {
		if _, ok := RecordTime(bad); ok {
			t.Errorf("%q is no id", bad)
		}
	}
}

func TestLengthsAndUniqueness(t *testing.T) {
	if len(Tag()) != 15 || len(CallID()) != 20 || len(Secret()) != 26 {
		t.Fatalf("lengths %d %d %d", len(Tag()), len(CallID()), len(Secret()))
	}
	seen := map[string]bool{}
	for range 1000 {
		seen[Tag()] = true
	}
	if len(seen) != 1000 {
		t.Fatalf("%d of 1000 tags differ", len(seen))
	}
}
