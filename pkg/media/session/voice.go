package session

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/media/transcode"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// voice is what the box does between an audio stream's party and the one that it hears. It belongs to the
// relay's stream, and stays when the session changes around it.
type voice struct {
	st    *stream // as the session has it now
	other *stream // that the party talks with; nil for nobody

	// Why the box speaks to the party.
	plan    transcode.Plan // of what comes from other
	play    *playing
	dialing bool
	beepEnd time.Time // a beep is mixed in until then
	comfort bool      // nobody has sent to the party for a while

	line   *transcode.Line
	out    transcode.Out
	ear    *transcode.Ear // of line, on other
	earOf  *relay.Stream
	told   []ctl.MediaFormat // of ear
	closed bool              // the line has ended by itself
	own    *transcode.Ear    // of line, on the party itself: it tells keys by tones only

	digits *transcode.KeyTap
	clock  uint32 // of digits

	sent  uint64    // to the party, when it was last looked at
	since time.Time // nothing has been sent to it; zero if something was
}

// playing is what is played to a party.
type playing struct {
	ask   ctl.MediaPlay
	begun time.Time
}

// sayable reports whether the box can speak to a party: in clear or with keys that it has.
func (st *stream) sayable() bool {
	return st.said != nil && strings.EqualFold(st.kind, "audio") && st.readable() && wants(st.said) && receives(st.said.Direction)
}

// transcodedTo reports whether what the party says is to be transcoded for another.
func (st *stream) transcodedTo(other *stream) bool {
	return other != nil && st.said != nil && flows(st, other) && st.readable() && other.sayable() && transcode.PlanOf(st.said, other.said).Transcode
}

// passes reports whether the party checks connectivity with the other and not with the box: what it hears
// may come by another way, and must not be mixed with what the box says.
func (st *stream) passes() bool { return st.said != nil && st.said.ICE.Ufrag != "" && st.agent == nil }

// voices brings the voices of a session up to date with its streams, and returns those that are left over.
func (s *session) voicesNow() (left []*voice) {
	if s.voices == nil {
		s.voices = map[*relay.Stream]*voice{}
	}
	now := map[*relay.Stream]bool{}
	s.streams(func(l *leg, i int, st *stream) {
		if !strings.EqualFold(st.kind, "audio") {
			return
		}
		now[st.relay] = true
		v := s.voices[st.relay]
		if v == nil {
			v = &voice{}
			s.voices[st.relay] = v
		}
		v.st, v.other, v.plan = st, l.other(i), transcode.Plan{}
		if v.other != nil && v.other.said != nil && st.said != nil && v.other.readable() {
			v.plan = transcode.PlanOf(v.other.said, st.said)
		}
	})
	for r, v := range s.voices {
		if !now[r] {
			left = append(left, v)
			delete(s.voices, r)
		}
	}
	return left
}

// readable reports whether the box has the keys of what a party sends and hears, or there are none.
func (st *stream) readable() bool {
	return !st.state.Encrypted && (st.locked() || (!st.said.Secure && st.secrets.protection != ctl.Through))
}

// speaks reports whether the box has to speak to the party.
func (v *voice) speaks(now time.Time) bool {
	transcodes := v.plan.Transcode && flows(v.other, v.st)
	return v.st.sayable() && (transcodes || v.play != nil || v.dialing || v.comfort || now.Before(v.beepEnd))
}

// tuneVoice makes, changes or gives up the line to a party. What it returns is done inside the loop.
func (t *Table) tuneVoice(s *session, v *voice, now time.Time) (inLoop func(), err error) {
	out, speakable := transcode.Out{}, false
	if v.st.said != nil {
		out, speakable = transcode.Speech(v.st.said)
	}
	old := v.line
	if !speakable || t.work == nil || !v.speaks(now) {
		v.line, v.ear, v.earOf, v.own = nil, nil, nil, nil
		return closeLine(old), nil
	}
	if v.closed {
		v.line, v.ear, v.own, v.closed = nil, nil, nil, false
	}
	switch {
	case v.line == nil:
		r := v.st.relay
		v.line, err = transcode.NewLine(r, out, transcode.Tell{
			Played: func(id string) { t.played(s.id, r, id) },
			Dialed: func() { t.dialed(s.id, r) },
			Digit:  func(key string) { t.pressed(s.id, r, key, true) },
			Own:    func(key string) { t.pressed(s.id, r, key, false) },
		})
		if err != nil {
			return nil, err
		}
		t.work.Add(s.loop, v.line)
	case out != v.out:
		if err := v.line.SetOut(out); err != nil {
			return nil, err
		}
	}
	v.out = out
	line, comfort := v.line, v.onlyComfort(now)
	return func() { line.SetComfort(comfort) }, errors.Join(v.listen(), v.listenOwn())
}

