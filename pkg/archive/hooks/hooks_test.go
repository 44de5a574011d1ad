package hooks

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

func TestAHookIsToldInOrderAndOnce(t *testing.T) {
	t.Parallel()
	r, g := start(t), newTarget(t)
	r.store(message("asha", "vikram", "before the hook"))
	h := r.hook(g, g.spec("CRM"))
	for _, text := range numbered(150) {
		r.store(message("asha", "vikram", text))
	}
	got := g.await(150)
	if !slices.Equal(texts(got), numbered(150)) {
		t.Errorf("%q", texts(got))
	}
	seen := map[string]bool{}
	for _, d := range got {
		if seen[d.id] || strings.Contains(d.id, ".") || d.Type != ctl.HookNew || d.signed != 1 || !d.Timestamp.Equal(d.Data.Message.At) {
			t.Errorf("%+v", d)
		}
		seen[d.id] = true
	}
	end := r.health(h.ID, func(h *ctl.HookHealth) bool { return h.Waiting == 0 })
	if end.State != ctl.HookWorking || end.LastSuccess.IsZero() || end.Failure != nil {
		t.Errorf("%+v", end)
	}
	r.restart()
	r.store(message("asha", "vikram", "text 150"))
	if got := g.await(151); !slices.Equal(texts(got), numbered(151)) {
		t.Errorf("after a restart %q", texts(got)[149:])
	}
}

func TestAHookIsToldWhatItAsksFor(t *testing.T) {
	t.Parallel()
	r, all, some, bare := start(t), newTarget(t), newTarget(t), newTarget(t)
	r.hook(all, all.spec("all", Events()...))
	of := some.spec("of one", ctl.HookNew)
	of.Users = []string{" Meera ", "Meera"}
	if h := r.hook(some, of); !slices.Equal(h.Users, []string{"Meera"}) {
		t.Errorf("%+v", h.HookSpec)
	}
	without := bare.spec("bare", ctl.HookNew, ctl.HookReceipt)
	without.Content = false
	r.hook(bare, without)

	m := message("asha", "vikram", "नमस्ते")
	m.Files = []record.File{{Name: "secret.pdf", ContentType: "application/pdf", Size: 7}}
	r.store(m)
	m.Status = record.MessageSent
	m.Changes = append(m.Changes, record.Change{At: m.At.Add(time.Second), Status: record.MessageSent})
	r.store(m)
	receipt := message("vikram", "asha", "")
	receipt.Type, receipt.About, receipt.Notice, receipt.Text, receipt.Content = record.MessageNotification, m.ID, record.MessageDelivered, "", []byte("<imdn/>")
	r.store(receipt, message("meera", "vikram", "of Meera"))

	got := all.await(4)
	kinds := []string{got[0].Type, got[1].Type, got[2].Type, got[3].Type}
	if !slices.Equal(kinds, []string{ctl.HookNew, ctl.HookStatus, ctl.HookReceipt, ctl.HookNew}) {
		t.Errorf("%q", kinds)
	}
	if d := got[0].Data.Message; d.Text != "नमस्ते" || string(d.Content) != "नमस्ते" || len(d.Files) != 1 {
		t.Errorf("%+v", d)
	}
	if d := got[1]; d.Data.Status != record.MessageSent || d.Data.Message.ID != m.ID || d.Data.Message.Text != "" || !d.Timestamp.Equal(m.At.Add(time.Second)) {
		t.Errorf("%+v", d)
	}
	if d := got[2]; d.Data.Status != record.MessageDelivered || d.Data.Message.About != m.ID {
		t.Errorf("%+v", d)
	}
	if got := some.await(1); got[0].Data.Message.Text != "of Meera" {
		t.Errorf("%+v", got)
	}
	for _, d := range bare.await(3) {
		if m := d.Data.Message; m.Text != "" || m.Content != nil || len(m.Files) > 0 && m.Files[0].Name != "" || d.Type == ctl.HookStatus {
			t.Errorf("%+v", d)
		}
	}
}

