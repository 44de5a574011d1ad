package api

import (
	"context"
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// UserSpec is what an admin decides about a user.
type UserSpec struct {
	Name        string   `json:"name" doc:"user part of the SIP address" example:"asha"`
	Numbers     []string `json:"numbers,omitempty" nullable:"false" doc:"what others dial" example:"[\"201\"]"`
	DisplayName string   `json:"display_name,omitempty" example:"Asha Rao"`
	Email       string   `json:"email,omitempty"`
	Phone       string   `json:"phone,omitempty" doc:"a number outside, for people"`
	Disabled    bool     `json:"disabled,omitempty" doc:"cannot register or call"`
	Language    string   `json:"language,omitempty" enum:",en,hi" doc:"of what the box says to the user; empty is the box's own"`
	Volume      int      `json:"volume,omitempty" doc:"of what the box says to the user, in dB; 0 is as it was made"`
}

func (s UserSpec) spec() ctl.UserSpec { return ctl.UserSpec(s) }

type userOutput struct {
	ETag string `header:"ETag" doc:"the revision: send it as If-Match with a change"`
	Body ctl.User
}

func userAnswer(u ctl.User) *userOutput {
	return &userOutput{ETag: etag(u.Revision), Body: withLists(u)}
}

// withLists makes lists that are absent empty, as the document promises.
func withLists(u ctl.User) ctl.User {
	u.Numbers, u.Algorithms = append([]string{}, u.Numbers...), append([]string{}, u.Algorithms...)
	return u
}

func etag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }

// maxUsers bounds a page of users.
const maxUsers = 1000

func (a *API) userOperations() {
	type listInput struct {
		Text  string `query:"text" maxLength:"200" doc:"a part of name, number, display name or e-mail"`
		After string `query:"after" doc:"next of the page before"`
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	type listOutput struct{ Body ctl.UserPage }
	register(a, get("list-users", "/users", "Users in the order of their names"), func(ctx context.Context, _ caller, in *listInput) (*listOutput, error) {
		page, err := a.cfg.Switch.Users(ctx, ctl.UserQuery{Text: in.Text, After: in.After, Limit: in.Limit})
		users := make([]ctl.User, len(page.Users))
		for i, u := range page.Users {
			users[i] = withLists(u)
		}
		page.Users = users
		return &listOutput{page}, err
	})
	register(a, get("get-user", "/users/{id}", "A user"), func(ctx context.Context, _ caller, in *userInput) (*userOutput, error) {
		u, err := a.cfg.Switch.User(ctx, in.ID)
		return userAnswer(u), err
	})
	op := with(http.MethodPut, get("change-user", "/users/{id}", "Change a user; nobody else may have changed it meanwhile"))
	register(a, op, a.changeUser)

	op = with(http.MethodDelete, get("remove-user", "/users/{id}", "Remove a user, with bindings and live calls"))
	register(a, op, func(ctx context.Context, who caller, in *userInput) (*struct{}, error) {
		return nil, a.act(ctx, who, "user.remove", in.ID, func(entry *record.Audit) error {
			if u, err := a.cfg.Switch.User(ctx, in.ID); err == nil {
				entry.Object = u.Name + " (" + in.ID + ")"
			}
			if err := a.cfg.Switch.RemoveUser(ctx, in.ID); err != nil {
				return err
			}
			return a.cfg.Provision.Revoke(in.ID)
		})
	})
	a.switchOperation("disable", true)
	a.switchOperation("enable", false)
}

type userInput struct {
	ID string `path:"id"`
}

type changeInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag of the user as it was read, or * for whatever it is now"`
	Body    UserSpec
}

func (a *API) changeUser(ctx context.Context, who caller, in *changeInput) (*userOutput, error) {
	var u ctl.User
	err := a.act(ctx, who, "user.change", in.ID, func(entry *record.Audit) error {
		before, err := a.cfg.Switch.User(ctx, in.ID)
		if err != nil {
			return err
		}
		entry.Object = before.Name + " (" + in.ID + ")"
		revision, err := revision(before.Revision, in.IfMatch)
		if err != nil {
			return err
		}
		u, err = a.cfg.Switch.ChangeUser(ctx, in.ID, revision, in.Body.spec())
		return err
	})
	return userAnswer(u), err
}

