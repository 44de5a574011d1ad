package call

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/push"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/pn"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// app makes a device of a user that can be woken.
func (r *rig) app(user string, tr edge.Transport) *phone {
	p := r.phone(user, 1000, tr)
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.bindings[len(r.bindings)-1]
	b.Contact += ";pn-provider=fcm;pn-prid=token;pn-param=project"
	return p
}

// expires ends an app's registration; it can still be woken.
func (p *phone) expires() {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	for i, b := range p.r.bindings {
		if b.ID == "b-"+p.tag {
			p.r.bindings = append(p.r.bindings[:i], p.r.bindings[i+1:]...)
			p.r.asleep = append(p.r.asleep, b)
			return
		}
	}
}

// disconnects ends an app's connection; it is still registered.
func (p *phone) disconnects() {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.r.dead[p.flow.Remote] = true
}

// wakes registers an app again, from another port.
func (p *phone) wakes() {
	p.r.mu.Lock()
	p.flow.Remote = netip.AddrPortFrom(p.flow.Remote.Addr(), p.flow.Remote.Port()+1)
	p.r.phones[p.flow.Remote] = p
	old := func(b registrar.Binding) bool { return b.ID == "b-"+p.tag }
	p.r.bindings, p.r.asleep = slices.DeleteFunc(p.r.bindings, old), slices.DeleteFunc(p.r.asleep, old)
	b := p.r.binding(p, 1000)
	p.r.bindings = append(p.r.bindings, b)
	p.r.mu.Unlock()
	p.r.eng.Bound(b)
}

// hears makes a deaf phone take what comes from now on.
func (p *phone) hears() {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.deaf = false
}

func (r *rig) noted() []push.Note {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notes
}

// ended wants the call to be over for its caller, and nobody to be woken any more.
func (r *rig) ended(a *phone, code string) {
	r.t.Helper()
	a.ack(a.expect("SIP/2.0 "+code), "")
	r.unwoken()
	r.empty()
}

// unwoken wants each note to have been given up.
func (r *rig) unwoken() {
	r.t.Helper()
	notes := r.noted()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range notes {
		if !slices.Contains(r.given, n.CallID) {
			r.t.Errorf("the note of %s is still on its way", n.CallID)
		}
	}
}

func TestASleepingDeviceIsWokenAndAnswers(t *testing.T) {
	for name, leave := range map[string]func(*phone){"its connection is gone": (*phone).disconnects, "its time is over": (*phone).expires} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				a, b := r.phone("alice", 1000, edge.UDP), r.app("bob", edge.TCP)
				leave(b)
				a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
				a.expect("SIP/2.0 100")
				if got := a.expect("SIP/2.0 110"); sipside.Header(got, "Contact") == "" || !strings.Contains(sipside.Header(got, "To"), ";tag=") {
					t.Errorf("it makes no early dialog: %s", got)
				}
				notes := r.noted()
				if len(notes) != 1 || notes[0].Use != pn.Call || notes[0].From != "sip:alice@pbx.test" || notes[0].FromName != "Alice" ||
					notes[0].To != "sip:bob@pbx.test" || time.Until(notes[0].Until) != wakeTime {
					t.Fatalf("%+v", notes)
				}
				time.Sleep(12 * time.Second)
				b.wakes()
				inv := b.expect("INVITE")
				if sipside.Header(inv, "Call-ID") != notes[0].CallID {
					t.Errorf("it is rung by another call than it was woken for: %s", inv)
				}
				b.reply(inv, 180, "", "")
				a.expect("SIP/2.0 180")
				time.Sleep(wakeTime) // it rings for as long as it likes
				a.quiet()
				b.reply(inv, 200, "", sdpOf(b, 5000, ""))
				b.expect("ACK")
				a.ack(a.expect("SIP/2.0 200"), "")
				r.unwoken()
				a.request("BYE", "", "")
				b.reply(b.expect("BYE"), 200, "", "")
				if rec := r.only(); rec.Status != record.CallAnswered || len(rec.Legs) != 2 {
					t.Errorf("%+v", rec)
				}
			})
		})
	}
}

func TestADeviceThatDoesNotWake(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.app("bob", edge.TCP)
		b.expires()
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		a.expect("SIP/2.0 110")
		time.Sleep(wakeTime - time.Second)
		a.quiet()
		time.Sleep(2 * time.Second)
		r.ended(a, "480")
		if rec := r.only(); rec.Status != record.CallOffline {
			t.Errorf("%+v", rec)
		}
		b.wakes()
		b.quiet()
	})
}

func TestADeviceThatNobodyCanWake(t *testing.T) {
	for name, c := range map[string]struct {
		nobody bool
		want   int // notes
	}{"nobody wakes it": {true, 0}, "its provider does not know it": {false, 1}} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				a, b := r.phone("alice", 1000, edge.TCP), r.app("bob", edge.TCP)
				b.expires()
				r.nobody = c.nobody
				a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
				a.expect("SIP/2.0 100")
				notes := r.noted()
				if len(notes) != c.want {
					t.Fatalf("%+v", notes)
				}
				for _, n := range notes {
					a.expect("SIP/2.0 110")
					a.quiet()
					n.Failed()
				}
				r.ended(a, "480") // at once
			})
		})
	}
}

