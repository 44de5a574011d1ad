package netd

import (
	"net/http"
	"path/filepath"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/network/netmon"
	"github.com/coraltele/sanchar/pkg/network/services"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// provisionPath is where admind has the settings of phones.
const provisionPath = "/provision/"

// newServices returns the services for the zones. They begin with the first document that is applied.
func (d *Daemon) newServices() *services.Services {
	sock := func(name string) string { return filepath.Join(d.cfg.RunDir, name+".sock") }
	return services.New(services.Config{
		Dir: d.cfg.DataDir, Version: d.cfg.Version, Monitor: d.monitor, Provision: provisionPath, Log: slogx.Part(d.cfg.Log, "services"),
		Ports: services.AskPorts(ctl.NewSwitch(sock("switch")), ctl.NewAdmin(sock("admin"))),
	})
}

// registerServices answers what the page asks of services and of what the kernel counts.
func (d *Daemon) registerServices(mux *http.ServeMux) {
	ctl.Handle(mux, "GET /v1/services", func(*http.Request, ctl.None) (ctl.NetServices, error) {
		return d.services.Status(), nil
	})
	ctl.Handle(mux, "GET /v1/leases", func(*http.Request, ctl.None) (ctl.Leases, error) {
		return d.services.Leases(), nil
	})
	ctl.Handle(mux, "GET /v1/neighbours", func(*http.Request, ctl.None) ([]ctl.LLDPNeighbour, error) {
		return d.services.Neighbours(), nil
	})
	ctl.Handle(mux, "GET /v1/detail", func(*http.Request, ctl.None) (ctl.NetDetail, error) {
		return netmon.Detail()
	})
}
