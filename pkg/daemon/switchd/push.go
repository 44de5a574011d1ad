package switchd

import (
	"context"
	"net/http"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/pbx/push"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

// wakeTime is how long it is tried to wake a device for a message: one that is away for longer
// registers when it comes back anyhow.
const wakeTime = 24 * time.Hour

// openPush opens who wakes devices. The accounts' key is there already.
func (d *Daemon) openPush() error {
	key, err := seal.Load(d.cfg.file("seal.key"), true, d.chip)
	if err != nil {
		return err
	}
	d.pusher = push.New(push.Config{Log: slogx.Part(d.log, "push"), Watch: d.pushed})
	d.push, err = push.OpenSettings(d.cfg.DataDir, key, d.pusher)
	return err
}

// wake asks a device that cannot be reached to come and fetch what waits for it. It is not told from
// whom: providers outside learn no more than they need.
func (d *Daemon) wake(userID, instance string) {
	for _, b := range append(d.devices.Lookup(userID), d.devices.Asleep(userID)...) {
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

// deviceChanged carries a binding's change to calls and messages, to who wakes it and to who watches.
func (d *Daemon) deviceChanged(ev registrar.Event) {
	b := &ev.Binding
	switch {
	case ev.Gone == record.RegMoved: // that it is somewhere else now comes next
		d.chat.Gone(*b)
		return
	case ev.Asleep:
		d.chat.Gone(*b)
	case ev.Gone != "":
		d.chat.Gone(*b)
		fallthrough
	case ev.Lost:
		d.pusher.Forget(b.ID)
		d.hub.tell(ctl.SwitchEvent{Unregistered: d.registration(b, ev.Lost)})
		return
	case ev.New:
		d.pusher.Registered(b.ID)
	}
	d.hub.tell(ctl.SwitchEvent{Registered: d.registration(b, ev.Asleep)})
	if ev.New {
		d.calls.Bound(*b)
		d.chat.Bound(*b)
	}
}

// pushed tells who watches how waking a device went.
func (d *Daemon) pushed(device string) {
	b, asleep, ok := d.devices.Find(device)
	if !ok {
		return
	}
	d.hub.tell(ctl.SwitchEvent{Registered: d.registration(&b, asleep)})
}

// registration is a binding as an admin sees it, with how waking its device went.
func (d *Daemon) registration(b *registrar.Binding, asleep bool) *ctl.Registration {
	reg := b.Registration()
	reg.Asleep = asleep
	d.addHealth(&reg)
	return &reg
}

func (d *Daemon) addHealth(reg *ctl.Registration) {
	if p, ok := pn.Of(reg.Contact); ok {
		h := d.pusher.Health(push.Device{Key: reg.ID, Params: p})
		reg.Push = &h
	}
}

// registrations are all bindings, with how waking their devices went.
func (d *Daemon) registrations() []ctl.Registration {
	all := d.devices.List()
	for i := range all {
		d.addHealth(&all[i])
	}
	return all
}
