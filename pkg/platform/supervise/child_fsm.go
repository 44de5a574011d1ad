package supervise

import (
	"slices"
	"syscall"
	"time"
)

// Patience. A crash must cost callers as little as may be, so the first restart is at once, and so
// is each after two seconds of service; a program that cannot run must not eat the processor that
// the others need.
const (
	readyWithin  = 60 * time.Second // a start may migrate a store
	abortGrace   = 2 * time.Second  // to write the stacks
	firstDelay   = 100 * time.Millisecond
	longestDelay = 10 * time.Second
	settled      = 2 * time.Second // a program ready this long is restarted at once again
	loopExits    = 3
	loopWindow   = 60 * time.Second
)

// phase is where a child is in its life.
type phase int

const (
	waiting  phase = iota // to be started when due
	starting              // runs, not ready; due when patience ends
	up                    // ready; due when the watchdog's patience ends
	aborting              // hung, got SIGABRT; due for SIGKILL
	killed                // got SIGKILL
	quitting              // stops though nobody asked it to; due when that took too long
	leaving               // got SIGTERM because all stop; due when the next one's turn comes
	gone                  // stopped for good
)

// process is a running program.
type process interface {
	pid() int
	signal(syscall.Signal) error
}

// child is a program with its history. The loop owns it.
type child struct {
	spec    Spec
	proc    process // nil unless it runs
	phase   phase
	due     time.Time // when the phase has lasted too long; zero is never
	fault   string    // why we end it, when we do
	readyAt time.Time
	exits   []time.Time // unordered, within loopWindow
	inARow  int         // exits without having settled
	looping bool
	fds     *fdStore
}

func (c *child) enter(p phase, due time.Time) { c.phase, c.due = p, due }

func (c *child) started(p process, now time.Time) {
	c.proc, c.fault, c.readyAt = p, "", time.Time{}
	c.enter(starting, now.Add(readyWithin))
}

func (c *child) ready(now time.Time) {
	c.readyAt = now
	c.enter(up, time.Time{})
	c.alive(now)
}

// alive starts the watchdog's patience anew.
func (c *child) alive(now time.Time) {
	if c.phase == up && c.spec.Watchdog > 0 {
		c.due = now.Add(c.spec.Watchdog)
	}
}

// crashed notes an unordered exit, sets when to start again, and reports whether a crash loop begins.
func (c *child) crashed(now time.Time) (loopBegins bool) {
	if !c.readyAt.IsZero() && now.Sub(c.readyAt) >= settled {
		c.inARow = 0
	}
	delay := time.Duration(0)
	if c.inARow > 0 {
		delay = min(firstDelay<<min(c.inARow-1, 20), longestDelay)
	}
	c.inARow++
	c.proc = nil
	c.readyAt = time.Time{}
	c.enter(waiting, now.Add(delay))

	c.exits = slices.DeleteFunc(append(c.exits, now), func(t time.Time) bool { return now.Sub(t) > loopWindow })
	was := c.looping
	c.looping = len(c.exits) >= loopExits
	return c.looping && !was
}
