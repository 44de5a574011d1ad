package session

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"github.com/coraltele/sanchar/pkg/base/pack"
	"github.com/coraltele/sanchar/pkg/media/port"
	"github.com/coraltele/sanchar/pkg/media/quality"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/media/session/snapshot"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Layout names the memory of a relay.State. A process with another one starts the counters and the
// proving of peers anew. The first number is raised when a field changes its meaning but not its size.
const Layout = uint32(1)<<16 | uint32(stateSize)

const stateSize = unsafe.Sizeof(relay.State{})

// saveLocked writes the session's record anew.
func (t *Table) saveLocked(s *session) error {
	rec := saved{ID: s.id, Started: s.started, Gone: s.gone, Legs: make([]savedLeg, 0, len(s.legs))}
	for _, l := range s.legs {
		sl := savedLeg{ID: l.id, Local: l.where.local, Source: l.where.source, Ours: l.ours, Streams: make([]savedStream, 0, len(l.streams))}
		if l.with != nil {
			sl.With = l.with.id
		}
		for _, st := range l.streams {
			ss := savedStream{Kind: st.kind, Said: st.said, Secrets: st.secrets}
			if st.pair != nil {
				ss.Port = st.pair.Local.Port()
			}
			sl.Streams = append(sl.Streams, ss)
		}
		rec.Legs = append(rec.Legs, sl)
	}
	for _, r := range s.recordings {
		rec.Recordings = append(rec.Recordings, savedRecording{Ask: r.ask, Paused: r.paused})
	}
	for _, v := range s.voices {
		if v.play != nil {
			rec.Plays = append(rec.Plays, savedPlay{Ask: v.play.ask, Begun: v.play.begun})
		}
	}
	w := pack.Writer{B: t.fixed[:0]}
	rec.pack(&w)
	t.fixed = w.B
	var err error
	s.record, err = t.area.Write(s.record, w.B, t.statesLocked(s), Layout)
	return err
}

// saveStateLocked writes what the packets have changed.
func (t *Table) saveStateLocked(s *session) {
	if s.record != (snapshot.Record{}) {
		t.area.Update(&s.record, t.statesLocked(s))
	}
}

// statesLocked is the memory of the session's states, one after another.
func (t *Table) statesLocked(s *session) []byte {
	t.buffer = t.buffer[:0]
	s.streams(func(_ *leg, _ int, st *stream) { t.buffer = append(t.buffer, stateBytes(&st.state)...) })
	return t.buffer
}

func stateBytes(st *relay.State) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(st)), stateSize)
}

// Recover takes back the sessions that a process before us left in the area, on the ports that it left
// with the supervisor. Their media flows again when it returns. Of a session whose ports cannot be had
// MediaLost is told.
func (t *Table) Recover(records []snapshot.Saved) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, errs := t.readLocked(records)
	wanted := map[netip.AddrPort]uint8{}
	for _, f := range found {
		f.each(func(at netip.AddrPort, st *savedStream) {
			if at.Port() != 0 {
				wanted[at] = t.dscp(st.Kind)
			}
		})
	}
	pairs, err := t.ports.Claim(wanted, time.Now())
	errs = append(errs, err)
	for _, f := range found {
		if err := t.reviveLocked(f, pairs); err != nil {
			errs = append(errs, fmt.Errorf("take back session %s: %w", f.ID, err))
			t.loseLocked(f, pairs)
		}
	}
	return errors.Join(errs...)
}

// found is a session's record as it was read.
type found struct {
	saved
	record     snapshot.Record
	generation uint64
	states     []byte
}

func (f *found) each(do func(at netip.AddrPort, st *savedStream)) {
	for _, l := range f.Legs {
		for i := range l.Streams {
			do(netip.AddrPortFrom(l.Local, l.Streams[i].Port), &l.Streams[i])
		}
	}
}

// readLocked reads the records. Of two of one session the later counts.
func (t *Table) readLocked(records []snapshot.Saved) (sessions map[string]*found, errs []error) {
	sessions = map[string]*found{}
	for _, r := range records {
		f := &found{record: r.Record, generation: r.Generation, states: r.State}
		if err := f.unpack(r.Fixed); err != nil {
			errs = append(errs, fmt.Errorf("read record of a media session: %w", err))
			t.area.Free(r.Record)
			continue
		}
		switch old := sessions[f.ID]; {
		case old != nil && old.generation > f.generation:
			t.area.Free(f.record)
			continue
		case old != nil:
			t.area.Free(old.record)
		}
		sessions[f.ID] = f
	}
	return sessions, errs
}

