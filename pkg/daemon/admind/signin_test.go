package admind

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// operation is one line of the API's own description.
type operation struct {
	method, path string
	public       bool
}

func operations(t *testing.T, b *box) (all []operation) {
	t.Helper()
	text, err := b.d.api.Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Security *[]any `json:"security"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			all = append(all, operation{strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "x"), op.Security != nil && len(*op.Security) == 0})
		}
	}
	if len(all) < 40 {
		t.Fatalf("only %d operations", len(all))
	}
	return all
}

func TestNothingAnswersAStranger(t *testing.T) {
	t.Parallel()
	b := startBox(t, "")
	c := b.browser()
	check := func(code int, kind problem.Kind, name string) {
		t.Helper()
		for _, op := range append(operations(t, b), operation{"GET", "/openapi.json", false}) {
			if op.public {
				continue
			}
			if a := c.do(op.method, "/api/v1"+op.path, nil); a.code != code || a.Kind != kind || a.Code != name || a.Text == "" || a.Cure == "" {
				t.Errorf("%s %s: %d %s", op.method, op.path, a.code, a.body)
			}
		}
	}
	check(http.StatusForbidden, problem.Denied, "setup.required")
	if a := c.do("POST", "/api/v1/session", m{"name": "x", "password": "y"}); a.Code != "setup.required" {
		t.Errorf("sign-in before set-up: %s", a.body)
	}
	c.api(200, "POST", "/setup", m{"code": b.code(), "name": owner, "password": password, "domain": "pbx.example"}, nil)
	c = b.browser()
	check(http.StatusUnauthorized, problem.Unsigned, "session.required")
}

func TestSetUp(t *testing.T) {
	t.Parallel()
	b := startBox(t, "")
	c := b.browser()
	var st struct {
		SetUp bool `json:"set_up"`
	}
	c.api(200, "GET", "/status", nil, &st)
	var setup struct {
		Needed      bool   `json:"needed"`
		Domain      string `json:"domain"`
		DomainFixed bool   `json:"domain_fixed"`
		Switch      bool   `json:"switch"`
	}
	c.api(200, "GET", "/setup", nil, &setup)
	if st.SetUp || !setup.Needed || setup.DomainFixed || !setup.Switch {
		t.Fatalf("%+v %+v", st, setup)
	}
	code := b.code()
	if a := c.api(403, "POST", "/setup/code", m{"code": "wrong"}, nil); a.Code != "setup.code" || len(a.Faults) != 1 {
		t.Errorf("a wrong code by itself: %s", a.body)
	}
	c.api(204, "POST", "/setup/code", m{"code": strings.ToUpper(code)}, nil)
	if a := c.api(403, "POST", "/setup", m{"code": "wrong", "name": "", "password": ""}, nil); a.Code != "setup.code" || len(a.Faults) != 1 || a.Faults[0].Path != "code" {
		t.Errorf("a wrong code: %s", a.body)
	}
	a := c.api(422, "POST", "/setup", m{"code": code, "name": " x", "password": "short"}, nil)
	if paths := faultPaths(t, a); paths != "name password domain" {
		t.Errorf("faults at %q: %s", paths, a.body)
	}
	if a := c.api(422, "POST", "/setup", m{"code": code, "name": owner, "password": password, "domain": "not a domain"}, nil); faultPaths(t, a) != "domain" {
		t.Errorf("a fault that switchd finds: %s", a.body)
	}
	b.sw.Leave()
	if a := c.api(503, "POST", "/setup", m{"code": code, "name": owner, "password": password, "domain": "pbx.example"}, nil); a.Code != "switchd.away" {
		t.Errorf("without switchd: %s", a.body)
	}
	b.sw.Return()
	var me struct{ Name, Role string }
	c.api(200, "POST", "/setup", m{"code": strings.ToUpper(code), "name": owner, "password": password, "domain": "pbx.example"}, &me)
	if me.Name != owner || me.Role != "owner" || b.sw.Domain() != "pbx.example" {
		t.Fatalf("%+v, domain %q", me, b.sw.Domain())
	}
	c.api(200, "GET", "/users", nil, nil) // signed in
	if a := c.api(409, "POST", "/setup", m{"code": code, "name": "Other", "password": password}, nil); a.Code != "setup.done" {
		t.Errorf("a second set-up: %s", a.body)
	}
	c.api(200, "GET", "/setup", nil, &setup)
	if setup.Needed || setup.Domain != "pbx.example" && setup.Domain != "" {
		t.Errorf("afterwards: %+v", setup)
	}
}

func TestAPresetDomainIsShownAndKept(t *testing.T) {
	t.Parallel()
	b := startBox(t, "preset.example")
	c := b.browser()
	var setup struct {
		Domain      string `json:"domain"`
		DomainFixed bool   `json:"domain_fixed"`
	}
	c.api(200, "GET", "/setup", nil, &setup)
	if setup.Domain != "preset.example" || !setup.DomainFixed {
		t.Fatalf("%+v", setup)
	}
	if a := c.api(422, "POST", "/setup", m{"code": b.code(), "name": owner, "password": password, "domain": "other.example"}, nil); faultPaths(t, a) != "domain" {
		t.Errorf("another domain: %s", a.body)
	}
	c.api(200, "POST", "/setup", m{"code": b.code(), "name": owner, "password": password}, nil)
}

// faultPaths checks that each fault tells all, and returns where they are.
func faultPaths(t *testing.T, a answer) string {
	t.Helper()
	var paths []string
	for _, f := range a.Faults {
		if f.Path == "" || f.Rule == "" || f.Cure == "" {
			t.Errorf("a fault that does not help: %+v", f)
		}
		paths = append(paths, f.Path)
	}
	if a.Kind != problem.Invalid || a.Code == "" || a.Text == "" || a.Cure == "" {
		t.Errorf("a problem that does not help: %s", a.body)
	}
	return strings.Join(paths, " ")
}

func TestSignInOutAndPassword(t *testing.T) {
	t.Parallel()
	b, first := owned(t)
	c := b.browser()
	if a := c.api(401, "POST", "/session", m{"name": owner, "password": "wrong"}, nil); a.Code != "signin.wrong" {
		t.Errorf("%s", a.body)
	}
	a := c.api(200, "POST", "/session", m{"name": owner, "password": password}, nil)
	cookie := a.header.Get("Set-Cookie")
	for _, want := range []string{"__Host-sanchar=", "Path=/", "HttpOnly", "Secure", "SameSite=Strict"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q has no %s", cookie, want)
		}
	}
	if a := c.api(422, "PUT", "/me/password", m{"current": password, "new": password}, nil); faultPaths(t, a) != "new" {
		t.Errorf("the same again: %s", a.body)
	}
	if a := c.api(422, "PUT", "/me/password", m{"current": "wrong", "new": "staple tractor violin"}, nil); faultPaths(t, a) != "current" {
		t.Errorf("a wrong one: %s", a.body)
	}
	c.api(204, "PUT", "/me/password", m{"current": password, "new": "staple tractor violin"}, nil)
	first.api(401, "GET", "/me", nil, nil)
	c.api(200, "GET", "/me", nil, nil)
	c.api(204, "DELETE", "/session", nil, nil)
	c.api(401, "GET", "/me", nil, nil)
	c.api(200, "POST", "/session", m{"name": owner, "password": "staple tractor violin"}, nil)
	var me struct {
		Idle int
		Ends time.Time
	}
	c.api(200, "GET", "/session", nil, &me)
	if left := time.Until(me.Ends); me.Idle != 900 || left < 11*time.Hour || left > 12*time.Hour {
		t.Errorf("a sign-in of %d s, at most %v", me.Idle, left)
	}

	var log struct {
		Records []struct {
			Who, Act, From, Detail string
			OK                     bool
		}
	}
	c.api(200, "GET", "/records/audit", nil, &log)
	var acts []string
	for _, r := range log.Records {
		acts = append(acts, r.Act)
		if r.From != "127.0.0.1" || r.Who != owner || r.Detail == "begun" && r.Act != "audit.read" {
			t.Errorf("%+v", r)
		}
		if strings.Contains(r.Detail, "tractor") || strings.Contains(r.Detail, "horse") {
			t.Errorf("a password in the audit log: %+v", r)
		}
	}
	want := "audit.read session.open session.close password.change password.change session.open session.open setup"
	if got := strings.Join(acts, " "); got != want {
		t.Errorf("audit log: %s\nwant:      %s", got, want)
	}
}

func TestGuessesAreThrottled(t *testing.T) {
	t.Parallel()
	b, _ := owned(t)
	c := b.browser()
	codes := map[int]int{}
	for range 15 {
		a := c.do("POST", "/api/v1/session", m{"name": owner, "password": "guess"})
		codes[a.code]++
		if a.code == http.StatusTooManyRequests && (a.header.Get("Retry-After") == "" || a.Code != "signin.throttled" || a.Cure == "") {
			t.Errorf("%v %s", a.header, a.body)
		}
	}
	if codes[401] < 8 || codes[401] > 12 || codes[401]+codes[429] != 15 {
		t.Errorf("%v", codes)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	var made struct{ ID, Secret, Name, By string }
	c.api(201, "POST", "/tokens", m{"name": "backup"}, &made)
	if a := c.api(409, "POST", "/tokens", m{"name": "backup"}, nil); len(a.Faults) != 1 || a.Faults[0].Path != "name" {
		t.Errorf("%s", a.body)
	}
	script := b.browser()
	script.header.Set("Authorization", "Bearer "+made.Secret)
	var me struct{ Name, Token string }
	script.api(200, "GET", "/me", nil, &me)
	if me.Name != "backup" || me.Token != made.ID || made.By != owner {
		t.Errorf("%+v %+v", me, made)
	}
	a := c.api(200, "GET", "/tokens", nil, nil)
	if strings.Contains(string(a.body), made.Secret) || strings.Contains(string(a.body), "hash") || !strings.Contains(string(a.body), made.ID) {
		t.Errorf("%s", a.body)
	}
	script.api(403, "PUT", "/me/password", m{"current": "x", "new": "staple tractor violin"}, nil)
	c.api(204, "DELETE", "/tokens/"+made.ID, nil, nil)
	script.api(401, "GET", "/me", nil, nil)
	c.api(404, "DELETE", "/tokens/"+made.ID, nil, nil)
}

func TestATokenFileWorksBeforeSetUp(t *testing.T) {
	t.Parallel()
	b := startBox(t, "")
	b.stop()
	b.cfg.TokenFile = filepath.Join(b.cfg.RunDir, "token")
	b.run()
	text, err := os.ReadFile(b.cfg.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	c := b.browser()
	if a := c.api(403, "GET", "/users", nil, nil); a.Code != "setup.required" {
		t.Errorf("%s", a.body)
	}
	c.header.Set("Authorization", "Bearer "+strings.TrimSpace(string(text)))
	c.api(204, "PUT", "/setup/domain", m{"domain": "pbx.example"}, nil)
	c.api(200, "GET", "/users", nil, nil)
	if b.sw.Domain() != "pbx.example" {
		t.Errorf("domain %q", b.sw.Domain())
	}
	var st struct {
		SetUp bool `json:"set_up"`
	}
	c.api(200, "GET", "/status", nil, &st)
	if st.SetUp {
		t.Error("the page does not ask for an owner any more")
	}
	c.api(200, "POST", "/setup", m{"code": b.code(), "name": owner, "password": password}, nil)
}

func TestOtherSitesCannotAct(t *testing.T) {
	t.Parallel()
	_, c := owned(t)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		a := c.do("POST", "/api/v1/tokens", m{"name": "x"}, header...)
		if a.code != http.StatusForbidden || a.Code != "request.origin" {
			t.Errorf("%v: %d %s", header, a.code, a.body)
		}
	}
	c.api(201, "POST", "/tokens", m{"name": "x"}, nil, "Sec-Fetch-Site", "same-origin")
}

func TestEverythingIsThereAfterARestart(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	c.api(201, "POST", "/tokens", m{"name": "x"}, nil)
	b.stop()
	b.run()
	c = b.browser()
	c.api(401, "GET", "/me", nil, nil) // sessions are not kept
	c.api(200, "POST", "/session", m{"name": owner, "password": password}, nil)
	var log struct{ Records []record.Audit }
	c.api(200, "GET", "/records/audit?act=token.make", nil, &log)
	if len(log.Records) != 1 || !log.Records[0].OK || log.Records[0].Object != "x" {
		t.Errorf("%+v", log)
	}
	st, err := ctl.NewAdmin(b.cfg.socket("admin")).Status(t.Context())
	if err != nil || !st.SetUp || st.Version != "test" || !strings.HasPrefix(st.Page, "https://127.0.0.1:") {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestDevicesOfOneUser(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	for _, r := range []ctl.Registration{
		{ID: "1", User: "asha", UserID: "a"}, {ID: "2", User: "ashar", UserID: "b"}, {ID: "3", User: "asha", UserID: "a"},
	} {
		b.sw.Register(r)
	}
	for _, tc := range []struct {
		query, ids string
		total      int
	}{
		{"", "1 3 2", 3},
		{"?user_id=a", "1 3", 2},
		{"?user_id=a&limit=1", "1", 2},
		{"?text=ashar", "2", 1},
		{"?user_id=nobody", "", 0},
	} {
		var list struct {
			Registrations []struct{ ID string }
			Total         int
		}
		c.api(200, "GET", "/registrations"+tc.query, nil, &list)
		var ids []string
		for _, r := range list.Registrations {
			ids = append(ids, r.ID)
		}
		if strings.Join(ids, " ") != tc.ids || list.Total != tc.total {
			t.Errorf("%q: %v of %d", tc.query, ids, list.Total)
		}
	}
}
