package session

import (
	"github.com/coraltele/sanchar/pkg/media/recorder"
	"github.com/coraltele/sanchar/pkg/media/relay"
)

// tuneLocked brings what the box itself does with a session's streams in line with what the session is:
// who hears them, and what speaks to their parties. It is called after every change.
func (t *Table) tuneLocked(s *session) error {
	var old []*recorder.Tap
	var fault error
	for _, r := range s.recordings {
		gone, err := r.tap(s)
		old = append(old, gone...)
		if err != nil {
			fault = err
		}
	}
	err := s.loop.Do(func(int64) { s.tap() })
	for _, tap := range old {
		tap.Release()
	}
	for _, r := range s.stopped {
		for _, tap := range r.taps {
			tap.Release()
		}
		r.rec.Stop()
	}
	s.stopped = nil
	if err != nil {
		return err
	}
	return fault
}

// tap gives each stream its sinks. It runs inside the loop.
func (s *session) tap() {
	s.streams(func(_ *leg, _ int, st *stream) {
		var sinks []relay.Sink
		for _, r := range s.recordings {
			if tap := r.taps[st.relay]; tap != nil {
				tap.SetPaused(r.paused)
				sinks = append(sinks, tap)
			}
		}
		if len(sinks) > 0 || st.tapped {
			st.relay.SetSinks(sinks...)
		}
		st.tapped = len(sinks) > 0
	})
}

// hushLocked ends what the box does in a session that is over.
func (t *Table) hushLocked(s *session) {
	for len(s.recordings) > 0 {
		r := s.recordings[0]
		t.stopLocked(s, r)
		t.tellRecording(s, r.ask.ID, recordingEnded)
	}
	if err := t.tuneLocked(s); err != nil {
		t.log.Warn("recordings of a media session were not ended cleanly", "session", s.id, "err", err)
	}
}
