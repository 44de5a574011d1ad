package session

import (
	"context"
	"errors"
	"time"

	"github.com/coraltele/sanchar/pkg/media/offload"
	"github.com/coraltele/sanchar/pkg/media/relay"
)

// maxQuestions bounds how many routes are asked for after a beat, at some 100 µs each.
const maxQuestions = 100

// SetKernel makes k pass on what it can, or nobody if it is nil. What another kernel, or k for a process
// before us, was told is over: the one before can be closed.
func (t *Table) SetKernel(k offload.Path) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	if t.kernel != nil {
		for _, l := range t.loops {
			errs = append(errs, l.Do(func(int64) { t.dropBypasses(l) }))
		}
	}
	t.questions = nil
	if t.kernel = k; k != nil {
		errs = append(errs, k.Clear())
	}
	return errors.Join(errs...)
}

// dropBypasses runs inside the loop.
func (t *Table) dropBypasses(l *relay.Loop) {
	for _, s := range t.sessions {
		if s.loop == l {
			s.streams(func(_ *leg, _ int, st *stream) { st.relay.DropBypass() })
		}
	}
}

// Times of taking back.
const (
	backTime  = time.Second     // in which no other bypass begins: longer than a change takes
	backLimit = 5 * time.Second // a kernel that takes nothing back for so long is given up by who watches it
)

// takeBack makes a session's media come to the sockets before a verb changes it, if that takes a while.
// It takes no lock of ours while it waits.
func (t *Table) takeBack(id string) {
	t.mu.Lock()
	s, k := t.sessions[id], t.kernel
	if s == nil || k == nil || !k.Deferred() {
		t.mu.Unlock()
		return
	}
	err := s.loop.Do(func(now int64) {
		s.streams(func(_ *leg, _ int, st *stream) { st.relay.TakeBack(now + int64(backTime)) })
	})
	t.mu.Unlock()
	if err != nil {
		t.log.Debug("media does not come back before a change", "session", id, "err", err) // its loop has ended
		return
	}
	ctx, cancel := context.WithTimeout(t.life, backLimit)
	defer cancel()
	k.Settle(ctx)
}

// Reroute tells the kernel how the parties are reached now.
func (t *Table) Reroute() error {
	t.mu.Lock()
	k := t.kernel
	t.mu.Unlock()
	if k == nil {
		return nil
	}
	return k.Reroute()
}

// bypass lets the kernel pass on what it can of a session. It runs inside the loop.
func (t *Table) bypass(s *session, now int64) {
	if t.kernel == nil {
		return
	}
	s.streams(func(l *leg, i int, st *stream) {
		other := l.other(i)
		if other == nil {
			return
		}
		plan, ok := st.relay.Plan(now)
		if !ok {
			return
		}
		f := offload.Flow{Local: st.pair.Local, From: other.pair.Local, Plan: plan, DSCP: t.dscp(other.kind)}
		switch b, err := t.kernel.Start(f); {
		case err == nil:
			st.relay.SetBypass(b, now)
			st.state = st.relay.State() // kept by this beat: a restart must know where it counts
		case errors.Is(err, offload.ErrNoRoute):
			if len(t.questions) < maxQuestions {
				t.questions = append(t.questions, f)
			}
		default:
			t.log.Debug("the kernel does not pass a stream on", "session", s.id, "leg", l.id, "err", err)
		}
	})
}

// findRoutes asks how parties are reached that could be passed on. It takes no lock of ours while it asks.
func (t *Table) findRoutes() {
	t.mu.Lock()
	k, questions := t.kernel, t.questions
	t.questions = nil
	t.mu.Unlock()
	for i := range questions {
		if err := k.Find(&questions[i]); err != nil { // then they are reached by the sockets
			t.log.Debug("the kernel does not pass a stream on", "err", err)
		}
	}
}

// settle counts what the kernel passed on since the state was kept, up to the restart.
func (t *Table) settle(d *draft) {
	for _, l := range d.legs {
		for i, st := range l.streams {
			if t.kernel != nil {
				packets := st.state.Add(t.kernel.Passed(st.state.Passed))
				if other := l.other(i); other != nil {
					other.state.Out += packets
				}
			}
			st.state.Passed = relay.Passed{}
		}
	}
}
