package netd

import (
	"net/http"
	"path/filepath"

	"github.com/coraltele/sanchar/pkg/network/guard"
	"github.com/coraltele/sanchar/pkg/network/nft"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// newGuard makes the packet filter, which asks the other daemons what they listen on. With planOnly
// the kernel is left alone.
func (d *Daemon) newGuard(planOnly bool) (*guard.Guard, error) {
	socket := func(name string) string { return filepath.Join(d.cfg.RunDir, name+".sock") }
	return guard.New(guard.Config{
		Kernel: nft.New(0), Links: d.monitor.Links, StateDir: d.cfg.RunDir, PlanOnly: planOnly, Log: d.cfg.Log,
		Switch: ctl.NewSwitch(socket("switch")), Media: ctl.NewMedia(socket("media")), Admin: ctl.NewAdmin(socket("admin")),
	})
}

func (d *Daemon) firewallRoutes(mux *http.ServeMux) {
	ctl.Handle(mux, "GET /v1/firewall", func(*http.Request, ctl.None) (ctl.Firewall, error) { return d.guard.Status() })
}
