// Package admind is the daemon of the page, its API and the records: what is past.
package admind

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/exchange"
	"github.com/coraltele/sanchar/pkg/archive/hooks"
	"github.com/coraltele/sanchar/pkg/archive/ingest"
	"github.com/coraltele/sanchar/pkg/archive/recordings"
	"github.com/coraltele/sanchar/pkg/archive/records"
	"github.com/coraltele/sanchar/pkg/archive/scan"
	"github.com/coraltele/sanchar/pkg/archive/vault"
	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/console/api"
	"github.com/coraltele/sanchar/pkg/console/auth"
	"github.com/coraltele/sanchar/pkg/console/events"
	"github.com/coraltele/sanchar/pkg/console/provision"
	"github.com/coraltele/sanchar/pkg/console/web"
	"github.com/coraltele/sanchar/pkg/firmware/update"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/platform/pki"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/record"
)

// Config says where everything is.
type Config struct {
	RunDir    string // of the daemons' sockets
	DataDir   string // of ours alone
	Bind      string // address of the page; "" is every address
	Port      uint16 // of the page; 0 takes any that is free
	Phones    uint16 // port where phones fetch their settings, and nothing else is served; 0 is none
	Plain     uint16 // the same over HTTP, for phones that trust no box; 0 is none
	TokenFile string // where an API token of role owner is written; "" for none
	Scanner   string // program, with its arguments, that looks at each file that users send; "" for none
	Root      string // of the image's files
	Trouble   string // why the box runs the page alone; "" when it runs all
	Alone     string // why the page runs without what it keeps, which is not to be lost; "" when it runs with it
	Cure      string // what helps against that; "" when only the usual does
	Version   string
	Notify    *notify.Notifier
	Taken     map[string][]int // descriptors that the supervisor handed over
	Log       *slog.Logger
}

// Daemon is admind.
type Daemon struct {
	cfg       Config
	started   time.Time
	chip      *seal.Key // wraps key files; nil where there is no security chip
	auth      *auth.Auth
	archive   *records.Archive
	hooks     *hooks.Engine
	vault     *vault.Vault
	files     *exchange.Exchange
	heard     *vault.Vault // of recordings
	sounds    *recordings.Recordings
	hub       *events.Hub
	provision *provision.Provision
	api       *api.API
	page      *web.Page
	cert      *pki.Server
	links     ctl.Net
	updates   *update.Updates
	settings  conf.Watched

	developmentKeys bool

	mu     sync.Mutex // guards what follows
	port   uint16     // of the page, once it listens
	phones phonePorts
}

// New returns the daemon.
func New(cfg Config) (*Daemon, error) {
	d := &Daemon{cfg: cfg, started: time.Now().UTC(), links: ctl.NewNet(cfg.socket("net"))}
	sw := ctl.NewSwitch(cfg.socket("switch"))
	d.hub = events.New(events.Config{
		Switch: sw, Media: ctl.NewMedia(cfg.socket("media")), Net: d.links, Own: d.own, Log: d.log("events"),
	})
	var err error
	if d.chip, err = seal.Chip(cfg.RunDir, "admin"); err != nil {
		return nil, err
	}
	if d.page, err = web.New(); err != nil {
		return nil, err
	}
	if d.auth, err = auth.New(auth.Config{Dir: cfg.DataDir, Log: d.log("auth")}); err != nil {
		return nil, err
	}
	if cfg.TokenFile != "" {
		if err := d.auth.WriteTokenFile(cfg.TokenFile); err != nil {
			return nil, fmt.Errorf("token file: %w", err)
		}
	}
	if d.cert, err = newCertificate(cfg.DataDir, d.chip, sw, d.log("tls")); err != nil {
		return nil, err
	}
	policy, err := conf.Open(filepath.Join(cfg.DataDir, "archive.json"), conf.Schema[record.Policy]{
		Default: record.DefaultPolicy, Validate: record.Policy.Faults,
	}, d.log("conf"))
	if err != nil {
		return nil, err
	}
	d.settings = policy
	d.archive, err = records.New(records.Config{
		Dir: filepath.Join(cfg.DataDir, "records"), Stored: d.stored, Log: d.log("records"),
		Policy:   func() record.Policy { p, _ := policy.Load(); return p },
		Followed: func() (uint64, bool) { return d.hooks.Followed() },
	})
	if err != nil {
		return nil, err
	}
	if err := d.openFiles(sw); err != nil {
		return nil, err
	}
	if err := d.openRecordings(policy); err != nil {
		return nil, errors.Join(err, d.vault.Close())
	}
	d.provision, err = provision.New(provision.Config{Dir: cfg.DataDir, Switch: sw, Used: d.provisioned, Files: d.files.Server, Log: d.log("provision")})
	if err != nil {
		return nil, errors.Join(err, d.closeVaults())
	}
	d.hooks, err = hooks.Open(hooks.Config{Dir: cfg.DataDir, Archive: d.archive, Taken: sw.TakeMessage, Product: "Sanchar/" + cfg.Version, Under: d.chip, Log: d.log("hooks")})
	if err != nil {
		return nil, errors.Join(err, d.provision.Close(), d.closeVaults())
	}
	if err := d.openUpdates(sw); err != nil {
		return nil, errors.Join(err, d.hooks.Close(), d.provision.Close(), d.closeVaults())
	}
	d.api = api.New(api.Config{
		Auth: d.auth, Hub: d.hub, Provision: d.provision, Switch: sw, Links: d.links, Diagnosis: d.links, Network: d.links, NetworkType: reflect.TypeFor[netcfg.Document](), Archive: d.archive, Files: d.files, Sounds: d.sounds, Hooks: d.hooks, Policy: policy,
		Updates:   updater{d.updates},
		PageBuilt: d.page.Built(), Bind: cfg.Bind, Version: cfg.Version, Log: d.log("api"),
	})
	return d, nil
}

