package api

import (
	"context"
	"net/http"

	"github.com/coraltele/sanchar/pkg/console/auth"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

func (a *API) deskPhoneOperations() {
	type listInput struct {
		User string `query:"user" doc:"id; only the phones of this user"`
	}
	type listOutput struct{ Body ctl.DeskPhoneList }
	register(a, get("list-desk-phones", "/desk-phones", "Desk phones that are bound to users by their hardware address"),
		func(_ context.Context, _ caller, in *listInput) (*listOutput, error) {
			l, err := a.cfg.Provision.Phones(in.User)
			return &listOutput{l}, err
		})
	type bindInput struct {
		MAC  string `path:"mac" doc:"hardware address of the phone"`
		Body ctl.DeskPhoneSpec
	}
	type bindOutput struct{ Body ctl.DeskPhone }
	op := with(http.MethodPut, get("bind-desk-phone", "/desk-phones/{mac}",
		"Bind a desk phone to a user, and let it take its settings once within the time; it gets a secret of its own"))
	op.SkipValidateBody = true // all faults at once, with those that huma cannot see
	register(a, op, func(ctx context.Context, who caller, in *bindInput) (*bindOutput, error) {
		p, err := a.bindDeskPhone(ctx, who, in.MAC, in.Body)
		return &bindOutput{p}, err
	})
	type removeInput struct {
		MAC string `path:"mac"`
	}
	register(a, with(http.MethodDelete, get("remove-desk-phone", "/desk-phones/{mac}", "Forget a desk phone and end its secret: it is signed out")),
		func(ctx context.Context, who caller, in *removeInput) (*struct{}, error) {
			return nil, a.removeDeskPhone(ctx, who, in.MAC)
		})
}

func (a *API) bindDeskPhone(ctx context.Context, who caller, mac string, spec ctl.DeskPhoneSpec) (p ctl.DeskPhone, err error) {
	err = a.act(ctx, who, "phone.bind", firstWords(mac), func(entry *record.Audit) (err error) {
		if p, err = a.cfg.Provision.Bind(ctx, mac, spec); err != nil {
			return err
		}
		entry.Object = p.MAC
		entry.Detail = "user " + spec.User + ", open until " + p.Open.Format("2006-01-02 15:04 MST")
		return nil
	})
	return p, err
}

func (a *API) removeDeskPhone(ctx context.Context, who caller, mac string) error {
	return a.act(ctx, who, "phone.remove", firstWords(mac), func(entry *record.Audit) error {
		old, err := a.cfg.Provision.Unbind(ctx, mac)
		if err == nil {
			entry.Object, entry.Detail = old.MAC, "user "+old.User
		}
		return err
	})
}

// HandleDeskPhones answers the command line on the box, which says who asks.
func (a *API) HandleDeskPhones(mux *http.ServeMux) {
	console := func(name string) caller { return caller{Identity: auth.Identity{Name: name}} }
	ctl.Handle(mux, "GET /v1/desk-phones", func(r *http.Request, _ ctl.None) (ctl.DeskPhoneList, error) {
		return a.cfg.Provision.Phones(r.URL.Query().Get("user"))
	})
	ctl.Handle(mux, "PUT /v1/desk-phones/{mac}", func(r *http.Request, in ctl.DeskPhoneChange) (ctl.DeskPhone, error) {
		return a.bindDeskPhone(r.Context(), console(in.Who), r.PathValue("mac"), in.DeskPhoneSpec)
	})
	ctl.Handle(mux, "DELETE /v1/desk-phones/{mac}", func(r *http.Request, _ ctl.None) (ctl.None, error) {
		return ctl.None{}, a.removeDeskPhone(r.Context(), console(r.URL.Query().Get("who")), r.PathValue("mac"))
	})
}
