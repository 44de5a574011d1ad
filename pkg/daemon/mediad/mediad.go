// Package mediad is the daemon of the streams: it relays the media of calls between their parties.
package mediad

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/media/offload"
	"github.com/coraltele/sanchar/pkg/media/port"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/media/secure/handshake"
	"github.com/coraltele/sanchar/pkg/media/session"
	"github.com/coraltele/sanchar/pkg/media/session/snapshot"
	"github.com/coraltele/sanchar/pkg/media/turn"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/rtp/tone"
)

// areaName is what the snapshot area is left with the supervisor under.
const areaName = "media-sessions"

// spareFiles is how many descriptors we need besides those of media ports, with much to spare.
const spareFiles = 1024

// Config says where mediad answers and which ports it uses.
type Config struct {
	Socket       string
	Version      string
	Ports        port.Config
	Voice, Video uint8            // DSCP
	Loops        int              // 0 is one for each core
	NoRing       bool             // a system call for each packet, for comparison
	NoOffload    bool             // all media comes to the sockets
	Net          string           // netd's socket: where the kernel is made to pass media on; empty for never
	Data         string           // folder of this daemon's files; "" keeps none, and nothing is recorded
	RunDir       string           // of the daemons' sockets
	Admin        string           // socket of admind, which takes recordings
	Sounds       string           // folder of the box's texts and music
	Tones        string           // whose tones are played: "itu" or "india"
	STUN         []netip.AddrPort // where clients ask for their address and for relays
}

// Daemon is mediad.
type Daemon struct {
	cfg     Config
	log     *slog.Logger
	notify  *notify.Notifier
	handed  map[string][]int
	started time.Time
	hub     hub
	alarms  alarms
	kernel  kernel
	chip    *seal.Key // wraps key files; nil where there is no security chip

	pool   *port.Pool
	tones  tone.Plan
	studio *studio
	loops  []*relay.Loop
	table  *session.Table
	turn   *turn.Server
}

// New returns a mediad that takes back what its supervisor handed to it. Run owns those descriptors.
func New(cfg Config, n *notify.Notifier, handed map[string][]int, log *slog.Logger) (*Daemon, error) {
	if cfg.Loops == 0 {
		cfg.Loops = runtime.NumCPU()
	}
	plan, err := tone.ParsePlan(cfg.Tones)
	if err != nil {
		return nil, err
	}
	pool, err := port.New(cfg.Ports, n)
	if err != nil {
		return nil, err
	}
	server, err := turn.New(turn.Config{
		Listen: cfg.STUN, First: cfg.Ports.First, Last: cfg.Ports.Last,
		Peers: &turn.Peers{First: cfg.Ports.First, Last: cfg.Ports.Last}, Log: slogx.Part(log, "turn"),
	})
	if err != nil {
		return nil, err
	}
	return &Daemon{
		cfg: cfg, log: log, notify: n, handed: handed, started: time.Now(), pool: pool, tones: plan, turn: server,
		kernel: kernel{routes: offload.NewRoutes(), net: ctl.NewNet(cfg.Net)},
	}, nil
}

// Run serves until ctx ends. Media that a process before us relayed flows again before it answers.
func (d *Daemon) Run(ctx context.Context) (err error) {
	if err := raiseFileLimit(); err != nil {
		d.log.Warn("fewer media ports than configured can be open", "err", err)
	}
	defer func() { err = errors.Join(err, d.pool.Close()) }()
	area, records, err := d.openArea()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, area.Close()) }()
	defer func() { err = errors.Join(err, d.kernel.close()) }()
	media, stop := context.WithCancel(context.WithoutCancel(ctx)) // media ends after the answers do
	defer stop()
	failed := make(chan error, d.cfg.Loops+2)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	if err := d.startLoops(media, &wg, failed); err != nil {
		return err
	}
	if d.chip, err = seal.Chip(d.cfg.RunDir, "media"); err != nil {
		return err
	}
	identity, err := d.identity()
	if err != nil {
		return err
	}
	if d.studio, err = d.openStudio(); err != nil {
		return err
	}
	if d.table, err = session.New(session.Config{Voice: d.cfg.Voice, Video: d.cfg.Video, Tones: d.tones}, session.Deps{
		Ports: d.pool, Loops: d.loops, Area: area, Tell: d.hub.tell, Log: slogx.Part(d.log, "session"), Identity: identity,
		Deck: d.studio.deck, Work: d.studio.work, Sounds: d.studio.sounds,
	}); err != nil {
		return err
	}
	d.recover(records)
	if err := d.studio.settle(); err != nil {
		d.log.Error("recordings of ended calls could not be closed", "err", err)
	}
	d.studio.run(media, &wg)
	wg.Go(func() { failed <- d.table.Run(media) })
	wg.Go(func() { failed <- d.turn.Run(media) })
	if d.cfg.Net != "" && !d.cfg.NoOffload {
		wg.Go(func() { d.followKernel(media) })
		wg.Go(func() { d.followRoutes(media) })
	}
	err = d.serve(ctx, failed)
	return errors.Join(err, d.table.Keep())
}

