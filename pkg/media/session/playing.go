package session

import (
	"errors"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/media/sound"
	"github.com/coraltele/sanchar/pkg/media/transcode"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/dtmf"
)

// Limits of keys that are dialled.
const (
	maxDigits   = 64
	usualMillis = 100
	minMillis   = 40   // ITU-T Q.24: shorter ones need not be known
	maxMillis   = 8000 // what an event of a clock of 8000 tells in one segment
)

// Play makes a party hear sounds instead of the other, or again the other.
func (t *Table) Play(in ctl.MediaPlay) error {
	var p *sound.Player
	if len(in.Sounds) > 0 {
		if t.sounds == nil {
			return problem.New(problem.Unavailable, "media.play.none", "this box has no sounds", "give it a folder of sounds")
		}
		var err error
		if p, err = t.sounds.NewPlayer(&in, t.cfg.Tones); err != nil { // it reads files: before the lock
			return err
		}
	}
	t.takeBack(in.Session)
	t.mu.Lock()
	defer t.mu.Unlock()
	s, v, err := t.partyLocked(in.Session, in.Leg)
	if err != nil {
		return err
	}
	if err := t.playLocked(s, v, p, in, time.Now()); err != nil {
		return err
	}
	t.keepLocked(s)
	return nil
}

// playLocked begins or ends what is played to a party.
func (t *Table) playLocked(s *session, v *voice, p *sound.Player, in ctl.MediaPlay, begun time.Time) error {
	v.play = nil
	if p != nil {
		v.play = &playing{ask: in, begun: begun}
	}
	if err := t.tuneLocked(s); err != nil {
		return err
	}
	switch {
	case v.line != nil:
		v.line.Play(p, in.ID)
	case p != nil:
		v.play = nil
		return unsayable(in.Leg)
	}
	return nil
}

func unsayable(leg string) error {
	return problem.New(problem.Conflict, "media.play.format", "the box cannot speak to leg "+short(leg),
		"it must have said where it hears, in PCMU, PCMA, G722 or opus, with keys that the box has")
}

// partyLocked returns a leg's voice.
func (t *Table) partyLocked(session, leg string) (*session, *voice, error) {
	s, err := t.findLocked(session)
	if err != nil {
		return nil, nil, err
	}
	l := s.leg(leg)
	if l == nil {
		return nil, nil, problem.Fields("media.request", []problem.Fault{{Path: "leg", Value: short(leg), Rule: "a leg of the session", Cure: "offer to it first"}})
	}
	for _, st := range l.streams {
		if v := s.voices[st.relay]; v != nil {
			return s, v, nil
		}
	}
	return nil, nil, unsayable(leg)
}

// Dial tells keys to a party.
func (t *Table) Dial(in ctl.MediaDial) error {
	keys, err := checkDial(&in)
	if err != nil {
		return err
	}
	t.takeBack(in.Session)
	t.mu.Lock()
	defer t.mu.Unlock()
	s, v, err := t.partyLocked(in.Session, in.Leg)
	if err != nil {
		return err
	}
	v.dialing = true
	if err := t.tuneLocked(s); err != nil {
		return err
	}
	if v.line == nil {
		v.dialing = false
		return unsayable(in.Leg)
	}
	v.line.Dial(keys, time.Duration(in.Millis)*time.Millisecond)
	return nil
}

func checkDial(in *ctl.MediaDial) (keys []dtmf.Event, err error) {
	var c checker
	if len(in.Digits) == 0 || len(in.Digits) > maxDigits {
		c.fault("digits", short(in.Digits), "1 to 64 keys", "dial the rest when these were told")
	}
	for _, sign := range []byte(in.Digits[:min(len(in.Digits), maxDigits)]) {
		key, ok := dtmf.ParseEvent(sign)
		if !ok {
			c.fault("digits", short(in.Digits), "0 to 9, *, # and A to D", "leave out what is no key")
			break
		}
		keys = append(keys, key)
	}
	if in.Millis == 0 {
		in.Millis = usualMillis
	}
	if in.Millis < minMillis || in.Millis > maxMillis {
		c.fault("millis", strconv.Itoa(int(in.Millis)), "40 to 8000", "leave it out for 100")
	}
	return keys, c.err()
}

