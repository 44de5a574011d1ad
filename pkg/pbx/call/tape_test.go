package call

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/recording"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// Record notes what the recorder is told.
func (f *fakeRelay) Record(_ context.Context, in ctl.MediaRecord) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acts = append(f.acts, in.Do)
	f.recording = in
	if in.Do == ctl.RecordStart && len(in.About) > 0 {
		f.about = in.About
	}
	return nil
}

// Play notes what a leg's party hears.
func (f *fakeRelay) Play(_ context.Context, in ctl.MediaPlay) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(in.Sounds) == 0 {
		f.plays = append(f.plays, in.Leg+" nothing")
		return nil
	}
	s := in.Sounds[0]
	f.plays = append(f.plays, fmt.Sprintf("%s %s%s%s %s", in.Leg, s.Prompt, s.Tone, s.Music, in.Language))
	return nil
}

func (f *fakeRelay) acted() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.acts, " ")
}

// ruled lets an engine have one rule.
func (r *rig) ruled(change func(*ctl.RecordingRule)) {
	p := recording.Default()
	rule := ctl.RecordingRule{Name: "all", Side: ctl.SideAny, Record: ctl.RecordAlways, Notice: ctl.NoticeNone, Refused: "go on"}
	if change != nil {
		change(&rule)
	}
	p.Rules = append(p.Rules, rule)
	r.policy = p
}

// pair has alice and bob talk.
func (r *rig) pair() (a, b *phone) {
	a, b = r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
	r.talk(a, b)
	return a, b
}

// media tells the call's actor what mediad saw.
func (r *rig) media(ev ctl.MediaEvent) {
	ev.Session = r.eng.List()[0].ID
	r.eng.Media(ev)
	synctest.Wait()
}

func TestACallIsRecordedByARule(t *testing.T) {
	t.Parallel()
	run(t, func(r *rig) {
		r.ruled(nil)
		a, b := r.pair()
		if got := r.relay.acted(); got != "start" {
			t.Fatalf("the recorder was told %q", got)
		}
		rec := r.relay.recording
		if len(rec.Legs) != 2 || rec.Legs[0].Leg == rec.Legs[1].Leg || rec.Legs[0].Channel != 0 || rec.Legs[1].Channel != 1 || rec.Format != "opus" {
			t.Errorf("%+v", rec)
		}
		if r.relay.about[ctl.AboutCaller] != "alice" || r.relay.about[ctl.AboutCallee] != "bob" || r.relay.about[ctl.AboutWhy] != "policy" || r.relay.about["rule"] != "all" {
			t.Errorf("%v", r.relay.about)
		}
		live := r.eng.List()[0]
		if live.Recording != ctl.RecordingOn || !live.Recordable {
			t.Errorf("%+v", live)
		}
		r.restart()
		if live := r.eng.List(); len(live) != 1 || live[0].Recording != ctl.RecordingOn || r.relay.acted() != "start" {
			t.Errorf("after a restart: %+v, %s", live, r.relay.acted())
		}
		r.hangUp(a, b)
		if got := r.only(); len(got.Recordings) != 1 || got.Recordings[0] != rec.ID {
			t.Errorf("%v, want %s", got.Recordings, rec.ID)
		}
	})
}

func TestWhoDoesNotAgreeIsNotRecorded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key, refused, acts string
		up                 bool
	}{
		"agrees":       {"1", "go on", "start", true},
		"another key":  {"5", "go on", "", true},
		"no key":       {"", "go on", "", true},
		"call is over": {"", "end", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, func(r *rig) {
				r.ruled(func(rule *ctl.RecordingRule) {
					rule.People, rule.Side, rule.Notice, rule.Refused = []string{"alice"}, ctl.SideCaller, ctl.NoticeAsk, c.refused
				})
				r.pair()
				if got := strings.Join(r.relay.plays, ", "); got != "m1 call-recorded , m2 call-consent " {
					t.Fatalf("heard: %s", got)
				}
				for _, leg := range []string{"m1", "m2"} {
					for _, l := range r.eng.snapshot()[0].allLegs() {
						if l.mediaID == leg {
							r.media(ctl.MediaEvent{Kind: ctl.MediaPlayed, Leg: leg, ID: l.hears})
						}
					}
				}
				if c.key != "" {
					r.media(ctl.MediaEvent{Kind: ctl.MediaDigit, Leg: "m1", Digit: c.key}) // who was not asked
					r.media(ctl.MediaEvent{Kind: ctl.MediaDigit, Leg: "m2", Digit: c.key})
				}
				time.Sleep(2 * consentTime)
				synctest.Wait()
				if got := r.relay.acted(); got != c.acts {
					t.Errorf("the recorder was told %q, want %q", got, c.acts)
				}
				if up := len(r.eng.List()) == 1; up != c.up {
					t.Errorf("up: %v", up)
				}
			})
		})
	}
}

