package fakeswitch

import (
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func (s *Switch) handleUsers(mux *http.ServeMux) {
	ctl.Handle(mux, "GET /v1/users", func(r *http.Request, _ ctl.None) (ctl.UserPage, error) {
		q := r.URL.Query()
		limit, _ := strconv.Atoi(q.Get("limit"))
		return s.page(q.Get("text"), q.Get("after"), limit), nil
	})
	ctl.Handle(mux, "GET /v1/users/{id}", func(r *http.Request, _ ctl.None) (ctl.User, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.userLocked(r.PathValue("id"))
	})
	ctl.Handle(mux, "POST /v1/users", func(_ *http.Request, in ctl.NewUser) (ctl.UserWithSecret, error) { return s.add(in) })
	ctl.Handle(mux, "PUT /v1/users/{id}", func(r *http.Request, in ctl.UserSpec) (ctl.User, error) {
		rev, _ := strconv.ParseUint(r.URL.Query().Get("revision"), 10, 64)
		return s.change(r.PathValue("id"), rev, in)
	})
	ctl.Handle(mux, "DELETE /v1/users/{id}", func(r *http.Request, _ ctl.None) (ctl.None, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, err := s.userLocked(r.PathValue("id"))
		delete(s.users, r.PathValue("id"))
		return ctl.None{}, err
	})
	ctl.Handle(mux, "POST /v1/users/{id}/secret", func(r *http.Request, in ctl.Secret) (ctl.UserWithSecret, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		u, err := s.userLocked(r.PathValue("id"))
		if err != nil {
			return ctl.UserWithSecret{}, err
		}
		u.Revision++
		s.users[u.ID] = u
		return s.withSecretLocked(u, in), nil
	})
	ctl.Handle(mux, "POST /v1/users/{id}/devices", func(r *http.Request, _ ctl.None) (d ctl.DeviceSecret, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		u, err := s.userLocked(r.PathValue("id"))
		if err != nil {
			return d, err
		}
		d = ctl.DeviceSecret{Login: u.Name + "~" + strings.ToLower(ids.Random(5)), Password: ids.Secret()}
		d.HA1 = HA1(d.Login, s.domain, d.Password)
		s.devices[d.Login] = u.ID
		return d, nil
	})
	ctl.Handle(mux, "DELETE /v1/users/{id}/devices/{login}", func(r *http.Request, _ ctl.None) (ctl.None, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.devices, r.PathValue("login"))
		return ctl.None{}, nil
	})
	mux.HandleFunc("POST /v1/users/import", func(w http.ResponseWriter, r *http.Request) {
		res, err := s.importCSV(r.Body, r.URL.Query().Get("check") == "true")
		if err != nil {
			ctl.WriteProblem(w, err)
			return
		}
		fmt.Fprintf(w, `{"added":%d,"changed":%d}`, res.Added, res.Changed)
	})
}

func (s *Switch) userLocked(id string) (ctl.User, error) {
	u, ok := s.users[id]
	if !ok {
		return u, problem.New(problem.Missing, "user.missing", "there is no such user", "list the users")
	}
	return u, nil
}

func (s *Switch) page(text, after string, limit int) ctl.UserPage {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []ctl.User
	for _, u := range s.users {
		if strings.Contains(u.Name+" "+strings.Join(u.Numbers, " ")+" "+u.DisplayName+" "+u.Email, text) {
			found = append(found, u)
		}
	}
	slices.SortFunc(found, func(a, b ctl.User) int { return strings.Compare(a.Name, b.Name) })
	page := ctl.UserPage{Total: len(found), Users: []ctl.User{}}
	for _, u := range found {
		if u.Name > after {
			page.Users = append(page.Users, u)
		}
	}
	if limit > 0 && len(page.Users) > limit {
		page.Users = page.Users[:limit]
		page.Next = page.Users[limit-1].Name
	}
	return page
}

// faultsLocked checks a few rules, as a real switchd checks many.
func (s *Switch) faultsLocked(id string, in ctl.UserSpec) (faults []problem.Fault) {
	if in.Name == "" || strings.ContainsAny(in.Name, " @") {
		faults = append(faults, problem.Fault{Path: "name", Value: in.Name, Rule: "letters, digits and -_.", Cure: "leave out spaces"})
	}
	for i, n := range in.Numbers {
		if strings.Trim(n, "0123456789+") != "" {
			faults = append(faults, problem.Fault{Path: fmt.Sprintf("numbers[%d]", i), Value: n, Rule: "digits", Cure: "leave out the rest"})
		}
	}
	for _, u := range s.users {
		if u.ID != id && u.Name == in.Name {
			faults = append(faults, problem.Fault{Path: "name", Value: in.Name, Rule: "not the name of another user", Cure: "choose another name"})
		}
	}
	return faults
}

func (s *Switch) add(in ctl.NewUser) (ctl.UserWithSecret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := problem.Fields("user", s.faultsLocked("", in.UserSpec)); err != nil {
		return ctl.UserWithSecret{}, err
	}
	now := time.Now()
	u := ctl.User{UserSpec: in.UserSpec, ID: newID(), Revision: 1, Created: now, Changed: now, Algorithms: []string{"MD5", "SHA-256"}}
	s.users[u.ID] = u
	return s.withSecretLocked(u, in.Secret), nil
}

func (s *Switch) withSecretLocked(u ctl.User, in ctl.Secret) ctl.UserWithSecret {
	out := ctl.UserWithSecret{User: u}
	if in == (ctl.Secret{}) {
		out.Password = ids.Secret()
		out.HA1 = HA1(u.Name, s.domain, out.Password)
		in.Password = out.Password
	}
	s.passwords[u.Name] = in.Password
	return out
}

func (s *Switch) change(id string, revision uint64, in ctl.UserSpec) (ctl.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.userLocked(id)
	if err != nil {
		return u, err
	}
	if u.Revision != revision {
		return u, problem.New(problem.Conflict, "user.changed", "somebody else changed the user meanwhile", "read it again")
	}
	if err := problem.Fields("user", s.faultsLocked(id, in)); err != nil {
		return u, err
	}
	u.UserSpec, u.Revision, u.Changed = in, u.Revision+1, time.Now()
	s.users[id] = u
	s.emitLocked(ctl.SwitchEvent{UserChanged: id})
	return u, nil
}

func (s *Switch) importCSV(body io.Reader, check bool) (res ctl.ImportResult, err error) {
	rows, err := csv.NewReader(body).ReadAll()
	if err != nil || len(rows) == 0 || rows[0][0] != "user" {
		return res, problem.Fields("import", []problem.Fault{{Path: "row 1", Rule: "a header row: user, ...", Cure: "add it"}})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var faults []problem.Fault
	for i, row := range rows[1:] {
		for _, f := range s.faultsLocked("", ctl.UserSpec{Name: row[0]}) {
			f.Path = fmt.Sprintf("row %d, %s", i+2, f.Path)
			faults = append(faults, f)
		}
	}
	if err := problem.Fields("import", faults); err != nil {
		return res, err
	}
	for _, row := range rows[1:] {
		res.Added++
		if !check {
			u := ctl.User{UserSpec: ctl.UserSpec{Name: row[0]}, ID: newID(), Revision: 1}
			s.users[u.ID] = u
		}
	}
	return res, nil
}
