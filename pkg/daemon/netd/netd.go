// Package netd is the daemon that owns the kernel's network: it keeps it as it was confirmed, tells
// the others of links and addresses, and lets the kernel pass media on.
package netd

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/network/guard"
	"github.com/coraltele/sanchar/pkg/network/netapply"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netman"
	"github.com/coraltele/sanchar/pkg/network/netmon"
	"github.com/coraltele/sanchar/pkg/network/services"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
)

const (
	aliveEvery  = 10 * time.Second // readers of the event stream take longer silence for a hang
	answerLimit = 5 * time.Second  // of our own socket, before we call ourselves ill
)

// Config says where netd answers and whom it tells.
type Config struct {
	RunDir  string // of the daemons' sockets
	DataDir string // of this daemon's data
	Manage  bool   // the network is ours; else plans are made and nothing is applied
	Resolv  string // file with the name servers that programs ask, written if Manage; "" for none
	Version string
	Offload string // how the kernel passes media on: one of package ingress' ways, OffloadNftables or OffloadOff, as is empty
	Notify  *notify.Notifier
	Handed  map[string][]int // by the supervisor; Run owns them
	Log     *slog.Logger
}

// Daemon is netd.
type Daemon struct {
	cfg     Config
	socket  string
	monitor *netmon.Monitor
	started time.Time
	guard   *guard.Guard

	keys      *netapply.Keys
	network   *netman.Network
	settings  conf.Watched
	manager   *netman.Manager
	followers []func(netcfg.Document) // of the document that is applied

	services *services.Services
	captures chan struct{} // holds a token for each capture under way
	offload  offloader
}

// New returns the daemon. It opens no socket yet.
func New(cfg Config) (*Daemon, error) {
	if err := checkOffload(cfg.Offload); err != nil {
		return nil, err
	}
	d := &Daemon{
		cfg: cfg, socket: filepath.Join(cfg.RunDir, "net.sock"), started: time.Now().UTC(),
		monitor: netmon.New(slogx.Part(cfg.Log, "netmon")), captures: make(chan struct{}, maxCaptures),
	}
	d.newServices()
	var err error
	if d.guard, err = d.newGuard(!cfg.Manage); err != nil {
		return nil, err
	}
	return d, d.newNetwork()
}

// Run serves until ctx ends.
func (d *Daemon) Run(ctx context.Context) error {
	sock, err := ctl.Listen(d.socket)
	if err != nil {
		return err
	}
	d.offload.begin(d.cfg)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.monitor.Run(ctx) }) // it ends with ctx only
	wg.Go(func() { _ = d.guard.Run(ctx) })   // it too
	wg.Go(func() { _ = d.services.Run(ctx) })
	if d.cfg.Manage {
		wg.Go(func() { _ = d.network.Run(ctx) }) // and it
	}
	wg.Go(func() { conf.Watch(ctx, d.cfg.Log, d.settings) })
	wg.Go(func() { d.followLinks(ctx) })
	var aliveErr, manageErr error
	wg.Go(func() {
		if manageErr = d.manage(ctx); manageErr != nil {
			cancel()
		}
	})
	wg.Go(func() { aliveErr = d.cfg.Notify.KeepAlive(ctx, func() bool { return d.answers(ctx) }) })
	wg.Go(func() { d.sayReady(ctx) })
	err = sock.Serve(ctx, d.handler(), d.cfg.Log)
	cancel()
	wg.Wait()
	return errors.Join(err, aliveErr, manageErr, d.offload.close())
}

// sayReady waits until the network is as it was confirmed.
func (d *Daemon) sayReady(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-d.manager.Ready():
	}
	if err := d.cfg.Notify.Ready(); err != nil {
		d.cfg.Log.Warn("supervisor not told", "err", err)
	}
	d.cfg.Log.Info("ready", "socket", d.socket)
}

// answers asks our own socket, as others do.
func (d *Daemon) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	self := ctl.NewNet(d.socket)
	_, err := self.Status(ctx)
	_ = self.Close() // it has no fault to tell
	return err == nil
}

func (d *Daemon) handler() http.Handler {
	mux := http.NewServeMux()
	ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.NetStatus, error) {
		return d.status(), nil
	})
	ctl.Handle(mux, "GET /v1/links", func(*http.Request, ctl.None) ([]ctl.Link, error) {
		links, _ := d.monitor.Links()
		return links, nil
	})
	ctl.HandleFDs(mux, "GET /v1/media-maps", d.offload.give)
	ctl.Handle(mux, "POST /v1/media-flows", d.pass)
	ctl.Stream(mux, "GET /v1/events", d.events)
	d.firewallRoutes(mux)
	d.networkRoutes(mux)
	d.serviceRoutes(mux)
	d.diagnosisRoutes(mux)
	return mux
}

// events sends all links, and again after each change. Waiting for the first look sends nothing.
func (d *Daemon) events(r *http.Request, emit func(any) error) error {
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	for {
		links, changed := d.monitor.Links()
		_, uplinks := d.network.Facts()
		if links != nil {
			if err := emit(ctl.NetEvent{Links: links, Uplinks: d.network.Uplinks()}); err != nil {
				return err
			}
		}
		if err := d.untilChanged(r.Context(), changed, uplinks, alive.C, emit); err != nil {
			return err
		}
	}
}

func (d *Daemon) untilChanged(ctx context.Context, links, uplinks <-chan struct{}, alive <-chan time.Time, emit func(any) error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-links:
			return nil
		case <-uplinks:
			return nil
		case <-alive:
			if err := emit(ctl.NetEvent{Alive: true}); err != nil {
				return err
			}
		}
	}
}