// identity returns the certificate for media. One that cannot be kept serves until the next start.
func (d *Daemon) identity() (*handshake.Identity, error) {
	if d.cfg.Data != "" {
		id, err := handshake.LoadIdentity(d.cfg.Data, d.chip, time.Now())
		if err == nil {
			return id, nil
		}
		d.log.Error("the certificate for media is not kept", "err", err)
	}
	return handshake.NewIdentity(time.Now())
}

func (d *Daemon) startLoops(ctx context.Context, wg *sync.WaitGroup, failed chan<- error) error {
	for range d.cfg.Loops {
		l, err := relay.New(!d.cfg.NoRing, slogx.Part(d.log, "relay"))
		if err != nil {
			return err
		}
		d.loops = append(d.loops, l)
		wg.Go(func() { failed <- l.Run(ctx) })
	}
	return nil
}

// openArea takes the snapshot area back, or makes one and leaves it with the supervisor.
func (d *Daemon) openArea() (*snapshot.Area, []snapshot.Saved, error) {
	if fds := d.handed[areaName]; len(fds) == 1 {
		area, records, err := snapshot.Open(fds[0], session.Layout)
		if err == nil {
			return area, records, nil
		}
		d.log.Error("media sessions before the restart are lost", "err", errors.Join(err, d.notify.Forget(areaName), unix.Close(fds[0])))
	}
	area, err := snapshot.Create()
	if err != nil {
		return nil, nil, err
	}
	if err := d.notify.Store(areaName, area.FD()); err != nil {
		return nil, nil, errors.Join(err, area.Close())
	}
	return area, nil, nil
}

// recover takes back the ports and the sessions on them.
func (d *Daemon) recover(records []snapshot.Saved) {
	ports := map[string][]int{}
	for name, fds := range d.handed {
		switch {
		case strings.HasPrefix(name, port.NamePrefix):
			ports[name] = fds
		case name == mapsName:
			d.takeMaps(fds)
		case name != areaName:
			d.log.Warn("descriptor that is not ours was handed over", "name", name)
			for _, fd := range fds {
				_ = unix.Close(fd) // nobody uses it
			}
		}
	}
	begin := time.Now()
	if err := errors.Join(d.pool.Adopt(ports), d.table.Recover(records)); err != nil {
		d.log.Error("not all media could be taken back", "err", err)
	}
	if len(ports) > 0 {
		d.log.Info("media taken back", "sessions", len(records), "pairs", len(ports), "took", time.Since(begin))
	}
}

// serve answers until ctx ends or a part of the relay fails.
func (d *Daemon) serve(ctx context.Context, failed <-chan error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sock, err := ctl.Listen(d.cfg.Socket)
	if err != nil {
		return err
	}
	served := make(chan error, 2)
	go func() { served <- sock.Serve(ctx, d.handler(), d.log) }()
	go func() { served <- d.notify.KeepAlive(ctx, d.healthy) }()
	err = d.notify.Ready()
	d.log.Info("mediad answers", "socket", d.cfg.Socket, "first", d.cfg.Ports.First, "last", d.cfg.Ports.Last)
	left := cap(served)
	if err == nil {
		select {
		case err = <-served:
			left--
		case err = <-failed:
			err = errors.Join(errors.New("the media relay ended"), err)
		}
	}
	cancel()
	for range left {
		err = errors.Join(err, <-served)
	}
	return err
}

// healthy reports whether every loop takes its turn, and no verb holds the sessions for ever: a
// supervisor that watches us ends us if not.
func (d *Daemon) healthy() bool {
	for _, l := range d.loops {
		if l.Turn() != nil {
			return false
		}
	}
	_, _, err := d.table.Status()
	return err == nil
}

// raiseFileLimit makes room for all media ports that the supervisor can hold.
func raiseFileLimit() error {
	const want = 2*port.MaxPairs + spareFiles
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if limit.Cur >= want {
		return nil
	}
	higher := unix.Rlimit{Cur: want, Max: max(limit.Max, want)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &higher); err == nil {
		return nil
	}
	limit.Cur = limit.Max // what we may without privilege
	return errors.Join(fmt.Errorf("limit of open files is %d, not %d", limit.Max, want), unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
}