func TestOthersRingWhileADeviceIsWoken(t *testing.T) {
	run(t, func(r *rig) {
		a, desk, app := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.app("bob", edge.TCP)
		app.expires()
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		a.expect("SIP/2.0 110")
		inv := desk.expect("INVITE")
		desk.reply(inv, 180, "", "")
		a.expect("SIP/2.0 180")
		time.Sleep(wakeTime + 10*time.Second)
		a.quiet() // as long as the other rings
		app.wakes()
		late := app.expect("INVITE")
		app.reply(late, 180, "", "")
		a.quiet()
		app.reply(late, 486, "", "")
		app.expect("ACK")
		desk.reply(inv, 200, "", sdpOf(desk, 5000, ""))
		desk.expect("ACK")
		a.ack(a.expect("SIP/2.0 200"), "")
		r.unwoken()
		a.request("BYE", "", "")
		desk.reply(desk.expect("BYE"), 200, "", "")
		r.only()
	})
}

// Who is busy on one device may answer on another; who declines does so for all.
func TestOneDeviceRefusesWhileAnotherIsWoken(t *testing.T) {
	for code, wait := range map[int]time.Duration{486: wakeTime, 603: 0} {
		run(t, func(r *rig) {
			a, desk, app := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.app("bob", edge.TCP)
			app.disconnects()
			a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
			a.expect("SIP/2.0 100")
			inv := desk.expect("INVITE")
			desk.reply(inv, code, "", "")
			desk.expect("ACK")
			a.expect("SIP/2.0 110")
			if wait > 0 {
				a.quiet()
			}
			time.Sleep(wait)
			r.ended(a, itoa(code))
		})
	}
}

func TestACallThatIsCancelledWakesNobody(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.app("bob", edge.TCP)
		b.expires()
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		a.expect("SIP/2.0 110")
		a.send(strings.ReplaceAll(a.hello, "INVITE", "CANCEL"))
		a.expect("SIP/2.0 200")
		r.ended(a, "487")
		b.wakes()
		b.quiet()
	})
}

func TestTheCallersOwnDeviceIsNotWoken(t *testing.T) {
	run(t, func(r *rig) {
		desk, app := r.phone("alice", 1000, edge.TCP), r.app("alice", edge.UDP)
		app.expires()
		app.call("sip:alice@pbx.test", "", sdpOf(app, 4000, ""))
		app.expect("SIP/2.0 100")
		inv := desk.expect("INVITE")
		if n := r.noted(); len(n) != 0 {
			t.Errorf("%+v", n)
		}
		desk.reply(inv, 486, "", "")
		desk.expect("ACK")
		r.ended(app, "486")
	})
}

// The way to a device looks open, and nothing comes back: it is woken, and rung where it is then.
func TestADeviceThatSaysNothingIsWoken(t *testing.T) {
	run(t, func(r *rig) {
		a, app, plain := r.phone("alice", 1000, edge.TCP), r.app("bob", edge.UDP), r.phone("bob", 1000, edge.UDP)
		app.deaf, plain.deaf = true, true
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		time.Sleep(silentTime - time.Millisecond)
		a.quiet()
		time.Sleep(time.Millisecond)
		a.expect("SIP/2.0 110")
		if n := r.noted(); len(n) != 1 {
			t.Fatalf("%+v", n)
		}
		app.hears()
		app.wakes()
		inv := app.expect("INVITE")
		if sipside.Header(inv, "Call-ID") != r.noted()[0].CallID {
			t.Errorf("it is rung by another call than it was woken for: %s", inv)
		}
		app.reply(inv, 180, "", "")
		a.expect("SIP/2.0 180")
		app.reply(inv, 200, "", sdpOf(app, 5000, ""))
		app.expect("ACK")
		a.ack(a.expect("SIP/2.0 200"), "")
		r.unwoken()
		a.request("BYE", "", "")
		app.reply(app.expect("BYE"), 200, "", "")
		r.only()
		r.empty()
	})
}

// A device that wakes where it was gets the INVITE that is sent again. Once it has spoken nobody waits
// for it to wake.
func TestADeviceThatWakesWhereItWas(t *testing.T) {
	for name, rings := range map[string]bool{"and rings": true, "and refuses at once": false} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				a, app := r.phone("alice", 1000, edge.TCP), r.app("bob", edge.UDP)
				app.deaf = true
				a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
				a.expect("SIP/2.0 100")
				time.Sleep(silentTime)
				a.expect("SIP/2.0 110")
				app.hears()
				time.Sleep(2 * time.Second)
				inv := app.expect("INVITE")
				if sipside.Header(inv, "Call-ID") != r.noted()[0].CallID {
					t.Errorf("it is rung by another call than it was woken for: %s", inv)
				}
				if rings {
					app.reply(inv, 180, "", "")
					a.expect("SIP/2.0 180")
					r.unwoken()
				}
				app.reply(inv, 486, "", "")
				app.expect("ACK")
				r.ended(a, "486")
			})
		})
	}
}

func TestACallThatWaitsForADeviceEndsWithARestart(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.app("bob", edge.TCP)
		b.expires()
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		a.expect("SIP/2.0 110")
		r.restart()
		if rec := r.only(); rec.Status != record.CallFailed || rec.Cause != "the switch was restarted while it rang" {
			t.Errorf("%+v", rec)
		}
		b.wakes()
		b.quiet()
		r.empty()
	})
}
