package api

import (
	"context"
	"net/http"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// pardoning remembers whose ban was lifted.
type pardoning struct {
	Switch
	source string
	err    error
}

func (p *pardoning) LiftBan(_ context.Context, source string) error {
	p.source = source
	return p.err
}

func TestABanIsLiftedAndAudited(t *testing.T) {
	t.Parallel()
	b, p := newBench(t), &pardoning{}
	b.api.cfg.Switch = p
	if w := b.do("DELETE", "/network/bans?source=2001:db8::/64", ""); w.Code != http.StatusNoContent || p.source != "2001:db8::/64" {
		t.Errorf("%d %s, lifted %q", w.Code, w.Body, p.source)
	}
	if w := b.do("DELETE", "/network/bans", ""); w.Code < http.StatusBadRequest {
		t.Errorf("without a source: %d", w.Code)
	}
	p.err = problem.New(problem.Missing, "ban", "it is not banned", "look again")
	if w := b.do("DELETE", "/network/bans?source=192.0.2.1", ""); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	done := 0
	for _, entry := range b.archive.audit(t) {
		if entry.Act == "network.unban" && entry.OK {
			done++
		}
	}
	if done != 1 {
		t.Errorf("%d lifted bans in the audit log", done)
	}
}
