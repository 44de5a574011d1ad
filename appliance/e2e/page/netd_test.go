package page

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// office is the network that the stand-in of netd has confirmed.
const office = `{"ports":[{"name":"eth0","label":"LAN 1"},{"name":"eth1"}],"zones":[{"name":"Office","kind":"management"},{"name":"Phones","kind":"voice"},{"name":"Out","kind":"uplink"}],
	"vlans":[{"parent":"eth0","id":20}],"wireguard":[{"name":"wg0"}],
	"interfaces":[{"link":"eth0","zone":"Office","addresses":["192.0.2.5/24","2001:db8::5/64"]},{"link":"eth0.20","zone":"Phones","addresses":["10.2.0.1/24"]},{"link":"eth1","zone":"Out","dhcp4":{}},
	{"link":"wg0","zone":"Office","addresses":["10.8.0.1/24"]}],
	"uplinks":[{"name":"Fibre","link":"eth1"}],"firewall":{"rules":[{"name":"Printers","from":"Phones","to":"Office","protocol":"tcp","ports":["631"]}]},
	"nat":{"masquerade":[{"zone":"Out"}],"forwards":[{"name":"Camera","zone":"Out","protocol":"tcp","ports":"8443","to":"10.2.0.9"}]},
	"dhcp":[{"link":"eth0.20","ranges":["10.2.0.100-10.2.0.199"],"reservations":[{"mac":"00:15:65:00:00:01","address":"10.2.0.20","name":"reception"}]}]}`

// fakeNetd keeps a network document as netd does, with netd's own rules, and changes no kernel.
type fakeNetd struct {
	mu        sync.Mutex // guards what follows
	planOnly  bool
	revisions []ctl.NetDocument // oldest first
	candidate *ctl.NetCandidate
	timer     *time.Timer
	last      *ctl.NetOutcome
	bytes     uint64
}

func newFakeNetd() *fakeNetd {
	return &fakeNetd{revisions: []ctl.NetDocument{
		{Revision: conf.Revision{Number: 1, At: time.Now().Add(-48 * time.Hour), Who: "first boot"}, Document: []byte(`{"ports":[{"name":"eth0"},{"name":"eth1"}]}`)},
		{Revision: conf.Revision{Number: 2, At: time.Now().Add(-time.Hour), Who: owner}, Document: []byte(office)},
	}}
}

func (f *fakeNetd) now() ctl.NetDocument { return f.revisions[len(f.revisions)-1] }

func (f *fakeNetd) read(p ctl.NetProposal) (netcfg.Document, error) {
	if p.Restore > 0 {
		p.Document = f.revisions[p.Restore-1].Document
	}
	return netcfg.Parse(p.Document)
}

func (f *fakeNetd) changes(doc netcfg.Document) ([]string, error) {
	was, err := netcfg.Parse(f.now().Document)
	return netcfg.Diff(was, doc), err
}

func (f *fakeNetd) propose(p ctl.NetProposal) (plan ctl.NetPlan, err error) {
	doc, err := f.read(p)
	if err != nil {
		return plan, err
	}
	plan.Changes, err = f.changes(doc)
	plan.Steps = []ctl.NetStep{
		{Text: "eth0.30 will be made: VLAN 30 of eth0"},
		{Text: "eth0 will no longer have the address 192.0.2.5/24; you are connected through it", Cuts: true},
	}
	plan.Firewall = []string{"packets from Phones to Office, tcp 631, will pass"}
	plan.Foreign = []string{"docker0"}
	return plan, err
}

func (f *fakeNetd) apply(p ctl.NetProposal) (c ctl.NetCandidate, err error) {
	doc, err := f.read(p)
	if err != nil {
		return c, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return c, err
	}
	changes, err := f.changes(doc)
	wait := time.Duration(p.ConfirmSeconds) * time.Second
	f.candidate = &ctl.NetCandidate{Document: text, Base: p.Revision, Who: p.Who, At: time.Now(), Until: time.Now().Add(wait), Changes: changes}
	f.timer = time.AfterFunc(wait, func() { f.end("nobody confirmed it in time") })
	return *f.candidate, err
}

// end takes the candidate back.
func (f *fakeNetd) end(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revertLocked(why)
}

