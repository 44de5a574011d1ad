package supervise

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// live is a supervisor of real programs, with what they did and wrote.
type live struct {
	t      testing.TB
	cancel context.CancelFunc
	ended  chan error
	mu     sync.Mutex // guards what follows
	more   chan struct{}
	lines  []string
	events []Event
}

func supervise(t testing.TB, specs ...Spec) *live {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i := range specs {
		if specs[i].Path == "" {
			specs[i].Path = exe
		}
	}
	l := &live{t: t, ended: make(chan error, 1), more: make(chan struct{})}
	s, err := New(Config{
		Programs: specs,
		Socket:   filepath.Join(t.TempDir(), "notify.sock"),
		Log:      slog.New(slog.DiscardHandler),
		OnEvent:  func(ev Event) { l.add(func() { l.events = append(l.events, ev) }) },
		Output:   func(name, text string) { l.add(func() { l.lines = append(l.lines, name+" "+text) }) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() { l.ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if l.ended != nil {
			<-l.ended
		}
	})
	return l
}

func (l *live) add(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.more)
	l.more = make(chan struct{})
}

// until waits for something to have happened.
func (l *live) until(what string, ok func() bool) {
	l.t.Helper()
	for patience := time.After(10 * time.Second); ; {
		l.mu.Lock()
		done, more := ok(), l.more
		l.mu.Unlock()
		if done {
			return
		}
		select {
		case <-more:
		case err := <-l.ended:
			l.ended = nil
			l.t.Fatalf("waiting for %s: ended: %v", what, err)
		case <-patience:
			l.t.Fatalf("waiting for %s: lines %q, events %+v", what, l.lines, l.events)
		}
	}
}

// line waits for a line that begins with prefix and returns the rest of the nth.
func (l *live) line(prefix string, nth int) (rest string) {
	l.t.Helper()
	l.until("line "+prefix, func() bool {
		left := nth
		for _, text := range l.lines {
			if r, ok := strings.CutPrefix(text, prefix); ok {
				if left--; left == 0 {
					rest = r
					return true
				}
			}
		}
		return false
	})
	return rest
}

// event waits for the nth event of a kind.
func (l *live) event(name string, kind Kind, nth int) (found Event) {
	l.t.Helper()
	l.until(fmt.Sprintf("%s %s %d", name, kind, nth), func() bool {
		left := nth
		for _, ev := range l.events {
			if ev.Name == name && ev.Kind == kind {
				if left--; left == 0 {
					found = ev
					return true
				}
			}
		}
		return false
	})
	return found
}

func (l *live) stop() error {
	l.cancel()
	err := <-l.ended
	l.ended = nil
	return err
}
