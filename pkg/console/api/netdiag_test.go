package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// looking is a netd that finds one thing of each kind.
type looking struct{ Diagnosis }

func (looking) Diagnose(_ context.Context, in ctl.DiagRequest) (ctl.Diagnosis, error) {
	return ctl.Diagnosis{Nodes: []ctl.DiagNode{{ID: "trunk", Name: in.Trunk, State: ctl.DiagFailed, Evidence: "silence", Cure: "ask the provider"}}}, nil
}

func (looking) Ping(_ context.Context, in ctl.PingRequest) ([]ctl.PingReply, error) {
	if in.Host == "" {
		return nil, problem.Fields("ping", []problem.Fault{{Path: "host", Rule: "is a host", Cure: "name one"}})
	}
	return []ctl.PingReply{{Seq: 1}}, nil
}

func (looking) CheckCapture(_ context.Context, in ctl.CaptureRequest) error {
	if in.Link != "eth0" {
		return problem.Fields("capture", []problem.Fault{{Path: "link", Value: in.Link, Rule: "is a link", Cure: "name one"}})
	}
	return nil
}

func (looking) Capture(_ context.Context, in ctl.CaptureRequest, w io.Writer) error {
	_, err := io.WriteString(w, "packets of "+in.Link)
	return err
}

func TestDiagnosisIsAuditedAndCapturesAreForOwners(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.api.cfg.Diagnosis = looking{}
	b.api = New(b.api.cfg)
	for _, c := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/network/diagnosis", `{"trunk":"sip.provider.example"}`, 200, "ask the provider"},
		{"/network/ping", `{"host":"192.0.2.1"}`, 200, `"seq":1`},
		{"/network/ping", `{"host":""}`, 422, `"path":"host"`},
		{"/network/capture", `{"link":"nope"}`, 422, `"path":"link"`},
		{"/network/capture", `{"link":"eth0","filter":"sip"}`, 200, "packets of eth0"},
	} {
		got := b.do(http.MethodPost, c.path, c.body)
		if got.Code != c.status || !strings.Contains(got.Body.String(), c.says) {
			t.Errorf("%s %s: %d %s", c.path, c.body, got.Code, got.Body)
		}
	}
	acts := ""
	for _, e := range b.archive.audit(t) {
		if strings.HasPrefix(e.Act, "network.") {
			acts += e.Act + " " + e.Object + " " + e.Detail + "\n"
		}
	}
	for _, want := range []string{"network.diagnose sip.provider.example", "network.ping 192.0.2.1", "network.capture nope capture", "network.capture eth0 filter=sip heads_only=false"} {
		if !strings.Contains(acts, want) {
			t.Errorf("no %q in\n%s", want, acts)
		}
	}
}
