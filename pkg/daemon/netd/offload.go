package netd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/offload"
	"github.com/coraltele/sanchar/pkg/network/ingress"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// OffloadOff is what Config.Offload is to leave all media to mediad's sockets.
const OffloadOff = "off"

// mapsName is what the maps are left with the supervisor under.
const mapsName = "media-maps"

// offloader makes the kernel able to pass media on: it holds the maps and keeps the program attached to
// the interfaces. What is passed on, mediad says by the maps.
type offloader struct {
	mu    sync.Mutex // guards what follows
	maps  *offload.Maps
	hooks *ingress.Hooks
	state ctl.NetOffload
}

func checkOffload(way string) error {
	switch way {
	case "", OffloadOff, ingress.Auto, ingress.TCX, ingress.Clsact:
		return nil
	}
	return problem.Fields("net.offload", []problem.Fault{{
		Path: "offload", Value: way, Rule: "auto, tcx, clsact or off", Cure: "use auto: it is the best that the kernel has",
	}})
}

// begin loads the program, and takes back what a process before us left with the supervisor.
func (o *offloader) begin(cfg Config) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = ctl.NetOffload{Way: OffloadOff, Why: "it was not asked for"}
	if cfg.Offload == OffloadOff || cfg.Offload == "" {
		o.dropLocked(cfg)
		return
	}
	if err := o.loadLocked(cfg); err != nil {
		o.state.Why = err.Error()
		cfg.Log.Warn("the kernel passes no media on", "err", err)
		return
	}
	o.state = ctl.NetOffload{Way: o.hooks.Way()}
}

// dropLocked gives up what a process before us left: without its last descriptor a link is gone.
func (o *offloader) dropLocked(cfg Config) {
	for name, fds := range cfg.Handed {
		for _, fd := range fds {
			_ = unix.Close(fd) // nobody uses it
		}
		if err := cfg.Notify.Forget(name); err != nil {
			cfg.Log.Warn("supervisor not told", "err", err)
		}
	}
}

func (o *offloader) loadLocked(cfg Config) error {
	maps, err := takeMaps(cfg)
	if err != nil {
		return err
	}
	program, err := offload.Load(maps)
	if err != nil {
		return errors.Join(err, maps.Close())
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
	for {
		links, changed := d.monitor.Links()
		if links != nil {
			d.offload.attach(links, d.cfg)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (o *offloader) attach(links []ctl.Link, cfg Config) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hooks == nil {
		if err := ingress.Remove(links); err != nil {
			cfg.Log.Warn("a program that a process before this one left is still attached", "err", err)
		}
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

// give hands the maps out.
func (o *offloader) give(give func(out any, fds []int) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.maps == nil {
		return problem.New(problem.Unavailable, "net.offload", fmt.Sprintf("the kernel passes no media on: %s", o.state.Why),
			"nothing needs to be done: mediad relays the media itself")
	}
	return give(o.state, o.maps.FDs())
}

func (o *offloader) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.maps == nil {
		return nil
	}
	err := errors.Join(o.hooks.Close(), o.maps.Close())
	o.maps, o.hooks = nil, nil
	return err
}
