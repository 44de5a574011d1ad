package ctl

import (
	"context"
	"net/http"
	"net/netip"
)

// MaxMediaTypes is how many payload types a media flow has.
const MaxMediaTypes = 4

// MediaFlow is one direction of a call as the packet filter is to pass it on.
type MediaFlow struct {
	Slot     uint32         `json:"slot"` // where it counts, and its name
	In       uint32         `json:"in"`   // ifindex that the packets must come in by
	Out      uint32         `json:"out"`
	NextHop  netip.Addr     `json:"next_hop"`
	Peer     netip.AddrPort `json:"peer"`  // proven: only its packets pass
	Local    netip.AddrPort `json:"local"` // of ours, that they come to
	From     netip.AddrPort `json:"from"`  // of ours, that they go out from
	To       netip.AddrPort `json:"to"`
	SSRC     uint32         `json:"ssrc"`
	Types    []uint8        `json:"types"` // payload types that pass
	DSCP     uint8          `json:"dscp"`
	Priority uint32         `json:"priority,omitempty"` // of the packets in queues, and in VLAN tags
}

// MediaFlows is a change of the flows that the packet filter passes on. Without any it only says that
// mediad is there.
type MediaFlows struct {
	Path  uint64      `json:"path"`            // whose flows: named in the file of counters
	Clear bool        `json:"clear,omitempty"` // take all first
	Put   []MediaFlow `json:"put,omitempty"`   // one that is there gets what is put
	Take  []uint32    `json:"take,omitempty"`  // by slot; those that are not there are no fault
}

// PassMedia changes the flows in one transaction. When it returns, no packet takes what was taken, and
// its counts are complete.
func (n Net) PassMedia(ctx context.Context, c MediaFlows) error {
	return n.Do(ctx, http.MethodPost, "/v1/media-flows", c, nil)
}
