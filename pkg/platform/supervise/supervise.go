// Package supervise starts programs and keeps them running, as systemd would: readiness, watchdog,
// restart with back-off, ordered stop, and a store of descriptors that outlives their crashes.
//
// It serves the first process of the box and the developer's supervisor alike. One thing differs
// from systemd: LISTEN_PID is not set, because a program's pid is not known before it is started;
// package notify, like sd_listen_fds_with_names without that variable, takes what it is given.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"syscall"
	"time"

	"github.com/coraltele/sanchar/pkg/base/mailbox"
)

// Spec is one program.
type Spec struct {
	Name     string
	Path     string
	Args     []string
	Env      []string      // added to the supervisor's own
	Nice     int           // priority: -20 is served first, 19 last
	Watchdog time.Duration // longest silence that is not taken for a hang; 0 does not watch
}

// Config says what to run and whom to tell.
type Config struct {
	Programs []Spec                  // started in this order, stopped in the reverse
	Socket   string                  // path of the notify socket
	Output   func(name, line string) // gets what the programs write, line by line, from one goroutine
	OnEvent  func(Event)             // called by Run; must not block
	Log      *slog.Logger
}

// Kind is what happened to a program.
type Kind string

// The kinds of events.
const (
	Started Kind = "started"
	Ready   Kind = "ready"
	Status  Kind = "status"  // it said in words what it does
	Exited  Kind = "exited"  // though nobody asked it to; it is started again
	Looping Kind = "looping" // it exited too often in a short time; it is still started again
	Stopped Kind = "stopped" // as it was asked to
)

// Event is one thing that happened to a program.
type Event struct {
	Name string
	Kind Kind
	PID  int
	Text string // the status, or why it exited
}

// happening is what other goroutines tell the loop. One field is set.
type happening struct {
	message *message
	exit    *exit
}

type exit struct {
	pid        int
	reason     string // in words; "" is exit status 0
	terminated bool   // by SIGTERM, which it did not handle
}

// Supervisor keeps programs running while Run runs.
type Supervisor struct {
	cfg      Config
	children []*child
	box      *mailbox.Box[happening]
	start    func(*child) (process, error)
	out      *output

	stopping bool
	killAt   time.Time // when stopping: the end of all patience; zero when it is over
	faults   []error   // of the stop
}

// New returns a supervisor of the programs in cfg, to be run once.
func New(cfg Config) (*Supervisor, error) {
	if len(cfg.Programs) == 0 {
		return nil, errors.New("supervise: no program")
	}
	s := &Supervisor{cfg: cfg, box: mailbox.New[happening]()}
	for _, spec := range cfg.Programs {
		s.children = append(s.children, &child{spec: spec, fds: newFDStore()})
	}
	return s, nil
}

// Run starts the programs and keeps them running. When ctx ends it stops them in order and returns
// nil if all stopped as asked.
func (s *Supervisor) Run(ctx context.Context) error {
	// PR_SET_PDEATHSIG means the death of the thread that started the child, so that thread must
	// live as long as the children (prctl(2)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	in, err := openInbox(s.cfg.Socket, s.cfg.Log, func(m *message) { s.box.Put(happening{message: m}) })
	if err != nil {
		return err
	}
	s.out = newOutput(s.cfg.Output)
	s.start = func(c *child) (process, error) { return s.startProcess(c, in) }
	err = s.loop(ctx)
	err = errors.Join(err, in.close())
	s.out.close()
	s.closeStores()
	return err
}

// closeStores closes all descriptors that are held, also those in messages that nobody read.
func (s *Supervisor) closeStores() {
	s.box.Close()
	left, _ := s.box.Take(nil)
	for _, h := range left {
		if h.message != nil {
			closeAll(h.message.fds)
		}
	}
	for _, c := range s.children {
		c.fds.close()
	}
}

func (s *Supervisor) loop(ctx context.Context) error {
	now := time.Now()
	for _, c := range s.children {
		c.due = now
	}
	done := ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var items []happening
	for !s.allGone() {
		select {
		case <-done:
			done = nil
			s.beginStop(time.Now())
		case <-s.box.Ready():
			items, _ = s.box.Take(items)
			for _, h := range items {
				s.handle(time.Now(), h)
			}
		case <-timer.C:
		}
		now := time.Now()
		s.actOnDue(now)
		timer.Reset(s.nextDue(now))
	}
	return errors.Join(s.faults...)
}

func (s *Supervisor) allGone() bool {
	for _, c := range s.children {
		if c.phase != gone {
			return false
		}
	}
	return true
}

