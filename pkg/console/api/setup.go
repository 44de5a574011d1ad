package api

import (
	"context"
	"net/http"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/console/auth"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// Status is what anybody may know.
type Status struct {
	SetUp bool `json:"set_up" doc:"an owner exists"`
	Page  bool `json:"page" doc:"the program holds the page"`
}

// Setup is how far the first start is.
type Setup struct {
	Needed      bool   `json:"needed" doc:"there is no owner yet"`
	Domain      string `json:"domain" doc:"realm of all accounts, as preset; empty when it must be chosen"`
	DomainFixed bool   `json:"domain_fixed" doc:"the domain is set and cannot be changed"`
	Switch      bool   `json:"switch" doc:"switchd answers; set-up needs it"`
}

// SetupRequest makes the owner.
type SetupRequest struct {
	Code     string `json:"code" maxLength:"64" doc:"set-up code that the box shows"`
	Name     string `json:"name" doc:"the owner's name for signing in"`
	Password string `json:"password" doc:"at least 12 characters"`
	Domain   string `json:"domain,omitempty" doc:"SIP domain of all accounts; cannot be changed later" example:"pbx.example"`
}

// CodeRequest is a set-up code by itself.
type CodeRequest struct {
	Code string `json:"code" maxLength:"64" doc:"set-up code that the box shows"`
}

// DomainRequest sets the SIP domain of all accounts.
type DomainRequest struct {
	Domain string `json:"domain" example:"pbx.example"`
}

func (a *API) setupOperations() {
	type statusOutput struct{ Body Status }
	op := get("get-status", "/status", "What anybody may know")
	op.Metadata = public()
	register(a, op, func(context.Context, caller, *struct{}) (*statusOutput, error) {
		return &statusOutput{Status{SetUp: a.cfg.Auth.SetUp(), Page: a.cfg.PageBuilt}}, nil
	})

	type setupOutput struct{ Body Setup }
	op = get("get-setup", "/setup", "How far the first start is")
	op.Metadata = public()
	register(a, op, func(ctx context.Context, _ caller, _ *struct{}) (*setupOutput, error) {
		if a.cfg.Auth.SetUp() { // strangers need not know the domain
			return &setupOutput{Setup{DomainFixed: true, Switch: true}}, nil
		}
		st, err := a.cfg.Switch.Status(ctx)
		return &setupOutput{Setup{Needed: true, Domain: st.Domain, DomainFixed: st.Domain != "", Switch: err == nil}}, nil
	})

	type codeInput struct{ Body CodeRequest }
	op = with(http.MethodPost, get("check-code", "/setup/code", "Ask whether a set-up code is right, before the rest is filled in"))
	op.Metadata = public()
	register(a, op, func(ctx context.Context, who caller, in *codeInput) (*struct{}, error) {
		err := a.cfg.Auth.CheckCode(who.source, in.Body.Code)
		if problem.Is(err, problem.Denied) && problem.Of(err).Code == "setup.code" {
			a.note(ctx, who, "setup", "", err)
		}
		return nil, err
	})

	type setupInput struct{ Body SetupRequest }
	op = with(http.MethodPost, get("set-up", "/setup", "Make the owner and sign in"))
	op.Metadata = public()
	register(a, op, func(ctx context.Context, who caller, in *setupInput) (*sessionOutput, error) {
		return a.setUp(ctx, who, in.Body)
	})

	type domainInput struct{ Body DomainRequest }
	op = with(http.MethodPut, get("set-domain", "/setup/domain", "Set the SIP domain, once, where no page does"))
	register(a, op, func(ctx context.Context, who caller, in *domainInput) (*struct{}, error) {
		return nil, a.act(ctx, who, "domain.set", in.Body.Domain, func(*record.Audit) error {
			return a.cfg.Switch.SetDomain(ctx, ctl.Domain{Domain: in.Body.Domain})
		})
	})
}

// setUp checks the code first: who does not have it learns nothing of the rest. The domain is set
// before the owner is made, for without it no account works; a set-up that broke off in between is
// taken up again.
func (a *API) setUp(ctx context.Context, who caller, in SetupRequest) (*sessionOutput, error) {
	if err := a.cfg.Auth.CheckCode(who.source, in.Code); err != nil {
		a.note(ctx, who, "setup", "", err)
		return nil, err
	}
	st, err := a.cfg.Switch.Status(ctx)
	if err != nil {
		return nil, err
	}
	if err := problem.Fields("setup", setupFaults(in, st.Domain)); err != nil {
		return nil, err
	}
	who.Name = in.Name
	var s *auth.Session
	err = a.act(ctx, who, "setup", in.Name, func(*record.Audit) error {
		if st.Domain == "" {
			if err := a.cfg.Switch.SetDomain(ctx, ctl.Domain{Domain: in.Domain}); err != nil {
				return err
			}
		}
		s, err = a.cfg.Auth.CreateOwner(ctx, who.source, in.Code, in.Name, in.Password)
		return err
	})
	if err != nil {
		return nil, err
	}
	return opened(s), nil
}

func setupFaults(in SetupRequest, domain string) (faults []problem.Fault) {
	faults = append(faults, auth.CheckName("name", in.Name)...)
	faults = append(faults, auth.CheckPassword("password", in.Password, in.Name, in.Domain, domain)...)
	switch {
	case domain == "" && in.Domain == "":
		faults = append(faults, problem.Fault{Path: "domain", Rule: "must be present", Cure: "choose the SIP domain of all accounts, for instance pbx.example"})
	case domain != "" && in.Domain != "" && in.Domain != domain:
		faults = append(faults, problem.Fault{Path: "domain", Value: in.Domain, Rule: "is " + domain + " already and cannot be changed", Cure: "leave it out"})
	}
	return faults
}
