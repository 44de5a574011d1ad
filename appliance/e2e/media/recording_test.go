package media

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/phone"
	"github.com/coraltele/sanchar/pkg/testkit/tone"
)

// The tones of the parties: none is a harmonic of another.
const (
	aliceHz = 440
	bobHz   = 880
	carolHz = 1320
)

// little is what may be heard of a tone where a recording was interrupted: what was on its way.
const little = 300 * time.Millisecond

// lines is a site with lines of users on hosts of their own, all of PCMU.
func lines(t *testing.T, rules []ctl.RecordingRule, users ...string) (*site, map[string]*phone.Line) {
	t.Helper()
	s := open(t, users...)
	s.api.Record(rules...)
	all := map[string]*phone.Line{}
	for _, u := range users {
		all[u] = s.line(s.lab.Host(t, u), u)
		all[u].Say = pcmu().say
	}
	return s, all
}

// rule records calls of everybody, or when alice calls.
func rule(when, notice, refused string) []ctl.RecordingRule {
	r := ctl.RecordingRule{Name: "test", Side: ctl.SideAny, Record: when, Notice: notice, Refused: refused}
	if notice != ctl.NoticeNone {
		r.Side, r.People = ctl.SideCaller, []string{"alice"}
	}
	return []ctl.RecordingRule{r}
}

// now waits until the only call's recording is in a state, and returns the call.
func (s *site) now(state string) ctl.LiveCall {
	s.t.Helper()
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(50 * time.Millisecond) {
		list := s.live()
		if len(list) == 1 && list[0].Recording == state {
			return list[0]
		}
		if time.Now().After(until) {
			s.t.Fatalf("no recording is %q: %+v", state, list)
		}
	}
}

func (s *site) live() []ctl.LiveCall {
	s.t.Helper()
	var page struct {
		Calls []ctl.LiveCall `json:"calls"`
	}
	s.api.Get("/calls", &page)
	return page.Calls
}

// hangUp ends a call.
func hangUp(t *testing.T, c *phone.Call) {
	t.Helper()
	if code := c.HangUp(); code != 200 {
		t.Errorf("BYE was answered %d", code)
	}
}

// only waits for the only recording and plays it.
func (s *site) only() (rec record.Recording, caller, callee tone.Sound) {
	s.t.Helper()
	all := s.api.Recordings(1)
	if len(all) != 1 {
		s.t.Fatalf("%d recordings instead of one", len(all))
	}
	caller, callee = s.api.Play(all[0])
	return all[0], caller, callee
}

// A party begins a recording by keys, an admin interrupts it and lets it go on, and what was said meanwhile
// is not in it.
func TestRecordingByKeysAndPage(t *testing.T) {
	t.Parallel()
	s, line := lines(t, rule(ctl.RecordDemand, ctl.NoticeNone, "go on"), "alice", "bob")
	out, in := connect(t, line["alice"], line["bob"])
	a, b := speak(t, out, pcmu(), aliceHz), speak(t, in, pcmu(), bobHz)
	b.hears(aliceHz)
	a.dial("*1")
	call := s.now(ctl.RecordingOn)
	a.hears(bobHz)
	b.hears(aliceHz)
	ask := func(do, state string) {
		s.api.Post("/calls/"+url.PathEscape(call.ID)+"/recording", map[string]string{"do": do}, nil)
		s.now(state)
	}
	ask("pause", ctl.RecordingPaused)
	b.do(func() { b.hz = carolHz })
	a.hears(carolHz)
	b.do(func() { b.hz = bobHz })
	a.hears(bobHz)
	ask("resume", ctl.RecordingOn)
	a.hears(bobHz)
	a.dial("*2")
	s.now(ctl.RecordingPaused)
	a.dial("*2")
	s.now(ctl.RecordingOn)
	a.hears(bobHz)
	hangUp(t, out)
	rec, left, right := s.only()
	if rec.Why != "feature code" || rec.Call != call.ID || rec.Broken {
		t.Errorf("recording %+v", rec)
	}
	if !left.Clean(aliceHz, bobHz) || !right.Clean(bobHz, aliceHz) {
		t.Errorf("alice: %s; bob: %s", left.Describe(aliceHz, bobHz), right.Describe(bobHz, aliceHz))
	}
	if d := right.Heard(carolHz); d > little {
		t.Errorf("%s of what bob said in a pause is recorded", d)
	}
}

