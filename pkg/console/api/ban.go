package api

import (
	"context"
	"net/http"

	"github.com/coraltele/sanchar/pkg/record"
)

// banOperation lets a source be heard again that guessed passwords.
func (a *API) banOperation() {
	type input struct {
		Source string `query:"source" required:"true" maxLength:"64" doc:"an address, or a network of 64 bits of IPv6, as the firewall lists it"`
	}
	op := with(http.MethodDelete, get("lift-ban", "/network/bans", "Let a source be heard again that guessed passwords"))
	register(a, op, func(ctx context.Context, who caller, in *input) (*struct{}, error) {
		return nil, a.act(ctx, who, "network.unban", in.Source, func(*record.Audit) error { return a.cfg.Switch.LiftBan(ctx, in.Source) })
	})
}
