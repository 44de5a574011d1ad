package ctl

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// DiagState is how a part of the network is.
type DiagState string

// The states.
const (
	DiagOK      DiagState = "ok"
	DiagWarn    DiagState = "warn" // it works, but not well
	DiagFailed  DiagState = "failed"
	DiagSkipped DiagState = "skipped" // what it needs has failed
)

// DiagNode is one thing that was looked at.
type DiagNode struct {
	ID       string        `json:"id"`
	Parent   string        `json:"parent,omitempty"` // what it needs; "" is a root
	Name     string        `json:"name"`
	State    DiagState     `json:"state"`
	Evidence string        `json:"evidence"`       // what was seen
	Cure     string        `json:"cure,omitempty"` // what to do, if it is not well
	Took     time.Duration `json:"took"`
}

// Diagnosis is all that was looked at, parents before children.
type Diagnosis struct {
	At    time.Time     `json:"at"`
	Took  time.Duration `json:"took"`
	Nodes []DiagNode    `json:"nodes"`
}

// DiagRequest says what is looked at besides the box's own network.
type DiagRequest struct {
	Trunk string `json:"trunk,omitempty"` // "sip.provider.example" or "192.0.2.1:5060": who should answer SIP
}

// PingRequest asks whether a host answers.
type PingRequest struct {
	Host  string `json:"host"`           // name or address
	Link  string `json:"link,omitempty"` // that is used; default as the routes say
	Count int    `json:"count,omitempty"`
	Size  int    `json:"size,omitempty"` // bytes
}

// PingReply is what became of one question.
type PingReply struct {
	Seq   int           `json:"seq"`
	From  netip.Addr    `json:"from,omitzero"`
	Took  time.Duration `json:"took,omitempty"`
	Fault string        `json:"fault,omitempty"`
}

// TraceHop is a router on the way to a host, or the host.
type TraceHop struct {
	Number int             `json:"number"`
	From   netip.Addr      `json:"from,omitzero"`
	Took   []time.Duration `json:"took,omitempty"`
	Fault  string          `json:"fault,omitempty"`
	Last   bool            `json:"last,omitempty"`
}

// CaptureRequest says which packets are recorded.
type CaptureRequest struct {
	Link     string `json:"link"`
	Filter   string `json:"filter,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`   // of the file, at most
	Seconds  int    `json:"seconds,omitempty"` // at most
	Packets  int    `json:"packets,omitempty"` // at most
	HeadOnly bool   `json:"headOnly,omitempty"`
}

func (r CaptureRequest) query() string {
	v := url.Values{"link": {r.Link}, "filter": {r.Filter}}
	v.Set("bytes", strconv.FormatInt(r.Bytes, 10))
	v.Set("seconds", strconv.Itoa(r.Seconds))
	v.Set("packets", strconv.Itoa(r.Packets))
	v.Set("headOnly", strconv.FormatBool(r.HeadOnly))
	return "?" + v.Encode()
}

// Diagnose looks at the network from the cable upwards.
func (n Net) Diagnose(ctx context.Context, in DiagRequest) (d Diagnosis, err error) {
	return d, n.Do(ctx, http.MethodPost, "/v1/diagnose", in, &d)
}

// Ping asks a host several times.
func (n Net) Ping(ctx context.Context, in PingRequest) (all []PingReply, err error) {
	return all, n.Do(ctx, http.MethodPost, "/v1/ping", in, &all)
}

// Trace finds the way to a host.
func (n Net) Trace(ctx context.Context, in PingRequest) (all []TraceHop, err error) {
	return all, n.Do(ctx, http.MethodPost, "/v1/trace", in, &all)
}

// CheckCapture reports every fault of a request to record.
func (n Net) CheckCapture(ctx context.Context, in CaptureRequest) error {
	return n.Do(ctx, http.MethodPost, "/v1/capture/check", in, nil)
}

// Capture records packets into w, as pcapng, until a bound is reached or ctx ends.
func (n Net) Capture(ctx context.Context, in CaptureRequest, w io.Writer) error {
	resp, err := n.send(ctx, http.MethodGet, "/v1/capture"+in.query(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
