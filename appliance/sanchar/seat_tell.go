package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// What a console says by itself.
const (
	greetEvery = 5 * time.Second // is looked whether what it shows has changed
	tellAgain  = 2 * time.Second // after the init could not be asked
	// A line that comes again and again must leave room to type: so many are shown within this time.
	tellBurst  = 10
	tellWithin = 10 * time.Second
)

// greet shows where the page is, and the code that the first person needs there, whenever that changes.
func (s *seat) greet(ctx context.Context) {
	shown := ""
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, greetEvery)
		st, err := s.box.admin.Status(limited)
		cancel()
		if err == nil {
			if text := greeting(st); text != shown {
				s.say("%s", text)
				shown = text
			}
		}
		wait(ctx, greetEvery)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func greeting(st ctl.AdminStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  Sanchar %s\n  Page:        %s\n", printable(st.Version), printable(st.Page))
	if !st.SetUp && st.SetupCode != "" {
		fmt.Fprintf(&b, "  Set-up code: %s\n", printable(st.SetupCode))
	}
	for _, a := range st.Alarms {
		fmt.Fprintf(&b, "  ! %s: %s\n", printable(a.Text), printable(a.Cure))
	}
	return b.String() + "\n"
}

// tell shows what the box does as a machine, above the line that is being typed.
func (s *seat) tell(ctx context.Context) {
	room := burst{}
	for ctx.Err() == nil {
		_ = s.box.init.Log(ctx, 0, true, func(l ctl.LogLine) error { // it ends with the init, or has not begun
			s.heard(l, &room)
			return nil
		})
		wait(ctx, tellAgain)
	}
}

func (s *seat) heard(l ctl.LogLine, room *burst) {
	s.mu.Lock()
	all := s.all
	s.mu.Unlock()
	switch {
	case all:
		s.showLine(l)
	case ofMachine(l):
		lost, ok := room.take(l.At)
		if lost > 0 {
			s.say("%d lines more: see log\n", lost)
		}
		if ok {
			s.showLine(l)
		}
	}
}

// ofMachine reports whether a line is about the box as a machine: what daemons say may name users.
func ofMachine(l ctl.LogLine) bool { return l.From == ctl.LogInit || l.From == ctl.LogKernel }

func (s *seat) showLine(l ctl.LogLine) { s.say("%s: %s\n", printable(l.From), printable(l.Text)) }

// burst lets tellBurst things through within tellWithin, and counts the others.
type burst struct {
	since time.Time
	n     int
}

func (b *burst) take(now time.Time) (lost int, ok bool) {
	if now.Sub(b.since) >= tellWithin {
		lost = max(0, b.n-tellBurst)
		b.since, b.n = now, 0
	}
	b.n++
	return lost, b.n <= tellBurst
}
