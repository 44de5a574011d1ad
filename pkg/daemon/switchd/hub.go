package switchd

import (
	"context"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// hubQueue is how many events may wait for one listener.
const hubQueue = 4096

// hub carries events to whoever listens. One that does not keep up is let go.
type hub struct {
	mu        sync.Mutex // guards listeners
	listeners map[chan ctl.SwitchEvent]struct{}
}

func newHub() *hub { return &hub{listeners: map[chan ctl.SwitchEvent]struct{}{}} }

func (h *hub) join() (changes <-chan ctl.SwitchEvent, leave func()) {
	ch := make(chan ctl.SwitchEvent, hubQueue)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.listeners, ch)
	}
}

// tell does not block.
func (h *hub) tell(ev ctl.SwitchEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.listeners {
		select {
		case ch <- ev:
		default:
			delete(h.listeners, ch)
			close(ch)
		}
	}
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
		d.alarm(d.calls.Failing(), "calls.unsafe", "calls cannot be written to disk: a restart would end them", "free space, or replace the disk")
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
