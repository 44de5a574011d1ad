package call

import (
	"maps"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/pack"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/recording"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

const (
	// noticeTime bounds the wait for the end of what the parties hear before a recording.
	noticeTime = 20 * time.Second
	// consentTime is how long a party has to agree after it was asked.
	consentTime = 20 * time.Second
	// consentKey is pressed by who agrees.
	consentKey = "1"
)

// Prompts that have to do with a recording.
const (
	promptRecorded   = "call-recorded"
	promptConsent    = "call-consent"
	promptNotAllowed = "recording-not-allowed"
)

// tape is the recording of a call.
type tape struct {
	state string   // ctl.Recording*
	id    string   // of the recording that goes on
	all   []string // ids of all of this call
	rule  string   // name of the rule that decided
	why   string   // it is recorded
	by    string   // who asked for it
	asks  map[*Leg]bool
	plays map[string]bool // notices that have not ended, by id
	wait  *timer
}

func (t *tape) pack(w *pack.Writer) {
	for _, s := range [...]string{t.state, t.id, t.rule, t.why, t.by} {
		w.String(s)
	}
	w.Strings(t.all)
}

func (t *tape) unpack(r *pack.Reader) {
	for _, s := range [...]*string{&t.state, &t.id, &t.rule, &t.why, &t.by} {
		*s = r.String()
	}
	t.all = r.Strings()
}

// decided returns the rule for the call, nil for none, and the side that its people are on.
func (c *Call) decided() (*ctl.RecordingRule, string) {
	if c.probe() {
		return nil, ""
	}
	callee := c.rec.Callee
	if callee == (record.Party{}) {
		callee = c.fork.callee
	}
	return recording.Decide(c.eng.deps.Policy(), c.rec.Caller, callee, c.rec.Dialed)
}

// recordable reports whether the call may be recorded: its media must come through the box then.
func (c *Call) recordable() bool {
	r, _ := c.decided()
	return r != nil && r.Record != ctl.RecordNever
}

// recordFirst begins the recording of a call that has been answered, if a rule says so.
func (c *Call) recordFirst() {
	if r, side := c.decided(); r != nil && r.Record == ctl.RecordAlways {
		c.tape.why, c.tape.by = "policy", ""
		c.notify(r, side)
	}
}

// recordAgain goes on after a restart: mediad went on recording, but a notice was heard by nobody's
// successor.
func (c *Call) recordAgain() {
	if c.tape.state == ctl.RecordingAsked {
		if r, side := c.decided(); r != nil {
			c.notify(r, side)
		}
	}
}

// notify lets the parties hear that the call will be recorded, or asks them, before it is.
func (c *Call) notify(r *ctl.RecordingRule, side string) {
	t := &c.tape
	t.rule, t.state = r.Name, ctl.RecordingAsked
	t.asks, t.plays = map[*Leg]bool{}, map[string]bool{}
	c.changed()
	if r.Notice == ctl.NoticeNone {
		c.recordStart()
		return
	}
	for _, l := range [...]*Leg{c.a, c.b} {
		prompt := promptRecorded
		own := (l == c.a && side == ctl.SideCaller) || (l == c.b && side == ctl.SideCallee)
		if r.Notice == ctl.NoticeAsk && !own {
			prompt, t.asks[l] = promptConsent, true
		}
		id := t.rule + "/" + l.id
		if c.play(l, ctl.MediaPlay{ID: id, Sounds: []ctl.MediaSound{{Prompt: prompt}}}) {
			t.plays[id] = true
		}
	}
	t.wait = c.after(noticeTime, c.noticeOver)
}

// noticeOver goes on when the parties have heard the notice.
func (c *Call) noticeOver() {
	t := &c.tape
	t.wait.stop()
	if c.state != stateUp || t.state != ctl.RecordingAsked {
		return
	}
	t.plays = nil
	if len(t.asks) == 0 {
		c.recordStart()
		return
	}
	t.wait = c.after(consentTime, c.refused)
}

// refused goes on without the agreement of a party that was asked.
func (c *Call) refused() {
	t := &c.tape
	t.wait.stop()
	if c.state != stateUp || t.state != ctl.RecordingAsked {
		return
	}
	t.state, t.asks, t.plays = ctl.RecordingOff, nil, nil
	c.log.Info("a party did not agree to be recorded", "rule", t.rule)
	if r, _ := c.decided(); r != nil && r.Refused == "end" {
		c.end(ending{by: record.ByBox, cause: "a party did not agree to be recorded", code: 403})
	}
	c.changed()
}

// recordStart begins a recording, now that nothing stands against it.
func (c *Call) recordStart() {
	t := &c.tape
	t.asks, t.plays = nil, nil
	id := ids.Record(time.Now())
	p := c.eng.deps.Policy()
	about := map[string]string{
		ctl.AboutCall: c.id, ctl.AboutCaller: c.rec.Caller.User, ctl.AboutCallerNumber: c.rec.Caller.Number, ctl.AboutCallee: c.rec.Callee.User,
		ctl.AboutCalleeNumber: c.rec.Callee.Number, ctl.AboutWhy: t.why, ctl.AboutBy: t.by, "rule": t.rule,
	}
	maps.DeleteFunc(about, func(_, v string) bool { return v == "" })
	err := c.tellRecorder(ctl.MediaRecord{ID: id, Do: ctl.RecordStart, Legs: c.channels(), Video: p.Video, Format: p.Format, Beep: p.Beep, About: about})
	if err != nil {
		t.state = ctl.RecordingOff
		c.fault(c.a, faultRecording, "the call could not be recorded: "+problem.Of(err).Text)
		c.changed()
		return
	}
	t.id, t.state, t.all = id, ctl.RecordingOn, append(t.all, id)
	c.changed()
}

func (c *Call) tellRecorder(in ctl.MediaRecord) error {
	in.Session = c.id
	ctx, cancel := c.relayContext()
	defer cancel()
	err := c.eng.deps.Relay.Record(ctx, in)
	if err != nil {
		c.log.Error("the recorder does not do as it should", "do", in.Do, "err", err)
	}
	return err
}

// channels says which party is on which channel: the caller's side left, the other right, whoever
// that is after a transfer.
func (c *Call) channels() []ctl.MediaRecordLeg {
	return []ctl.MediaRecordLeg{{Leg: c.a.mediaID, Channel: 0}, {Leg: c.b.mediaID, Channel: 1}}
}

// recordLegs tells the recorder who talks now: a conversation goes on through a transfer.
func (c *Call) recordLegs() {
	if t := &c.tape; t.state == ctl.RecordingOn || t.state == ctl.RecordingPaused {
		_ = c.tellRecorder(ctl.MediaRecord{ID: t.id, Do: ctl.RecordStart, Legs: c.channels()}) // it is in the log
	}
}

// recordDo does what somebody asks for: from the page, or by keys.
func (c *Call) recordDo(do, why, by string) error {
	t := &c.tape
	r, side := c.decided()
	wrong := func(text, cure string) error { return problem.New(problem.Conflict, "call.recording", text, cure) }
	on := t.state == ctl.RecordingOn || t.state == ctl.RecordingPaused
	switch {
	case c.state != stateUp || c.b == nil:
		return wrong("the call is not answered", "wait for the answer")
	case r == nil || r.Record == ctl.RecordNever:
		return problem.New(problem.Denied, "call.recording.policy", "no rule lets this call be recorded", "change the rules of recording")
	case do == ctl.RecordStart && t.state != ctl.RecordingOff:
		return wrong("the call is being recorded", "interrupt or end the recording")
	case do == ctl.RecordStart:
		t.why, t.by = why, by
		c.notify(r, side)
		return nil
	case do == ctl.RecordStop && t.state == ctl.RecordingAsked:
		c.refused()
		return nil
	case !on, do == ctl.RecordPause && t.state != ctl.RecordingOn, do == ctl.RecordResume && t.state != ctl.RecordingPaused:
		return wrong("the recording is "+stateWord(t.state), "look at the call again")
	case r.Record == ctl.RecordAlways && by == "":
		return problem.New(problem.Denied, "call.recording.always", "this call is always recorded", "ask an administrator")
	}
	if err := c.tellRecorder(ctl.MediaRecord{ID: t.id, Do: do}); err != nil {
		return err
	}
	switch do {
	case ctl.RecordPause:
		t.state = ctl.RecordingPaused
	case ctl.RecordResume:
		t.state = ctl.RecordingOn
	default:
		t.state, t.id = ctl.RecordingOff, ""
	}
	c.changed()
	return nil
}

func stateWord(state string) string {
	switch state {
	case ctl.RecordingOff:
		return "off"
	case ctl.RecordingAsked:
		return "about to begin"
	}
	return state
}

// tapeEvent takes what mediad tells of prompts, keys and recordings. It reports whether that was all.
func (c *Call) tapeEvent(ev ctl.MediaEvent) bool {
	switch ev.Kind {
	case ctl.MediaPlayed:
		if t := &c.tape; t.plays[ev.ID] {
			if delete(t.plays, ev.ID); len(t.plays) == 0 {
				c.noticeOver()
			}
		}
		if l := c.byMedia(ev.Leg); l != nil && l.hears == ev.ID {
			l.hears = ""
		}
		return true
	case ctl.MediaDigit:
		if l := c.byMedia(ev.Leg); l != nil {
			c.digit(l, ev.Digit)
		}
		return true
	case ctl.MediaRecording:
		if t := &c.tape; ev.ID == t.id && strings.HasPrefix(ev.Text, "failed") {
			t.state, t.id = ctl.RecordingOff, ""
			c.fault(c.a, faultRecording, ev.Text)
			c.changed()
		}
		return true
	}
	return false
}

// byMedia returns the party of the call that has a relay leg.
func (c *Call) byMedia(id string) *Leg {
	for _, l := range [...]*Leg{c.a, c.b} {
		if l != nil && id != "" && l.mediaID == id {
			return l
		}
	}
	return nil
}

// digit takes a key that a party has pressed.
func (c *Call) digit(l *Leg, key string) {
	if c.state != stateUp || (l != c.a && l != c.b) {
		return
	}
	t := &c.tape
	if t.state == ctl.RecordingAsked && t.asks[l] {
		if key != consentKey {
			c.refused()
			return
		}
		delete(t.asks, l)
		c.quiet(l)
		if len(t.asks) == 0 && len(t.plays) == 0 {
			t.wait.stop()
			c.recordStart()
		}
		return
	}
	p := c.eng.deps.Policy()
	switch l.keys.Press(key, p.Toggle, p.Pause) {
	case "":
	case p.Toggle:
		c.recordKey(l, map[bool]string{true: ctl.RecordStart, false: ctl.RecordStop}[t.state == ctl.RecordingOff])
	case p.Pause:
		c.recordKey(l, map[bool]string{true: ctl.RecordResume, false: ctl.RecordPause}[t.state == ctl.RecordingPaused])
	}
}

// recordKey does what a party asks for by keys, and lets it hear whether it was done.
func (c *Call) recordKey(l *Leg, do string) {
	sound := ctl.MediaSound{Tone: "beep"}
	if err := c.recordDo(do, "feature code", ""); err != nil {
		c.log.Info("a party may not do this with the recording", "do", do, "who", l.party.User, "err", err)
		sound = ctl.MediaSound{Prompt: promptNotAllowed}
	}
	if c.tape.state != ctl.RecordingAsked { // else it hears the notice
		c.play(l, ctl.MediaPlay{ID: "key/" + l.id, Sounds: []ctl.MediaSound{sound}})
	}
}

// infoDigits takes keys that a party sends by INFO.
func (c *Call) infoDigits(l *Leg, in *edge.Inbound) {
	if key := infoDigit(in.ContentType, in.Body); key != "" {
		c.digit(l, key)
	}
}

// infoDigit reads the key in the body of an INFO, "" for none: application/dtmf-relay has a line
// Signal=5, application/dtmf the key alone.
func infoDigit(kind, body string) string {
	kind, _, _ = strings.Cut(strings.ToLower(kind), ";")
	key := ""
	switch strings.TrimSpace(kind) {
	case "application/dtmf-relay":
		for line := range strings.SplitSeq(body, "\n") {
			name, value, _ := strings.Cut(line, "=")
			if strings.EqualFold(strings.TrimSpace(name), "signal") {
				key = strings.TrimSpace(value)
			}
		}
	case "application/dtmf":
		key = strings.TrimSpace(body)
	}
	if len(key) != 1 || !strings.Contains("0123456789*#ABCD", strings.ToUpper(key)) {
		return ""
	}
	return strings.ToUpper(key)
}

// RecordCall does what an admin asks for with the recording of a live call.
func (e *Engine) RecordCall(id, do, by string) error {
	e.mu.Lock()
	c := e.calls[id]
	e.mu.Unlock()
	done := make(chan error, 1)
	if c == nil || !c.post(event{do: func() { done <- c.recordDo(do, "page", by) }}) {
		return problem.New(problem.Missing, "call.missing", "there is no such call", "it may be over: look at the call log")
	}
	select {
	case err := <-done:
		return err
	case <-e.ctx.Done():
		return problem.New(problem.Unavailable, "call.away", "the box is being stopped", "try again in a moment")
	}
}
