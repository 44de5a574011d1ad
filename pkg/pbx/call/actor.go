package call

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/mailbox"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// maxWaiting is how many events may wait for a call: one that is so far behind is broken.
const maxWaiting = 1000

// event is what a call hears: a message, or something to do.
type event struct {
	in *edge.Inbound
	do func()
}

// state of a call as a whole.
type state uint8

const (
	stateNew     state = iota // nothing was decided
	stateRinging              // devices ring
	stateUp                   // answered
	stateEnding               // peers are told that it is over
	stateOver                 // nothing is left to wait for
)

// Call is one call. Its fields belong to its goroutine, but for those marked.
type Call struct {
	eng      *Engine
	log      *slog.Logger
	id       string
	startKey string
	box      *mailbox.Box[event]          // any goroutine
	view     atomic.Pointer[ctl.LiveCall] // any goroutine
	up       atomic.Bool                  // any goroutine: answered

	state    state
	a        *Leg             // who called
	b        *Leg             // who answered
	ringing  []*Leg           // branches that may answer
	gone     []*Leg           // legs that ended, or wait for their end; for the record
	made     int              // counts legs
	handed   map[string]*Call // legs that went on in another call, by id: what still comes here for them is passed on
	given    []record.Leg     // legs that went on in another call
	fork     fork
	reason   []byte // Reason line of whoever ended it
	referred []byte // Referred-By line of a transfer
	media    media
	relaying *relaying // an offer on its way from one leg to the other
	transfer *transfer
	joining  *joining // two legs that are being brought together
	recorded bool     // the record is on disk
	lingered bool     // a refused INVITE was kept in mind long enough
	rec      record.Call
	life     life
	tape     tape

	timers []*timer
	clock  *time.Timer
	out    []outgoing
	dirty  bool // the state has changed since it was kept
	seen   bool // the view has changed since it was shown
}

// outgoing is a message to a leg, on the leg's own way unless flow says another.
type outgoing struct {
	leg  *Leg
	flow edge.Flow
	b    []byte
}

func newCall(e *Engine, in *edge.Inbound) *Call {
	now := time.Now()
	c := &Call{eng: e, id: ids.Record(now), startKey: startKey(&in.Message), box: mailbox.New[event]()}
	c.log = e.log.With("call", c.id)
	c.rec = record.Call{ID: c.id, CallID: in.CallID, Start: now.UTC()}
	return c
}

// post hands an event to the call. It reports false when the call is over.
func (c *Call) post(ev event) bool {
	waiting, open := c.box.Put(ev)
	if waiting == maxWaiting {
		c.log.Error("a call does not keep up and is ended", "waiting", waiting)
		c.box.Put(event{do: func() { c.end(ending{by: record.ByBox, cause: "overload", code: 503}) }})
	}
	return open
}

// run is the actor: one event after another, until the call is over.
func (c *Call) run() {
	c.clock = time.NewTimer(time.Hour)
	defer c.clock.Stop()
	var spare []event
	for c.state != stateOver {
		select {
		case <-c.eng.ctx.Done():
			return // the successor goes on
		case <-c.clock.C:
		case <-c.box.Ready():
		}
		items, _ := c.box.Take(spare)
		for i := range items {
			c.guarded(func() { c.handle(items[i]) })
		}
		spare = items
		c.guarded(c.fire)
		c.settle()
	}
	c.leave()
}

// guarded keeps a fault of this call from ending others: the call ends, the process goes on. In
// tests the fault shows.
func (c *Call) guarded(do func()) {
	defer func() {
		if c.eng.strict {
			return
		}
		if r := recover(); r != nil {
			c.log.Error("a call failed and is ended", "panic", r, "stack", string(debug.Stack()))
			c.abandon()
		}
	}()
	do()
}

// abandon ends a call in which nothing can be relied on.
func (c *Call) abandon() {
	c.state = stateOver
	c.dirty = true
	c.rec.Status, c.rec.Cause, c.rec.EndedBy, c.rec.Code = record.CallFailed, "fault of the box", record.ByBox, 500
	c.rec.End = time.Now().UTC()
}

// handle takes one event. A message is given back when its handler has not kept it.
func (c *Call) handle(ev event) {
	if ev.do != nil {
		ev.do()
		return
	}
	kept := false
	if ev.in.Status != 0 {
		kept = c.response(ev.in)
	} else {
		kept = c.request(ev.in)
	}
	if !kept {
		c.eng.deps.Wire.Release(ev.in)
	}
}

