package switchd

import (
	"context"
	"net/http"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/pbx/push"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

// wakeTime is how long it is tried to wake a device for a message: one that is away for longer
// registers when it comes back anyhow.
const wakeTime = 24 * time.Hour

// openPush opens who wakes devices. The accounts' key is there already.
func (d *Daemon) openPush() error {
	key, err := seal.Load(d.cfg.file("seal.key"), true)
	if err != nil {
		return err
	}
	d.pusher = push.New(push.Config{Log: slogx.Part(d.log, "push")})
	d.push, err = push.OpenSettings(d.cfg.DataDir, key, d.pusher)
	return err
}

// wake asks a device that cannot be reached to come and fetch what waits for it. It is not told from
// whom: providers outside learn no more than they need.
func (d *Daemon) wake(userID, instance string) {
	for _, b := range d.devices.Lookup(userID) {
		p, ok := b.Push()
		if !ok || b.Instance != instance {
			continue
		}
		d.pusher.Wake(push.Device{Key: b.ID, Params: p}, push.Note{ID: ids.CallID(), Use: pn.Message, To: b.AoR, Until: time.Now().Add(wakeTime)})
	}
}

func (d *Daemon) runPush(ctx context.Context) error {
	defer d.push.Close()
	return d.pusher.Run(ctx)
}

func (d *Daemon) pushRoutes(mux *http.ServeMux) {
	ctl.Handle(mux, "GET /v1/push", func(*http.Request, ctl.None) (ctl.PushSettings, error) { return d.push.Load(), nil })
	ctl.Handle(mux, "PUT /v1/push", func(_ *http.Request, in ctl.PushSettings) (ctl.None, error) { return ctl.None{}, d.push.Save(in) })
}

// registrations are all bindings, with how waking them went.
func (d *Daemon) registrations() []ctl.Registration {
	all := d.devices.List()
	for i := range all {
		if h, ok := d.pusher.Health(all[i].ID); ok {
			all[i].Push = &h
		}
	}
	return all
}
