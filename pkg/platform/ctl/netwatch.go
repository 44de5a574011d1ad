package ctl

import (
	"context"
	"net/http"
	"net/netip"
)

// NetDetail is what the kernel tells of its network at one moment. Lists are cut at NetDetailMax.
type NetDetail struct {
	Links      []LinkDetail `json:"links"`
	Neighbours []Neighbour  `json:"neighbours,omitempty"`
	Routes     []Route      `json:"routes,omitempty"`
	Queues     []Queue      `json:"queues,omitempty"`
	Conntrack  Conntrack    `json:"conntrack"`
}

// NetDetailMax bounds each list of a NetDetail.
const NetDetailMax = 4096

// LinkDetail is a link with what changes all the time.
type LinkDetail struct {
	Link
	SpeedMbit int          `json:"speedMbit,omitempty"` // 0: unknown, or no carrier
	Duplex    string       `json:"duplex,omitempty"`    // "full" or "half"
	Received  LinkCounters `json:"received"`
	Sent      LinkCounters `json:"sent"`
}

// LinkCounters count since the link was made.
type LinkCounters struct {
	Bytes   uint64 `json:"bytes"`
	Packets uint64 `json:"packets"`
	Errors  uint64 `json:"errors"`
	Dropped uint64 `json:"dropped"`
}

// Neighbour is a host on a link, of which the kernel knows the hardware address, or looks for it.
type Neighbour struct {
	Link    string     `json:"link"`
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac,omitempty"`
	State   string     `json:"state"` // "reachable", "stale", "failed", as ip-neighbour(8) calls them
}

// Route is a row of a routing table.
type Route struct {
	To      netip.Prefix `json:"to"` // of no bits: the default
	Gateway netip.Addr   `json:"gateway,omitzero"`
	Link    string       `json:"link,omitempty"`
	Source  netip.Addr   `json:"source,omitzero"`
	Metric  int          `json:"metric,omitempty"`
	Table   int          `json:"table"`
	Made    string       `json:"made"` // by whom: "kernel", "ra", "dhcp", "static" or a number
}

// Queue is a queueing discipline or a class of one.
type Queue struct {
	Link      string `json:"link"`
	Kind      string `json:"kind"` // "htb", "fq_codel", "cake"
	Handle    string `json:"handle"`
	Parent    string `json:"parent,omitempty"`
	Bytes     uint64 `json:"bytes"`
	Packets   uint64 `json:"packets"`
	Dropped   uint64 `json:"dropped"`
	Backlog   uint32 `json:"backlog"` // bytes that wait
	Requeues  uint32 `json:"requeues,omitempty"`
	Overlimit uint32 `json:"overlimit,omitempty"`
}

// Conntrack is how many connections the kernel follows; 0 of 0 where it follows none.
type Conntrack struct {
	Count uint64 `json:"count"`
	Max   uint64 `json:"max"`
}

// Detail asks what the kernel tells of its network now.
func (n Net) Detail(ctx context.Context) (d NetDetail, err error) {
	return d, n.Do(ctx, http.MethodGet, "/v1/detail", nil, &d)
}
