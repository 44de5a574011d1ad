package netd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/offload"
	"github.com/coraltele/sanchar/pkg/network/ingress"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// What Config.Offload can be besides the ways of package ingress.
const (
	OffloadOff      = "off"      // all media comes to mediad's sockets
	OffloadNftables = "nftables" // the packet filter passes it on: what auto takes where no program can be had
)

// mapsName is what the maps are left with the supervisor under.
const mapsName = "media-maps"

// offloader makes the kernel able to pass media on: it holds the maps and keeps the program attached to
// the interfaces. What is passed on, mediad says by the maps; if there can be no program, by verbs.
type offloader struct {
	mu     sync.Mutex // guards what follows
	maps   *offload.Maps
	hooks  *ingress.Hooks
	filter *mediaFilter // nil: there is the program, or nothing
	links  []ctl.Link   // as last seen
	state  ctl.NetOffload
}

func checkOffload(way string) error {
	switch way {
	case "", OffloadOff, OffloadNftables, ingress.Auto, ingress.TCX, ingress.Clsact:
		return nil
	}
	return problem.Fields("net.offload", []problem.Fault{{
		Path: "offload", Value: way, Rule: "auto, tcx, clsact, nftables or off", Cure: "use auto: it is the best that the kernel has",
	}})
}

// begin loads the program, and takes back what a process before us left with the supervisor.
func (o *offloader) begin(cfg Config) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = ctl.NetOffload{Way: OffloadOff, Why: "it was not asked for"}
	var err error
	switch cfg.Offload {
	case OffloadOff, "":
		dropHanded(cfg, "")
		return
	case OffloadNftables:
		dropHanded(cfg, "")
		err = o.openFilterLocked("it was asked for")
	default:
		if err = o.loadLocked(cfg); err == nil {
			o.state = ctl.NetOffload{Way: o.hooks.Way()}
			return
		}
		if cfg.Offload == ingress.Auto {
			cfg.Log.Info("the kernel takes no program for media: the packet filter is used", "err", err)
			err = errors.Join(err, o.openFilterLocked(err.Error()))
		}
	}
	if o.filter == nil {
		o.state.Why = err.Error()
		cfg.Log.Warn("the kernel passes no media on", "err", err)
	}
}

// dropHanded gives up what a process before us left, by the begin of its name: without its last descriptor a
// link is gone.
func dropHanded(cfg Config, prefix string) {
	for name, fds := range cfg.Handed {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		for _, fd := range fds {
			_ = unix.Close(fd) // nobody uses it
		}
		if err := cfg.Notify.Forget(name); err != nil {
			cfg.Log.Warn("supervisor not told", "err", err)
		}
	}
}

// loadLocked makes the program ready, or leaves nothing behind.
func (o *offloader) loadLocked(cfg Config) error {
	maps, err := takeMaps(cfg)
	if err != nil {
		dropHanded(cfg, ingress.NamePrefix)
		return err
	}
	program, err := offload.Load(maps)
	if err == nil && cfg.Offload == ingress.Auto {
		if err = ingress.Probe(program); err != nil {
			err = errors.Join(err, program.Close())
		}
	}
	if err != nil {
		dropHanded(cfg, ingress.NamePrefix)
		return errors.Join(err, maps.Close(), cfg.Notify.Forget(mapsName))
	}
	links := map[string][]int{}
	for name, fds := range cfg.Handed {
		if strings.HasPrefix(name, ingress.NamePrefix) {
			links[name] = fds
		}
	}
	hooks, err := ingress.New(program, cfg.Offload, cfg.Notify, links)
	if err != nil { // of single links: they are made anew
		cfg.Log.Warn("a link of the program was not taken back", "err", err)
	}
	o.maps, o.hooks = &maps, hooks
	return nil
}

// takeMaps takes the maps back, or makes new ones and leaves them with the supervisor.
func takeMaps(cfg Config) (offload.Maps, error) {
	if fds := cfg.Handed[mapsName]; len(fds) > 0 {
		maps, err := offload.OpenMaps(fds)
		if err == nil {
			return maps, nil
		}
		cfg.Log.Warn("media comes to the sockets until the calls are told to the kernel anew", "err", errors.Join(err, cfg.Notify.Forget(mapsName)))
	}
	maps, err := offload.NewMaps()
	if err != nil {
		return maps, err
	}
	if err := cfg.Notify.Store(mapsName, maps.FDs()...); err != nil {
		return maps, errors.Join(err, maps.Close())
	}
	return maps, nil
}

// followLinks keeps the program attached to all interfaces until ctx ends.
func (d *Daemon) followLinks(ctx context.Context) {
	count := time.NewTicker(countTime)
	defer count.Stop()
	for {
		links, changed := d.monitor.Links()
		if links != nil {
			d.offload.attach(links, d.cfg)
		}
		for same := true; same; {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				same = false
			case <-count.C:
				d.offload.count(d.cfg)
			}
		}
	}
}

func (o *offloader) attach(links []ctl.Link, cfg Config) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.links = links
	if o.hooks == nil {
		if err := ingress.Remove(links); err != nil {
			cfg.Log.Warn("a program that a process before this one left is still attached", "err", err)
		}
		o.followFilterLocked(cfg)
		return
	}
	names, err := o.hooks.Follow(links)
	o.state = ctl.NetOffload{Way: o.hooks.Way(), Links: names}
	if err != nil {
		o.state.Why = err.Error()
		cfg.Log.Warn("the kernel passes media on for some interfaces only", "err", err)
	}
	if len(names) == 0 && err != nil {
		o.state.Way = OffloadOff
	}
}

// status tells how media is passed on.
func (o *offloader) status() ctl.NetOffload {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state
}

// give hands out the maps, or the file of counters.
func (o *offloader) give(give func(out any, fds []int) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.filter != nil:
		return give(o.state, []int{o.filter.file.FD()})
	case o.maps != nil:
		return give(o.state, o.maps.FDs())
	}
	return o.noneLocked()
}

func (o *offloader) noneLocked() error {
	return problem.New(problem.Unavailable, "net.offload", fmt.Sprintf("the kernel passes no media on: %s", o.state.Why),
		"nothing needs to be done: mediad relays the media itself")
}

func (o *offloader) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var err error
	if o.maps != nil {
		err = errors.Join(o.hooks.Close(), o.maps.Close())
	}
	if o.filter != nil {
		err = errors.Join(err, o.filter.close())
	}
	o.maps, o.hooks, o.filter = nil, nil, nil
	return err
}
