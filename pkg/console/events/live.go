package events

import (
	"context"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// live is what switchd said is there, by id. It is kept to tell, after switchd was away, what
// ended meanwhile.
type live struct {
	round   int // counts connections to switchd
	regs    map[string]mark[ctl.Registration]
	calls   map[string]mark[ctl.LiveCall]
	devices map[string]int // of regs, by id of their user
}

// mark is a thing and the connection that last told of it.
type mark[T any] struct {
	value T
	round int
}

// followSwitch passes on switchd's events, and connects again when it was away.
func (h *Hub) followSwitch(ctx context.Context) {
	for ctx.Err() == nil {
		err := h.followOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		h.cfg.Log.Debug("switchd's events ended", "err", err)
		t := time.NewTimer(reconnect)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

func (h *Hub) followOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	swept := make(chan struct{})
	started := false
	defer func() {
		cancel()
		if started {
			<-swept
		}
	}()
	h.mu.Lock()
	h.live.round++
	round := h.live.round
	h.mu.Unlock()
	return h.cfg.Switch.Events(ctx, func(ev ctl.SwitchEvent) error {
		if !started { // the stream stands: what is not told by it and not listed now has ended
			started = true
			go func() {
				defer close(swept)
				h.sweep(ctx, round)
			}()
		}
		h.take(ev)
		return nil
	})
}

func (h *Hub) take(ev ctl.SwitchEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case ev.Registered != nil:
		h.registeredLocked(*ev.Registered)
	case ev.Unregistered != nil:
		h.unregisteredLocked(*ev.Unregistered)
	case ev.Call != nil:
		h.live.calls[ev.Call.ID] = mark[ctl.LiveCall]{*ev.Call, h.live.round}
		h.sendLocked(Call, ev.Call)
	case ev.CallEnded != "":
		delete(h.live.calls, ev.CallEnded)
		h.sendLocked(CallEnded, Ended{ev.CallEnded})
	case ev.UserChanged != "":
		h.sendLocked(UserChanged, Ended{ev.UserChanged})
	case ev.Alarm != nil, ev.AlarmEnded != "":
		h.stale = true // the next overview tells it
		h.askLocked()
	}
}

func (h *Hub) registeredLocked(r ctl.Registration) {
	old, known := h.live.regs[r.ID]
	h.live.regs[r.ID] = mark[ctl.Registration]{r, h.live.round}
	h.sendLocked(Registered, r)
	switch was := known && !old.value.Asleep; {
	case !was && !r.Asleep:
		h.countDevicesLocked(r.UserID, 1)
	case was && r.Asleep:
		h.countDevicesLocked(r.UserID, -1)
	}
}

func (h *Hub) unregisteredLocked(r ctl.Registration) {
	old, known := h.live.regs[r.ID]
	delete(h.live.regs, r.ID)
	h.sendLocked(Unregistered, r)
	if known && !old.value.Asleep {
		h.countDevicesLocked(r.UserID, -1)
	}
}

// countDevicesLocked tells how many devices a user has now: a page that shows some of the users
// need not know all bindings for it.
func (h *Hub) countDevicesLocked(user string, change int) {
	n := h.live.devices[user] + change
	if h.live.devices[user] = n; n == 0 {
		delete(h.live.devices, user)
	}
	h.sendLocked(Presence, UserPresence{ID: user, Devices: n})
}

// sweep ends what switchd no longer has.
func (h *Hub) sweep(ctx context.Context, round int) {
	regs, err := h.cfg.Switch.Registrations(ctx)
	if err != nil {
		return // the next connection sweeps
	}
	calls, err := h.cfg.Switch.Calls(ctx)
	if err != nil {
		return
	}
	there := map[string]bool{}
	for _, r := range regs {
		there[r.ID] = true
	}
	for _, c := range calls {
		there[c.ID] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, m := range h.live.regs {
		if m.round < round && !there[id] {
			h.unregisteredLocked(m.value)
		}
	}
	for id, m := range h.live.calls {
		if m.round < round && !there[id] {
			delete(h.live.calls, id)
			h.sendLocked(CallEnded, Ended{id})
		}
	}
}
