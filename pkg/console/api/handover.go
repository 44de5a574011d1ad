package api

import (
	"context"
	"net/http"

	"github.com/coraltele/sanchar/pkg/console/auth"
)

// Handover is a way into the same sign-in at another address of the box.
type Handover struct {
	Code    string `json:"code"`
	Seconds int    `json:"seconds,omitempty" doc:"for how long it works"`
}

// handoverOperations let a page follow the box to a new address, where its cookie is not sent.
func (a *API) handoverOperations() {
	type handoverOutput struct{ Body Handover }
	op := with(http.MethodPost, get("hand-over-session", "/session/handover", "A code that opens this sign-in once more at another address of the box; it works once"))
	register(a, op, func(_ context.Context, who caller, _ *struct{}) (*handoverOutput, error) {
		code, err := a.cfg.Auth.HandOver(who.Identity)
		return &handoverOutput{Handover{code, int(auth.HandoverTime.Seconds())}}, err
	})

	type takeInput struct{ Body Handover }
	op = with(http.MethodPost, get("take-over-session", "/session/take-over", "Open the sign-in that a code was made for; the answer sets the cookie"))
	op.Metadata = public()
	register(a, op, func(ctx context.Context, who caller, in *takeInput) (*sessionOutput, error) {
		s, err := a.cfg.Auth.TakeOver(in.Body.Code, who.source)
		if err != nil {
			return nil, err
		}
		who.Name = s.Name
		a.note(ctx, who, "session.take-over", "", nil)
		return opened(s), nil
	})
}