// reviveLocked makes a session of a record.
func (t *Table) reviveLocked(f *found, pairs map[netip.AddrPort]*port.Pair) error {
	s := &session{id: f.ID, started: f.Started, loop: t.chooseLocked(), gone: f.Gone, record: f.record}
	d := &draft{session: s}
	states := f.statesOf()
	for _, sl := range f.Legs {
		l := &leg{id: sl.ID, where: place{local: sl.Local, source: sl.Source}, ours: sl.Ours}
		for i, ss := range sl.Streams {
			p := pairs[netip.AddrPortFrom(sl.Local, ss.Port)]
			if p == nil && !l.rides(i) {
				return fmt.Errorf("port %d on %s is lost", ss.Port, sl.Local)
			}
			st := &stream{kind: ss.Kind, said: ss.Said, pair: p, secrets: ss.Secrets}
			if len(states) > 0 {
				st.state, states = states[0], states[1:]
				st.watch = quality.Resume(st.state.RTP.Remote())
				st.notice.secured, st.notice.zrtp = st.state.Secured, st.state.Encrypted
			}
			l.streams = append(l.streams, st)
		}
		d.legs = append(d.legs, l)
	}
	for i, sl := range f.Legs {
		if with := d.leg(sl.With); with != nil && with != d.legs[i] {
			d.legs[i].with = with
		}
	}
	t.settle(d)
	if err := t.applyLocked(d); err != nil {
		return err
	}
	s.legs = d.legs
	t.load[s.loop] += streamsOf(s.legs)
	t.addLocked(s)
	if err := t.secureLocked(s); err != nil { // what it has keys for flows
		t.log.Error("handshakes of a media session do not go on after the restart", "session", s.id, "err", err)
	}
	t.resumeLocked(s, &f.saved)
	return nil
}

// resumeLocked goes on with what the box did in a session before the restart. The media does in any case.
func (t *Table) resumeLocked(s *session, was *saved) {
	for _, r := range was.Recordings {
		if err := t.beginLocked(s, r.Ask, r.Paused); err != nil {
			t.log.Error("recording does not go on after the restart", "session", s.id, "recording", r.Ask.ID, "err", err)
			t.tellRecording(s, r.Ask.ID, recordingEnded)
		}
	}
	if err := t.tuneLocked(s); err != nil {
		t.log.Error("media session could not be tuned", "session", s.id, "err", err)
	}
	for _, p := range was.Plays {
		if err := t.replayLocked(s, p); err != nil {
			t.log.Error("sound does not go on after the restart", "session", s.id, "leg", p.Ask.Leg, "err", err)
		}
	}
}

// replayLocked goes on with what was played, where it would be now.
func (t *Table) replayLocked(s *session, was savedPlay) error {
	if t.sounds == nil {
		return nil
	}
	p, err := t.sounds.NewPlayer(&was.Ask, t.cfg.Tones)
	if err != nil {
		return err
	}
	l := s.leg(was.Ask.Leg)
	if l == nil {
		return nil
	}
	p.Skip(min(time.Since(was.Begun), maxSkip))
	for _, st := range l.streams {
		if v := s.voices[st.relay]; v != nil {
			return t.playLocked(s, v, p, was.Ask, was.Begun)
		}
	}
	return nil
}

// maxSkip bounds the work of going on: what has been played for longer is music.
const maxSkip = time.Minute

// statesOf returns the states of the record's streams, or none if they are of another layout.
func (f *found) statesOf() []relay.State {
	n := 0
	f.each(func(netip.AddrPort, *savedStream) { n++ })
	if len(f.states) != n*int(stateSize) {
		return nil
	}
	out := make([]relay.State, n)
	for i := range out {
		copy(stateBytes(&out[i]), f.states[i*int(stateSize):])
	}
	return out
}

// loseLocked gives up a session that cannot be taken back.
func (t *Table) loseLocked(f *found, pairs map[netip.AddrPort]*port.Pair) {
	t.area.Free(f.record)
	f.each(func(at netip.AddrPort, _ *savedStream) {
		if p := pairs[at]; p != nil {
			_ = t.ports.Release(p, time.Now()) // if it fails it closes the pair
		}
	})
	for _, l := range f.Legs {
		for i := range l.Streams {
			t.tell(ctl.MediaEvent{Session: f.ID, Leg: l.ID, Index: i, Kind: ctl.MediaLost, At: time.Now()})
		}
	}
}
