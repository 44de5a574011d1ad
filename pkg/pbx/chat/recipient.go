package chat

import (
	"runtime/debug"
	"time"

	"github.com/coraltele/sanchar/pkg/base/mailbox"
	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
)

// event is what a recipient hears: a response, or something to do.
type event struct {
	in *edge.Inbound
	do func(*recipient)
}

// recipient delivers to the devices of one user. It is an actor that ends when nothing is left to do
// now; its fields belong to its goroutine, but for box.
type recipient struct {
	eng     *Engine
	userID  string
	name    string
	box     *mailbox.Box[event] // any goroutine
	more    bool                // something came as the actor was to end
	known   bool                // lanes were made of the bindings
	lanes   map[string]*lane    // by device
	sending []*clientTx
	timers  []*timer
	clock   *time.Timer
}

func newRecipient(e *Engine, userID string) *recipient {
	r := &recipient{eng: e, userID: userID, box: mailbox.New[event](), lanes: map[string]*lane{}}
	if a := e.deps.User(userID); a != nil {
		r.name = a.Name
	}
	return r
}

// run is the actor: one event after another, until there is nothing to do.
func (r *recipient) run() {
	r.clock = time.NewTimer(time.Hour)
	defer r.clock.Stop()
	defer r.forget()
	var spare []event
	for {
		if !r.more {
			select {
			case <-r.eng.ctx.Done():
				return // the successor goes on
			case <-r.clock.C:
			case <-r.box.Ready():
			}
		}
		r.more = false
		items, _ := r.box.Take(spare)
		for i := range items {
			r.guarded(func() { r.handle(items[i]) })
		}
		spare = items
		r.guarded(r.fire)
		if r.idle() && r.eng.leave(r) {
			return
		}
		r.setClock()
	}
}

// guarded keeps a fault of this actor from ending others. In tests the fault shows.
func (r *recipient) guarded(do func()) {
	defer func() {
		if r.eng.strict {
			return
		}
		if p := recover(); p != nil {
			r.eng.log.Error("a message could not be delivered", "aor", r.name, "panic", p, "stack", string(debug.Stack()))
			for _, l := range r.lanes {
				l.stop()
			}
		}
	}()
	do()
}

func (r *recipient) handle(ev event) {
	if ev.do != nil {
		r.meet()
		ev.do(r)
		return
	}
	r.response(ev.in)
	r.eng.deps.Wire.Release(ev.in)
}

// meet makes a lane for each device that is registered now, once.
func (r *recipient) meet() {
	if r.known {
		return
	}
	r.known = true
	for _, b := range r.eng.deps.Devices.Lookup(r.userID) {
		r.laneOf(&b)
	}
}

func (r *recipient) laneOf(b *registrar.Binding) *lane {
	key := deviceKey(b)
	l := r.lanes[key]
	if l == nil {
		l = &lane{r: r, key: key}
		r.lanes[key] = l
	}
	return l
}

// idle reports whether nothing is under way and nothing is waited for.
func (r *recipient) idle() bool {
	for _, t := range r.timers {
		if t.do != nil {
			return false
		}
	}
	if len(r.sending) > 0 {
		return false
	}
	for _, l := range r.lanes {
		if l.saving {
			return false
		}
	}
	return true
}

// forget ends what the actor waits for.
func (r *recipient) forget() {
	for _, tx := range r.sending {
		r.eng.expect(tx.branch, nil)
	}
	items, _ := r.box.Take(nil)
	for _, ev := range items {
		if ev.in != nil {
			r.eng.deps.Wire.Release(ev.in)
		}
	}
}

// look lets all devices go on.
func (r *recipient) look() {
	for _, l := range r.lanes {
		l.next()
	}
}

// arrived tells of a new message: it goes to the devices that are there, and wakes the others.
func (r *recipient) arrived(i *inbox.Item) {
	r.look()
	wake := r.eng.deps.Wake
	if wake == nil || i.Quiet {
		return
	}
	err := r.eng.store.View(func(t *inbox.Tx) {
		for _, d := range t.Devices(r.userID) {
			if l := r.lanes[d.Key]; d.Instance != "" && (l == nil || l.away) && (i.Only == "" || i.Only == d.Instance) {
				wake(r.userID, d.Instance)
			}
		}
	})
	if err != nil {
		r.eng.log.Warn("nobody was woken", "aor", r.name, "err", err)
	}
}

// bound tells of a device that is there, or there again: what could not be sent is tried at once, or
// later if the disk did not take the news.
func (r *recipient) bound(b registrar.Binding, err error) {
	l := r.laneOf(&b)
	if err != nil {
		r.after(retryFirst, l.next)
		return
	}
	l.again()
}

// timer is something to do later, if it is not stopped.
type timer struct {
	at time.Time
	do func()
}

func (r *recipient) after(d time.Duration, do func()) *timer {
	t := &timer{time.Now().Add(d), do}
	r.timers = append(r.timers, t)
	return t
}

// stop makes a timer do nothing; a nil timer is stopped already.
func (t *timer) stop() {
	if t != nil {
		t.do = nil
	}
}

// fire does what is due.
func (r *recipient) fire() {
	now := time.Now()
	for i := 0; i < len(r.timers); i++ {
		t := r.timers[i]
		if t.do != nil && t.at.After(now) {
			continue
		}
		r.timers = append(r.timers[:i], r.timers[i+1:]...)
		i--
		if t.do != nil {
			do := t.do
			t.do = nil
			do()
		}
	}
}

// setClock wakes the actor for the earliest timer.
func (r *recipient) setClock() {
	var first *timer
	for _, t := range r.timers {
		if t.do != nil && (first == nil || t.at.Before(first.at)) {
			first = t
		}
	}
	if first != nil {
		r.clock.Reset(time.Until(first.at))
	}
}