// What a target does wrong is told with a cure, and nothing of it is lost.
func TestTargetsThatFail(t *testing.T) {
	t.Parallel()
	endless := func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusInternalServerError)
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return true
			}
		}
		return true
	}
	code := func(n int, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(n)
			return true
		}
	}
	for name, c := range map[string]struct {
		behave func(http.ResponseWriter, *http.Request) bool
		code   int
		text   string
		state  string
	}{
		"error":     {code(500), 500, "answered 500", ctl.HookRetry},
		"busy":      {code(503, "Retry-After", "7200"), 503, "answered 503", ctl.HookRetry},
		"redirect":  {code(307, "Location", "https://192.0.2.1/elsewhere"), 307, "a redirect", ctl.HookRetry},
		"forbidden": {code(401), 401, "answered 401", ctl.HookRetry},
		"missing":   {code(404), 404, "answered 404", ctl.HookRetry},
		"gone":      {code(410), 410, "no more events", ctl.HookParked},
		"endless":   {endless, 500, "answered 500", ctl.HookRetry},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) bool {
			panic(http.ErrAbortHandler)
		}, 0, "cannot be reached", ctl.HookRetry},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, g := start(t), newTarget(t)
			g.behave = c.behave
			h := r.hook(g, g.spec("CRM"))
			r.store(message("asha", "vikram", "text 0"), message("asha", "vikram", "text 1"))
			bad := r.health(h.ID, func(h *ctl.HookHealth) bool { return h.Failure != nil && h.Waiting == 2 })
			if f := bad.Failure; bad.State != c.state || f.Code != c.code || !strings.Contains(f.Text, c.text) || f.Cure == "" || f.At.IsZero() || bad.Since.IsZero() || bad.Tries == 0 {
				t.Errorf("%+v %+v", bad, bad.Failure)
			}
			if next := time.Until(bad.NextTry); c.state == ctl.HookRetry && (next > time.Hour || name == "busy" && next < 50*time.Minute) {
				t.Errorf("next try in %v", next)
			}
			if res, err := r.hooks.Test(t.Context(), h.ID); err != nil || res.OK || res.Code != c.code || res.Failure == nil {
				t.Errorf("%+v %v", res, err)
			}
			g.set(func() { g.behave = nil })
			if _, err := r.hooks.Resume(t.Context(), h.ID, ctl.HookSkipNone); err != nil {
				t.Fatal(err)
			}
			if got := g.await(2); !slices.Equal(texts(got), numbered(2)) {
				t.Errorf("%q", texts(got))
			}
			if end := r.health(h.ID, func(h *ctl.HookHealth) bool { return h.Waiting == 0 }); end.Failure != nil || end.State != ctl.HookWorking || end.Tries != 0 || len(r.hooks.Alarms()) != 0 {
				t.Errorf("%+v %+v", end, r.hooks.Alarms())
			}
		})
	}
}

// A certificate of an authority that nobody knows, a port where nobody listens, and the box itself.
func TestTargetsThatAreNotReached(t *testing.T) {
	t.Parallel()
	r, g := start(t), newTarget(t)
	stranger := g.spec("stranger")
	stranger.CA = ""
	closed := newTarget(t)
	closed.srv.Close()
	for _, c := range []struct {
		spec ctl.HookSpec
		text string
	}{{stranger, "authority that is not known"}, {closed.spec("closed"), "refuses connections"}} {
		h := r.hook(g, c.spec)
		if res, err := r.hooks.Test(t.Context(), h.ID); err != nil || res.OK || !strings.Contains(res.Failure.Text, c.text) || res.Failure.Cure == "" {
			t.Errorf("%+v %+v %v", res, res.Failure, err)
		}
	}
	r.hooks.way = func(s *ctl.HookSpec) (http.RoundTripper, error) { return newTransport(s, guardAddress) }
	own := g.spec("own")
	own.URL = strings.Replace(own.URL, "example.com", "localhost", 1)
	h := r.hook(g, own)
	if res, err := r.hooks.Test(t.Context(), h.ID); err != nil || res.OK || !strings.Contains(res.Failure.Text, "box itself") {
		t.Errorf("%+v %+v %v", res, res.Failure, err)
	}
	if len(g.got) != 0 {
		t.Errorf("%+v got through", g.got)
	}
}

// A target that hangs keeps nothing of another one back.
func TestASlowHookSlowsNobody(t *testing.T) {
	t.Parallel()
	r, slow, quick := start(t), newTarget(t), newTarget(t)
	release := make(chan struct{})
	slow.behave = func(http.ResponseWriter, *http.Request) bool { <-release; return false }
	h := r.hook(slow, slow.spec("slow"))
	r.hook(quick, quick.spec("quick"))
	for _, text := range numbered(20) {
		r.store(message("asha", "vikram", text))
	}
	if got := quick.await(20); !slices.Equal(texts(got), numbered(20)) {
		t.Errorf("%q", texts(got))
	}
	if n := r.health(h.ID, func(*ctl.HookHealth) bool { return true }).Waiting; n != 20 {
		t.Errorf("%d wait for the slow one", n)
	}
	close(release)
	if got := slow.await(20); !slices.Equal(texts(got), numbered(20)) {
		t.Errorf("%q", texts(got))
	}
}

