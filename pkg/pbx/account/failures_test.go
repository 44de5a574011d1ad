package account

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// told runs a counter in virtual time and collects what it writes.
func told(t *testing.T, script func(f *Failures, written func() []record.AuthFailure)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ch := make(chan record.AuthFailure, 10*maxFailures)
		f := NewFailures(func(r record.AuthFailure) { ch <- r })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		script(f, func() (all []record.AuthFailure) {
			synctest.Wait()
			for len(ch) > 0 {
				all = append(all, <-ch)
			}
			return all
		})
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func guess(user string) record.AuthFailure {
	return record.AuthFailure{Source: netip.MustParseAddr("192.0.2.1"), Username: user, Reason: record.AuthWrongSecret, Last: time.Now()}
}

// An admin beside a phone that cannot sign in sees at once why, and a crash loses no more than the
// count of repetitions.
func TestTheFirstFailureIsToldAtOnceAndTheRestAMinuteLater(t *testing.T) {
	t.Parallel()
	told(t, func(f *Failures, written func() []record.AuthFailure) {
		f.Add(guess("alice"))
		first := written()
		if len(first) != 1 || first[0].Count != 1 || first[0].Username != "alice" {
			t.Fatalf("at once: %+v", first)
		}
		for range 9 {
			time.Sleep(time.Second)
			f.Add(guess("alice"))
		}
		if again := written(); len(again) != 0 {
			t.Errorf("repetitions are told one by one: %+v", again)
		}
		time.Sleep(failureFlush)
		rest := written()
		if len(rest) != 1 || rest[0].ID != first[0].ID || rest[0].Count != 10 || !rest[0].Last.After(rest[0].First) {
			t.Errorf("after a minute: %+v", rest)
		}
	})
}

func TestAFailureThatStaysAloneIsToldOnce(t *testing.T) {
	t.Parallel()
	told(t, func(f *Failures, written func() []record.AuthFailure) {
		f.Add(guess("alice"))
		time.Sleep(3 * failureFlush)
		if all := written(); len(all) != 1 {
			t.Errorf("told %d times: %+v", len(all), all)
		}
		f.Add(guess("alice"))
		if all := written(); len(all) != 1 {
			t.Errorf("of another minute: %+v", all)
		}
	})
}

func TestManyKindsOfFailuresAreBounded(t *testing.T) {
	t.Parallel()
	told(t, func(f *Failures, written func() []record.AuthFailure) {
		for i := range 3 * maxFailures {
			f.Add(guess(fmt.Sprint("user", i)))
		}
		if all := written(); len(all) != maxFailures+1 {
			t.Errorf("%d records of %d kinds", len(all), 3*maxFailures)
		}
		time.Sleep(failureFlush)
		if rest := written(); len(rest) != 1 || rest[0].Username != "(many)" || rest[0].Count != 2*maxFailures {
			t.Errorf("after a minute: %d records, not one of all others", len(rest))
		}
	})
}
