package session

import (
	"errors"
	"time"

	"github.com/coraltele/sanchar/pkg/media/recorder"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/media/transcode"
)

// tuneLocked brings what the box itself does with a session's streams in line with what the session is:
// who hears them, and what speaks to their parties. It is called after every change.
func (t *Table) tuneLocked(s *session) error {
	var old []*recorder.Tap
	var errs []error
	for _, r := range s.recordings {
		gone, err := r.tap(s)
		old, errs = append(old, gone...), append(errs, err)
	}
	inLoop, keys, err := t.tuneVoices(s)
	errs = append(errs, err, s.loop.Do(func(int64) {
		for _, do := range inLoop {
			do()
		}
		s.connect()
	}))
	for _, tap := range old {
		tap.Release()
	}
	for _, tap := range keys {
		tap.Release()
	}
	s.endStopped()
	return errors.Join(errs...)
}

// endStopped ends the recordings whose taps are off now.
func (s *session) endStopped() {
	for _, r := range s.stopped {
		for _, tap := range r.taps {
			tap.Release()
		}
		r.rec.Stop()
	}
	s.stopped = nil
}

// tuneVoices tunes the voices. It returns what is to be done inside the loop, and taps that are not used
// any more then.
func (t *Table) tuneVoices(s *session) (inLoop []func(), old []*transcode.KeyTap, err error) {
	var errs []error
	now := time.Now()
	for _, v := range s.voicesNow() {
		inLoop = append(inLoop, closeLine(v.line))
		if v.digits != nil {
			old = append(old, v.digits)
		}
	}
	for _, v := range s.voices {
		tap, keyErr := t.tuneDigits(s, v)
		do, err := t.tuneVoice(s, v, now)
		if do != nil {
			inLoop = append(inLoop, do)
		}
		if v.plan.Transcode && v.line != nil {
			v.other.transcoded = v.plan.From + ">" + v.plan.To
		}
		if tap != nil {
			old = append(old, tap)
		}
		errs = append(errs, err, keyErr)
	}
	return inLoop, old, errors.Join(errs...)
}

// connect gives each stream its sinks and its way. It runs inside the loop.
func (s *session) connect() {
	ears := map[*relay.Stream][]relay.Sink{}
	now := time.Now()
	for r, v := range s.voices {
		if v.ear != nil {
			ears[v.earOf] = append(ears[v.earOf], v.ear)
		}
		if v.own != nil {
			ears[r] = append(ears[r], v.own)
		}
		if v.digits != nil {
			r.SetDigits(v.digits)
		} else {
			r.SetDigits(nil)
		}
		if v.other != nil {
			v.other.setTapped(v.line != nil && !v.onlyComfort(now))
		}
	}
	s.streams(func(_ *leg, _ int, st *stream) {
		sinks := ears[st.relay]
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

// setTapped says whether the box speaks to whom the stream's media goes to, instead of it.
func (st *stream) setTapped(tapped bool) {
	if st.route.Tapped != tapped {
		st.route.Tapped = tapped
		st.relay.SetRoute(st.route)
	}
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
