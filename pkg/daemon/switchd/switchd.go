// Package switchd is the daemon that knows who talks to whom: SIP, accounts, bindings and calls.
package switchd

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/call"
	"github.com/coraltele/sanchar/pkg/pbx/chat"
	"github.com/coraltele/sanchar/pkg/pbx/dialplan"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/mediapolicy"
	"github.com/coraltele/sanchar/pkg/pbx/push"
	"github.com/coraltele/sanchar/pkg/pbx/recording"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/journal"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/platform/outbox"
	"github.com/coraltele/sanchar/pkg/platform/pki"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/record"
)

// Config says where everything is.
type Config struct {
	RunDir  string // of the daemons' sockets
	DataDir string // of ours alone
	Bind    string // address of the SIP ports; "" is every address
	Port    uint16 // of UDP and TCP
	TLSPort uint16
	Domain  string // preset; "" leaves it to the set-up
	Limits  bool   // per source
	Version string
	Notify  *notify.Notifier
	Taken   map[string][]int // descriptors that the supervisor handed over
	Log     *slog.Logger
}

// Daemon is switchd.
type Daemon struct {
	cfg     Config
	log     *slog.Logger
	started time.Time
	chip    *seal.Key // wraps key files; nil where there is no security chip
	media   ctl.Media
	net     ctl.Net
	admin   ctl.Admin
	own     atomic.Pointer[map[netip.Addr]bool] // the box's addresses
	usable  map[netip.Addr]bool                 // of these, those that do not leave by a dead uplink; only followNet's
	away    atomic.Bool                         // mediad does not answer
	hub     *hub
	alarms  alarms
	bans    bans

	users   *account.Directory
	ca      *pki.CA
	cert    *pki.Server
	guard   *account.Guard
	edge    *edge.Edge
	devices *registrar.Registrar
	calls   *call.Engine
	chat    *chat.Engine
	pusher  *push.Pusher
	push    *push.Settings
	outbox  *outbox.Outbox

	mediaPolicy *mediapolicy.Policy
	reachSecret []byte // of credentials for TURN

	recording *conf.File[ctl.RecordingPolicy]
	failures  *account.Failures
}

// New returns the daemon. It opens nothing yet.
func New(cfg Config) (*Daemon, error) {
	d := &Daemon{
		cfg: cfg, log: cfg.Log, started: time.Now().UTC(), hub: newHub(),
		media: ctl.NewMedia(cfg.socket("media")), net: ctl.NewNet(cfg.socket("net")), admin: ctl.NewAdmin(cfg.socket("admin")),
	}
	own, err := localAddresses()
	if err != nil {
		return nil, err
	}
	d.own.Store(&own)
	d.usable = own
	return d, nil
}

func (c Config) socket(name string) string { return filepath.Join(c.RunDir, name+".sock") }

func (c Config) file(name ...string) string {
	return filepath.Join(append([]string{c.DataDir}, name...)...)
}

// Run serves until ctx ends, and returns when all that it started has stopped. Calls that are up,
// and the sockets, are left to the successor.
func (d *Daemon) Run(ctx context.Context) error {
	if err := d.open(ctx); err != nil {
		return errors.Join(err, d.close())
	}
	err := d.serve(ctx)
	return errors.Join(err, d.close())
}

