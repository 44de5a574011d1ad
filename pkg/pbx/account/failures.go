package account

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/record"
)

// Failures counts failed sign-ins, so that a guesser fills neither memory nor the archive: like
// failures of one source within a minute are one record. It is written with the first of them, so
// that an admin need not wait, and again at the end of the minute if there were more.
type Failures struct {
	write func(record.AuthFailure)

	mu   sync.Mutex // guards what follows
	seen map[failureKey]*record.AuthFailure
}

type failureKey struct {
	source       netip.Addr
	user, reason string
}

const (
	maxFailures  = 1000 // kinds within a minute; further ones are counted together
	failureFlush = time.Minute
	maxShown     = 128 // bytes of a text that a stranger chose
)

// NewFailures returns a counter that gives its records to write.
func NewFailures(write func(record.AuthFailure)) *Failures {
	return &Failures{write: write, seen: map[failureKey]*record.AuthFailure{}}
}

// Add counts one failure. Its texts are copied.
func (f *Failures) Add(one record.AuthFailure) {
	one.Username, one.Claimed, one.UserAgent = shown(one.Username), shown(one.Claimed), shown(one.UserAgent)
	if first, isFirst := f.count(one); isFirst {
		f.write(first)
	}
}

// count adds one to its record and returns that if it is new.
func (f *Failures) count(one record.AuthFailure) (first record.AuthFailure, isFirst bool) {
	key := failureKey{one.Source, one.Username, one.Reason}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[key] == nil && len(f.seen) >= maxFailures {
		key = failureKey{reason: one.Reason}
		one.Source, one.Username, one.Claimed, one.UserAgent = netip.Addr{}, "(many)", "", ""
	}
	r := f.seen[key]
	if r == nil {
		one.ID, one.First, one.Count = ids.Record(one.Last), one.Last, 0
		r = &one
		f.seen[key] = r
	}
	r.Last = one.Last
	r.Count++
	return *r, r.Count == 1
}

// shown copies a text of a stranger, cut and without control characters.
func shown(s string) string {
	b := make([]byte, 0, min(len(s), maxShown))
	for i := 0; i < len(s) && len(b) < maxShown; i++ {
		if c := s[i]; c >= ' ' && c != 0x7f {
			b = append(b, c)
		}
	}
	return string(b)
}

// Run writes the counts each minute, and once more when ctx ends.
func (f *Failures) Run(ctx context.Context) error {
	tick := time.NewTicker(failureFlush)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			f.flush()
			return nil
		case <-tick.C:
			f.flush()
		}
	}
}

func (f *Failures) flush() {
	f.mu.Lock()
	seen := f.seen
	f.seen = map[failureKey]*record.AuthFailure{}
	f.mu.Unlock()
	for _, r := range seen {
		if r.Count > 1 {
			f.write(*r)
		}
	}
}
