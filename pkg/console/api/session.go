package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/console/auth"
	"github.com/coraltele/sanchar/pkg/record"
)

// Me is who is signed in.
type Me struct {
	Name  string    `json:"name"`
	Role  string    `json:"role"`
	Token string    `json:"token,omitempty" doc:"id of the API token, when one was used"`
	Idle  int       `json:"idle,omitempty" doc:"seconds without a request after which the sign-in ends; none for a token"`
	Ends  time.Time `json:"ends,omitzero" doc:"when the sign-in ends in any case"`
}

// SignIn is a name and its password.
type SignIn struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// NewPassword replaces the password of who is signed in.
type NewPassword struct {
	Current string `json:"current"`
	New     string `json:"new" doc:"at least 12 characters"`
}

// SessionsEnded is how many were signed out.
type SessionsEnded struct {
	Ended int `json:"ended"`
}

type sessionOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
	Body      Me
}

type cookieOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
}

type meOutput struct{ Body Me }

func opened(s *auth.Session) *sessionOutput {
	return &sessionOutput{SetCookie: *s.Cookie(), Body: Me{Name: s.Name, Role: s.Role, Idle: auth.IdleSeconds, Ends: s.Ends()}}
}

func (a *API) sessionOperations() {
	type signInInput struct{ Body SignIn }
	op := with(http.MethodPost, get("sign-in", "/session", "Sign in; the answer sets the cookie"))
	op.Metadata = public()
	register(a, op, func(ctx context.Context, who caller, in *signInInput) (*sessionOutput, error) {
		return a.signIn(ctx, who, in.Body)
	})

	me := func(_ context.Context, who caller, _ *struct{}) (*meOutput, error) {
		m := Me{Name: who.Name, Role: who.Role, Token: who.Token}
		if ends, ok := who.Ends(); ok {
			m.Idle, m.Ends = auth.IdleSeconds, ends
		}
		return &meOutput{m}, nil
	}
	register(a, get("get-session", "/session", "Who is signed in"), me)
	register(a, get("get-me", "/me", "Who is signed in"), me)

	op = with(http.MethodDelete, get("sign-out", "/session", "Sign out"))
	register(a, op, func(ctx context.Context, who caller, _ *struct{}) (*cookieOutput, error) {
		a.cfg.Auth.SignOut(who.Identity)
		a.note(ctx, who, "session.close", "", nil)
		return &cookieOutput{SetCookie: *auth.NoCookie()}, nil
	})

	a.handoverOperations()

	type countOutput struct{ Body SessionsEnded }
	op = with(http.MethodDelete, get("sign-out-others", "/me/sessions", "Sign out everywhere else"))
	register(a, op, func(ctx context.Context, who caller, _ *struct{}) (*countOutput, error) {
		out := &countOutput{}
		out.Body.Ended = a.cfg.Auth.SignOutOthers(who.Identity)
		a.note(ctx, who, "session.close-others", "", nil)
		return out, nil
	})

	type passwordInput struct{ Body NewPassword }
	op = with(http.MethodPut, get("change-password", "/me/password", "Change the password; all other sessions end"))
	register(a, op, func(ctx context.Context, who caller, in *passwordInput) (*struct{}, error) {
		faults := auth.CheckPassword("new", in.Body.New, who.Name)
		if in.Body.New == in.Body.Current {
			faults = append(faults, problem.Fault{Path: "new", Value: "(hidden)", Rule: "not the one you have now", Cure: "choose another"})
		}
		if err := problem.Fields("password", faults); err != nil {
			return nil, err
		}
		return nil, a.act(ctx, who, "password.change", who.Name, func(*record.Audit) error {
			return a.cfg.Auth.ChangePassword(ctx, who.Identity, who.source, in.Body.Current, in.Body.New)
		})
	})
}

// signIn audits what was evaluated. A guess that was throttled is not written down: a flood of
// them must cost no disk.
func (a *API) signIn(ctx context.Context, who caller, in SignIn) (*sessionOutput, error) {
	if !a.cfg.Auth.SetUp() {
		return nil, problem.New(problem.Denied, "setup.required", "the box is not set up yet", "set it up with the code that it shows")
	}
	s, err := a.cfg.Auth.SignIn(ctx, who.source, in.Name, in.Password)
	who.Name = firstWords(strings.ToValidUTF8(in.Name, "?"))
	if err == nil || problem.Is(err, problem.Unsigned) {
		a.note(ctx, who, "session.open", "", err)
	}
	if err != nil {
		return nil, err
	}
	return opened(s), nil
}
