package ctl

import (
	"context"
	"net/http"
	"net/netip"
	"time"
)

// Lease is an address that a host got of the box.
type Lease struct {
	Zone    string     `json:"zone"`
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac"`
	Name    string     `json:"name,omitempty"`
	Vendor  string     `json:"vendor,omitempty"` // as MAC and class tell
	Class   string     `json:"class,omitempty"`  // as the host calls its kind
	Begun   time.Time  `json:"begun"`
	Expires time.Time  `json:"expires"`
	Static  bool       `json:"static,omitempty"` // it is reserved
}

// Leases are those that hold, and the addresses that somebody uses without one.
type Leases struct {
	Leases    []Lease      `json:"leases"`
	Conflicts []netip.Addr `json:"conflicts,omitempty"`
	Pools     []LeasePool  `json:"pools,omitempty"`
}

// LeasePool is how much of the ranges of a zone's link is given away.
type LeasePool struct {
	Zone string `json:"zone"`
	Link string `json:"link"`
	Used int    `json:"used"`
	Size int    `json:"size"`
}

// Leases asks who has which address.
func (n Net) Leases(ctx context.Context) (l Leases, err error) {
	return l, n.Do(ctx, http.MethodGet, "/v1/leases", nil, &l)
}

// LLDPNeighbour is who is at the other end of a cable, as it says itself.
type LLDPNeighbour struct {
	Port         string       `json:"port"` // ours
	Chassis      string       `json:"chassis"`
	PortID       string       `json:"portID"`
	PortText     string       `json:"portText,omitempty"`
	Name         string       `json:"name,omitempty"`
	Text         string       `json:"text,omitempty"`
	Management   []netip.Addr `json:"management,omitempty"`
	Capabilities []string     `json:"capabilities,omitempty"`
	VLAN         uint16       `json:"vlan,omitempty"`
	Phone        bool         `json:"phone,omitempty"` // it speaks LLDP-MED
	Maker        string       `json:"maker,omitempty"`
	Model        string       `json:"model,omitempty"`
	Firmware     string       `json:"firmware,omitempty"`
	Serial       string       `json:"serial,omitempty"`
}

// LLDPNeighbours asks who is at the other ends of the cables.
func (n Net) LLDPNeighbours(ctx context.Context) (all []LLDPNeighbour, err error) {
	return all, n.Do(ctx, http.MethodGet, "/v1/neighbours", nil, &all)
}

// ClockSource is one source of the time.
type ClockSource struct {
	Name     string        `json:"name"`
	Address  netip.Addr    `json:"address,omitzero"`
	Stratum  int           `json:"stratum,omitempty"`
	Offset   time.Duration `json:"offset"`
	Delay    time.Duration `json:"delay"`
	Last     time.Time     `json:"last,omitzero"`
	Selected bool          `json:"selected"`
	Fault    string        `json:"fault,omitempty"`
}

// ClockStatus is how right the clock is.
type ClockStatus struct {
	Synced   bool          `json:"synced"`
	Measured bool          `json:"measured"` // only measured: this process may not change the clock
	Stratum  int           `json:"stratum,omitempty"`
	Offset   time.Duration `json:"offset"`
	Updated  time.Time     `json:"updated,omitzero"`
	Sources  []ClockSource `json:"sources"`
}

// NameServer is a server that names are asked of.
type NameServer struct {
	Server   netip.AddrPort `json:"server"`
	Asked    uint64         `json:"asked"`
	Failed   uint64         `json:"failed"`
	LastOK   time.Time      `json:"lastOK,omitzero"`
	LastFail time.Time      `json:"lastFail,omitzero"`
	Took     time.Duration  `json:"took,omitempty"`
}

// NetService is one service for the zones.
type NetService struct {
	Name   string            `json:"name"`            // "dhcp", "dns", "ntp", "clock", "ra", "lldp", "mdns"
	Links  []string          `json:"links,omitempty"` // where it serves
	Since  time.Time         `json:"since,omitzero"`
	Fault  string            `json:"fault,omitempty"`
	Counts map[string]uint64 `json:"counts,omitempty"`
}

// NetServices are all services, and what belongs to some.
type NetServices struct {
	Services []NetService `json:"services"`
	Clock    *ClockStatus `json:"clock,omitempty"`
	Servers  []NameServer `json:"servers,omitempty"`
}

// Services asks how the services for the zones are.
func (n Net) Services(ctx context.Context) (s NetServices, err error) {
	return s, n.Do(ctx, http.MethodGet, "/v1/services", nil, &s)
}
