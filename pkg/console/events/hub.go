// Package events gathers what happens on the box and hands it to every open page.
package events

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// Names of events. The data of each is the type named beside it, as JSON.
const (
	Registered   = "registration"       // ctl.Registration: new or changed
	Unregistered = "registration-ended" // ctl.Registration
	Presence     = "presence"           // UserPresence: after each change of how many devices a user has
	Call         = "call"               // ctl.LiveCall: new or changed
	CallEnded    = "call-ended"         // Ended
	UserChanged  = "user"               // Ended: id of an account that was changed
	Changed      = "overview"           // Overview
	Recorded     = "record"             // Record
	AlarmChanged = "alarm"              // AlarmChange
	UpdateMoved  = "update"             // Ended, without an id: ask how the update stands
)

// Ended names a thing.
type Ended struct {
	ID string `json:"id"`
}

// UserPresence is how many devices of a user are registered.
type UserPresence struct {
	ID      string `json:"id" doc:"of the user"`
	Devices int    `json:"devices"`
}

// Record is a record that was stored.
type Record struct {
	ID     string          `json:"id"`
	Kind   record.Kind     `json:"kind"`
	Record json.RawMessage `json:"record"`
}

// AlarmChange is an alarm that began or ended.
type AlarmChange struct {
	Active bool  `json:"active"`
	Alarm  Alarm `json:"alarm"`
}

// Limits.
const (
	// clientQueue is how far a browser may fall behind; one that is slower is cut off and begins
	// anew, by itself, with what is true then.
	clientQueue = 1000
	// maxClients bounds the open pages.
	maxClients = 32

	askTimeout = 2 * time.Second // a daemon of this box that takes longer is away
	fresh      = 2 * time.Second // an overview is not asked for more often
	pollPages  = 5 * time.Second // with a page open
	pollAlone  = time.Minute     // with none: alarms are still noticed
	reconnect  = time.Second     // to a daemon that went away
	awayAlarm  = 3 * time.Second // a daemon that is restarted is back sooner
)

// Switch is what the hub asks of switchd.
type Switch interface {
	Status(ctx context.Context) (ctl.SwitchStatus, error)
	Registrations(ctx context.Context) ([]ctl.Registration, error)
	Calls(ctx context.Context) ([]ctl.LiveCall, error)
	Events(ctx context.Context, each func(ctl.SwitchEvent) error) error
}

// Media is what the hub asks of mediad.
type Media interface {
	Status(ctx context.Context) (ctl.MediaStatus, error)
}

// Net is what the hub asks of netd.
type Net interface {
	Status(ctx context.Context) (ctl.NetStatus, error)
	Links(ctx context.Context) ([]ctl.Link, error)
}

// Config names those who know.
type Config struct {
	Switch Switch
	Media  Media
	Net    Net
	Own    func() Own
	Log    *slog.Logger
}

// Event is what a page receives: a name and its data as JSON.
type Event struct {
	Name string
	Data []byte
}

// Hub is the one place that events pass through.
type Hub struct {
	cfg   Config
	asked chan struct{} // a page opened: poll now

	polling sync.Mutex // one poll at a time

	mu       sync.Mutex // guards what follows
	clients  map[*Client]bool
	overview Overview
	stale    bool                 // something happened that the overview does not tell yet
	away     map[string]time.Time // daemons that do not answer, since when
	live     live
}

// Client is an open page.
type Client struct {
	hub    *Hub
	events chan Event
}

// New returns a hub.
func New(cfg Config) *Hub {
	return &Hub{
		cfg: cfg, asked: make(chan struct{}, 1), clients: map[*Client]bool{}, away: map[string]time.Time{},
		live: live{regs: map[string]mark[ctl.Registration]{}, calls: map[string]mark[ctl.LiveCall]{}, devices: map[string]int{}},
	}
}

// Run gathers events until ctx ends. Then all pages are cut off.
func (h *Hub) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { h.followSwitch(ctx) })
	wg.Go(func() { h.pollLoop(ctx) })
	wg.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		h.dropLocked(c)
	}
	return nil
}

// Subscribe opens a page. It must be closed.
func (h *Hub) Subscribe() (*Client, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.clients) >= maxClients {
		return nil, problem.New(problem.Full, "events.pages", "too many pages are open", "close one of them")
	}
	c := &Client{hub: h, events: make(chan Event, clientQueue)}
	if !h.overview.At.IsZero() {
		text, err := json.Marshal(h.overview)
		if err != nil {
			return nil, err
		}
		c.events <- Event{Changed, text}
	}
	h.clients[c] = true
	h.askLocked()
	return c, nil
}

