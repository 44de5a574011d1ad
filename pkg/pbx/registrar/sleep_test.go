package registrar

import (
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// app is the contact of an app that can be woken.
func app(p *sipside.Phone, params string) string {
	return strings.Replace(contact(p, "alice", instance+params), ">", ";pn-provider=fcm;pn-prid=token;pn-param=project>", 1)
}

// asleep puts a device of alice to sleep and returns what she has then.
func asleep(t *testing.T, r *rig, p *sipside.Phone) Binding {
	t.Helper()
	if got := register(p, "alice", app(p, ";expires=60")); sipside.Status(got) != 200 {
		t.Fatal(got)
	}
	r.took(1)
	r.advance(61 * time.Second)
	r.reg.expire()
	evs, _ := r.took(1)
	list := r.reg.Asleep(r.Users.Lookup("alice").ID)
	if r.reg.Len() != 0 || len(list) != 1 || len(evs) != 1 || evs[0].Gone != record.RegExpired || !evs[0].Asleep {
		t.Fatalf("%d bindings, %+v sleep, %+v", r.reg.Len(), list, evs)
	}
	return list[0]
}

func TestADeviceThatCanBeWokenSleeps(t *testing.T) {
	r := newRig(t, t.TempDir(), "alice")
	p, plain := r.Phone(t, "alice", edge.TCP), r.Phone(t, "alice", edge.UDP)
	register(plain, "alice", contact(plain, "alice", ";expires=60"))
	r.took(1)
	r.advance(61 * time.Second)
	if r.reg.expire(); len(r.reg.sleeping()) != 0 {
		t.Error("a device sleeps that nobody can wake")
	}
	r.took(1)
	slept := asleep(t, r, p)
	if list := r.reg.List(); len(list) != 1 || !list[0].Asleep {
		t.Errorf("the admin sees %+v", list)
	}
	if b, asleep, ok := r.reg.Find(slept.ID); !ok || !asleep || b.Contact != slept.Contact {
		t.Errorf("found %+v %v %v", b, asleep, ok)
	}
	again := r.Phone(t, "alice", edge.TCP)
	register(again, "alice", app(again, ";expires=60"))
	evs, recs := r.took(1)
	if len(evs) != 1 || !evs[0].New || evs[0].Binding.ID != slept.ID || recs[0].ID == slept.RecordID || len(r.reg.sleeping()) != 0 {
		t.Errorf("it woke as %+v %+v", evs, recs)
	}
	if _, asleep, ok := r.reg.Find(slept.ID); asleep || !ok {
		t.Error("it still sleeps")
	}
}

func TestSleepEnds(t *testing.T) {
	for name, end := range map[string]func(r *rig, p *sipside.Phone){
		"when the user signs out":             func(_ *rig, p *sipside.Phone) { register(p, "alice", app(p, ";expires=0")) },
		"when all devices are signed out":     func(_ *rig, p *sipside.Phone) { register(p, "alice", "Contact: *\nExpires: 0\n") },
		"when the user is removed":            func(r *rig, _ *sipside.Phone) { r.reg.RemoveUser(r.Users.Lookup("alice").ID) },
		"when nobody came back after a while": func(r *rig, _ *sipside.Phone) { r.advance(sleepTime); r.reg.forgetSleepers() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var now time.Time
			t.Run("at once", func(t *testing.T) {
				r := newRig(t, dir, "alice")
				p := r.Phone(t, "alice", edge.TCP)
				asleep(t, r, p)
				end(r, p)
				evs, recs := r.took(0)
				if len(r.reg.sleeping()) != 0 || len(evs) != 1 || !evs[0].Lost || len(recs) != 0 {
					t.Errorf("%+v sleep, told %+v and recorded %+v", r.reg.sleeping(), evs, recs)
				}
				now = r.clock()
			})
			if r := newRigAt(t, dir, now, "alice"); len(r.reg.sleeping()) != 0 {
				t.Errorf("after a restart %+v sleep", r.reg.sleeping())
			}
		})
	}
}

func TestSleepersOutliveARestartAndCompaction(t *testing.T) {
	dir := t.TempDir()
	var slept Binding
	var now time.Time
	for _, stage := range []string{"asleep", "restarted", "compacted"} {
		t.Run(stage, func(t *testing.T) {
			if stage == "asleep" {
				r := newRig(t, dir, "alice")
				slept = asleep(t, r, r.Phone(t, "alice", edge.TCP))
				now = r.clock()
				return
			}
			r := newRigAt(t, dir, now, "alice")
			if list := r.reg.sleeping(); r.reg.Len() != 0 || len(list) != 1 || list[0].ID != slept.ID || list[0].Contact != slept.Contact {
				t.Fatalf("%d bindings, %+v sleep", r.reg.Len(), list)
			}
			r.reg.rewrite()
			if _, frames := r.reg.journal.Size(); frames != 2 {
				t.Errorf("%d frames", frames)
			}
		})
	}
}

func TestAUserHasSoManySleepers(t *testing.T) {
	s, at := sleepers{}, time.Now()
	for i := range maxBindings + 3 {
		s.add(&Binding{ID: string(rune('a' + i)), UserID: "u", Expires: at.Add(time.Duration(i) * time.Second)})
	}
	if list := s["u"]; len(list) != maxBindings || list[0].ID != "d" {
		t.Errorf("%d sleep, from %s", len(list), list[0].ID)
	}
}
