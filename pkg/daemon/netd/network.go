package netd

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/network/dhcpc"
	"github.com/coraltele/sanchar/pkg/network/health"
	"github.com/coraltele/sanchar/pkg/network/netapply"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netman"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// newNetwork makes the manager of the network with all that it works with.
func (d *Daemon) newNetwork() error {
	if err := os.MkdirAll(d.cfg.DataDir, 0o700); err != nil {
		return err
	}
	file, err := conf.Open(filepath.Join(d.cfg.DataDir, "network.json"), netcfg.Schema(), d.cfg.Log)
	if err != nil {
		return err
	}
	d.settings = file
	chip, err := seal.Chip(d.cfg.RunDir, "net")
	if err != nil {
		return err
	}
	if d.keys, err = netapply.OpenKeys(filepath.Join(d.cfg.DataDir, "keys"), chip); err != nil {
		return err
	}
	clients, err := dhcpc.New(filepath.Join(d.cfg.DataDir, "leases"), slogx.Part(d.cfg.Log, "dhcpc"))
	if err != nil {
		return err
	}
	if d.cfg.Manage && d.cfg.Resolv != "" {
		d.followers = append(d.followers, d.writeResolv)
	}
	log := slogx.Part(d.cfg.Log, "netman")
	d.network = netman.NewNetwork(clients, health.New(health.Check, slogx.Part(d.cfg.Log, "health")))
	d.manager = netman.New(netman.Config{
		File: file, Dir: d.cfg.DataDir, Sources: d.network, Links: d.monitor.Links, Manage: d.cfg.Manage, Log: log,
		Applier: netapply.New(netapply.NewKernel(d.keys, log), d.guard, log), Services: d.follow, Faults: d.guard.Faults,
	})
	return nil
}

// follow lets all that follow the document know of it.
func (d *Daemon) follow(doc netcfg.Document) {
	for _, f := range d.followers {
		f(doc)
	}
}

// manage runs the manager once the links are known: the first boot wants to know the ports.
func (d *Daemon) manage(ctx context.Context) error {
	if !d.awaitLinks(ctx) {
		return nil
	}
	if !d.cfg.Manage {
		d.cfg.Log.Info("the network of this machine is not touched: plans are made and nothing is applied (plan-only)")
	}
	if err := d.manager.Run(ctx); err != nil {
		return fmt.Errorf("manage the network: %w", err)
	}
	return nil
}

// awaitLinks waits for the first look at the kernel, and reports whether ctx still lasts.
func (d *Daemon) awaitLinks(ctx context.Context) bool {
	for links, changed := d.monitor.Links(); links == nil; links, changed = d.monitor.Links() {
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
	return true
}

// networkRoutes answers what concerns the network document.
func (d *Daemon) networkRoutes(mux *http.ServeMux) {
	m := d.manager
	ctl.Handle(mux, "GET /v1/network", func(*http.Request, ctl.None) (ctl.NetDocument, error) { return m.Document() })
	ctl.Handle(mux, "GET /v1/network/state", func(*http.Request, ctl.None) (ctl.NetState, error) { return d.state() })
	ctl.Handle(mux, "GET /v1/network/revisions", func(*http.Request, ctl.None) ([]ctl.NetRevision, error) { return m.Revisions() })
	ctl.Handle(mux, "GET /v1/network/revisions/{number}", func(r *http.Request, _ ctl.None) (ctl.NetDocument, error) {
		number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
		if err != nil {
			return ctl.NetDocument{}, problem.New(problem.Missing, "net.revision", "there is no such revision", "choose one of the list")
		}
		return m.Revision(number)
	})
	ctl.Handle(mux, "GET /v1/network/tunnels", func(*http.Request, ctl.None) ([]ctl.NetTunnel, error) { return d.tunnels() })
	ctl.Handle(mux, "POST /v1/network/tunnels/{link}/peers", d.makePeer)
	ctl.Handle(mux, "POST /v1/network/propose", func(r *http.Request, p ctl.NetProposal) (ctl.NetPlan, error) {
		return m.Propose(r.Context(), p)
	})
	// Who applies may lose his connection by it: what was begun is done all the same.
	ctl.Handle(mux, "POST /v1/network/apply", func(r *http.Request, p ctl.NetProposal) (ctl.NetCandidate, error) {
		return m.Apply(context.WithoutCancel(r.Context()), p)
	})
	ctl.Handle(mux, "POST /v1/network/confirm", func(r *http.Request, by ctl.NetActor) (conf.Revision, error) {
		return m.Confirm(r.Context(), by.Who)
	})
	ctl.Handle(mux, "POST /v1/network/revert", func(r *http.Request, by ctl.NetActor) (ctl.None, error) {
		return ctl.None{}, m.Revert(context.WithoutCancel(r.Context()), by.Who)
	})
}

func (d *Daemon) state() (ctl.NetState, error) {
	st, err := d.manager.State()
	st.Leases, st.Uplinks = d.network.Leases(), d.network.Uplinks()
	return st, err
}

// tunnels tells the public keys of the tunnels that are confirmed or wait to be.
func (d *Daemon) tunnels() ([]ctl.NetTunnel, error) {
	all := []ctl.NetTunnel{}
	for _, t := range d.manager.Active().WireGuard {
		key, err := d.keys.Public(t.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, ctl.NetTunnel{Link: t.Name, PublicKey: key})
	}
	return all, nil
}

// status is what netd says of itself.
func (d *Daemon) status() ctl.NetStatus {
	st := ctl.NetStatus{Version: d.cfg.Version, Started: d.started, Mode: ctl.NetPlanOnly, Offload: d.offload.status()}
	if !d.cfg.Manage {
		return st
	}
	st.Mode = ctl.NetManages
	if fault, since := d.manager.Fault(); fault != "" {
		st.Alarms = append(st.Alarms, ctl.Alarm{
			Code: "net.fault", Text: "the network is not as it should be: " + fault, Cure: "look at sanchar net show, or at Network on the page", Since: since,
		})
	}
	for _, u := range d.network.Uplinks() {
		if !u.Up {
			st.Alarms = append(st.Alarms, ctl.Alarm{
				Code: "net.uplink." + u.Name, Text: fmt.Sprintf("uplink %s does not work: %s", u.Name, u.Why),
				Cure: "look at its cable and modem, or ask the provider", Since: u.Since,
			})
		}
	}
	st.Alarms = append(st.Alarms, d.services.Alarms()...)
	return st
}
