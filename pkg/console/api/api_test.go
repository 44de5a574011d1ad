package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/console/auth"
	"github.com/coraltele/sanchar/pkg/console/events"
	"github.com/coraltele/sanchar/pkg/console/provision"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// memory is an archive that keeps what it is given, and can be full.
type memory struct {
	mu   sync.Mutex
	full bool
	kept map[string]record.Envelope
	list []string // ids as they came first
}

func (m *memory) Store(_ context.Context, batch []record.Envelope) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return 0, problem.New(problem.Full, "archive.disk.full", "full", "free space")
	}
	for _, e := range batch {
		if _, ok := m.kept[e.ID]; !ok {
			m.list = append(m.list, e.ID)
		}
		m.kept[e.ID] = e
	}
	return len(batch), nil
}

// audit returns the audit records in their order.
func (m *memory) audit(t *testing.T) (all []record.Audit) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range m.list {
		var a record.Audit
		if err := json.Unmarshal(m.kept[id].Data, &a); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

func (m *memory) Find(context.Context, record.Query) (record.Page, error) {
	return record.Page{Records: []record.Envelope{{ID: "c", Kind: record.KindCall, Data: []byte(`{"id":"c"}`)}}, Next: "c"}, nil
}

func (m *memory) Get(context.Context, record.Kind, string) (record.Envelope, error) {
	return record.Envelope{}, problem.New(problem.Missing, "record.missing", "none", "none")
}

func (m *memory) Threads(context.Context, record.ThreadQuery) (record.ThreadPage, error) {
	return record.ThreadPage{}, nil
}

func (m *memory) ExportCSV(_ context.Context, w io.Writer, _ record.Query) error {
	_, err := io.WriteString(w, "id\n")
	return errors.Join(err, errors.New("the disk broke"))
}
func (m *memory) ExportJSON(context.Context, io.Writer, record.Query) error { return nil }

// echo is a switchd that takes whatever it is told.
type echo struct {
	Switch
	removed int
	err     error
}

func (e *echo) Status(context.Context) (ctl.SwitchStatus, error) {
	return ctl.SwitchStatus{Domain: "pbx.example"}, nil
}

func (e *echo) User(_ context.Context, id string) (ctl.User, error) { return ctl.User{ID: id}, e.err }

func (e *echo) AddDevice(context.Context, string) (ctl.DeviceSecret, error) {
	return ctl.DeviceSecret{}, e.err
}

func (e *echo) RemoveDevice(context.Context, string, string) error { return e.err }

func (e *echo) AddUser(_ context.Context, in ctl.NewUser) (ctl.UserWithSecret, error) {
	return ctl.UserWithSecret{User: ctl.User{UserSpec: in.UserSpec, ID: "u"}}, e.err
}

func (e *echo) ChangeUser(_ context.Context, id string, rev uint64, in ctl.UserSpec) (ctl.User, error) {
	return ctl.User{UserSpec: in, ID: id, Revision: rev + 1}, e.err
}

func (e *echo) ResetSecret(_ context.Context, id string, in ctl.Secret) (ctl.UserWithSecret, error) {
	return ctl.UserWithSecret{User: ctl.User{ID: id}}, e.err
}

func (e *echo) RemoveUser(context.Context, string) error {
	e.removed++
	return e.err
}

func (e *echo) Users(context.Context, ctl.UserQuery) (ctl.UserPage, error) {
	return ctl.UserPage{}, e.err
}

func (e *echo) SendMessage(_ context.Context, in ctl.NewMessage) (ctl.SentMessage, error) {
	return ctl.SentMessage{From: in.From, To: in.To}, e.err
}

func (e *echo) Registrations(context.Context) ([]ctl.Registration, error) { return nil, nil }
func (e *echo) Calls(context.Context) ([]ctl.LiveCall, error)             { return nil, nil }
func (e *echo) Events(ctx context.Context, _ func(ctl.SwitchEvent) error) error {
	<-ctx.Done()
	return nil
}

// oneHook takes whatever it is told.
type oneHook struct{ Hooks }

func (oneHook) Add(_ context.Context, s ctl.HookSpec, by string) (ctl.Hook, string, error) {
	return ctl.Hook{HookSpec: s, ID: "h", By: by}, "whsec_", nil
}

func (oneHook) Resume(context.Context, string, string) (ctl.Hook, error) { return ctl.Hook{}, nil }

type nobody struct{}

func (nobody) Status(context.Context) (ctl.MediaStatus, error) {
	return ctl.MediaStatus{}, errors.New("away")
}

type noNet struct{}

func (noNet) Status(context.Context) (ctl.NetStatus, error) {
	return ctl.NetStatus{}, errors.New("away")
}
func (noNet) Links(context.Context) ([]ctl.Link, error) { return nil, errors.New("away") }

// noFiles is a box on which users send none.
type noFiles struct{ Files }

func (noFiles) Server(string) string { return "" }

type oneLink struct{}

func (oneLink) Status(context.Context) (ctl.NetStatus, error) { return ctl.NetStatus{}, nil }
func (oneLink) Links(context.Context) ([]ctl.Link, error) {
	return []ctl.Link{{Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24")}}}, nil
}

type bench struct {
	api     *API
	archive *memory
	sw      *echo
	token   string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{archive: &memory{kept: map[string]record.Envelope{}}, sw: &echo{}}
	log := slog.New(slog.DiscardHandler)
	au, err := auth.New(auth.Config{Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if _, b.token, err = au.NewToken("test", auth.TokenSpec{Name: "script"}); err != nil {
		t.Fatal(err)
	}
	prov, err := provision.New(provision.Config{Dir: filepath.Join(t.TempDir(), "p"), Switch: b.sw, Files: noFiles{}.Server, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prov.Close() })
	hub := events.New(events.Config{Switch: b.sw, Media: nobody{}, Net: noNet{}, Own: func() events.Own { return events.Own{} }, Log: log})
	b.api = New(Config{Auth: au, Hub: hub, Provision: prov, Switch: b.sw, Links: noNet{}, Archive: b.archive, Files: noFiles{}, Hooks: oneHook{}, Log: log})
	return b
}

func (b *bench) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, Prefix+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+b.token)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.api.ServeHTTP(timeless{w}, r)
	return w
}

// timeless lets deadlines be set on a recorder.
type timeless struct{ *httptest.ResponseRecorder }

func (timeless) SetWriteDeadline(time.Time) error { return nil }
func (timeless) SetReadDeadline(time.Time) error  { return nil }

func TestNothingIsDoneThatIsNotAudited(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.archive.full = true
	if w := b.do("DELETE", "/users/u1", ""); w.Code != http.StatusInsufficientStorage || b.sw.removed != 0 {
		t.Fatalf("%d %s, removed %d times", w.Code, w.Body, b.sw.removed)
	}
	b.archive.full = false
	if w := b.do("DELETE", "/users/u1", ""); w.Code != http.StatusNoContent || b.sw.removed != 1 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	b.sw.err = problem.New(problem.Missing, "user.missing", "no such user", "list them")
	if w := b.do("DELETE", "/users/u2", ""); w.Code != http.StatusNotFound {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	all := b.archive.audit(t)
	if len(all) != 2 || !all[0].OK || all[0].Act != "user.remove" || all[0].Who != "script" || all[0].From.String() != "192.0.2.1" {
		t.Fatalf("%+v", all)
	}
	if all[1].OK || all[1].Detail != "user.missing: no such user" || all[1].Object != "u2" {
		t.Fatalf("%+v", all[1])
	}
}

// What an act was meant to do is on disk before it is done.
func TestAnActIsAuditedBeforeItIsDone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	err := b.api.act(t.Context(), caller{}, "user.add", "asha", func(entry *record.Audit) error {
		if all := b.archive.audit(t); len(all) != 1 || all[0].Detail != begun || all[0].OK {
			t.Errorf("%+v", all)
		}
		b.archive.full = true // the outcome cannot be written
		return nil
	})
	if err != nil {
		t.Fatalf("what was done is told as failed: %v", err)
	}
	if all := b.archive.audit(t); len(all) != 1 || all[0].Detail != begun {
		t.Fatalf("%+v", all)
	}
}

func TestWhatHumaFindsBecomesAFaultThatHelps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   huma.ErrorDetail
		want problem.Fault
	}{
		{
			huma.ErrorDetail{Location: "body.name", Message: "expected string", Value: 7},
			problem.Fault{Path: "name", Value: "7", Rule: "string", Cure: "give a value that keeps the rule"},
		},
		{
			huma.ErrorDetail{Location: "body", Message: "expected required property name to be present", Value: map[string]any{"password": "x"}},
			problem.Fault{Path: "name", Rule: "must be present", Cure: "add it"},
		},
		{
			huma.ErrorDetail{Location: "body.legs[1]", Message: "expected required property id to be present"},
			problem.Fault{Path: "legs[1].id", Rule: "must be present", Cure: "add it"},
		},
		{
			huma.ErrorDetail{Location: "query.colour", Message: "unknown query parameter"},
			problem.Fault{Path: "colour", Rule: "no field of this name exists", Cure: "leave it out, or correct its name"},
		},
		{
			huma.ErrorDetail{Location: "body.new", Message: "expected string", Value: 1234},
			problem.Fault{Path: "new", Value: "(hidden)", Rule: "string", Cure: "give a value that keeps the rule"},
		},
		{
			huma.ErrorDetail{Location: "body.name", Message: "expected length <= 3", Value: strings.Repeat("é", 200)},
			problem.Fault{Path: "name", Value: strings.Repeat("é", 60) + "...", Rule: "length <= 3", Cure: "give a value that keeps the rule"},
		},
		{
			huma.ErrorDetail{Location: "path.id", Message: "required path parameter is missing"},
			problem.Fault{Path: "id", Rule: "must be present", Cure: "add it"},
		},
	} {
		if got := fault(&c.in); got != c.want {
			t.Errorf("%+v:\n got %+v\nwant %+v", c.in, got, c.want)
		}
	}
}

func TestWhereAPhoneReachesTheBox(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.api.cfg.Hub = events.New(events.Config{
		Switch: b.sw, Media: nobody{}, Net: oneLink{}, Own: func() events.Own { return events.Own{} }, Log: slog.New(slog.DiscardHandler),
	})
	for _, c := range []struct{ bind, host, want string }{
		{"", "pbx.example:8443", "pbx.example:8443"},
		{"", "pbx.example", "pbx.example"},
		{"", "localhost:8443", "192.0.2.5:8443"},
		{"0.0.0.0", "127.0.0.1:8443", "192.0.2.5:8443"},
		{"::", "[::1]", "192.0.2.5"},
		{"2001:db8::1", "localhost", "[2001:db8::1]"},
		{"127.0.0.1", "localhost:8443", "127.0.0.1:8443"},
	} {
		b.api.cfg.Bind = c.bind
		if got := b.api.reachedAt(t.Context(), caller{host: c.host}); got != c.want {
			t.Errorf("bound to %q, asked at %q: %q, want %q", c.bind, c.host, got, c.want)
		}
	}
	open := []ctl.Listener{
		{Transport: "udp", Address: netip.MustParseAddrPort("0.0.0.0:5060")},
		{Transport: "udp", Address: netip.MustParseAddrPort("[::]:5060")},
		{Transport: "tls", Address: netip.MustParseAddrPort("[2001:db8::1]:5061")},
	}
	var uris []string
	for _, p := range proxies(open, []string{"pbx.example", "2001:db8::5"}) {
		uris = append(uris, p.URI)
	}
	if got := strings.Join(uris, " "); got != "sip:[2001:db8::1]:5061;transport=tls sip:pbx.example:5060;transport=udp sip:[2001:db8::5]:5060;transport=udp" {
		t.Errorf("%s", got)
	}
}

func TestADownloadThatBreaksIsNoWholeFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("the connection is not cut")
		}
	}()
	b.do("GET", "/records/calls/export.csv", "")
}