func TestKeysBeginAndInterruptARecording(t *testing.T) {
	t.Parallel()
	run(t, func(r *rig) {
		r.ruled(func(rule *ctl.RecordingRule) { rule.Record = ctl.RecordDemand })
		r.pair()
		if r.relay.acted() != "" {
			t.Fatal("nobody asked")
		}
		press := func(keys string) {
			for _, k := range strings.Split(keys, "") {
				r.media(ctl.MediaEvent{Kind: ctl.MediaDigit, Leg: "m2", Digit: k})
			}
		}
		press("9*1*2*2*1*2")
		if got := r.relay.acted(); got != "start pause resume stop" {
			t.Errorf("the recorder was told %q", got)
		}
		if last := r.relay.plays[len(r.relay.plays)-1]; last != "m2 recording-not-allowed " {
			t.Errorf("a pause of nothing: heard %q", last)
		}
		id := r.eng.List()[0].ID
		for _, c := range []struct{ do, code string }{{ctl.RecordStart, ""}, {ctl.RecordStart, "call.recording"}, {ctl.RecordResume, "call.recording"}, {ctl.RecordStop, ""}} {
			err := r.eng.RecordCall(id, c.do, "Owner")
			if (c.code == "") != (err == nil) || (err != nil && problem.Of(err).Code != c.code) {
				t.Errorf("%s: %v", c.do, err)
			}
		}
		if err := r.eng.RecordCall("nobody", ctl.RecordStart, "Owner"); problem.Of(err).Code != "call.missing" {
			t.Errorf("%v", err)
		}
	})
}

func TestNeverMeansNever(t *testing.T) {
	t.Parallel()
	run(t, func(r *rig) {
		r.ruled(func(rule *ctl.RecordingRule) { rule.Record = ctl.RecordNever })
		r.pair()
		if err := r.eng.RecordCall(r.eng.List()[0].ID, ctl.RecordStart, "Owner"); problem.Of(err).Code != "call.recording.policy" {
			t.Errorf("%v", err)
		}
		if r.relay.acted() != "" || r.eng.List()[0].Recordable {
			t.Errorf("%s %+v", r.relay.acted(), r.eng.List()[0])
		}
	})
}

// What goes wrong with the media is in the record, with what helped.
func TestAPartyThatIsNotHeardIsAskedAnew(t *testing.T) {
	t.Parallel()
	run(t, func(r *rig) {
		a, b := r.pair()
		r.media(ctl.MediaEvent{Kind: ctl.MediaOneWay, Leg: "m2", Text: "nothing comes from the phone"})
		time.Sleep(healPause)
		synctest.Wait()
		b.reply(b.expect("INVITE"), 200, "", next(sdpOf(b, 5000, ""), ""))
		b.expect("ACK")
		r.media(ctl.MediaEvent{Kind: ctl.MediaResumed, Leg: "m2"})
		r.hangUp(a, b)
		got := r.only().Faults
		if len(got) != 1 || got[0].Cause != ctl.MediaOneWay || got[0].Role != record.RoleCallee || got[0].Cure != askedAnew || got[0].Text == "" {
			t.Errorf("%+v", got)
		}
	})
}

func TestKeysInINFO(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, body, want string }{
		{"application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "5"},
		{"application/dtmf-relay; x=y", "Duration=160\nsignal = #\n", "#"},
		{"application/dtmf", "d", "D"},
		{"application/dtmf", "12", ""},
		{"application/dtmf-relay", "", ""},
		{"text/plain", "5", ""},
	} {
		if got := infoDigit(c.kind, c.body); got != c.want {
			t.Errorf("%q %q: %q, want %q", c.kind, c.body, got, c.want)
		}
	}
}

// Who holds and sends nothing lets the other hear music, in his language where there are words.
func TestMusicOnHold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		direction, answer string
		silent            bool
		want              string
	}{
		"wants no media at all": {"a=inactive\n", "a=inactive\n", true, ""},
		"with music of its own": {"a=sendonly\n", "a=recvonly\n", false, ""},
		"sends nothing":         {"a=sendonly\n", "a=recvonly\n", true, "m2 default hi, m2 nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, func(r *rig) {
				r.users["bob"].Language = "hi"
				a, b := r.pair()
				a.request("INVITE", "", next(sdpOf(a, 4000, ""), c.direction))
				a.expect("SIP/2.0 100")
				b.reply(b.expect("INVITE"), 200, "", next(sdpOf(b, 5000, ""), c.answer))
				b.expect("ACK")
				a.ack(a.expect("SIP/2.0 200"), "")
				if c.silent {
					r.media(ctl.MediaEvent{Kind: ctl.MediaSilent, Leg: "m1"})
				}
				a.request("INVITE", "", strings.Replace(sdpOf(a, 4000, ""), " 1 IN IP4", " 3 IN IP4", 1))
				a.expect("SIP/2.0 100")
				b.reply(b.expect("INVITE"), 200, "", strings.Replace(sdpOf(b, 5000, ""), " 1 IN IP4", " 3 IN IP4", 1))
				b.expect("ACK")
				a.ack(a.expect("SIP/2.0 200"), "")
				if got := strings.Join(r.relay.plays, ", "); got != c.want {
					t.Errorf("heard: %s, want %s", got, c.want)
				}
			})
		})
	}
}