// openFiles opens what users sent each other.
func (d *Daemon) openFiles(sw ctl.Switch) (err error) {
	d.vault, err = vault.Open(vault.Config{
		Dir: filepath.Join(d.cfg.DataDir, "vault"), KeyFile: filepath.Join(d.cfg.DataDir, "seal.key"), Under: d.chip, Log: d.log("vault"),
	})
	if err != nil {
		return err
	}
	cfg := exchange.Config{Dir: d.cfg.DataDir, Vault: d.vault, Switch: sw, Log: d.log("files")}
	if words := strings.Fields(d.cfg.Scanner); len(words) > 0 {
		cfg.Scanner = scan.Command{Path: words[0], Args: words[1:]}
	}
	if d.files, err = exchange.New(cfg); err != nil {
		return errors.Join(err, d.vault.Close())
	}
	return nil
}

// openRecordings opens the vault of recordings. It is another one than that of files: users' quotas
// and the times of what they sent have nothing to do with it.
func (d *Daemon) openRecordings(policy *conf.File[record.Policy]) (err error) {
	d.heard, err = vault.Open(vault.Config{
		Dir: filepath.Join(d.cfg.DataDir, "recordings"), KeyFile: filepath.Join(d.cfg.DataDir, "recordings.key"), Under: d.chip, Log: d.log("recordings"),
	})
	d.sounds = recordings.New(recordings.Config{
		Vault: d.heard, Archive: d.archive, Days: func() int { p, _ := policy.Load(); return p.RecordingDays }, Log: d.log("recordings"),
	})
	return err
}

func (d *Daemon) closeVaults() error { return errors.Join(d.vault.Close(), d.heard.Close()) }

func (d *Daemon) log(part string) *slog.Logger { return slogx.Part(d.cfg.Log, part) }

func (c Config) socket(name string) string { return filepath.Join(c.RunDir, name+".sock") }

// own is what the overview tells of admind.
func (d *Daemon) own() events.Own {
	free, err := d.archive.Free()
	if err != nil {
		d.cfg.Log.Error("free space is not known", "err", err)
	}
	memory, err := memoryOf("/proc/meminfo")
	if err != nil {
		d.cfg.Log.Error("memory is not known", "err", err)
	}
	return events.Own{Version: d.cfg.Version, Started: d.started, DiskFree: free, Memory: memory, Alarms: d.alarms()}
}

// stored tells of records that the archive has.
func (d *Daemon) stored(batch []record.Envelope) {
	d.hub.Recorded(batch)
	d.hooks.Wake()
}

// alarms are what an admin must hear of from us.
func (d *Daemon) alarms() []ctl.Alarm {
	return slices.Concat(d.archive.Alarms(), d.files.Alarms(), d.sounds.Alarms(), d.hooks.Alarms(), d.updateAlarms(), d.troubleAlarms(), d.crashAlarms(), d.phoneAlarms())
}

