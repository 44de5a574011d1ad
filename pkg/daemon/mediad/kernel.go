package mediad

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/offload"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// mapsName is what the maps, or the file of counters, are left with the supervisor under, so that a
// restart knows at once what the kernel has passed on meanwhile.
const mapsName = "media-maps"

// againAfter is how long netd has to come back before it is asked again.
const againAfter = time.Second

// kernel is what we know of the kernel that passes media on. It is used by followKernel, and before
// and after it runs.
type kernel struct {
	path   offload.Path // nil: there is none
	routes *offload.Routes
	net    ctl.Net
}

// open takes descriptors over, which are of maps or of a file of counters. It returns no path if they
// are those that we have.
func (d *Daemon) open(fds []int) (offload.Path, error) {
	if len(fds) == 1 {
		file, err := offload.OpenFile(fds[0])
		if err != nil {
			return nil, err
		}
		if old, ok := d.kernel.path.(*offload.Filter); ok && old.Path() == file.Path() {
			return nil, file.Close()
		}
		return offload.NewFilter(file, d.kernel.routes, d.kernel.net.PassMedia, d.loops[0].Now), nil
	}
	maps, err := offload.OpenMaps(fds)
	if err != nil {
		return nil, err
	}
	if old, ok := d.kernel.path.(*offload.Kernel); ok && old.Maps().Same(maps) {
		return nil, maps.Close()
	}
	k, err := offload.Open(maps, d.kernel.routes)
	if err != nil {
		return nil, errors.Join(err, maps.Close())
	}
	return k, nil
}

// takeMaps takes the maps of a process before us back.
func (d *Daemon) takeMaps(fds []int) {
	path, err := d.open(fds)
	if err == nil {
		err = d.use(path)
	}
	if err != nil {
		d.log.Warn("what the kernel passed on during the restart is not all counted", "err", err)
	}
}

// use makes the kernel pass on what it can by this path. It owns it.
func (d *Daemon) use(path offload.Path) error {
	old := d.kernel.path
	d.kernel.path = path
	err := d.table.SetKernel(path)
	if old != nil {
		err = errors.Join(err, old.Close())
	}
	return err
}

// close lets go of the path. The kernel goes on: a process after us takes over.
func (k *kernel) close() error {
	if k.path == nil {
		return k.net.Close()
	}
	return errors.Join(k.path.Close(), k.net.Close())
}

// followKernel asks netd for the maps, and again when netd was away, until ctx ends.
func (d *Daemon) followKernel(ctx context.Context) {
	for ctx.Err() == nil {
		err := d.join(ctx)
		away := err != nil && problem.Of(err).Code == "netd.away" // then the kernel goes on
		if err != nil && !away && ctx.Err() == nil {
			d.log.Debug("media comes to the sockets only", "err", errors.Join(err, d.dropMaps()))
		}
		if !away {
			d.attend(ctx)
		}
		rest(ctx, againAfter)
	}
}

// attend waits until netd goes away, or does not do what it is told, or ctx ends. Where netd is told, its
// table goes with it: media comes to the sockets.
func (d *Daemon) attend(ctx context.Context) {
	here, cancel := context.WithCancel(ctx)
	defer cancel()
	filter, told := d.kernel.path.(*offload.Filter)
	var wg sync.WaitGroup
	if told {
		wg.Go(func() {
			if err := filter.Run(here); err != nil && here.Err() == nil {
				d.log.Warn("media comes to the sockets", "err", err)
			}
			cancel()
		})
	}
	_ = d.kernel.net.Events(here, func(ctl.NetEvent) error { return nil }) // it ends with netd, or with here
	cancel()
	wg.Wait()
	if !told || ctx.Err() != nil {
		return
	}
	if err := d.dropMaps(); err != nil {
		d.log.Warn("the kernel's way is not given up cleanly", "err", err)
	}
}

// dropMaps gives up a path that is of no more use.
func (d *Daemon) dropMaps() error {
	if d.kernel.path == nil {
		return nil
	}
	err := errors.Join(d.table.SetKernel(nil), d.kernel.path.Close(), d.notify.Forget(mapsName))
	d.kernel.path = nil
	return err
}

// join takes what netd gives, unless that is what we have.
func (d *Daemon) join(ctx context.Context) error {
	fds, err := d.kernel.net.MediaMaps(ctx)
	if err != nil {
		return err
	}
	path, err := d.open(fds)
	if err != nil || path == nil {
		return err
	}
	if d.kernel.path != nil {
		err = d.notify.Forget(mapsName)
	}
	if err := errors.Join(err, d.notify.Store(mapsName, descriptors(path)...), d.use(path)); err != nil {
		return fmt.Errorf("use netd's maps: %w", err)
	}
	d.log.Info("the kernel passes media on", "later", path.Deferred())
	return nil
}

// descriptors are what a process after us needs of a path.
func descriptors(path offload.Path) []int {
	switch p := path.(type) {
	case *offload.Kernel:
		return p.Maps().FDs()
	case *offload.Filter:
		return []int{p.FD()}
	}
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