func TestHooksAreChangedRotatedTestedAndRemoved(t *testing.T) {
	t.Parallel()
	r, g := start(t), newTarget(t)
	h := r.hook(g, g.spec("CRM"))
	second, err := r.hooks.Rotate(h.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.store(message("asha", "vikram", "text 0"))
	if d := g.await(1)[0]; d.signed != 2 { // a target that knows the old secret only still takes it
		t.Errorf("%+v", d)
	}
	g.set(func() { g.secrets = []string{second} })
	if res, err := r.hooks.Test(t.Context(), h.ID); err != nil || !res.OK || res.Code != 200 || res.Took == 0 {
		t.Errorf("%+v %v", res, err)
	}
	if d := g.await(2)[1]; d.Type != ctl.HookTest || d.Data.Message != nil || !strings.HasPrefix(d.id, "test_") {
		t.Errorf("%+v", d)
	}
	now, err := r.hooks.Get(t.Context(), h.ID)
	if err != nil || now.Revision != 2 || !now.Rotated.After(now.Created.Add(-time.Second)) {
		t.Errorf("%+v %v", now, err)
	}
	off := now.HookSpec
	off.Disabled = true
	if _, err := r.hooks.Change(t.Context(), h.ID, 1, off); problem.Of(err).Code != "hook.changed" {
		t.Error(err)
	}
	if now, err = r.hooks.Change(t.Context(), h.ID, 2, off); err != nil || now.Health.State != ctl.HookOff {
		t.Errorf("%+v %v", now, err)
	}
	if _, any := r.hooks.Followed(); any {
		t.Error("a hook that is off holds the archive's changes")
	}
	r.store(message("asha", "vikram", "while it was off"))
	off.Disabled = false
	if _, err := r.hooks.Change(t.Context(), h.ID, 3, off); err != nil {
		t.Fatal(err)
	}
	r.restart()
	r.store(message("asha", "vikram", "text 1"))
	if d := g.await(3)[2]; d.Data.Message.Text != "text 1" {
		t.Errorf("%+v", d)
	}
	if err := r.hooks.Remove(h.ID); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		r.hooks.Remove(h.ID), errOf(r.hooks.Rotate(h.ID)), errOf(r.hooks.Get(t.Context(), h.ID)), errOf(r.hooks.Test(t.Context(), h.ID)),
		errOf(r.hooks.Resume(t.Context(), h.ID, ctl.HookSkipNone)),
	} {
		if !problem.Is(err, problem.Missing) {
			t.Error(err)
		}
	}
	r.restart()
	if list, err := r.hooks.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestSpecsAreChecked(t *testing.T) {
	t.Parallel()
	r, g := start(t), newTarget(t)
	r.hook(g, g.spec("CRM"))
	good := ctl.HookSpec{Name: "x", URL: "https://hooks.example.com:8443/a?b=c", Events: []string{ctl.HookNew}}
	for name, c := range map[string]struct {
		change func(*ctl.HookSpec)
		path   string
	}{
		"no name":         {func(s *ctl.HookSpec) { s.Name = " " }, "name"},
		"lines":           {func(s *ctl.HookSpec) { s.Name = "a\nb" }, "name"},
		"taken":           {func(s *ctl.HookSpec) { s.Name = "crm" }, "name"},
		"http":            {func(s *ctl.HookSpec) { s.URL = "http://hooks.example.com/" }, "url"},
		"no host":         {func(s *ctl.HookSpec) { s.URL = "https:///x" }, "url"},
		"user":            {func(s *ctl.HookSpec) { s.URL = "https://a:b@hooks.example.com/" }, "url"},
		"fragment":        {func(s *ctl.HookSpec) { s.URL = "https://hooks.example.com/#x" }, "url"},
		"port":            {func(s *ctl.HookSpec) { s.URL = "https://hooks.example.com:0/" }, "url"},
		"long":            {func(s *ctl.HookSpec) { s.URL = "https://hooks.example.com/" + strings.Repeat("x", maxURL) }, "url"},
		"loopback":        {func(s *ctl.HookSpec) { s.URL = "https://127.0.0.2/" }, "url"},
		"mapped":          {func(s *ctl.HookSpec) { s.URL = "https://[::ffff:127.0.0.1]/" }, "url"},
		"unspecified":     {func(s *ctl.HookSpec) { s.URL = "https://0.0.0.0/" }, "url"},
		"this network":    {func(s *ctl.HookSpec) { s.URL = "https://0.1.2.3/" }, "url"},
		"link-local":      {func(s *ctl.HookSpec) { s.URL = "https://169.254.169.254/" }, "url"},
		"link-local six":  {func(s *ctl.HookSpec) { s.URL = "https://[fe80::1]/" }, "url"},
		"multicast":       {func(s *ctl.HookSpec) { s.URL = "https://[ff02::1]/" }, "url"},
		"no events":       {func(s *ctl.HookSpec) { s.Events = nil }, "events"},
		"unknown event":   {func(s *ctl.HookSpec) { s.Events = []string{"call.new"} }, "events"},
		"many users":      {func(s *ctl.HookSpec) { s.Users = numbered(maxUsers + 1) }, "users"},
		"takes of all":    {func(s *ctl.HookSpec) { s.Takes = true }, "users"},
		"takes nothing":   {func(s *ctl.HookSpec) { s.Takes, s.Users, s.Events = true, []string{"bot"}, []string{ctl.HookStatus} }, "events"},
		"no certificate":  {func(s *ctl.HookSpec) { s.CA = "hello" }, "ca"},
		"a key":           {func(s *ctl.HookSpec) { s.CA = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----" }, "ca"},
		"bad certificate": {func(s *ctl.HookSpec) { s.CA = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----" }, "ca"},
	} {
		s := good
		c.change(&s)
		_, _, err := r.hooks.Add(context.Background(), s, "Owner")
		p := problem.Of(err)
		if err == nil || p.Code != "hook.invalid" || len(p.Faults) != 1 || p.Faults[0].Path != c.path || p.Faults[0].Rule == "" || p.Faults[0].Cure == "" {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "a:b@") {
			t.Errorf("%s: %v tells a password", name, err)
		}
	}
	for i := range maxHooks - 1 {
		s := good
		s.Name = numbered(i + 1)[i]
		if _, _, err := r.hooks.Add(context.Background(), s, "Owner"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := r.hooks.Add(context.Background(), good, "Owner"); problem.Of(err).Code != "hook.limit" {
		t.Error(err)
	}
}

// A hook that stands for phones tells switchd what its target has taken, also of receipts that the
// target is not told of; when switchd is away both are told again.
func TestAHookInThePlaceOfPhones(t *testing.T) {
	t.Parallel()
	r, g := start(t), newTarget(t)
	took := make(chan ctl.TakenMessage, 100)
	var away atomic.Bool
	away.Store(true)
	r.hooks.cfg.Taken = func(_ context.Context, m ctl.TakenMessage) error {
		if away.Load() {
			return problem.New(problem.Unavailable, "switchd.away", "the part switchd does not answer", "wait a moment")
		}
		took <- m
		return nil
	}
	s := g.spec("CRM")
	s.Users, s.Takes = []string{"bot"}, true
	h := r.hook(g, s)
	in, receipt, out := message("asha", "bot", "text 0"), message("asha", "bot", ""), message("bot", "asha", "text 1")
	receipt.Type = record.MessageNotification
	r.store(in, receipt, out)
	r.health(h.ID, func(h *ctl.HookHealth) bool { return h.Failure != nil && strings.Contains(h.Failure.Text, "switchd") })
	away.Store(false)
	got := g.await(3)
	if !slices.Equal(texts(got), []string{"text 0", "text 0", "text 1"}) || got[0].id != got[1].id {
		t.Errorf("%+v", got)
	}
	for _, want := range []record.Message{in, receipt} {
		if m := <-took; m != (ctl.TakenMessage{ID: want.ID, CallID: want.CallID, Sender: "asha", Recipient: "bot", By: "CRM"}) {
			t.Errorf("%+v", m)
		}
	}
	if len(took) != 0 {
		t.Errorf("%+v", <-took)
	}
}

// FuzzSpec looks for a document that is taken and then cannot be used.
func FuzzSpec(f *testing.F) {
	f.Add("CRM", "https://hooks.example.com/x", "")
	f.Add("CRM", "https://[::1%25eth0]:443/", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
	f.Fuzz(func(t *testing.T, name, url, ca string) {
		s := tidied(ctl.HookSpec{Name: name, URL: url, CA: ca, Events: Events()})
		if faultsOf(&s) != nil {
			return
		}
		if _, err := newTransport(&s, guardAddress); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
		if _, err := http.NewRequest(http.MethodPost, s.URL, nil); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	})
}