// event does something with the voice of a stream, if it is still there. It is called by workers.
func (t *Table) event(id string, r *relay.Stream, do func(s *session, leg string, i int, v *voice) (tune bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil || s.voices[r] == nil {
		return
	}
	tune := false
	s.streams(func(l *leg, i int, st *stream) {
		if st.relay == r {
			tune = do(s, l.id, i, s.voices[r])
		}
	})
	if !tune {
		return
	}
	if err := t.tuneLocked(s); err != nil && !errors.Is(err, relay.ErrClosed) {
		t.log.Warn("media session could not be tuned", "session", s.id, "err", err)
	}
	t.keepLocked(s)
}

// played is called when a sound has ended.
func (t *Table) played(id string, r *relay.Stream, sound string) {
	t.event(id, r, func(s *session, leg string, i int, v *voice) bool {
		if v.play == nil || v.play.ask.ID != sound {
			return false // another was ordered meanwhile
		}
		v.play = nil
		t.tell(ctl.MediaEvent{Session: s.id, Leg: leg, Index: i, Kind: ctl.MediaPlayed, ID: sound, At: time.Now()})
		return true
	})
}

// dialed is called when the last key was told.
func (t *Table) dialed(id string, r *relay.Stream) {
	t.event(id, r, func(_ *session, _ string, _ int, v *voice) bool {
		v.dialing = false
		return true
	})
}

// pressed is called when a party pressed a key: that of r, or the one that r's party hears.
func (t *Table) pressed(id string, r *relay.Stream, key string, other bool) {
	t.event(id, r, func(s *session, leg string, i int, v *voice) bool {
		if other {
			if l := s.leg(leg).with; l != nil {
				leg = l.id
			}
		}
		t.tell(ctl.MediaEvent{Session: s.id, Leg: leg, Index: i, Kind: ctl.MediaDigit, Digit: key, At: time.Now()})
		if !other {
			t.soundLocked(s, v, key)
		}
		return false
	})
}

// soundLocked lets the party that v's party talks with hear a key as a tone, if it takes no events. A line
// that transcodes does so by itself.
func (t *Table) soundLocked(s *session, v *voice, key string) {
	if v.other == nil || !flows(v.st, v.other) || v.clock == 0 { // who tells keys by tones is heard
		return
	}
	w := s.voices[v.other.relay]
	event, ok := dtmf.ParseEvent(key[0])
	if w == nil || !ok || w.play != nil || (w.line != nil && !w.dialing) || transcode.TakesKeys(w.st.said) {
		return
	}
	w.dialing = true
	if err := t.tuneLocked(s); err != nil || w.line == nil {
		w.dialing = false
		return // a party that the box cannot speak to
	}
	w.line.Dial([]dtmf.Event{event}, usualMillis*time.Millisecond)
}

// beepLocked reminds the parties of recordings, when it is time.
func (t *Table) beepLocked(s *session, now time.Time) {
	for _, r := range s.recordings {
		every := time.Duration(r.ask.Beep) * time.Second
		if every == 0 || r.paused || now.Sub(r.beeped) < every || t.sounds == nil {
			continue
		}
		r.beeped = now
		for stream := range r.taps {
			if v := s.voices[stream]; v != nil && v.play == nil {
				v.beepEnd = now.Add(beepTime)
			}
		}
		if err := t.tuneLocked(s); err != nil {
			t.log.Warn("a party does not hear that it is recorded", "session", s.id, "err", err)
			return
		}
		for _, v := range s.voices {
			if v.line != nil && now.Before(v.beepEnd) {
				if p, err := t.sounds.NewPlayer(&ctl.MediaPlay{Sounds: []ctl.MediaSound{{Tone: "beep"}}}, t.cfg.Tones); err == nil {
					v.line.Beep(p)
				}
			}
		}
	}
}

// beepTime is how long the box speaks to a party for a beep: it and the way of speech through the line.
const beepTime = 800 * time.Millisecond

// tendLocked looks after what the box says by itself.
func (t *Table) tendLocked(s *session, now time.Time) {
	tune := false
	for _, v := range s.voices {
		tune = v.tend(now) || tune
	}
	if tune {
		if err := t.tuneLocked(s); err != nil && !errors.Is(err, relay.ErrClosed) {
			t.log.Warn("media session could not be tuned", "session", s.id, "err", err)
		}
	}
	t.beepLocked(s, now)
}
