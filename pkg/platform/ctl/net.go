package ctl

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"time"
)

// Link is a network interface as the kernel has it.
type Link struct {
	Name      string         `json:"name"`
	Index     int            `json:"index"`
	Kind      string         `json:"kind,omitempty"` // "vlan", "bridge", "veth"; "" for hardware
	MAC       string         `json:"mac,omitempty"`
	MTU       int            `json:"mtu"`
	Up        bool           `json:"up"`      // set up by us
	Carrier   bool           `json:"carrier"` // a cable or peer is there
	Loopback  bool           `json:"loopback,omitempty"`
	Addresses []netip.Prefix `json:"addresses,omitempty"`
}

// NetStatus is what netd says of itself.
type NetStatus struct {
	Version string     `json:"version"`
	Started time.Time  `json:"started"`
	Mode    string     `json:"mode,omitempty"` // NetManages or NetPlanOnly
	Offload NetOffload `json:"offload"`
	Alarms  []Alarm    `json:"alarms,omitempty"`
}

// NetOffload tells how the kernel passes media on.
type NetOffload struct {
	Way   string   `json:"way"`             // "tcx", "clsact", "nftables" or "off"
	Why   string   `json:"why,omitempty"`   // it is no better way, or not on every interface
	Links []string `json:"links,omitempty"` // interfaces whose packets are seen
}

// NetEvent is one line of netd's event stream.
type NetEvent struct {
	Links   []Link      `json:"links,omitempty"`   // all, after a change
	Uplinks []NetUplink `json:"uplinks,omitempty"` // all, with the links
	Alive   bool        `json:"alive,omitempty"`
}

// Net is a client of netd.
type Net struct{ *Client }

// NewNet returns a client of the netd that serves socket.
func NewNet(socket string) Net { return Net{NewClient("netd", socket)} }

// Status asks how netd is.
func (n Net) Status(ctx context.Context) (st NetStatus, err error) {
	return st, n.Do(ctx, http.MethodGet, "/v1/status", nil, &st)
}

// Links returns the interfaces and their addresses.
func (n Net) Links(ctx context.Context) (links []Link, err error) {
	return links, n.Do(ctx, http.MethodGet, "/v1/links", nil, &links)
}

// MediaMaps returns the descriptors of the maps by which the kernel is told what media to pass on, or that
// of the file of counters if netd must be told (PassMedia). The caller owns them.
func (n Net) MediaMaps(ctx context.Context) (fds []int, err error) {
	return n.FetchFDs(ctx, "/v1/media-maps", new(None))
}

// Events calls each for every event until ctx ends or netd goes away. The first one has all links.
func (n Net) Events(ctx context.Context, each func(NetEvent) error) error {
	return n.Listen(ctx, "/v1/events", func(line json.RawMessage) error {
		var ev NetEvent
		if err := json.Unmarshal(line, &ev); err != nil {
			return err
		}
		return each(ev)
	})
}
