package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/coraltele/sanchar/pkg/console/auth"
	"github.com/coraltele/sanchar/pkg/record"
)

// TokenList is all API tokens.
type TokenList struct {
	Tokens []auth.Token `json:"tokens"`
}

// TokenWithSecret is a new API token; its secret is shown this once.
type TokenWithSecret struct {
	auth.Token
	Secret string `json:"secret" doc:"shown this once; send it as Authorization: Bearer"`
}

func (a *API) tokenOperations() {
	type listOutput struct{ Body TokenList }
	register(a, get("list-tokens", "/tokens", "API tokens"), func(context.Context, caller, *struct{}) (*listOutput, error) {
		return &listOutput{TokenList{Tokens: a.cfg.Auth.Tokens()}}, nil
	})

	type newInput struct{ Body auth.TokenSpec }
	type newOutput struct{ Body TokenWithSecret }
	op := with(http.MethodPost, get("make-token", "/tokens", "Make an API token"))
	op.DefaultStatus = http.StatusCreated
	register(a, op, func(ctx context.Context, who caller, in *newInput) (*newOutput, error) {
		out := &newOutput{}
		return out, a.act(ctx, who, "token.make", in.Body.Name, func(entry *record.Audit) (err error) {
			in.Body.Senders, err = a.userNames(ctx, "senders", in.Body.Senders, nil)
			if err == nil {
				out.Body.Token, out.Body.Secret, err = a.cfg.Auth.NewToken(who.Name, in.Body)
			}
			entry.Detail = "role=" + in.Body.Role + " senders=" + strings.Join(in.Body.Senders, ",")
			return err
		})
	})

	type idInput struct {
		ID string `path:"id"`
	}
	op = with(http.MethodDelete, get("revoke-token", "/tokens/{id}", "End an API token at once"))
	register(a, op, func(ctx context.Context, who caller, in *idInput) (*struct{}, error) {
		return nil, a.act(ctx, who, "token.revoke", in.ID, func(*record.Audit) error { return a.cfg.Auth.RevokeToken(in.ID) })
	})
}
