package mediad

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/offload"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// mapsName is what the maps are left with the supervisor under, so that a restart knows at once what
// the kernel has passed on meanwhile.
const mapsName = "media-maps"

// againAfter is how long netd has to come back before it is asked again.
const againAfter = time.Second

// kernel is what we know of the kernel that passes media on. It is used by followKernel, and before
// and after it runs.
type kernel struct {
	*offload.Kernel // nil: there is none
	routes          *offload.Routes
}

// takeMaps takes the maps of a process before us back.
func (d *Daemon) takeMaps(fds []int) {
	maps, err := offload.OpenMaps(fds)
	if err == nil {
		err = d.useMaps(maps)
	}
	if err != nil {
		d.log.Warn("what the kernel passed on during the restart is not counted", "err", err)
	}
}

// useMaps makes the kernel pass on what it can by these maps. It owns them.
func (d *Daemon) useMaps(maps offload.Maps) error {
	k, err := offload.Open(maps, d.kernel.routes)
	if err != nil {
		return errors.Join(err, maps.Close())
	}
	old := d.kernel
	d.kernel.Kernel = k
	return errors.Join(d.table.SetKernel(k), old.close())
}

// close lets go of the maps. The kernel goes on: a process after us takes over.
func (k *kernel) close() error {
	if k.Kernel == nil {
		return nil
	}
	return k.Kernel.Close()
}

// followKernel asks netd for the maps, and again when netd was away, until ctx ends.
func (d *Daemon) followKernel(ctx context.Context) {
	client := ctl.NewNet(d.cfg.Net)
	defer client.Close()
	for ctx.Err() == nil {
		err := d.join(ctx, client)
		away := err != nil && problem.Of(err).Code == "netd.away" // then the kernel goes on
		if err != nil && !away && ctx.Err() == nil {
			d.log.Debug("media comes to the sockets only", "err", errors.Join(err, d.dropMaps()))
		}
		if !away {
			_ = client.Events(ctx, func(ctl.NetEvent) error { return nil }) // it ends with netd, or with ctx
		}
		rest(ctx, againAfter)
	}
}

// dropMaps gives up maps that no program serves.
func (d *Daemon) dropMaps() error {
	if d.kernel.Kernel == nil {
		return nil
	}
	err := errors.Join(d.table.SetKernel(nil), d.kernel.close(), d.notify.Forget(mapsName))
	d.kernel.Kernel = nil
	return err
}

// join takes netd's maps, unless they are those that we have.
func (d *Daemon) join(ctx context.Context, client ctl.Net) error {
	fds, err := client.MediaMaps(ctx)
	if err != nil {
		return err
	}
	maps, err := offload.OpenMaps(fds)
	if err != nil {
		return err
	}
	if d.kernel.Kernel != nil && d.kernel.Maps().Same(maps) {
		return maps.Close()
	}
	if d.kernel.Kernel != nil {
		err = d.notify.Forget(mapsName)
	}
	if err := errors.Join(err, d.notify.Store(mapsName, maps.FDs()...), d.useMaps(maps)); err != nil {
		return fmt.Errorf("use netd's maps: %w", err)
	}
	d.log.Info("the kernel passes media on")
	return nil
}

// followRoutes tells the kernel of each change of the ways to the parties, until ctx ends.
func (d *Daemon) followRoutes(ctx context.Context) {
	for ctx.Err() == nil {
		err := d.kernel.routes.Follow(ctx, func() {
			if err := d.table.Reroute(); err != nil {
				d.log.Debug("some media comes to the sockets: its way has changed", "err", err)
			}
		})
		if err != nil {
			d.log.Warn("changes of routes are not followed, trying again", "err", err)
			rest(ctx, againAfter)
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