// open opens everything in the order that a first answer needs: sockets first, they queue meanwhile.
func (d *Daemon) open(ctx context.Context) (err error) {
	if d.chip, err = seal.Chip(d.cfg.RunDir, "switch"); err != nil {
		return err
	}
	if d.users, err = account.Open(d.cfg.DataDir, d.chip); err != nil {
		return err
	}
	if d.cfg.Domain != "" {
		if err := d.users.SetDomain(d.cfg.Domain); err != nil {
			return err
		}
	}
	if err := d.openPKI(); err != nil {
		return err
	}
	if err := d.openEdge(ctx); err != nil {
		return err
	}
	d.outbox, err = outbox.Open(outbox.Config{Dir: d.cfg.file("outbox"), Send: d.deliver, Linger: recordLinger, Log: slogx.Part(d.log, "outbox")})
	if err != nil {
		return err
	}
	d.failures = account.NewFailures(func(r record.AuthFailure) { d.write(record.KindAuthFailure, r.ID, r, nil) })
	d.devices, err = registrar.Open(d.cfg.DataDir, registrar.Deps{
		Log: d.log, Edge: d.edge, Domain: d.users.Domain, Clock: func() time.Time { return time.Now().UTC() }, Watch: d.deviceChanged,
		Record: func(r record.Registration) { d.write(record.KindRegistration, r.ID, r, nil) },
	})
	if err != nil {
		return err
	}
	if err := d.openPush(); err != nil {
		return err
	}
	if err := d.openMedia(); err != nil {
		return err
	}
	if d.recording, err = conf.Open(d.cfg.file("recording.json"), recording.Schema(), slogx.Part(d.log, "conf")); err != nil {
		return err
	}
	plan := &dialplan.Plan{Ours: d.ours, Lookup: d.users.Lookup}
	d.chat = chat.New(d.cfg.DataDir, chat.Deps{
		Log: d.log, Wire: d.edge, Out: d.edge.NewOutgoing(), Devices: d.devices, Plan: plan, User: d.users.ByID, Domain: d.users.Domain,
		Wake: d.wake, Product: d.product(), Record: func(r record.Message, kept func(error)) { d.put(record.KindMessage, r.ID, r, kept) },
	})
	d.calls, err = call.Open(d.cfg.RunDir, call.Deps{
		Log: d.log, Wire: d.edge, Devices: d.devices, Relay: d.media, Waker: d.pusher, Plan: plan, User: d.users.ByID,
		Policy: func() *ctl.RecordingPolicy { p, _ := d.recording.Load(); return &p },
		Rules:  d.mediaRules, Domain: d.users.Domain, Watch: d.hub.tell, Message: d.chat.InDialog, Product: d.product(),
		Record: func(r record.Call, kept func()) { d.write(record.KindCall, r.ID, r, kept) },
	})
	return err
}

func (d *Daemon) product() string { return "Sanchar/" + d.cfg.Version }

func (d *Daemon) openPKI() (err error) {
	dir := d.cfg.file("pki")
	if d.ca, err = pki.OpenCA(dir, d.chip, time.Now); err != nil {
		return err
	}
	issue := func(_ context.Context, names []string, ips []netip.Addr, pub *ecdsa.PublicKey) ([]byte, error) {
		return d.ca.Issue(names, ips, pub)
	}
	if d.cert, err = pki.OpenServer(dir, d.chip, issue, time.Now, slogx.Part(d.log, "tls")); err != nil {
		return err
	}
	d.nameCertificate()
	return nil
}

// nameCertificate makes the certificate name the box's addresses and domain as they are now.
func (d *Daemon) nameCertificate() {
	var names []string
	if domain := d.users.Domain(); domain != "" {
		names = append(names, domain)
	}
	d.cert.SetNames(names, d.addresses())
}

func (d *Daemon) openEdge(ctx context.Context) error {
	bind, err := bindAddresses(d.cfg.Bind)
	if err != nil {
		return err
	}
	d.guard = account.NewGuard(d.users, d.ours, time.Now)
	d.edge = edge.New(edge.Config{
		Bind: bind, Port: d.cfg.Port, TLSPort: d.cfg.TLSPort, TLS: d.cert.TLSConfig(), Limits: d.cfg.Limits, Product: d.product(), Owns: d.owns,
	}, edge.Deps{Log: d.log, Notify: d.cfg.Notify, Guard: d.guard, Domain: d.users.Domain})
	d.edge.Handle(edge.Handlers{
		Register: func(in *edge.Inbound) { d.devices.Register(in) },
		Call:     func(in *edge.Inbound) bool { return d.calls.Call(in) },
		Message:  func(in *edge.Inbound) bool { return d.chat.Message(in) },
		Response: func(in *edge.Inbound) bool { return d.chat.Response(in) || d.calls.Response(in) },
		Failed:   d.signInFailed,
		Banned:   d.banned,
	})
	return d.edge.Listen(ctx, d.cfg.Taken)
}

// serve runs all parts. The edge ends first, so that nothing new comes while the others end.
func (d *Daemon) serve(ctx context.Context) error {
	d.users.Watch(d.userChanged)
	later, end := context.WithCancel(context.WithoutCancel(ctx))
	behind := make(chan error, 1)
	go func() {
		behind <- together(later, d.devices.Run, d.calls.Run, d.chat.Run, d.runPush, d.outbox.Run, d.failures.Run)
	}()
	err := together(ctx, d.edge.Run, d.cert.Run, d.followMedia, d.followNet, d.watchAlarms, d.watchSettings, d.keepAlive, d.serveSocket, d.tellReady)
	end()
	return errors.Join(err, <-behind)
}

// together runs all parts until ctx ends or one of them fails, and waits for all.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	errs := make(chan error, len(parts))
	for _, part := range parts {
		wait.Go(func() {
			err := part(ctx)
			if err != nil {
				cancel()
			}
			errs <- err
		})
	}
	wait.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// close closes what open opened.
