package ctl

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/conf"
)

// NetDocument is the network as it was last confirmed, and what waits to be.
type NetDocument struct {
	conf.Revision
	Document  json.RawMessage `json:"document"`
	Candidate *NetCandidate   `json:"candidate,omitempty"`
}

// NetCandidate is a change that goes back by itself unless it is confirmed.
type NetCandidate struct {
	Document json.RawMessage `json:"document"`
	Base     uint64          `json:"base"` // revision that it is a change of
	Who      string          `json:"who"`
	At       time.Time       `json:"at"`
	Until    time.Time       `json:"until"`
	Changes  []string        `json:"changes"` // in words
}

// NetProposal is a change that somebody wants. Without Document it is the revision named by Restore.
type NetProposal struct {
	Document       json.RawMessage `json:"document,omitempty"`
	Restore        uint64          `json:"restore,omitempty"`
	Revision       uint64          `json:"revision"` // that the change was made from
	Who            string          `json:"who,omitempty"`
	Client         netip.Addr      `json:"client,omitzero"`           // who asks, to warn if it would be cut off
	Local          netip.Addr      `json:"local,omitzero"`            // our address that it reached
	ConfirmSeconds int             `json:"confirm_seconds,omitempty"` // default 60
}

// NetPlan is what a proposal would change.
type NetPlan struct {
	Changes  []string  `json:"changes"`            // of the document
	Steps    []NetStep `json:"steps"`              // in the kernel, in their order
	Firewall []string  `json:"firewall,omitempty"` // of the rules
	Waiting  []string  `json:"waiting,omitempty"`  // what cannot be done yet
	Blocked  []string  `json:"blocked,omitempty"`  // what cannot be done; it is refused
	Foreign  []string  `json:"foreign,omitempty"`  // what others made and is left alone
}

// NetStep is one change of the kernel in plain words.
type NetStep struct {
	Text string `json:"text"`
	Cuts bool   `json:"cuts,omitempty"` // who asks is connected through it
}

// NetRevision is an earlier state of the document.
type NetRevision struct {
	conf.Revision
	Changes []string `json:"changes"` // to the one before it
}

// NetActor says who does something.
type NetActor struct {
	Who string `json:"who"`
}

// Modes of netd.
const (
	NetManages  = "manages"
	NetPlanOnly = "plan-only" // it answers proposals with plans and applies nothing
)

// NetState is how the network is.
type NetState struct {
	Mode    string      `json:"mode"`
	Left    []string    `json:"left,omitempty"`    // steps that are still to be done
	Waiting []string    `json:"waiting,omitempty"` // for ports that are not there
	Foreign []string    `json:"foreign,omitempty"`
	Fault   string      `json:"fault,omitempty"` // why the last application did not succeed
	Leases  []NetLease  `json:"leases,omitempty"`
	Uplinks []NetUplink `json:"uplinks,omitempty"`
	Last    *NetOutcome `json:"last,omitempty"`
}

// NetOutcome is how the last change ended.
type NetOutcome struct {
	Confirmed bool      `json:"confirmed"`
	Why       string    `json:"why"`
	Who       string    `json:"who"` // whose change it was
	At        time.Time `json:"at"`
}

// NetLease is an address that a DHCP server gave us.
type NetLease struct {
	Link    string       `json:"link"`
	Address netip.Prefix `json:"address"`
	Router  netip.Addr   `json:"router,omitzero"`
	DNS     []netip.Addr `json:"dns,omitempty"`
	Server  netip.Addr   `json:"server,omitzero"`
	Until   time.Time    `json:"until"`
}

// NetUplink is how a way to the outside is.
type NetUplink struct {
	Name   string    `json:"name"`
	Link   string    `json:"link"`
	Up     bool      `json:"up"`
	Active bool      `json:"active"` // it carries what leaves
	Since  time.Time `json:"since,omitzero"`
	Why    string    `json:"why,omitempty"` // what the last check that failed found
}

// NetTunnel is what the peers of a WireGuard link must know.
type NetTunnel struct {
	Link      string `json:"link"`
	PublicKey string `json:"publicKey"`
}

// NetPeerWish asks for a phone or computer that shall come in by a tunnel.
type NetPeerWish struct {
	Document json.RawMessage `json:"document,omitempty" doc:"the network as it shall be, without the peer; absent is the confirmed one"`
	Name     string          `json:"name" doc:"what the peer is called"`
	Endpoint string          `json:"endpoint" doc:"where it finds the box: vpn.example.com, or with a port if it is not the tunnel's own"`
}

// NetPeer is a peer that was made. Nothing of it is applied, and its private key is told this once.
type NetPeer struct {
	Document  json.RawMessage `json:"document" doc:"the network with the peer: apply it"`
	PublicKey string          `json:"public_key"`
	Settings  string          `json:"settings" doc:"file for a WireGuard program"`
}

// Document returns the network document.
func (n Net) Document(ctx context.Context) (d NetDocument, err error) {
	return d, n.Do(ctx, http.MethodGet, "/v1/network", nil, &d)
}

// Propose tells what a change would do, or what is wrong with it.
func (n Net) Propose(ctx context.Context, p NetProposal) (plan NetPlan, err error) {
	return plan, n.Do(ctx, http.MethodPost, "/v1/network/propose", p, &plan)
}

// Apply applies a change. It goes back by itself unless Confirm comes in time.
func (n Net) Apply(ctx context.Context, p NetProposal) (c NetCandidate, err error) {
	return c, n.Do(ctx, http.MethodPost, "/v1/network/apply", p, &c)
}

// Confirm makes the candidate last.
func (n Net) Confirm(ctx context.Context, who string) (rev conf.Revision, err error) {
	return rev, n.Do(ctx, http.MethodPost, "/v1/network/confirm", NetActor{who}, &rev)
}

// Revert takes the candidate back at once.
func (n Net) Revert(ctx context.Context, who string) error {
	return n.Do(ctx, http.MethodPost, "/v1/network/revert", NetActor{who}, nil)
}

// Revisions returns the last revisions, newest first.
func (n Net) Revisions(ctx context.Context) (revs []NetRevision, err error) {
	return revs, n.Do(ctx, http.MethodGet, "/v1/network/revisions", nil, &revs)
}

// Revision returns the document of a revision.
func (n Net) Revision(ctx context.Context, number uint64) (d NetDocument, err error) {
	return d, n.Do(ctx, http.MethodGet, "/v1/network/revisions/"+strconv.FormatUint(number, 10), nil, &d)
}

// State tells how the network is.
func (n Net) State(ctx context.Context) (st NetState, err error) {
	return st, n.Do(ctx, http.MethodGet, "/v1/network/state", nil, &st)
}

// Tunnels returns the public keys of our ends of tunnels.
func (n Net) Tunnels(ctx context.Context) (all []NetTunnel, err error) {
	return all, n.Do(ctx, http.MethodGet, "/v1/network/tunnels", nil, &all)
}

// MakePeer makes keys and settings for a new peer of a tunnel; the network is not changed.
func (n Net) MakePeer(ctx context.Context, link string, in NetPeerWish) (p NetPeer, err error) {
	return p, n.Do(ctx, http.MethodPost, "/v1/network/tunnels/"+url.PathEscape(link)+"/peers", in, &p)
}
