package netd

import (
	"net/http"
	"net/netip"
	"path/filepath"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netmon"
	"github.com/coraltele/sanchar/pkg/network/services"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// provisionPath is where admind has the settings of phones.
const provisionPath = "/provision/"

// newServices makes the services for the zones. They begin with the first document that is applied;
// in plan-only mode there is none.
func (d *Daemon) newServices() {
	sock := func(name string) string { return filepath.Join(d.cfg.RunDir, name+".sock") }
	d.services = services.New(services.Config{
		Dir: filepath.Join(d.cfg.DataDir, "services"), Version: d.cfg.Version, Monitor: d.monitor, Provision: provisionPath,
		Ports: services.AskPorts(ctl.NewSwitch(sock("switch")), ctl.NewAdmin(sock("admin"))), Log: slogx.Part(d.cfg.Log, "services"),
	})
	d.followers = append(d.followers, func(doc netcfg.Document) {
		var learned []netip.Addr
		for _, l := range d.network.Leases() {
			if i, ok := doc.Interface(l.Link); ok && i.DHCP4 != nil && !i.DHCP4.IgnoreDNS {
				learned = append(learned, l.DNS...)
			}
		}
		d.services.Learned(learned)
		d.services.Apply(doc)
	})
}

// serviceRoutes answers what the page asks of services and of what the kernel counts.
func (d *Daemon) serviceRoutes(mux *http.ServeMux) {
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