// provisioned writes down that a phone took the settings of a user.
func (d *Daemon) provisioned(ctx context.Context, u ctl.User, f provision.Fetch) error {
	return d.api.NoteProvisioned(ctx, u, f)
}

// Run serves until ctx ends, and returns when all that it started has stopped. The archive ends
// last: a batch that a daemon is sending is still acknowledged.
func (d *Daemon) Run(ctx context.Context) error {
	ln, err := d.listen()
	if err != nil {
		return errors.Join(err, d.hooks.Close(), d.provision.Close(), d.closeVaults())
	}
	back, stopBack := context.WithCancel(context.WithoutCancel(ctx))
	archive := make(chan error, 1)
	go func() { archive <- d.archive.Run(back) }()
	err = together(ctx, d.auth.Run, d.hub.Run, d.hooks.Run, d.vault.Run, d.heard.Run, d.sounds.Run, d.cert.Run, d.followLinks, d.watchSettings, d.keepAlive,
		d.updates.Run,
		func(ctx context.Context) error {
			return ctl.Serve(ctx, d.cfg.socket("admin"), d.ownSocket(), d.cfg.Log)
		},
		func(ctx context.Context) error { return d.servePage(ctx, ln) },
		d.servePhones, d.servePlain,
		d.tellReady,
	)
	stopBack()
	return errors.Join(err, <-archive, d.provision.Close(), d.closeVaults())
}

// together runs all parts until ctx ends or one of them fails, and waits for all.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(parts))
	for _, part := range parts {
		go func() {
			err := part(ctx)
			if err != nil {
				cancel()
			}
			failed <- err
		}()
	}
	var all error
	for range parts {
		all = errors.Join(all, <-failed)
	}
	return all
}

// ownSocket serves the other daemons and the command line.
func (d *Daemon) ownSocket() http.Handler {
	mux := http.NewServeMux()
	if d.cfg.Alone == "" { // else they stay with who has them until there is a place for them
		ingest.Handle(mux, d.archive)
		d.sounds.Handle(mux)
	}
	d.updateRoutes(mux)
	d.api.HandleDeskPhones(mux)
	ctl.Handle(mux, "GET /v1/status", func(r *http.Request, _ ctl.None) (ctl.AdminStatus, error) {
		st := ctl.AdminStatus{
			Version: d.cfg.Version, Started: d.started, SetUp: d.auth.SetUp(), Page: d.pageAddress(r.Context()), Alarms: d.alarms(),
		}
		st.Provision, st.PlainProvision = d.phonePorts()
		return st, nil
	})
	return mux
}

// pageAddress is where a browser finds the page.
func (d *Daemon) pageAddress(ctx context.Context) string {
	d.mu.Lock()
	port := d.port
	d.mu.Unlock()
	host := d.cfg.Bind
	if addr, err := netip.ParseAddr(host); host == "" || (err == nil && addr.IsUnspecified()) {
		host = "localhost"
		if others := d.hub.Overview(ctx).Addresses; len(others) > 0 {
			host = others[0]
		}
	}
	return "https://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// loopbackPage is where the box itself finds the page.
func (d *Daemon) loopbackPage() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(d.port))) + "/"
}

// readyPause is how often we see whether our own socket answers already.
const readyPause = 10 * time.Millisecond

// tellReady tells the supervisor when we answer.
func (d *Daemon) tellReady(ctx context.Context) error {
	var dialer net.Dialer
	for ctx.Err() == nil {
		conn, err := dialer.DialContext(ctx, "unix", d.cfg.socket("admin"))
		if err == nil {
			d.cfg.Log.Info("ready", "page", d.pageAddress(ctx))
			return errors.Join(conn.Close(), d.cfg.Notify.Ready())
		}
		time.Sleep(readyPause)
	}
	return nil
}

// keepAlive tells the supervisor that we live: a lock that nobody gives back stops it.
func (d *Daemon) keepAlive(ctx context.Context) error {
	return d.cfg.Notify.KeepAlive(ctx, func() bool {
		_ = d.auth.Tokens()
		_, err := d.archive.Find(ctx, record.Query{Kind: record.KindAudit, Limit: 1})
		return err == nil
	})
}
