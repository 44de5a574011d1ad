package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/console/events"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// RegistrationList is bindings in the order of users.
type RegistrationList struct {
	Registrations []ctl.Registration `json:"registrations"`
	Total         int                `json:"total" doc:"that match, also beyond the limit"`
}

// CallList is all live calls, the oldest first.
type CallList struct {
	Calls []ctl.LiveCall `json:"calls"`
}

// LinkList is all network interfaces.
type LinkList struct {
	Links []ctl.Link `json:"links"`
}

func (a *API) liveOperations() {
	type overviewOutput struct{ Body events.Overview }
	register(a, get("get-overview", "/overview", "How the box is"), func(ctx context.Context, _ caller, _ *struct{}) (*overviewOutput, error) {
		return &overviewOutput{a.cfg.Hub.Overview(ctx)}, nil
	})

	type registrationsInput struct {
		Text   string `query:"text" maxLength:"200" doc:"a part of user, address, source or user agent"`
		UserID string `query:"user_id" maxLength:"64" doc:"of this user only"`
		Limit  int    `query:"limit" minimum:"0" maximum:"100000" doc:"at most so many; 0 for all"`
	}
	type registrationsOutput struct{ Body RegistrationList }
	register(a, get("list-registrations", "/registrations", "Bindings now"), func(ctx context.Context, _ caller, in *registrationsInput) (*registrationsOutput, error) {
		regs, err := a.cfg.Switch.Registrations(ctx)
		found := filterRegistrations(regs, in.Text, in.UserID)
		list := RegistrationList{Registrations: found, Total: len(found)}
		if in.Limit > 0 && list.Total > in.Limit {
			list.Registrations = found[:in.Limit]
		}
		return &registrationsOutput{list}, err
	})

	type callsOutput struct{ Body CallList }
	register(a, get("list-calls", "/calls", "Calls now"), func(ctx context.Context, _ caller, _ *struct{}) (*callsOutput, error) {
		calls, err := a.cfg.Switch.Calls(ctx)
		slices.SortFunc(calls, func(x, y ctl.LiveCall) int { return cmp.Or(x.Start.Compare(y.Start), cmp.Compare(x.ID, y.ID)) })
		return &callsOutput{CallList{append([]ctl.LiveCall{}, calls...)}}, err
	})

	type callInput struct {
		ID string `path:"id"`
	}
	op := with(http.MethodDelete, get("hang-up", "/calls/{id}", "End a call"))
	register(a, op, func(ctx context.Context, who caller, in *callInput) (*struct{}, error) {
		return nil, a.act(ctx, who, "call.hangup", in.ID, func(*record.Audit) error { return a.cfg.Switch.HangUp(ctx, in.ID, who.Name) })
	})

	type linksOutput struct{ Body LinkList }
	register(a, get("list-links", "/links", "Network interfaces and their addresses"), func(ctx context.Context, _ caller, _ *struct{}) (*linksOutput, error) {
		links, err := a.cfg.Links.Links(ctx)
		return &linksOutput{LinkList{append([]ctl.Link{}, links...)}}, err
	})

	type fileOutput struct {
		ContentType string `header:"Content-Type"`
		Disposition string `header:"Content-Disposition"`
		Body        []byte
	}
	op = get("get-ca", "/ca.pem", "The box's CA certificate, for phones and browsers that are to trust it")
	op.Responses = fileResponse("application/x-pem-file")
	register(a, op, func(ctx context.Context, _ caller, _ *struct{}) (*fileOutput, error) {
		ca, err := a.cfg.Switch.CA(ctx)
		return &fileOutput{"application/x-pem-file", `attachment; filename="sanchar-ca.pem"`, []byte(ca.PEM)}, err
	})
}

func filterRegistrations(regs []ctl.Registration, text, user string) []ctl.Registration {
	found := []ctl.Registration{}
	text = strings.ToLower(text)
	for _, r := range regs {
		all := strings.Join([]string{r.User, r.AoR, r.Contact, r.Source.String(), r.UserAgent, r.Transport, r.Instance}, "\n")
		if strings.Contains(strings.ToLower(all), text) && (user == "" || r.UserID == user) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(x, y ctl.Registration) int { return cmp.Or(cmp.Compare(x.User, y.User), cmp.Compare(x.ID, y.ID)) })
	return found
}