// nextDue returns how long the loop may sleep.
func (s *Supervisor) nextDue(now time.Time) time.Duration {
	next := now.Add(time.Hour)
	if !s.killAt.IsZero() && s.killAt.Before(next) {
		next = s.killAt
	}
	for _, c := range s.children {
		if !c.due.IsZero() && c.due.Before(next) {
			next = c.due
		}
	}
	return max(next.Sub(now), 0)
}

func (s *Supervisor) actOnDue(now time.Time) {
	for _, c := range s.children {
		if c.due.IsZero() || now.Before(c.due) {
			continue
		}
		switch c.phase {
		case waiting:
			s.startChild(c, now)
		case starting:
			s.abort(c, now, fmt.Sprintf("not ready within %v", readyWithin))
		case up:
			s.abort(c, now, fmt.Sprintf("silent for %v", c.spec.Watchdog))
		case aborting:
			s.kill(c, c.fault)
		case quitting:
			s.kill(c, fmt.Sprintf("did not stop within %v and was killed", stopWithin))
		case leaving:
			c.due = time.Time{}
			s.stopNext(now) // it may go on leaving while the next begins
		case killed, gone:
		}
	}
	if !s.killAt.IsZero() && !now.Before(s.killAt) {
		s.killRest()
	}
}

func (s *Supervisor) startChild(c *child, now time.Time) {
	proc, err := s.start(c)
	if err != nil {
		s.childExited(c, now, &exit{reason: "start: " + err.Error()})
		return
	}
	c.started(proc, now)
	s.tell(Event{Name: c.spec.Name, Kind: Started, PID: proc.pid()})
}

// abort ends a child that hangs so that it leaves a trace: Go answers SIGABRT with all its stacks.
func (s *Supervisor) abort(c *child, now time.Time, why string) {
	c.fault = why
	s.signal(c, syscall.SIGABRT)
	c.enter(aborting, now.Add(abortGrace))
}

func (s *Supervisor) kill(c *child, why string) {
	c.fault = why
	s.signal(c, syscall.SIGKILL)
	c.enter(killed, time.Time{})
}

func (s *Supervisor) handle(now time.Time, h happening) {
	switch {
	case h.message != nil:
		if c := s.byPID(h.message.pid); c != nil {
			s.handleMessage(c, now, h.message)
			return
		}
		closeAll(h.message.fds) // of no child of ours
		s.cfg.Log.Warn("message of a process that is not supervised", "pid", h.message.pid)
	case h.exit != nil:
		if c := s.byPID(h.exit.pid); c != nil {
			s.childExited(c, now, h.exit)
		}
	}
}

func (s *Supervisor) byPID(pid int) *child {
	for _, c := range s.children {
		if c.proc != nil && c.proc.pid() == pid {
			return c
		}
	}
	return nil
}

func (s *Supervisor) handleMessage(c *child, now time.Time, m *message) {
	if m.remove {
		c.fds.remove(m.name)
	}
	if m.store {
		if err := c.fds.add(m.name, m.fds); err != nil {
			s.cfg.Log.Error("descriptors not kept", "name", c.spec.Name, "err", err)
		}
	} else {
		closeAll(m.fds)
	}
	if m.status != "" {
		s.tell(Event{Name: c.spec.Name, Kind: Status, PID: m.pid, Text: m.status})
	}
	if m.ready && c.phase == starting {
		c.ready(now)
		s.tell(Event{Name: c.spec.Name, Kind: Ready, PID: m.pid})
	}
	if m.stopping && c.phase == up { // it need not feed the watchdog while it stops
		c.enter(quitting, now.Add(stopWithin))
	}
	if m.watchdog {
		c.alive(now)
	}
}

// childExited decides what the end of a child means: an exit that nobody ordered is a fault,
// whatever its status.
func (s *Supervisor) childExited(c *child, now time.Time, e *exit) {
	if s.stopping {
		s.childStopped(c, now, e)
		return
	}
	reason := e.reason
	switch {
	case c.fault != "":
		reason = c.fault
	case reason == "":
		reason = "exit status 0, though nobody asked it to stop"
	}
	looping := c.crashed(now)
	s.cfg.Log.Error("program exited", "name", c.spec.Name, "pid", e.pid, "reason", reason, "again_in", c.due.Sub(now))
	s.tell(Event{Name: c.spec.Name, Kind: Exited, PID: e.pid, Text: reason})
	if looping {
		s.tell(Event{Name: c.spec.Name, Kind: Looping, PID: e.pid, Text: reason})
	}
}

func (s *Supervisor) tell(ev Event) {
	if s.cfg.OnEvent != nil {
		s.cfg.OnEvent(ev)
	}
}

func (s *Supervisor) signal(c *child, sig syscall.Signal) {
	if err := c.proc.signal(sig); err != nil { // it has ended already: its exit is on the way
		s.cfg.Log.Debug("signal", "name", c.spec.Name, "signal", sig, "err", err)
	}
}