func TestTheDocumentIsWhole(t *testing.T) {
	t.Parallel()
	text, err := newBench(t).api.Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string         `json:"operationId"`
			Summary     string         `json:"summary"`
			Responses   map[string]any `json:"responses"`
		} `json:"paths"`
		Webhooks map[string]struct {
			Post struct {
				Parameters  []any `json:"parameters"`
				RequestBody struct {
					Content map[string]struct {
						Schema  any `json:"schema"`
						Example any `json:"example"`
					} `json:"content"`
				} `json:"requestBody"`
			} `json:"post"`
		} `json:"webhooks"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			if op.OperationID == "" || seen[op.OperationID] || op.Summary == "" || op.Responses["default"] == nil || len(op.Responses) < 2 {
				t.Errorf("%s %s: %+v", method, path, op)
			}
			seen[op.OperationID] = true
		}
	}
	for _, kind := range []string{ctl.HookNew, ctl.HookStatus, ctl.HookReceipt, ctl.HookTest} {
		hook := doc.Webhooks[kind].Post
		if body := hook.RequestBody.Content["application/json"]; len(hook.Parameters) != 3 || body.Schema == nil || body.Example == nil {
			t.Errorf("%s: %+v", kind, hook)
		}
	}
	for _, name := range []string{"Problem", "HookEvent", "CallRecord", "Registration", "RegistrationRecord", "Overview", "AlarmChange"} {
		if doc.Components.Schemas[name] == nil {
			t.Errorf("no schema %s", name)
		}
	}
	if strings.Contains(string(text), `"null"`) || strings.Contains(string(text), "ErrorModel") {
		t.Error("a list may be null, or huma's own error is described")
	}
}

// helpful fails for an answer that is our fault, or a refusal that does not help.
func helpful(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w.Code < 400 {
		return
	}
	var p problem.Error
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Kind == "" || p.Code == "" || p.Text == "" || p.Cure == "" {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	for _, f := range p.Faults {
		if f.Path == "" || f.Rule == "" || f.Cure == "" {
			t.Fatalf("%+v", f)
		}
	}
}

func FuzzUserBodies(f *testing.F) {
	b := newBench(f)
	for _, s := range []string{
		`{"name":"asha","numbers":["201"],"display_name":"Asha"}`, `{"name":"x","password":"p","transport":"tls"}`, `{"ha1":"00"}`,
		`{`, `[]`, `null`, `""`, `{"name":{}}`, `{"name":"a","numbers":{"a":1}}`, `{"name":"\u0000"}`, `{"a.b":{"":[[[]]]}}`,
	} {
		f.Add(s, "application/json")
	}
	f.Add("user\nx\n", "text/csv")
	f.Add("x", "application/+;")
	f.Fuzz(func(t *testing.T, body, contentType string) {
		helpful(t, b.do("POST", "/users", body, "Content-Type", contentType))
		helpful(t, b.do("PUT", "/users/u", body, "Content-Type", contentType, "If-Match", `"1"`))
		helpful(t, b.do("POST", "/users/u/secret", body, "Content-Type", contentType))
		helpful(t, b.do("POST", "/tokens", body, "Content-Type", contentType))
		helpful(t, b.do("POST", "/messages", body, "Content-Type", contentType))
		helpful(t, b.do("POST", "/hooks", body, "Content-Type", contentType))
		helpful(t, b.do("POST", "/hooks/h/resume", body, "Content-Type", contentType))
	})
}

func FuzzRecordQueries(f *testing.F) {
	b := newBench(f)
	for _, s := range []string{"user=x&limit=5", "from=2026-01-01T00:00:00Z", "status=busy&text=%ff", "limit=-1&before=&x", "a=%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", Prefix+"/records/calls", nil)
		r.URL.RawQuery = query
		r.Header.Set("Authorization", "Bearer "+b.token)
		w := httptest.NewRecorder()
		b.api.ServeHTTP(w, r)
		helpful(t, w)
	})
}
