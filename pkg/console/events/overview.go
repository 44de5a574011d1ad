package events

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Names of the daemons, as they are shown.
const (
	switchd = "switchd"
	mediad  = "mediad"
	netd    = "netd"
	admind  = "admind"
)

// Overview is how the box is.
type Overview struct {
	At            time.Time      `json:"at"`
	Domain        string         `json:"domain" doc:"realm of all accounts; empty until set-up"`
	Users         int            `json:"users"`
	Registrations int            `json:"registrations" doc:"bindings, not users"`
	Calls         int            `json:"calls"`
	Sessions      int            `json:"sessions" doc:"media sessions"`
	Streams       int            `json:"streams" doc:"media streams"`
	RecordsQueued int            `json:"records_queued" doc:"written by switchd, not yet taken by the archive"`
	DiskFree      uint64         `json:"disk_free" doc:"bytes that are free for records"`
	MemoryUsed    uint64         `json:"memory_used" doc:"bytes of the machine's memory that are not available, whoever has them"`
	MemoryTotal   uint64         `json:"memory_total" doc:"bytes of memory that the machine has"`
	Daemons       []Daemon       `json:"daemons"`
	Alarms        []Alarm        `json:"alarms"`
	Listeners     []ctl.Listener `json:"listeners" doc:"open SIP ports"`
	Addresses     []string       `json:"addresses" doc:"addresses of the box that others can reach"`
}

// Daemon is the health of one part of the box.
type Daemon struct {
	Name    string    `json:"name"`
	Up      bool      `json:"up"`
	Version string    `json:"version,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Since   time.Time `json:"since,omitzero" doc:"since when it is away"`
}

// Alarm is something that an admin must hear of, and who says it.
type Alarm struct {
	ctl.Alarm
	Source string `json:"source"`
}

// Own is what admind itself adds to the overview.
type Own struct {
	Version  string
	Started  time.Time
	DiskFree uint64
	Memory   Memory
	Alarms   []ctl.Alarm
}

// Memory is that of the whole machine, in bytes.
type Memory struct{ Used, Total uint64 }

// poll asks all daemons at once.
func (h *Hub) poll(ctx context.Context) Overview {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var sw ctl.SwitchStatus
	var md ctl.MediaStatus
	var nd ctl.NetStatus
	var links []ctl.Link
	var swErr, mdErr, ndErr error
	wg.Go(func() { sw, swErr = h.cfg.Switch.Status(ctx) })
	wg.Go(func() { md, mdErr = h.cfg.Media.Status(ctx) })
	wg.Go(func() {
		if nd, ndErr = h.cfg.Net.Status(ctx); ndErr == nil {
			links, ndErr = h.cfg.Net.Links(ctx)
		}
	})
	wg.Wait()
	own := h.cfg.Own()
	o := Overview{
		At: time.Now().UTC(), Domain: sw.Domain, Users: sw.Users, Registrations: sw.Registrations, Calls: sw.Calls,
		Sessions: md.Sessions, Streams: md.Streams, RecordsQueued: sw.RecordsQueued, DiskFree: own.DiskFree,
		MemoryUsed: own.Memory.Used, MemoryTotal: own.Memory.Total,
		Listeners: append([]ctl.Listener{}, sw.Listeners...), Addresses: reachable(links), Alarms: []Alarm{},
		Daemons: []Daemon{
			{Name: switchd, Up: swErr == nil, Version: sw.Version, Started: sw.Started},
			{Name: mediad, Up: mdErr == nil, Version: md.Version, Started: md.Started},
			{Name: netd, Up: ndErr == nil, Version: nd.Version, Started: nd.Started},
			{Name: admind, Up: true, Version: own.Version, Started: own.Started},
		},
	}
	for i, alarms := range [][]ctl.Alarm{sw.Alarms, md.Alarms, nd.Alarms, own.Alarms} {
		for _, a := range alarms {
			o.Alarms = append(o.Alarms, Alarm{a, o.Daemons[i].Name})
		}
	}
	return o
}

// reachable lists the addresses that somebody else can use, IPv4 first.
func reachable(links []ctl.Link) []string {
	var addrs []netip.Addr
	for _, l := range links {
		for _, p := range l.Addresses {
			if a := p.Addr(); l.Up && !l.Loopback && !a.IsLinkLocalUnicast() && !a.IsLoopback() {
				addrs = append(addrs, a)
			}
		}
	}
	slices.SortFunc(addrs, func(a, b netip.Addr) int { return cmp.Or(cmp.Compare(a.BitLen(), b.BitLen()), a.Compare(b)) })
	list := []string{}
	for _, a := range slices.Compact(addrs) {
		list = append(list, a.String())
	}
	return list
}

// noteAbsence tells since when a daemon is away, and raises an alarm for it.
func (h *Hub) noteAbsenceLocked(o *Overview) {
	for i := range o.Daemons {
		d := &o.Daemons[i]
		since, away := h.away[d.Name]
		switch {
		case d.Up:
			delete(h.away, d.Name)
			continue
		case !away:
			since = o.At
			h.away[d.Name] = since
		}
		d.Since = since
		if o.At.Sub(since) < awayAlarm {
			continue
		}
		o.Alarms = append(o.Alarms, Alarm{ctl.Alarm{
			Code: d.Name + ".away", Text: "the part " + d.Name + " does not answer", Cure: "it is restarted by itself; if it stays away, restart the box", Since: since,
		}, admind})
	}
}