// revision reads If-Match (RFC 9110 §13.1.1), which a change must have: two admins must not
// overwrite each other unseen.
func revision(now uint64, ifMatch string) (uint64, error) {
	if ifMatch == "*" {
		return now, nil
	}
	n, err := strconv.ParseUint(strings.Trim(ifMatch, `"`), 10, 64)
	if err != nil {
		return 0, problem.Fields("request", []problem.Fault{{
			Path: "If-Match", Value: ifMatch, Rule: "the ETag of what is changed as it was read, or *", Cure: "read it and send its ETag",
		}})
	}
	return n, nil
}

// switchOperation adds the shorthand that disables or enables a user.
func (a *API) switchOperation(verb string, disabled bool) {
	op := with(http.MethodPost, get(verb+"-user", "/users/{id}/"+verb, strings.ToUpper(verb[:1])+verb[1:]+" a user"))
	register(a, op, func(ctx context.Context, who caller, in *userInput) (*userOutput, error) {
		var u ctl.User
		err := a.act(ctx, who, "user."+verb, in.ID, func(entry *record.Audit) (err error) {
			if u, err = a.cfg.Switch.User(ctx, in.ID); err != nil {
				return err
			}
			entry.Object = u.Name + " (" + in.ID + ")"
			if u.Disabled == disabled {
				return nil
			}
			spec := u.UserSpec
			spec.Disabled = disabled
			u, err = a.cfg.Switch.ChangeUser(ctx, in.ID, u.Revision, spec)
			return err
		})
		return userAnswer(u), err
	})
}

// maxImport bounds an import: 100,000 users are about 10 MB.
const maxImport = 32 << 20

func (a *API) importOperations() {
	type importInput struct {
		DryRun  bool   `query:"dry_run" doc:"only tell what it would do, and every fault"`
		RawBody []byte `contentType:"text/csv"`
	}
	type importOutput struct{ Body ctl.ImportResult }
	op := with(http.MethodPost, get("import-users", "/users/import", "Add or change users from CSV; with a fault anywhere nothing is changed"))
	op.MaxBodyBytes = maxImport
	register(a, op, func(ctx context.Context, who caller, in *importInput) (*importOutput, error) {
		out := &importOutput{}
		if in.DryRun {
			res, err := a.cfg.Switch.CheckUsers(ctx, strings.NewReader(string(in.RawBody)))
			out.Body = res
			return out, err
		}
		return out, a.act(ctx, who, "users.import", "", func(entry *record.Audit) (err error) {
			out.Body, err = a.cfg.Switch.ImportUsers(ctx, strings.NewReader(string(in.RawBody)))
			entry.Detail = "added " + strconv.Itoa(out.Body.Added) + ", changed " + strconv.Itoa(out.Body.Changed)
			return err
		})
	})
	op = get("export-users", "/users/export.csv", "All users as CSV, without secrets")
	op.Responses = fileResponse("text/csv")
	register(a, op, func(ctx context.Context, who caller, _ *struct{}) (*huma.StreamResponse, error) {
		if err := a.act(ctx, who, "users.export", "", func(*record.Audit) error { return nil }); err != nil {
			return nil, err
		}
		return a.download("users.csv", "text/csv; charset=utf-8", func(w http.ResponseWriter) error { return a.writeUsers(ctx, w) }), nil
	})
}

// writeUsers writes the columns that an import reads, and what tells users apart.
func (a *API) writeUsers(ctx context.Context, w http.ResponseWriter) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"user", "number", "name", "email", "phone", "disabled"}); err != nil {
		return err
	}
	q := ctl.UserQuery{Limit: maxUsers}
	for {
		page, err := a.cfg.Switch.Users(ctx, q)
		if err != nil {
			return err
		}
		for _, u := range page.Users {
			row := []string{u.Name, strings.Join(u.Numbers, " "), u.DisplayName, u.Email, u.Phone, strconv.FormatBool(u.Disabled)}
			for i, c := range row {
				if !isNumber(c) {
					row[i] = record.SafeCell(c)
				}
			}
			if err := out.Write(row); err != nil {
				return err
			}
		}
		if page.Next == "" {
			break
		}
		q.After = page.Next
	}
	out.Flush()
	return out.Error()
}

// isNumber reports whether a cell is a telephone number, which no spreadsheet can be led astray
// by, and which must come back from one as it is.
func isNumber(c string) bool {
	return strings.Trim(strings.TrimPrefix(c, "+"), "0123456789") == ""
}