// askLocked makes the hub poll now.
func (h *Hub) askLocked() {
	select {
	case h.asked <- struct{}{}:
	default: // it is about to
	}
}

// Events delivers what happens; it is closed when the page fell behind or the hub ended.
func (c *Client) Events() <-chan Event { return c.events }

// Close ends the page's subscription.
func (c *Client) Close() {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	c.hub.dropLocked(c)
}

func (h *Hub) dropLocked(c *Client) {
	if h.clients[c] {
		delete(h.clients, c)
		close(c.events)
	}
}

// sendLocked hands an event to every page, without waiting for any. Nothing is encoded when no
// page is open.
func (h *Hub) sendLocked(name string, data any) {
	if len(h.clients) == 0 {
		return
	}
	text, err := json.Marshal(data)
	if err != nil {
		h.cfg.Log.Error("an event cannot be encoded", "event", name, "err", err)
		return
	}
	for c := range h.clients {
		select {
		case c.events <- Event{name, text}:
		default:
			h.cfg.Log.Warn("a page fell behind and is cut off")
			h.dropLocked(c)
		}
	}
}

// Recorded tells of records that were stored. It does not block.
func (h *Hub) Recorded(batch []record.Envelope) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range batch {
		if len(h.clients) == 0 {
			return
		}
		switch e.Kind {
		case record.KindAudit: // who reads the audit log is audited: not in passing
			continue
		case record.KindMessage: // who reads what messages say is audited too
			data, err := bare(e.Data)
			if err != nil {
				h.cfg.Log.Error("a message cannot be told of", "id", e.ID, "err", err)
				continue
			}
			e.Data = data
		}
		h.sendLocked(Recorded, Record{ID: e.ID, Kind: e.Kind, Record: e.Data})
	}
}

// Updated tells that an update stands differently. It does not block.
func (h *Hub) Updated() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sendLocked(UpdateMoved, Ended{})
}

// bare is a message without what it says.
func bare(data json.RawMessage) (json.RawMessage, error) {
	var m record.Message
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	m.Bare()
	return json.Marshal(m)
}

// Expire makes the next overview a new one: an admin changed what it tells.
func (h *Hub) Expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stale = true
	h.askLocked()
}

// Overview returns how the box is, asked at most two seconds ago.
func (h *Hub) Overview(ctx context.Context) Overview {
	h.polling.Lock()
	defer h.polling.Unlock()
	h.mu.Lock()
	last, stale := h.overview, h.stale
	h.stale = false
	h.mu.Unlock()
	if time.Since(last.At) < fresh && !stale {
		return last
	}
	o := h.poll(ctx)
	if ctx.Err() != nil { // who asked went away: what was seen may be half
		return o
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteAbsenceLocked(&o)
	h.overview = o
	h.compareAlarmsLocked(last.Alarms, o.Alarms)
	h.sendLocked(Changed, o)
	return o
}

// compareAlarmsLocked tells of alarms that began or ended.
func (h *Hub) compareAlarmsLocked(before, now []Alarm) {
	has := func(list []Alarm, a Alarm) bool {
		return slices.ContainsFunc(list, func(b Alarm) bool { return b.Code == a.Code && b.Source == a.Source })
	}
	for _, a := range now {
		if !has(before, a) {
			h.cfg.Log.Warn("alarm", "alarm", a.Code, "source", a.Source, "text", a.Text)
			h.sendLocked(AlarmChanged, AlarmChange{Active: true, Alarm: a})
		}
	}
	for _, a := range before {
		if !has(now, a) {
			h.cfg.Log.Info("alarm is over", "alarm", a.Code, "source", a.Source)
			h.sendLocked(AlarmChanged, AlarmChange{Alarm: a})
		}
	}
}

func (h *Hub) pollLoop(ctx context.Context) {
	for ctx.Err() == nil {
		h.Overview(ctx)
		h.mu.Lock()
		pause := pollAlone
		if len(h.clients) > 0 {
			pause = pollPages
		}
		h.mu.Unlock()
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-h.asked:
		case <-t.C:
		}
		t.Stop()
	}
}
