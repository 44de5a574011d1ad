package supervise

import (
	"fmt"
	"slices"
	"syscall"
	"time"
)

// A stop ends within stopWithin. Each program has its turn, in the reverse order of the start, so
// that it can still hand over to those it was started after; one that is slow delays the next by
// stopTurn at most.
const (
	stopWithin = 20 * time.Second
	stopTurn   = 5 * time.Second
)

func (s *Supervisor) beginStop(now time.Time) {
	s.stopping = true
	s.killAt = now.Add(stopWithin)
	for _, c := range s.children {
		if c.proc == nil {
			c.enter(gone, time.Time{})
		}
	}
	s.stopNext(now)
}

// stopNext asks the next program to stop, unless one whose turn it is has time left.
func (s *Supervisor) stopNext(now time.Time) {
	for _, c := range slices.Backward(s.children) {
		switch c.phase {
		case gone:
		case leaving:
			if !c.due.IsZero() {
				return
			}
		case aborting, killed: // it ends soon, and then the next has its turn
			return
		case waiting, starting, up, quitting:
			s.signal(c, syscall.SIGTERM)
			c.enter(leaving, now.Add(stopTurn))
			return
		}
	}
}

// childStopped notes an exit while all stop.
func (s *Supervisor) childStopped(c *child, now time.Time, e *exit) {
	reason := e.reason
	switch {
	case c.fault != "":
		reason = c.fault
	case e.terminated && c.readyAt.IsZero(): // asked to stop before it could prepare for that
		reason = ""
	}
	if reason != "" {
		s.faults = append(s.faults, fmt.Errorf("%s: %s", c.spec.Name, reason))
	}
	c.proc = nil
	c.enter(gone, time.Time{})
	s.tell(Event{Name: c.spec.Name, Kind: Stopped, PID: e.pid, Text: reason})
	s.stopNext(now)
}

// killRest ends what did not stop in time.
func (s *Supervisor) killRest() {
	s.killAt = time.Time{}
	for _, c := range s.children {
		if c.proc != nil && c.phase != killed {
			s.kill(c, fmt.Sprintf("did not stop within %v and was killed", stopWithin))
		}
	}
}
