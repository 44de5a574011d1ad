package switchd

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// hub carries events to whoever listens. A listener that does not keep up misses what was in between:
// for each thing it hears the latest.
type hub struct {
	mu        sync.Mutex // guards listeners and what they hold
	listeners map[*listener]struct{}
}

// listener is what one listener has not heard yet. It is bounded by the things there are and those it
// has heard of.
type listener struct {
	hub     *hub
	ready   chan struct{} // holds a token when there is something to take
	order   []thing
	pending map[thing]ctl.SwitchEvent
	shown   map[thing]struct{} // registrations and calls that it has heard of
	began   bool               // it has heard what there was
}

// thing is what an event is about.
type thing struct {
	kind thingKind
	id   string
}

type thingKind uint8

const (
	aRegistration thingKind = iota
	aCall
	aUser
	aBan
	anAlarm
)

func thingOf(ev *ctl.SwitchEvent) thing {
	switch {
	case ev.Registered != nil:
		return thing{aRegistration, ev.Registered.ID}
	case ev.Unregistered != nil:
		return thing{aRegistration, ev.Unregistered.ID}
	case ev.Call != nil:
		return thing{aCall, ev.Call.ID}
	case ev.CallEnded != "":
		return thing{aCall, ev.CallEnded}
	case ev.UserChanged != "":
		return thing{aUser, ev.UserChanged}
	case ev.Banned != nil:
		return thing{aBan, ev.Banned.Source.String()}
	case ev.Alarm != nil:
		return thing{anAlarm, ev.Alarm.Code}
	}
	return thing{anAlarm, ev.AlarmEnded}
}

// comes and goes say what an event means to the list that its thing stands in.
func comes(ev *ctl.SwitchEvent) bool { return ev.Registered != nil || ev.Call != nil }
func goes(ev *ctl.SwitchEvent) bool  { return ev.Unregistered != nil || ev.CallEnded != "" }

func newHub() *hub { return &hub{listeners: map[*listener]struct{}{}} }

// join returns a listener to what happens from now on. It looks up what there is and tells begin.
func (h *hub) join() *listener {
	l := &listener{hub: h, ready: make(chan struct{}, 1), pending: map[thing]ctl.SwitchEvent{}, shown: map[thing]struct{}{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[l] = struct{}{}
	return l
}

func (l *listener) leave() {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	delete(l.hub.listeners, l)
}

// tell does not block.
func (h *hub) tell(ev ctl.SwitchEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.listeners {
		l.putLocked(ev)
	}
}

func (l *listener) putLocked(ev ctl.SwitchEvent) {
	t := thingOf(&ev)
	_, waits := l.pending[t]
	if _, shown := l.shown[t]; waits && goes(&ev) && !shown && l.began {
		delete(l.pending, t) // it came and went between two looks
		l.order = slices.DeleteFunc(l.order, func(o thing) bool { return o == t })
		return
	}
	l.pending[t] = ev
	if !waits {
		l.order = append(l.order, t)
	}
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// begin says which things the listener has heard of, looked up after it joined.
func (l *listener) begin(present ctl.Lines) {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	for _, line := range present {
		if ev, ok := line.(ctl.SwitchEvent); ok && comes(&ev) {
			l.shown[thingOf(&ev)] = struct{}{}
		}
	}
	l.began = true
}

// take returns what has happened since the last take.
func (l *listener) take() (news ctl.Lines) {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	for _, t := range l.order {
		ev := l.pending[t]
		if comes(&ev) {
			l.shown[t] = struct{}{}
		} else if goes(&ev) {
			delete(l.shown, t)
		}
		news = append(news, ev)
	}
	l.order = l.order[:0]
	clear(l.pending)
	return news
}

// alarms holds what an admin must hear of.
type alarms struct {
	mu sync.Mutex // guards on
	on map[string]ctl.Alarm
}

func (a *alarms) list() (all []ctl.Alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, alarm := range a.on {
		all = append(all, alarm)
	}
	return all
}

// set raises or ends an alarm and reports whether that is news.
func (a *alarms) set(alarm ctl.Alarm, on bool) (news bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.on == nil {
		a.on = map[string]ctl.Alarm{}
	}
	if _, was := a.on[alarm.Code]; was == on {
		return false
	}
	if on {
		a.on[alarm.Code] = alarm
	} else {
		delete(a.on, alarm.Code)
	}
	return true
}

const alarmEvery = 2 * time.Second

// watchAlarms looks at what can go wrong and tells when it does, and when it is over.
func (d *Daemon) watchAlarms(ctx context.Context) error {
	tick := time.NewTicker(alarmEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		stats := d.outbox.Stats()
		d.alarm(stats.Failing != nil, "records.stopped", "call and registration records are not written: the disk is full or damaged",
			"free space, or shorten how long records are kept; calls go on")
		d.alarm(d.devices.Failing(), "bindings.unsafe", "registrations cannot be written to disk: after a restart phones would have to register again",
			"free space, or replace the disk")
		d.alarm(d.calls.Failing(), "calls.unsafe", "calls cannot be kept: a restart of the switch would end them",
			"restart the box when no call matters: it is out of memory")
		d.alarm(d.chat.Failing(), "messages.stopped", "no messages are accepted: the disk is full or damaged",
			"free space, or replace the disk; what was accepted is kept, and senders are told to try again")
		d.alarm(d.mediaAway(ctx), "media.away", "the media relay does not answer: no new calls", "it is restarted by itself; if it stays away, restart the box")
	}
}

// mediaAway reports whether mediad answers nothing: its event stream is silent while nothing happens.
func (d *Daemon) mediaAway(ctx context.Context) bool {
	if !d.away.Load() {
		return false
	}
	if _, err := d.media.Status(ctx); err == nil {
		d.away.Store(false)
	}
	return d.away.Load()
}

func (d *Daemon) alarm(on bool, code, text, cure string) {
	alarm := ctl.Alarm{Code: code, Text: text, Cure: cure, Since: time.Now().UTC()}
	if !d.alarms.set(alarm, on) {
		return
	}
	if on {
		d.log.Error("alarm", "alarm", code, "text", text)
		d.hub.tell(ctl.SwitchEvent{Alarm: &alarm})
	} else {
		d.log.Info("alarm is over", "alarm", code)
		d.hub.tell(ctl.SwitchEvent{AlarmEnded: code})
	}
}
