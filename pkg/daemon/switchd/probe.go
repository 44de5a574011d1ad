package switchd

import (
	"net/http"

	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// probeRoutes are for the box's check of itself. What its accounts do is nobody's business: it is told to
// nobody, recorded by nothing, and written nowhere.
func (d *Daemon) probeRoutes(mux *http.ServeMux) {
	ctl.Handle(mux, "POST /v1/probes", func(*http.Request, ctl.None) ([]ctl.Probe, error) {
		d.dropProbes()
		return d.users.MakeProbes()
	})
	ctl.Handle(mux, "DELETE /v1/probes", func(*http.Request, ctl.None) (ctl.None, error) {
		d.dropProbes()
		return ctl.None{}, nil
	})
}

// dropProbes ends what the accounts of a check have.
func (d *Daemon) dropProbes() {
	for _, id := range d.users.DropProbes() {
		d.devices.RemoveUser(id)
		d.calls.EndUser(id)
	}
}

// userNamed finds a user; the box's own accounts are none.
func (d *Daemon) userNamed(name string) *account.Account {
	if account.IsProbe(name) {
		return nil
	}
	return d.users.Lookup(name)
}

// writeStay queues the record of a device's stay.
func (d *Daemon) writeStay(r record.Registration) {
	if !account.IsProbe(r.User) {
		d.write(record.KindRegistration, r.ID, r, nil)
	}
}
