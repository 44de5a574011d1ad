package admind

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/console/web"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// phonePorts are where phones fetch their settings: ports of their own, so that a zone may be let
// there that may not open the page.
type phonePorts struct {
	tls, plain uint16 // 0 while it is not served
	fault      string
	since      time.Time
}

// maxPhoneBody is what a phone may send: it has nothing to say.
const maxPhoneBody = 4 << 10

// servePhones serves settings over HTTPS, servePlain over HTTP. The page does without them: a port
// that another program has is an alarm.
func (d *Daemon) servePhones(ctx context.Context) error {
	srv := d.server(ctx, d.phoneHandler())
	srv.TLSConfig = d.cert.TLSConfig()
	return d.serveAt(ctx, srv, d.cfg.Phones, func(p *phonePorts, port uint16) { p.tls = port })
}

func (d *Daemon) servePlain(ctx context.Context) error {
	return d.serveAt(ctx, d.server(ctx, d.phoneHandler()), d.cfg.Plain, func(p *phonePorts, port uint16) { p.plain = port })
}

func (d *Daemon) serveAt(ctx context.Context, srv *http.Server, port uint16, note func(p *phonePorts, port uint16)) error {
	if port == 0 {
		return nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(d.cfg.Bind, strconv.Itoa(int(port))))
	d.mu.Lock()
	if err != nil {
		d.phones.fault, d.phones.since = err.Error(), time.Now().UTC()
	} else {
		note(&d.phones, port)
	}
	d.mu.Unlock()
	if err != nil {
		d.cfg.Log.Error("phones cannot fetch their settings", "err", err)
		return nil
	}
	return serve(ctx, srv, newLimited(ln))
}

// phonePorts tells where phones fetch their settings now; 0 is nowhere.
func (d *Daemon) phonePorts() (tls, plain uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.phones.tls, d.phones.plain
}

func (d *Daemon) phoneAlarms() []ctl.Alarm {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.phones.fault == "" {
		return nil
	}
	return []ctl.Alarm{{
		Code: "provision.port", Text: "phones cannot fetch their settings: " + d.phones.fault, Cure: "stop the program that has the port, then restart the box",
		Since: d.phones.since,
	}}
}

// phoneHandler serves phones, and nothing of the page.
func (d *Daemon) phoneHandler() http.Handler {
	mux := http.NewServeMux()
	d.provision.HandlePhones(mux)
	return d.recovering(web.Secure(timedBody(http.MaxBytesHandler(mux, maxPhoneBody))))
}
