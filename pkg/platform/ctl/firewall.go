package ctl

import (
	"context"
	"net/http"
	"net/netip"
	"time"
)

// Ban is a source that SIP drops because it guessed passwords.
type Ban struct {
	Source netip.Prefix `json:"source"` // an IPv4 address, or the 64 bits that one IPv6 host has all addresses of
	Until  time.Time    `json:"until"`
}

// FirewallRule is a rule of the packet filter in words, with what it counted.
type FirewallRule struct {
	Name    string `json:"name"`
	Place   string `json:"place"` // chain that it stands in
	Says    string `json:"says"`
	Drops   bool   `json:"drops,omitempty"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Firewall is the packet filter as the kernel holds it.
type Firewall struct {
	Enforced   bool           `json:"enforced"` // false: netd only plans, and the kernel is left alone
	Generation string         `json:"generation,omitempty"`
	Rules      []FirewallRule `json:"rules"`
	Known      int            `json:"known"`     // addresses of registered devices
	Unlisted   int            `json:"unlisted"`  // of those, what found the set full
	Banned     []Ban          `json:"banned"`    // now
	Foreign    []string       `json:"foreign"`   // tables of others, which are left alone
	Conflicts  []string       `json:"conflicts"` // what of the document cannot work beside what the box listens on
	Fault      string         `json:"fault,omitempty"`
}

// Firewall asks for the packet filter's rules, counters and sets.
func (n Net) Firewall(ctx context.Context) (f Firewall, err error) {
	return f, n.Do(ctx, http.MethodGet, "/v1/firewall", nil, &f)
}
