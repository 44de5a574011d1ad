package api

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// oneNetwork remembers what it was asked.
type oneNetwork struct {
	Network
	asked     ctl.NetProposal
	confirmed string
	err       error
}

func (n *oneNetwork) Document(context.Context) (ctl.NetDocument, error) {
	return ctl.NetDocument{Revision: conf.Revision{Number: 7}, Document: []byte(`{"hostname":"pbx"}`)}, nil
}

func (n *oneNetwork) Propose(_ context.Context, p ctl.NetProposal) (ctl.NetPlan, error) {
	n.asked = p
	return ctl.NetPlan{Changes: []string{"hostname: new"}, Steps: []ctl.NetStep{{Text: "eth0 will be removed; you are connected through it", Cuts: true}}}, n.err
}

func (n *oneNetwork) Apply(_ context.Context, p ctl.NetProposal) (ctl.NetCandidate, error) {
	n.asked = p
	return ctl.NetCandidate{Document: p.Document, Who: p.Who, Changes: []string{"hostname: new"}}, n.err
}

func (n *oneNetwork) Confirm(_ context.Context, who string) (conf.Revision, error) {
	n.confirmed = who
	return conf.Revision{Number: 8, Who: who}, n.err
}

func (n *oneNetwork) Revert(context.Context, string) error { return n.err }

func networkBench(t *testing.T) (*bench, *oneNetwork) {
	b, n := newBench(t), &oneNetwork{}
	b.api.cfg.Network = n
	return b, n
}

func TestAChangeOfTheNetworkIsPlannedAppliedAndConfirmed(t *testing.T) {
	t.Parallel()
	b, n := networkBench(t)
	w := b.do("GET", "/network", "")
	if w.Code != http.StatusOK || w.Header().Get("ETag") != `"7"` || !strings.Contains(w.Body.String(), `"hostname":"pbx"`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	change := `{"document":{"hostname":"new"},"confirm_seconds":30}`
	w = b.do("POST", "/network/plan", change, "If-Match", `"7"`)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "you are connected through it") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := ctl.NetProposal{Document: []byte(`{"hostname":"new"}`), Revision: 7, Who: "script", ConfirmSeconds: 30, Client: n.asked.Client}
	if !reflect.DeepEqual(n.asked, want) || n.asked.Client.String() != "192.0.2.1" {
		t.Errorf("netd was asked %+v", n.asked)
	}
	if len(b.archive.audit(t)) != 0 {
		t.Error("a plan is no act")
	}
	if w = b.do("POST", "/network/apply", change, "If-Match", `*`); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w = b.do("POST", "/network/confirm", ""); w.Code != http.StatusOK || n.confirmed != "script" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w = b.do("POST", "/network/revert", ""); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var acts []string
	for _, entry := range b.archive.audit(t) {
		acts = append(acts, entry.Act+" "+entry.Detail)
	}
	if got := strings.Join(acts, "|"); got != "network.apply hostname: new|network.confirm revision 8|network.revert " {
		t.Errorf("audit %q", got)
	}
}

func TestWhatIsWrongWithANetworkIsTold(t *testing.T) {
	t.Parallel()
	b, n := networkBench(t)
	for _, body := range []string{`{}`, `{"document":{},"restore":3}`} {
		if w := b.do("POST", "/network/plan", body, "If-Match", `"7"`); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `"path":"document"`) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if w := b.do("POST", "/network/apply", `{"restore":3}`); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "If-Match") {
		t.Errorf("without the revision: %d %s", w.Code, w.Body)
	}
	n.err = problem.Fields("net.invalid", []problem.Fault{{Path: "vlans[0].id", Value: "0", Rule: "is from 1 to 4094", Cure: "choose"}})
	w := b.do("POST", "/network/apply", `{"restore":3}`, "If-Match", `"7"`)
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "vlans[0].id") || n.asked.Restore != 3 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if all := b.archive.audit(t); len(all) != 2 || all[1].OK || !strings.Contains(all[1].Detail, "net.invalid") {
		t.Errorf("audit %+v", all)
	}
}