func (f *fakeNetd) revertLocked(why string) {
	if f.candidate != nil {
		f.last = &ctl.NetOutcome{Why: why, Who: f.candidate.Who, At: time.Now()}
		f.candidate = nil
		f.timer.Stop()
	}
}

func (f *fakeNetd) confirm(who string) (conf.Revision, error) {
	if f.candidate == nil {
		return conf.Revision{}, problem.New(problem.Missing, "net.no-candidate", "no change waits for a confirmation", "it went back")
	}
	rev := conf.Revision{Number: uint64(len(f.revisions) + 1), At: time.Now(), Who: who}
	f.revisions = append(f.revisions, ctl.NetDocument{Revision: rev, Document: f.candidate.Document})
	f.candidate = nil
	f.timer.Stop()
	return rev, nil
}

func (f *fakeNetd) list() (all []ctl.NetRevision, err error) {
	var was netcfg.Document
	for _, r := range f.revisions {
		doc, err := netcfg.Parse(r.Document)
		if err != nil {
			return nil, err
		}
		all = append([]ctl.NetRevision{{Revision: r.Revision, Changes: netcfg.Diff(was, doc)}}, all...)
		was = doc
	}
	return all, nil
}

func (f *fakeNetd) state() ctl.NetState {
	st := ctl.NetState{Mode: ctl.NetManages, Last: f.last, Uplinks: []ctl.NetUplink{
		{Name: "Fibre", Link: "eth1", Why: "no answer of 9.9.9.9", Since: time.Now().Add(-5 * time.Minute)},
	}}
	if f.planOnly {
		st.Mode = ctl.NetPlanOnly
	}
	return st
}

// detail is of links whose counters grow with every question.
func (f *fakeNetd) detail(links []ctl.Link) (d ctl.NetDetail) {
	f.bytes += 250_000
	for _, l := range links {
		flow := ctl.LinkDetail{Link: l, Received: ctl.LinkCounters{Bytes: f.bytes}, Sent: ctl.LinkCounters{Bytes: f.bytes / 3}}
		if l.Carrier {
			flow.SpeedMbit, flow.Duplex = 1000, "full"
		}
		d.Links = append(d.Links, flow)
	}
	return d
}

// locked answers a question while nothing changes.
func locked[In, Out any](f *fakeNetd, do func(In) (Out, error)) func(*http.Request, In) (Out, error) {
	return func(_ *http.Request, in In) (Out, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return do(in)
	}
}

// handle answers all that the page asks of netd.
func (f *fakeNetd) handle(mux *http.ServeMux, links []ctl.Link) {
	ctl.Handle(mux, "GET /v1/network", locked(f, func(ctl.None) (ctl.NetDocument, error) {
		doc := f.now()
		doc.Candidate = f.candidate
		return doc, nil
	}))
	ctl.Handle(mux, "GET /v1/network/state", locked(f, func(ctl.None) (ctl.NetState, error) { return f.state(), nil }))
	ctl.Handle(mux, "GET /v1/network/revisions", locked(f, func(ctl.None) ([]ctl.NetRevision, error) { return f.list() }))
	ctl.Handle(mux, "GET /v1/network/tunnels", locked(f, func(ctl.None) ([]ctl.NetTunnel, error) {
		return []ctl.NetTunnel{{Link: "wg0", PublicKey: "Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym8="}}, nil
	}))
	ctl.Handle(mux, "POST /v1/network/tunnels/{link}/peers", func(r *http.Request, in ctl.NetPeerWish) (p ctl.NetPeer, err error) {
		doc, err := netcfg.Parse(in.Document)
		if err != nil {
			return p, err
		}
		made, err := doc.MakePeer(netcfg.NewPeer{Link: r.PathValue("link"), Name: in.Name, Endpoint: in.Endpoint}, "Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym94Ym8=")
		if err != nil {
			return p, err
		}
		p.PublicKey, p.Settings = made.PublicKey, made.Settings
		p.Document, err = json.Marshal(made.With)
		return p, err
	})
	ctl.Handle(mux, "POST /v1/network/propose", locked(f, f.propose))
	ctl.Handle(mux, "POST /v1/network/apply", locked(f, f.apply))
	ctl.Handle(mux, "POST /v1/network/confirm", locked(f, func(by ctl.NetActor) (conf.Revision, error) { return f.confirm(by.Who) }))
	ctl.Handle(mux, "POST /v1/network/revert", locked(f, func(by ctl.NetActor) (ctl.None, error) {
		f.revertLocked(by.Who + " took it back")
		return ctl.None{}, nil
	}))
	ctl.Handle(mux, "GET /v1/detail", locked(f, func(ctl.None) (ctl.NetDetail, error) { return f.detail(links), nil }))
	f.handleWatching(mux)
}

