package records

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// follower follows an archive: it has passed a number.
type follower struct {
	passed atomic.Uint64
	away   atomic.Bool
}

func (f *follower) followed() (uint64, bool) { return f.passed.Load(), !f.away.Load() }

func told(t testing.TB, a *Archive, after uint64) (what []string, last uint64) {
	t.Helper()
	last = after
	for {
		some, err := a.Changes(t.Context(), last, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) == 0 {
			return what, last
		}
		for _, c := range some {
			if c.Number <= last {
				t.Errorf("%d comes after %d", c.Number, last)
			}
			last = c.Number
			what = append(what, fmt.Sprintf("%c %s %s", c.What, c.ID[len(c.ID)-4:], c.Status))
		}
	}
}

func tail(c byte, m record.Message) string {
	return fmt.Sprintf("%c %s %s", c, m.ID[len(m.ID)-4:], m.Status)
}

func TestChangesComeInOrderAndOnce(t *testing.T) {
	t.Parallel()
	f := &follower{}
	dir := t.TempDir()
	a, stop := startStop(t, Config{Dir: dir, Followed: f.followed})
	var want []string
	old := messageAt(base().AddDate(0, -1, 0), "asha", "vikram", "of the month before")
	for i := range 5 {
		m := messageAt(base().Add(time.Duration(i)*time.Minute), "asha", "vikram", fmt.Sprint("text ", i))
		a.keepMessage(t, m)
		a.keepMessage(t, m) // again as it is
		want = append(want, tail(ChangeNew, m))
	}
	a.keepMessage(t, old)
	want = append(want, tail(ChangeNew, old))
	receipt := messageAt(base().Add(time.Hour), "vikram", "asha", "")
	receipt.Type, receipt.About, receipt.Notice = record.MessageNotification, old.ID, record.MessageDisplayed
	a.keepMessage(t, receipt)
	want = append(want, tail(ChangeReceipt, receipt))
	receipt.Status = record.MessageSent // what becomes of a receipt is no news
	a.keepMessage(t, receipt)
	old.Expires = base() // nor is what is not its state
	a.keepMessage(t, old)
	old.Status = record.MessageDisplayed
	a.keepMessage(t, old)
	want = append(want, tail(ChangeStatus, old))
	got, last := told(t, a, 0)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	stop()

	again := start(t, Config{Dir: dir, Followed: f.followed})
	if got, _ := told(t, again, 0); !slices.Equal(got, want) {
		t.Errorf("after a restart %q, want %q", got, want)
	}
	if again.LastChange() != last {
		t.Errorf("last is %d, want %d", again.LastChange(), last)
	}
	more := messageAt(base().Add(2*time.Hour), "asha", "vikram", "more")
	again.keepMessage(t, more)
	if got, _ := told(t, again, last); !slices.Equal(got, []string{tail(ChangeNew, more)}) {
		t.Errorf("behind it %q", got)
	}
}

// What all who follow have passed goes; where nobody follows nothing is written.
func TestChangesThatAllHavePassedGo(t *testing.T) {
	t.Parallel()
	f := &follower{}
	a := start(t, Config{Dir: t.TempDir(), Followed: f.followed})
	f.away.Store(true)
	a.keepMessage(t, messageAt(base(), "asha", "vikram", "unseen"))
	if got, _ := told(t, a, 0); got != nil {
		t.Errorf("nobody follows: %q", got)
	}
	f.away.Store(false)
	for i := range 4 {
		a.keepMessage(t, messageAt(base().Add(time.Duration(i)*time.Minute), "asha", "vikram", "seen"))
	}
	all, last := told(t, a, 0)
	if len(all) != 4 {
		t.Fatalf("%q", all)
	}
	f.passed.Store(last)
	m := messageAt(base().Add(time.Hour), "asha", "vikram", "new")
	a.keepMessage(t, m)
	if got, _ := told(t, a, 0); !slices.Equal(got, []string{tail(ChangeNew, m)}) {
		t.Errorf("%q is left", got)
	}
}

// A clock that goes back makes no number smaller.
func TestChangesGrowWhateverTheClockSays(t *testing.T) {
	t.Parallel()
	f := &follower{}
	a := start(t, Config{Dir: t.TempDir(), Followed: f.followed})
	a.keepMessage(t, messageAt(base(), "asha", "vikram", "one"))
	a.mu.Lock()
	a.changes.done += 1 << 50 // as after years ahead
	before := a.changes.done
	a.mu.Unlock()
	a.keepMessage(t, messageAt(base().Add(time.Minute), "asha", "vikram", "two"))
	if n := a.LastChange(); n != before+1 {
		t.Errorf("%d after %d", n, before)
	}
}

// BenchmarkFollowed measures what it costs the archive that somebody follows.
func BenchmarkFollowed(b *testing.B) {
	for name, away := range map[string]bool{"alone": true, "followed": false} {
		b.Run(name, func(b *testing.B) {
			f := &follower{}
			f.away.Store(away)
			a := start(b, Config{Dir: b.TempDir(), Followed: f.followed})
			at, n := base(), 0
			for b.Loop() {
				batch := make([]record.Envelope, 100)
				for i := range batch {
					n++
					at = at.Add(time.Millisecond)
					m := messageAt(at, fmt.Sprint("u", n%500), fmt.Sprint("u", n%499), fmt.Sprint("a message of some words, number ", n))
					batch[i] = envelope(record.KindMessage, m.ID, m)
				}
				keep(b, a, batch...)
				if f.passed.Load() < a.LastChange() {
					f.passed.Store(a.LastChange())
				}
			}
		})
	}
}