func (d *Daemon) close() error {
	var errs []error
	if d.outbox != nil {
		errs = append(errs, d.outbox.Close())
	}
	if d.edge != nil {
		errs = append(errs, d.edge.Close())
	}
	if d.users != nil {
		errs = append(errs, d.users.Close())
	}
	return errors.Join(errs...)
}

func (d *Daemon) serveSocket(ctx context.Context) error {
	return ctl.Serve(ctx, d.cfg.socket("switch"), d.routes(), slogx.Part(d.log, "socket"))
}

// readyTime bounds the wait for our own socket to answer.
const readyTime = 10 * time.Second

// tellReady tells the supervisor, as soon as the socket answers; SIP does already.
func (d *Daemon) tellReady(ctx context.Context) error {
	sw := ctl.NewSwitch(d.cfg.socket("switch"))
	defer sw.Close()
	until := time.Now().Add(readyTime)
	for {
		_, err := sw.Status(ctx)
		switch {
		case err == nil:
			return d.cfg.Notify.Ready()
		case ctx.Err() != nil:
			return nil
		case time.Now().After(until):
			return fmt.Errorf("our own socket does not answer: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// watchSettings notes settings that we run well with.
func (d *Daemon) watchSettings(ctx context.Context) error {
	conf.Watch(ctx, d.log, d.recording, d.mediaPolicy.Settings())
	return nil
}

func (d *Daemon) keepAlive(ctx context.Context) error {
	return d.cfg.Notify.KeepAlive(ctx, func() bool { return true })
}

// deliver hands records to the archive.
func (d *Daemon) deliver(ctx context.Context, batch []record.Envelope) error {
	_, err := d.admin.Store(ctx, ctl.Batch{Records: batch})
	return err
}

// recordLinger is how long records wait to be synced together. What a crash loses meanwhile is told
// again: calls are live until their records are kept, and the registrar looks back a second.
const recordLinger = 50 * time.Millisecond

// write queues a record and calls kept, if not nil, when it is on disk. A disk that takes none
// stops records, not calls: the alarm tells.
func (d *Daemon) write(kind record.Kind, id string, r any, kept func()) {
	d.put(kind, id, r, func(error) {
		if kept != nil {
			kept()
		}
	})
}

// put queues a record and tells kept whether it is on disk.
func (d *Daemon) put(kind record.Kind, id string, r any, kept func(error)) {
	data, err := json.Marshal(r)
	if err != nil {
		d.log.Error("a record was not written", "kind", kind, "err", err)
		kept(nil) // to try again would be of no use
		return
	}
	d.outbox.Put(record.Envelope{ID: id, Kind: kind, Version: record.Version, Data: data}, journal.WaiterFunc(kept))
}

func (d *Daemon) signInFailed(in *edge.Inbound, v account.Verdict) {
	d.failures.Add(record.AuthFailure{
		Source: in.Flow.Remote.Addr(), Transport: in.Flow.Transport.Param(), Method: in.Name, Username: v.User, Claimed: in.From.Spec,
		UserAgent: in.UserAgent, Reason: v.Reason, Last: time.Now().UTC(),
	})
}

// userChanged ends what a removed or disabled user has.
func (d *Daemon) userChanged(id string) {
	if a := d.users.ByID(id); a == nil || a.Disabled {
		d.devices.RemoveUser(id)
		d.calls.EndUser(id)
		if a == nil {
			d.chat.RemoveUser(id)
		}
	}
	d.hub.tell(ctl.SwitchEvent{UserChanged: id})
}

// Pauses between tries to reach another daemon.
const (
	retryFirst = 50 * time.Millisecond
	retryLast  = 2 * time.Second
)

// follow listens to another daemon's events, again and again until ctx ends.
func follow(ctx context.Context, listen func() error) error {
	pause := retryFirst
	for ctx.Err() == nil {
		began := time.Now()
		_ = listen() // it is away, or will be: ask again
		if time.Since(began) > retryLast {
			pause = retryFirst
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, retryLast)
	}
	return nil
}

func (d *Daemon) followMedia(ctx context.Context) error {
	return follow(ctx, func() error {
		d.tellReach(ctx)
		err := d.media.Events(ctx, func(ev ctl.MediaEvent) error {
			d.away.Store(false)
			if ev.Session != "" {
				d.calls.Media(ev)
			}
			return nil
		})
		d.away.Store(ctx.Err() == nil)
		return err
	})
}

func (d *Daemon) followNet(ctx context.Context) error {
	return follow(ctx, func() error {
		return d.net.Events(ctx, func(ev ctl.NetEvent) error {
			if ev.Links != nil {
				d.takeAddresses(ev.Links, ev.Uplinks)
			}
			return nil
		})
	})
}
