package netd

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/miekg/dns"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/network/capture"
	"github.com/coraltele/sanchar/pkg/network/diag"
	names "github.com/coraltele/sanchar/pkg/network/dns"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/probe"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	maxPings    = 20 // in one question: its answer comes when all are asked
	maxCaptures = 2  // at once
	nameTime    = 5 * time.Second

	msgCapture = "packets are captured"
)

// diagnosisRoutes answers what finds faults.
func (d *Daemon) diagnosisRoutes(mux *http.ServeMux) {
	ctl.Handle(mux, "POST /v1/diagnose", func(r *http.Request, in ctl.DiagRequest) (ctl.Diagnosis, error) {
		return d.diagnose(r.Context(), in)
	})
	ctl.Handle(mux, "POST /v1/ping", func(r *http.Request, in ctl.PingRequest) ([]ctl.PingReply, error) {
		return d.ping(r.Context(), in)
	})
	ctl.Handle(mux, "POST /v1/trace", func(r *http.Request, in ctl.PingRequest) ([]ctl.TraceHop, error) {
		return d.trace(r.Context(), in)
	})
	ctl.Handle(mux, "POST /v1/capture/check", func(_ *http.Request, in ctl.CaptureRequest) (ctl.None, error) {
		return ctl.None{}, captureOf(in).Check()
	})
	mux.HandleFunc("GET /v1/capture", d.capture)
}

func (d *Daemon) diagnose(ctx context.Context, in ctl.DiagRequest) (ctl.Diagnosis, error) {
	if in.Trunk != "" {
		if err := diag.CheckTrunk(in.Trunk); err != nil {
			return ctl.Diagnosis{}, err
		}
	}
	cfg := d.services.Diagnosis()
	cfg.Trunk, cfg.Servers = in.Trunk, d.nameServers()
	if len(cfg.Sources) == 0 {
		cfg.Sources = netcfg.NTP{}.SourcesOr()
	}
	return diag.Run(ctx, cfg)
}

// nameServers are those of the document or the provider, else those of the machine.
func (d *Daemon) nameServers() []netip.AddrPort {
	if all := d.services.Diagnosis().Servers; len(all) > 0 {
		return all
	}
	return systemServers()
}

// systemServers are the name servers of the machine, where no document names any.
func systemServers() (all []netip.AddrPort) {
	cfg, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil // the diagnosis says that none is known
	}
	for _, s := range cfg.Servers {
		if a, err := netip.ParseAddr(s); err == nil {
			all = append(all, netip.AddrPortFrom(a, 53))
		}
	}
	return all
}

// target finds out who is asked.
func (d *Daemon) target(ctx context.Context, in ctl.PingRequest) (probe.Target, error) {
	t := probe.Target{Iface: in.Link}
	var faults []problem.Fault
	if in.Link != "" {
		if _, err := net.InterfaceByName(in.Link); err != nil {
			faults = append(faults, problem.Fault{Path: "link", Value: in.Link, Rule: "is a link of the box", Cure: "leave it out, or see the links with: sanchar links"})
		}
	}
	if in.Count < 0 || in.Count > maxPings {
		faults = append(faults, problem.Fault{Path: "count", Value: strconv.Itoa(in.Count), Rule: "is from 1 to " + strconv.Itoa(maxPings), Cure: "ask again when these are answered"})
	}
	if in.Size < 0 || in.Size > probe.MaxSize {
		faults = append(faults, problem.Fault{Path: "size", Value: strconv.Itoa(in.Size), Rule: "is at most " + strconv.Itoa(probe.MaxSize) + " bytes", Cure: "send less"})
	}
	ctx, cancel := context.WithTimeout(ctx, nameTime)
	defer cancel()
	found, err := names.Lookup(ctx, d.nameServers(), in.Host)
	switch {
	case in.Host == "" || err != nil || len(found) == 0:
		faults = append(faults, problem.Fault{Path: "host", Value: in.Host, Rule: "is an address, or a name that has one", Cure: "give an address if names cannot be resolved"})
	default:
		t.Addr = found[0]
	}
	return t, problem.Fields("ping", faults)
}

func (d *Daemon) ping(ctx context.Context, in ctl.PingRequest) (all []ctl.PingReply, err error) {
	t, err := d.target(ctx, in)
	if err != nil {
		return nil, err
	}
	err = probe.Ping(ctx, t, probe.Options{Count: in.Count, Size: in.Size}, func(r probe.Reply) {
		all = append(all, ctl.PingReply{Seq: r.Seq, From: r.From, Took: r.Took, Fault: r.Fault})
	})
	return all, mayNot(err)
}

func (d *Daemon) trace(ctx context.Context, in ctl.PingRequest) (all []ctl.TraceHop, err error) {
	t, err := d.target(ctx, in)
	if err != nil {
		return nil, err
	}
	err = probe.Trace(ctx, t, func(h probe.Hop) {
		all = append(all, ctl.TraceHop{Number: h.Number, From: h.From, Took: h.Took, Fault: h.Fault, Last: h.Last})
	})
	return all, mayNot(err)
}

// mayNot says in words that this process lacks the right to raw sockets, as on a developer's machine.
func mayNot(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return problem.Wrap(err, problem.Denied, "net.raw", "netd may not open raw sockets here", "run it as the box does: as root, or with CAP_NET_RAW")
	}
	return err
}

func captureOf(in ctl.CaptureRequest) capture.Request {
	return capture.Request{
		Iface: in.Link, Filter: in.Filter, Bytes: in.Bytes, Time: time.Duration(in.Seconds) * time.Second, Packets: in.Packets, HeadOnly: in.HeadOnly,
	}
}

// capture streams packets as they come.
func (d *Daemon) capture(w http.ResponseWriter, r *http.Request) {
	req, err := captureQuery(r)
	if err == nil {
		err = req.Check()
	}
	if err == nil {
		select {
		case d.captures <- struct{}{}:
			defer func() { <-d.captures }()
		default:
			err = problem.New(problem.Full, "capture.busy", "other captures are under way", "wait until they end")
		}
	}
	if err != nil {
		ctl.WriteProblem(w, err)
		return
	}
	d.cfg.Log.Info(msgCapture, "iface", req.Iface, "filter", req.Filter)
	out := &flushed{w: w, rc: http.NewResponseController(w)}
	if _, err := capture.Run(r.Context(), req, out); err != nil {
		if !out.begun {
			ctl.WriteProblem(w, mayNot(err))
			return
		}
		panic(http.ErrAbortHandler) // nobody takes a part for the whole
	}
}

// flushed sends each packet on at once.
type flushed struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	begun bool
}

func (f *flushed) Write(b []byte) (int, error) {
	if !f.begun {
		f.begun = true
		f.w.Header().Set("Content-Type", "application/x-pcapng")
	}
	n, err := f.w.Write(b)
	if err == nil {
		err = f.rc.Flush()
	}
	return n, err
}

func captureQuery(r *http.Request) (capture.Request, error) {
	q := r.URL.Query()
	in := ctl.CaptureRequest{Link: q.Get("link"), Filter: q.Get("filter"), HeadOnly: q.Get("headOnly") == "true"}
	var faults []problem.Fault
	number := func(name string) int64 {
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err != nil && q.Get(name) != "" {
			faults = append(faults, problem.Fault{Path: name, Value: q.Get(name), Rule: "is a number", Cure: "write digits only"})
		}
		return n
	}
	in.Bytes, in.Seconds, in.Packets = number("bytes"), int(number("seconds")), int(number("packets"))
	return captureOf(in), problem.Fields("capture", faults)
}