// listenOwn gives the line an ear for keys while something is played, which may ask for one, if the party
// has no other way to tell them.
func (v *voice) listenOwn() (err error) {
	wanted := v.play != nil && v.clock == 0 && v.st.readable()
	switch {
	case wanted && v.own == nil:
		if v.own, err = transcode.NewEar(transcode.Told(v.st.said)); err != nil {
			return err
		}
		v.line.SetOwn(v.own)
	case !wanted && v.own != nil:
		v.own = nil
		v.line.SetOwn(nil)
	}
	return nil
}

// onlyComfort reports whether the line speaks only so that there is something.
func (v *voice) onlyComfort(now time.Time) bool {
	return v.comfort && v.play == nil && !v.dialing && !v.plan.Transcode && !now.Before(v.beepEnd)
}

func closeLine(l *transcode.Line) func() {
	if l == nil {
		return func() {}
	}
	return l.Close
}

// listen gives the line the ear of the other party, if that is to be heard.
func (v *voice) listen() (err error) {
	if v.other == nil || v.other.said == nil || !flows(v.other, v.st) || !v.other.readable() {
		if v.ear != nil {
			v.line.SetEar(nil)
		}
		v.ear, v.earOf = nil, nil
		return nil
	}
	told := transcode.Told(v.other.said)
	if v.ear != nil && v.earOf == v.other.relay && slices.Equal(told, v.told) {
		return nil
	}
	if v.ear, err = transcode.NewEar(told); err != nil {
		return err
	}
	v.earOf, v.told = v.other.relay, told
	v.line.SetEar(v.ear)
	return nil
}

// tuneDigits makes the sink for the keys of the party, if it tells them by events.
func (t *Table) tuneDigits(s *session, v *voice) (old *transcode.KeyTap, err error) {
	clock := uint32(0)
	if v.st.said != nil && v.st.readable() && t.work != nil {
		for _, f := range transcode.Told(v.st.said) {
			if strings.EqualFold(f.Encoding, "telephone-event") && clock == 0 {
				clock = f.ClockRate
			}
		}
	}
	if clock == v.clock {
		return nil, nil
	}
	old, v.digits, v.clock = v.digits, nil, clock
	if clock == 0 {
		return old, nil
	}
	keys := t.keys[s.loop]
	if keys == nil {
		if keys, err = transcode.NewKeys(); err != nil {
			return old, err
		}
		t.keys[s.loop] = keys
	}
	r := v.st.relay
	v.digits = keys.Tap(clock, func(key string) { t.pressed(s.id, r, key, false) })
	if keys.Start() {
		t.work.Add(s.loop, keys)
	}
	return old, nil
}

// tend looks at what was sent to the party: Linphone hangs up after 30 s in which nothing was, and a NAT
// forgets the way. It reports whether the voice must be tuned.
func (v *voice) tend(now time.Time) bool {
	before := v.sent
	v.sent = v.st.state.Out
	switch {
	case v.closed: // somebody speaks again
		v.comfort, v.since = false, time.Time{}
		return true
	case !v.beepEnd.IsZero() && now.After(v.beepEnd):
		v.beepEnd = time.Time{}
		return true
	case v.line != nil || v.sent != before || !v.st.sayable() || !v.st.state.RTP.Proven || v.st.passes():
		v.since = time.Time{}
	case v.since.IsZero():
		v.since = now
	case now.Sub(v.since) >= comfortAfter:
		v.comfort, v.since = true, time.Time{}
		return true
	}
	return false
}

// comfortAfter is how long nothing is sent to a party before the box sends silence: longer than the pauses
// of a party that sends no silence itself, and a fraction of the 30 s after which Linphone hangs up.
const comfortAfter = 4 * time.Second
