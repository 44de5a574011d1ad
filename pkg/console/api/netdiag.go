package api

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// Diagnosis looks at the network of the box and at what it does for its hosts.
type Diagnosis interface {
	Diagnose(ctx context.Context, in ctl.DiagRequest) (ctl.Diagnosis, error)
	Ping(ctx context.Context, in ctl.PingRequest) ([]ctl.PingReply, error)
	Trace(ctx context.Context, in ctl.PingRequest) ([]ctl.TraceHop, error)
	CheckCapture(ctx context.Context, in ctl.CaptureRequest) error
	Capture(ctx context.Context, in ctl.CaptureRequest, w io.Writer) error
	Detail(ctx context.Context) (ctl.NetDetail, error)
	Services(ctx context.Context) (ctl.NetServices, error)
	Leases(ctx context.Context) (ctl.Leases, error)
	LLDPNeighbours(ctx context.Context) ([]ctl.LLDPNeighbour, error)
}

// PingReplies is what became of each question.
type PingReplies struct {
	Replies []ctl.PingReply `json:"replies"`
}

// TraceHops is the way to a host.
type TraceHops struct {
	Hops []ctl.TraceHop `json:"hops"`
}

// CableNeighbours are those at the other ends of the cables.
type CableNeighbours struct {
	Neighbours []ctl.LLDPNeighbour `json:"neighbours"`
}

func (a *API) diagnosisOperations() {
	d := a.cfg.Diagnosis
	type detailOutput struct{ Body ctl.NetDetail }
	register(a, get("get-network-detail", "/network/detail", "Links with counters, neighbours, routes, queues and connections, as the kernel has them"), func(ctx context.Context, _ caller, _ *struct{}) (*detailOutput, error) {
		detail, err := d.Detail(ctx)
		return &detailOutput{detail}, err
	})
	type servicesOutput struct{ Body ctl.NetServices }
	register(a, get("get-network-services", "/network/services", "Services for the zones: DHCP, names, time, neighbours, prefixes"), func(ctx context.Context, _ caller, _ *struct{}) (*servicesOutput, error) {
		services, err := d.Services(ctx)
		services.Services = append([]ctl.NetService{}, services.Services...)
		return &servicesOutput{services}, err
	})
	type leasesOutput struct{ Body ctl.Leases }
	register(a, get("list-leases", "/network/leases", "Who has which address"), func(ctx context.Context, _ caller, _ *struct{}) (*leasesOutput, error) {
		leases, err := d.Leases(ctx)
		leases.Leases = append([]ctl.Lease{}, leases.Leases...)
		return &leasesOutput{leases}, err
	})
	type neighboursOutput struct{ Body CableNeighbours }
	register(a, get("list-cable-neighbours", "/network/neighbours", "Who is at the other ends of the cables, by LLDP"), func(ctx context.Context, _ caller, _ *struct{}) (*neighboursOutput, error) {
		all, err := d.LLDPNeighbours(ctx)
		return &neighboursOutput{CableNeighbours{append([]ctl.LLDPNeighbour{}, all...)}}, err
	})
	a.probeOperations()
	a.captureOperation()
}

// probeOperations send packets to hosts that the caller names, so they stand in the audit log.
func (a *API) probeOperations() {
	d := a.cfg.Diagnosis
	type diagInput struct{ Body ctl.DiagRequest }
	type diagOutput struct{ Body ctl.Diagnosis }
	op := with(http.MethodPost, get("diagnose-network", "/network/diagnosis", "Find out what is wrong, from the cable upwards; takes up to 20 seconds"))
	register(a, op, func(ctx context.Context, who caller, in *diagInput) (out *diagOutput, err error) {
		err = a.act(ctx, who, "network.diagnose", in.Body.Trunk, func(*record.Audit) error {
			found, err := d.Diagnose(ctx, in.Body)
			out = &diagOutput{found}
			return err
		})
		return out, err
	})
	type pingInput struct{ Body ctl.PingRequest }
	type pingOutput struct{ Body PingReplies }
	op = with(http.MethodPost, get("ping", "/network/ping", "Ask a host whether it is there"))
	register(a, op, func(ctx context.Context, who caller, in *pingInput) (out *pingOutput, err error) {
		err = a.act(ctx, who, "network.ping", in.Body.Host, func(*record.Audit) error {
			all, err := d.Ping(ctx, in.Body)
			out = &pingOutput{PingReplies{append([]ctl.PingReply{}, all...)}}
			return err
		})
		return out, err
	})
	type traceOutput struct{ Body TraceHops }
	op = with(http.MethodPost, get("trace", "/network/trace", "Find the way to a host; takes up to a minute and a half if nobody answers"))
	register(a, op, func(ctx context.Context, who caller, in *pingInput) (out *traceOutput, err error) {
		err = a.act(ctx, who, "network.trace", in.Body.Host, func(*record.Audit) error {
			all, err := d.Trace(ctx, in.Body)
			out = &traceOutput{TraceHops{append([]ctl.TraceHop{}, all...)}}
			return err
		})
		return out, err
	})
}

// captureOperation hands out what people say and write, so only who may read content may ask for it,
// and it stands in the audit log before the first packet leaves.
func (a *API) captureOperation() {
	type input struct{ Body ctl.CaptureRequest }
	op := with(http.MethodPost, get("capture-packets", "/network/capture", "Record packets of a link, as a pcapng file, until a bound is reached or the request ends"))
	op.Responses = fileResponse("application/x-pcapng")
	register(a, op, func(ctx context.Context, who caller, in *input) (*huma.StreamResponse, error) {
		req := in.Body
		err := a.act(ctx, who, "network.capture", req.Link, func(entry *record.Audit) error {
			entry.Detail = fmt.Sprintf("filter=%s heads_only=%v", cmp.Or(firstWords(req.Filter), "none"), req.HeadOnly)
			if !who.ReadsContent() {
				return problem.New(problem.Denied, "capture.role", "only an owner may record what is said", "ask an owner of the box")
			}
			return a.cfg.Diagnosis.CheckCapture(ctx, req)
		})
		if err != nil {
			return nil, err
		}
		name := "capture-" + time.Now().UTC().Format("20060102-150405") + ".pcapng"
		return a.download(name, "application/x-pcapng", func(w http.ResponseWriter) error {
			return a.cfg.Diagnosis.Capture(ctx, req, flushing{w})
		}), nil
	})
}

// flushing lets each packet leave at once: a capture of few packets is watched as it grows.
type flushing struct{ w http.ResponseWriter }

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	if p, ok := f.w.(patient); ok && err == nil {
		err = p.rc.Flush()
	}
	return n, err
}
