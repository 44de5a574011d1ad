package session

import (
	"errors"
	"time"

	"github.com/coraltele/sanchar/pkg/media/quality"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// A second's work is spread over beats, so that no verb waits for all of it.
const (
	beats    = 10
	beatTime = time.Second / beats
	idleBeat = time.Minute // without sessions: only idle ports are looked for
)

// pause returns how long to rest until the next beat.
func (t *Table) pause() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.sessions) == 0 {
		return idleBeat
	}
	return beatTime
}

// beat looks after one part of the sessions: it lets the relay tend their streams, tells what is new
// of them, and keeps their state.
func (t *Table) beat(part int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, l := range t.loops {
		errs = append(errs, t.lookLocked(l, t.parts[part]))
	}
	for s := range t.parts[part] {
		t.saveStateLocked(s)
	}
	if part == 0 || len(t.sessions) == 0 {
		errs = append(errs, t.ports.Sweep(time.Now()))
	}
	return errors.Join(errs...)
}

// Keep puts the last state of all sessions where a restart finds it.
func (t *Table) Keep() error {
	var errs []error
	for part := range beats {
		errs = append(errs, t.beat(part))
	}
	return errors.Join(errs...)
}

// lookLocked looks at those of the sessions that the loop has.
func (t *Table) lookLocked(l *relay.Loop, sessions map[*session]struct{}) error {
	if t.load[l] == 0 {
		return nil // let it sleep
	}
	var at int64
	err := l.Do(func(now int64) {
		at = now
		for s := range sessions {
			if s.loop == l {
				s.look(now)
				t.bypass(s, now)
			}
		}
	})
	for s := range sessions {
		if s.loop == l && err == nil {
			t.watchLocked(s, at)
		}
	}
	return err
}

// look copies what the relay knows. It runs inside the loop.
func (s *session) look(now int64) {
	s.streams(func(l *leg, i int, st *stream) {
		st.relay.Tend(now)
		st.state = st.relay.State()
		if v := s.voices[st.relay]; v != nil && v.line != nil {
			v.closed = v.line.Closed()
		}
		st.feedback(l.other(i))
	})
}

// watchLocked tells what is new of a session.
func (t *Table) watchLocked(s *session, now int64) {
	t.reapLocked(s)
	t.tendLocked(s, time.Now())
	s.streams(func(l *leg, i int, st *stream) {
		other := l.other(i)
		look := quality.Look{
			Now: now, Last: st.state.Last, Remote: st.state.RTP.Remote(),
			// Media that is not RTP has long pauses by nature.
			Expected: flows(st, other) && relay.IsRTP(st.kind),
		}
		look.OtherSends = flows(other, st) && quality.Heard(other.state.Last, now)
		if t.noticeLocked(s, l, i, now); st.notice.direct {
			look.Expected = false
		}
		st.watch.See(look, func(kind string) {
			ev := ctl.MediaEvent{Session: s.id, Leg: l.id, Index: i, Kind: kind, Remote: look.Remote, At: time.Now()}
			if kind == ctl.MediaOneWay {
				ev.Text = st.unheard()
				st.fault(ev.Kind, ev.Text)
			}
			t.tell(ev)
		})
		t.healLocked(s, l, i, look.Expected)
	})
}

// Sessions returns all sessions with their accounts so far.
func (t *Table) Sessions() (out []ctl.MediaSession, err error) {
	for part := range beats {
		some, err := t.sessionsOf(part)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

// sessionsOf takes a part at a time, so that verbs get their turn.
func (t *Table) sessionsOf(part int) (out []ctl.MediaSession, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.loops {
		var at int64
		if err := l.Do(func(now int64) {
			at = now
			for s := range t.parts[part] {
				if s.loop == l {
					s.copyStates()
				}
			}
		}); err != nil {
			return nil, err
		}
		c := clock(at)
		for s := range t.parts[part] {
			if s.loop == l {
				out = append(out, s.describe(c))
			}
		}
	}
	return out, nil
}

func (s *session) copyStates() {
	s.streams(func(_ *leg, _ int, st *stream) { st.state = st.relay.State() })
}

func (s *session) describe(c quality.Clock) ctl.MediaSession {
	out := ctl.MediaSession{ID: s.id, Started: s.started}
	s.streams(func(l *leg, i int, st *stream) {
		a := st.account(l, i, c)
		if a.LastPacket.After(out.LastPacket) {
			out.LastPacket = a.LastPacket
		}
		out.Streams = append(out.Streams, a)
	})
	return out
}

// Status counts what there is. The caller fills in the rest.
func (t *Table) Status() (st ctl.MediaStatus, faults int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	st.Sessions = len(t.sessions)
	for _, l := range t.loops {
		if err := l.Do(func(int64) {
			totals := l.Totals()
			st.Packets += totals.Relayed
			st.Offloaded += l.Bypasses()
			st.Dropped += totals.Strangers
			st.Streams += totals.Streams
			faults += totals.Faults
		}); err != nil {
			return ctl.MediaStatus{}, 0, err
		}
	}
	st.Ports.Used, st.Ports.Open = t.ports.Use()
	return st, faults, nil
}