func (f *fakeNetd) handleWatching(mux *http.ServeMux) {
	ctl.Handle(mux, "GET /v1/firewall", locked(f, func(ctl.None) (ctl.Firewall, error) {
		return ctl.Firewall{Enforced: true, Known: 12, Foreign: []string{"ip docker"}, Banned: []ctl.Ban{{Source: netip.MustParsePrefix("203.0.113.9/32"), Until: time.Now().Add(time.Hour)}}, Rules: []ctl.FirewallRule{
			{Name: "Printers", Place: "forward", Says: "Printers: TCP to ports 631 from Phones to Office passes", Packets: 4211, Bytes: 991_000},
			{Name: "rest", Place: "input", Says: "all else is dropped", Drops: true, Packets: 17, Bytes: 900},
		}}, nil
	}))
	ctl.Handle(mux, "GET /v1/leases", locked(f, func(ctl.None) (ctl.Leases, error) {
		now := time.Now()
		return ctl.Leases{Leases: []ctl.Lease{
			{Zone: "Phones", Address: netip.MustParseAddr("10.2.0.20"), MAC: "00:15:65:00:00:01", Name: "reception", Vendor: "Yealink", Class: "yealink", Begun: now, Expires: now.Add(time.Hour), Static: true},
			{Zone: "Phones", Address: netip.MustParseAddr("10.2.0.101"), MAC: "00:15:65:00:00:02", Begun: now, Expires: now.Add(3 * time.Hour)},
		}}, nil
	}))
	ctl.Handle(mux, "POST /v1/diagnose", locked(f, func(ctl.DiagRequest) (ctl.Diagnosis, error) {
		return ctl.Diagnosis{At: time.Now(), Nodes: []ctl.DiagNode{
			{ID: "eth1", Name: "cable of eth1", State: ctl.DiagFailed, Evidence: "no carrier", Cure: "plug the cable in", Took: time.Millisecond},
			{ID: "gw", Parent: "eth1", Name: "gateway", State: ctl.DiagSkipped},
			{ID: "eth0", Name: "cable of eth0", State: ctl.DiagOK, Evidence: "1000 Mbit/s", Took: time.Millisecond},
		}}, nil
	}))
	ctl.Handle(mux, "POST /v1/ping", locked(f, func(p ctl.PingRequest) ([]ctl.PingReply, error) {
		at, err := netip.ParseAddr(p.Host)
		if err != nil {
			return nil, problem.Fields("net.ping", []problem.Fault{{Path: "host", Value: p.Host, Rule: "is a name or an address", Cure: "write one"}})
		}
		return []ctl.PingReply{{Seq: 1, From: at, Took: 12 * time.Millisecond}, {Seq: 2, Fault: "192.0.2.254 knows no way"}}, nil
	}))
	ctl.Handle(mux, "POST /v1/trace", locked(f, func(ctl.PingRequest) ([]ctl.TraceHop, error) {
		return []ctl.TraceHop{{Number: 1, From: netip.MustParseAddr("192.0.2.1"), Took: []time.Duration{time.Millisecond}, Last: true}}, nil
	}))
	ctl.Handle(mux, "POST /v1/capture/check", locked(f, func(c ctl.CaptureRequest) (ctl.None, error) {
		if c.Link != "eth0" || c.Seconds != 5 || !c.HeadOnly {
			return ctl.None{}, problem.Fields("net.capture", []problem.Fault{{Path: "link", Value: c.Link, Rule: "is a link of the box", Cure: "choose one"}, {Path: "seconds", Value: strconv.Itoa(c.Seconds), Rule: "is 5 here", Cure: "write 5"}})
		}
		return ctl.None{}, nil
	}))
	mux.HandleFunc("GET /v1/capture", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, fmt.Sprintf("packets of %s, %s", r.FormValue("link"), r.FormValue("filter"))) // who left has no use for them
	})
}