// The callee is asked first. Without his key nothing is recorded, and the call goes on or ends as the rule says.
func TestConsent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, key, refused string
		recorded, up       bool
	}{
		{"agrees", "1", "end", true, true},
		{"declines", "9", "go on", false, true},
		{"declines and the call ends", "9", "end", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, line := lines(t, rule(ctl.RecordAlways, ctl.NoticeAsk, c.refused), "alice", "bob")
			out, in := connect(t, line["alice"], line["bob"])
			a, b := speak(t, out, pcmu(), aliceHz), speak(t, in, pcmu(), bobHz)
			s.now(ctl.RecordingAsked)
			b.dial(c.key)
			if !c.up {
				if !in.Ended(netlab.Patience) || !out.Ended(netlab.Patience) {
					t.Error("the call was not ended")
				}
				if r := s.record("alice", "bob"); r.EndedBy != record.ByBox || !strings.Contains(r.Cause, "agree") {
					t.Errorf("the record says %s: %s", r.EndedBy, r.Cause)
				}
				return
			}
			s.now(map[bool]string{true: ctl.RecordingOn, false: ctl.RecordingOff}[c.recorded])
			a.hears(bobHz)
			b.hears(aliceHz)
			hangUp(t, out)
			r := s.record("alice", "bob")
			if (len(r.Recordings) > 0) != c.recorded {
				t.Errorf("the record names recordings %v", r.Recordings)
			}
			if !c.recorded {
				return
			}
			if _, left, right := s.only(); !left.Clean(aliceHz, bobHz) || !right.Clean(bobHz, aliceHz) {
				t.Errorf("alice: %s; bob: %s", left.Describe(aliceHz, bobHz), right.Describe(bobHz, aliceHz))
			}
		})
	}
}

// A conversation is one recording, whoever takes it over: hold and a blind transfer do not end it.
func TestRecordingThroughHoldAndTransfer(t *testing.T) {
	t.Parallel()
	s, line := lines(t, rule(ctl.RecordAlways, ctl.NoticeNone, "go on"), "alice", "bob", "carol")
	out, in := connect(t, line["alice"], line["bob"])
	a, b := speak(t, out, pcmu(), aliceHz), speak(t, in, pcmu(), bobHz)
	s.now(ctl.RecordingOn)
	a.hears(bobHz)
	b.hears(aliceHz)
	held := pcmu()
	held.media += "a=sendonly\r\n"
	for _, c := range []codec{held, pcmu()} {
		line["bob"].Say = c.say
		if err := in.Offer(); err != nil {
			t.Fatal(err)
		}
	}
	b.hears(aliceHz)
	taken := make(chan *phone.Call, 1)
	go func() {
		defer close(taken)
		c, err := line["carol"].Answer()
		if err != nil {
			t.Error(err)
			return
		}
		taken <- c
	}()
	if code := in.Transfer("carol"); code != 202 {
		t.Fatalf("REFER was answered %d", code)
	}
	third, ok := <-taken
	if !ok {
		t.FailNow()
	}
	c := speak(t, third, pcmu(), carolHz)
	a.hears(carolHz)
	c.hears(aliceHz)
	hangUp(t, out)
	s.api.Calls(1)
	rec, left, right := s.only()
	if rec.Broken || !left.Clean(aliceHz) || !right.Clean(bobHz, carolHz) || !right.Clean(carolHz, bobHz) {
		t.Errorf("%+v: alice: %s; then: %s", rec, left.Describe(aliceHz), right.Describe(bobHz, carolHz))
	}
}

// longestHole is what the death of mediad may cost a recording.
const longestHole = 2 * time.Second

// A recording outlives the program that makes it.
func TestRecordingOutlivesMediad(t *testing.T) {
	t.Parallel()
	s, line := lines(t, rule(ctl.RecordAlways, ctl.NoticeNone, "go on"), "alice", "bob")
	out, in := connect(t, line["alice"], line["bob"])
	a, b := speak(t, out, pcmu(), aliceHz), speak(t, in, pcmu(), bobHz)
	s.now(ctl.RecordingOn)
	began := time.Now()
	a.hears(bobHz)
	b.hears(aliceHz)
	s.box.Kill("mediad")
	a.hears(bobHz)
	b.hears(aliceHz)
	talked := time.Since(began)
	hangUp(t, out)
	rec, left, right := s.only()
	t.Logf("of %s the recording of %s has %s of alice and %s of bob; broken: %v", talked, rec.Duration, left.Heard(aliceHz), right.Heard(bobHz), rec.Broken)
	for _, heard := range []time.Duration{left.Heard(aliceHz), right.Heard(bobHz)} {
		if talked-heard > longestHole {
			t.Errorf("of %s talk %s is recorded", talked, heard)
		}
	}
}
