package call

import (
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/pbx/push"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

const (
	// wakeTime is how long a call waits for devices that are being woken when no other rings: a phone
	// in a pocket takes some ten seconds, and a caller does not listen to nothing for longer.
	wakeTime = 30 * time.Second
	// silentTime is how long a device that can be woken may say nothing to its INVITE: the way to it
	// looks open, but the phone behind it may sleep.
	silentTime = 2 * time.Second
)

// Waker wakes devices, so that they register and can be called (RFC 8599 §5.6.2): the pusher.
type Waker interface {
	Wake(d push.Device, n push.Note) bool
	Cancel(callID string)
}

// waking are the devices that a call waits for, by the id of the binding, with the Call-ID that each
// was told: an app matches the INVITE with it.
type waking struct {
	callIDs map[string]string
	limit   *timer
}

// wake asks for a device to be woken for an INVITE with a Call-ID, and the caller to wait for it. It
// reports false if it won't be.
func (c *Call) wake(b *registrar.Binding, callID string) bool {
	p, ok := b.Push()
	if !ok || c.calledBy(b) || (c.transfer == nil && c.state != stateRinging) {
		return false
	}
	w := &c.fork.waking
	if w.callIDs[b.ID] != "" {
		return true
	}
	id := b.ID
	if !c.eng.deps.Waker.Wake(push.Device{Key: id, Params: p}, push.Note{
		ID: ids.CallID(), Use: pn.Call, CallID: callID, From: c.fork.who.AoR, FromName: c.fork.who.Name, To: c.fork.callee.AoR, Until: time.Now().Add(wakeTime),
		Failed: func() { c.post(event{do: func() { c.wontWake(id, callID) }}) },
	}) {
		return false
	}
	if w.callIDs == nil {
		w.callIDs = map[string]string{}
	}
	w.callIDs[id] = callID
	w.limit.stop()
	w.limit = c.after(wakeTime, func() { c.stopWaking(); c.settleFork() })
	c.tellPushSent()
	return true
}

// tellPushSent tells the caller that nothing rings yet. No RFC has 110, Linphone's proxy says so; to a
// phone that does not know it, it is a 183 (RFC 3261 §8.1.3.2).
func (c *Call) tellPushSent() {
	if tx := c.a.inviteIn; tx != nil && tx.final == 0 && !c.fork.rung && !c.fork.pushed {
		c.fork.pushed = true
		c.progressToCaller(tx, &checked.Reply{Code: 110, Reason: "Push Sent"})
	}
}

// calledBy reports whether a device is the caller's own: it is awake.
func (c *Call) calledBy(b *registrar.Binding) bool {
	l := c.fork.from
	return l != nil && c.sameDevice(l, b)
}

// sleepers are the devices of the callee that are not registered any more and can be woken.
func (c *Call) sleepers() (list []registrar.Binding) {
	for _, b := range c.eng.deps.Devices.Asleep(c.fork.user.ID) {
		if c.fork.instance == "" || c.fork.instance == b.Instance {
			list = append(list, b)
		}
	}
	return list
}

// wakeSilent wakes the device of a branch that has said nothing.
func (c *Call) wakeSilent(l *Leg, b registrar.Binding) {
	if _, ok := b.Push(); !ok {
		return
	}
	c.after(silentTime, func() {
		if c.isBranch(l) && l.unheard() {
			c.wake(&b, l.callID)
		}
	})
}

// unheard reports whether nothing came back to the INVITE of a branch.
func (l *Leg) unheard() bool { return l.inviteOut != nil && !l.inviteOut.heard }

// awake ends the wait for a device, and returns the Call-ID that it was told, "" if there was none.
func (c *Call) awake(id string) (callID string) {
	w := &c.fork.waking
	callID = w.callIDs[id]
	if callID != "" {
		delete(w.callIDs, id)
		c.eng.deps.Waker.Cancel(callID)
	}
	return callID
}

// wontWake ends the wait for a device that its provider cannot wake.
func (c *Call) wontWake(id, callID string) {
	if c.fork.waking.callIDs[id] == callID {
		c.awake(id)
		c.settleFork()
	}
}

// stopWaking ends the wait for all devices.
func (c *Call) stopWaking() {
	c.fork.waking.limit.stop()
	for id := range c.fork.waking.callIDs {
		c.awake(id)
	}
}