// settle keeps the state, then lets what was said leave: what a peer hears is never forgotten.
func (c *Call) settle() {
	if c.dirty {
		c.keep()
		c.dirty = false
	}
	for i, o := range c.out {
		c.transmit(o)
		c.out[i] = outgoing{}
	}
	c.out = c.out[:0]
	if c.seen {
		c.show()
		c.seen = false
	}
	c.setClock()
}

// transmit sends a message on the leg's flow as it is now.
func (c *Call) transmit(o outgoing) {
	flow, err := o.flow, error(nil)
	if !flow.Remote.IsValid() {
		flow, err = c.flowOf(o.leg)
	}
	if err == nil {
		err = c.eng.deps.Wire.Send(flow, o.b)
	}
	if err != nil {
		c.log.Debug("message not sent", "leg", o.leg.id, "err", err)
		o.leg.unreachable = true
		c.after(0, c.checkUnreachable)
	}
}

// flowOf returns the way to a leg: the one that it last used, or where its device is now.
func (c *Call) flowOf(l *Leg) (edge.Flow, error) {
	if c.eng.deps.Wire.Alive(l.flow) || l.userID == "" {
		return l.flow, nil
	}
	b, f, err := c.eng.resolve(l.userID, l.instance)
	if err != nil {
		return l.flow, err
	}
	l.flow = f
	if l.gruu {
		l.hop = b.Contact
	}
	return f, nil
}

// send queues a message to a leg until the state is kept.
func (c *Call) send(l *Leg, b []byte) { c.out = append(c.out, outgoing{leg: l, b: b}) }

// changed notes that the state must be kept and shown.
func (c *Call) changed() { c.dirty, c.seen = true, true }

// leave ends the actor: what waits is refused.
func (c *Call) leave() {
	c.box.Close()
	items, _ := c.box.Take(nil)
	for _, ev := range items {
		if ev.in != nil {
			if ev.in.Status == 0 && ev.in.Method != checked.ACK {
				c.eng.deps.Wire.Reply(ev.in, &checked.Reply{Code: 481, Reason: "Call/Transaction Does Not Exist"})
			}
			c.eng.deps.Wire.Release(ev.in)
		}
	}
	for _, l := range c.allLegs() {
		if l.inviteIn != nil {
			c.closeInvite(l.inviteIn)
		}
		c.eng.legs.remove(l.id, c)
	}
	c.eng.forget(c)
	if !c.probe() {
		c.eng.deps.Watch(ctl.SwitchEvent{CallEnded: c.id})
	}
}

func (c *Call) allLegs() []*Leg {
	all := append([]*Leg(nil), c.gone...)
	all = append(all, c.ringing...)
	for _, l := range []*Leg{c.a, c.b} {
		if l != nil {
			all = append(all, l)
		}
	}
	if c.transfer != nil && c.transfer.leg != nil {
		all = append(all, c.transfer.leg)
	}
	return all
}

// relayTime bounds a question to mediad: it answers within a millisecond, or is being restarted.
const relayTime = 2 * time.Second

func (c *Call) relayContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.eng.ctx, relayTime)
}

// timer is something to do later, if it is not stopped.
type timer struct {
	at time.Time
	do func()
}

// after sets a timer.
func (c *Call) after(d time.Duration, do func()) *timer {
	t := &timer{time.Now().Add(d), do}
	c.timers = append(c.timers, t)
	return t
}

// stop makes a timer do nothing; a nil timer is stopped already.
func (t *timer) stop() {
	if t != nil {
		t.do = nil
	}
}

// fire does what is due.
func (c *Call) fire() {
	now := time.Now()
	for i := 0; i < len(c.timers); i++ {
		t := c.timers[i]
		if t.do != nil && t.at.After(now) {
			continue
		}
		c.timers = append(c.timers[:i], c.timers[i+1:]...)
		i--
		if t.do != nil {
			t.do()
		}
	}
}

// setClock wakes the actor for the earliest timer.
func (c *Call) setClock() {
	var first *timer
	for _, t := range c.timers {
		if t.do != nil && (first == nil || t.at.Before(first.at)) {
			first = t
		}
	}
	if first != nil {
		c.clock.Reset(time.Until(first.at))
	}
}
