package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ownerName = "Owner"
	ownerPass = "correct horse battery"
)

func here() netip.Addr { return netip.MustParseAddr("192.0.2.1") }

func newAuth(t *testing.T, dir string) *Auth {
	t.Helper()
	a, err := New(Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func readCode(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, SetupCodeFile))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// owned returns an Auth with an owner.
func owned(t *testing.T) (*Auth, string) {
	t.Helper()
	dir := t.TempDir()
	a := newAuth(t, dir)
	if _, err := a.CreateOwner(t.Context(), here(), readCode(t, dir), ownerName, ownerPass); err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func request(cookie *http.Cookie, authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if cookie != nil {
		r.AddCookie(cookie)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return problem.Of(err).Code
}

func TestSetUpOnceByTheCodeOfTheBox(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := newAuth(t, dir)
	text := readCode(t, dir)
	if len(text) != 14 || text[4] != '-' || text[9] != '-' {
		t.Fatalf("code %q is not three groups of four", text)
	}
	if st, _ := os.Stat(filepath.Join(dir, SetupCodeFile)); st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v", st.Mode())
	}
	if _, err := a.Identify(request(nil, "")); code(err) != "setup.required" {
		t.Fatalf("before set-up: %v", err)
	}
	if err := a.CheckCode(here(), "0000-0000-0000"); code(err) != "setup.code" || len(problem.Of(err).Faults) != 1 {
		t.Fatalf("a wrong code: %v", err)
	}
	if newAuth(t, dir); readCode(t, dir) != text {
		t.Fatal("a restart made another code")
	}
	typed := strings.ToUpper(strings.ReplaceAll(strings.ReplaceAll(text, "-", " "), "0", "O"))
	s, err := a.CreateOwner(t.Context(), here(), typed, ownerName, ownerPass)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := a.Identify(request(s.Cookie(), "")); err != nil || id.Name != ownerName || id.Role != RoleOwner {
		t.Fatalf("after set-up: %+v, %v", id, err)
	}
	if _, err := os.Stat(filepath.Join(dir, SetupCodeFile)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the code is still there: %v", err)
	}
	if _, err := a.CreateOwner(t.Context(), here(), text, "Second", ownerPass); code(err) != "setup.done" {
		t.Fatalf("a second set-up: %v", err)
	}
	a = newAuth(t, dir)
	if !a.SetUp() {
		t.Fatal("a restart forgot the owner")
	}
	data, _ := os.ReadFile(filepath.Join(dir, documentName))
	if strings.Contains(string(data), ownerPass) {
		t.Fatal("the password is on disk")
	}
}

func TestWrongCodesMakeANewOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := newAuth(t, dir)
	first := readCode(t, dir)
	for i := range maxCodeTries {
		source := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		if err := a.CheckCode(source, "wrong"); code(err) != "setup.code" {
			t.Fatalf("try %d: %v", i, err)
		}
	}
	if readCode(t, dir) == first {
		t.Fatal("the code is still the first one")
	}
	if err := a.CheckCode(here(), first); code(err) != "setup.code" {
		t.Fatalf("the first code: %v", err)
	}
	if err := a.CheckCode(here(), readCode(t, dir)); err != nil {
		t.Fatalf("the new code: %v", err)
	}
}

func TestSignInAndOut(t *testing.T) {
	t.Parallel()
	a, _ := owned(t)
	for _, c := range []struct{ name, pass, want string }{
		{ownerName, "wrong", "signin.wrong"},
		{"nobody", ownerPass, "signin.wrong"},
		{"", "", "signin.wrong"},
		{ownerName, strings.Repeat("x", maxPassword+1), "signin.wrong"},
		{ownerName, ownerPass, ""},
	} {
		if _, err := a.SignIn(t.Context(), here(), c.name, c.pass); code(err) != c.want {
			t.Errorf("%q %q: %v", c.name, c.pass, err)
		}
	}
	s, err := a.SignIn(t.Context(), here(), ownerName, ownerPass)
	if err != nil {
		t.Fatal(err)
	}
	cookie := s.Cookie()
	if !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || len(cookie.Value) < 26 {
		t.Fatalf("cookie %+v", cookie)
	}
	id, err := a.Identify(request(cookie, ""))
	if err != nil {
		t.Fatal(err)
	}
	other, err := a.SignIn(t.Context(), here(), ownerName, ownerPass)
	if err != nil {
		t.Fatal(err)
	}
	if n := a.SignOutOthers(id); n != 3 { // of set-up, of the table, of the line above
		t.Fatalf("%d others signed out, want 3", n)
	}
	if _, err := a.Identify(request(other.Cookie(), "")); code(err) != "session.required" {
		t.Fatalf("the other one: %v", err)
	}
	a.SignOut(id)
	select {
	case <-id.Ended():
	default:
		t.Fatal("its streams are not told")
	}
	if _, err := a.Identify(request(cookie, "")); code(err) != "session.required" {
		t.Fatalf("after sign-out: %v", err)
	}
}

func TestPasswordChangeSignsOutTheOthers(t *testing.T) {
	t.Parallel()
	a, dir := owned(t)
	mine, _ := a.SignIn(t.Context(), here(), ownerName, ownerPass)
	theirs, _ := a.SignIn(t.Context(), here(), ownerName, ownerPass)
	id, err := a.Identify(request(mine.Cookie(), ""))
	if err != nil {
		t.Fatal(err)
	}
	const next = "staple tractor violin"
	if err := a.ChangePassword(t.Context(), id, here(), "wrong", next); code(err) != "password.wrong" || problem.Of(err).Faults[0].Path != "current" {
		t.Fatalf("with a wrong password: %v", err)
	}
	if err := a.ChangePassword(t.Context(), id, here(), ownerPass, next); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(request(mine.Cookie(), "")); err != nil {
		t.Fatalf("who changed it is signed out: %v", err)
	}
	if _, err := a.Identify(request(theirs.Cookie(), "")); err == nil {
		t.Fatal("the others are still signed in")
	}
	a = newAuth(t, dir)
	if _, err := a.SignIn(t.Context(), here(), ownerName, ownerPass); code(err) != "signin.wrong" {
		t.Fatalf("the old password: %v", err)
	}
	if _, err := a.SignIn(t.Context(), here(), ownerName, next); err != nil {
		t.Fatalf("the new password: %v", err)
	}
	if err := a.ChangePassword(t.Context(), Identity{Name: "script", Token: "x"}, here(), next, next); code(err) != "password.token" {
		t.Fatalf("by token: %v", err)
	}
}

func TestSessionsEndByIdlenessAndByAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := owned(t)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = a.Run(ctx) })
		idle, _ := a.SignIn(t.Context(), here(), ownerName, ownerPass)
		busy, _ := a.SignIn(t.Context(), here(), ownerName, ownerPass)
		begin := time.Now()
		for time.Since(begin) < idleTime {
			if _, err := a.Identify(request(busy.Cookie(), "")); err != nil {
				t.Fatalf("busy after %v: %v", time.Since(begin), err)
			}
			time.Sleep(time.Minute)
		}
		if _, err := a.Identify(request(idle.Cookie(), "")); code(err) != "session.required" {
			t.Fatalf("idle: %v", err)
		}
		time.Sleep(sweepEvery)
		select {
		case <-idle.ended:
		default:
			t.Fatal("the streams of an idle session stay open")
		}
		for time.Since(begin) < wholeTime {
			_, _ = a.Identify(request(busy.Cookie(), "")) // keeps it busy
			time.Sleep(idleTime / 2)
		}
		if _, err := a.Identify(request(busy.Cookie(), "")); code(err) != "session.required" {
			t.Fatalf("after %v: %v", time.Since(begin), err)
		}
		cancel()
		wg.Wait()
	})
}

func TestSessionsOfAnAccountAreBounded(t *testing.T) {
	t.Parallel()
	a, _ := owned(t)
	a.mu.Lock()
	defer a.mu.Unlock()
	for range 3 * maxSessions {
		a.openLocked(ownerName, RoleOwner, here())
	}
	if n := len(a.sessions); n != maxSessions {
		t.Fatalf("%d sessions, want %d", n, maxSessions)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	a, dir := owned(t)
	tok, secret, err := a.NewToken(ownerName, TokenSpec{Name: "backup script"})
	if err != nil || tok.By != ownerName {
		t.Fatalf("%+v, %v", tok, err)
	}
	if _, _, err := a.NewToken(ownerName, TokenSpec{Name: "backup script"}); code(err) != "token.name.taken" || len(problem.Of(err).Faults) != 1 {
		t.Fatalf("the same name: %v", err)
	}
	if _, _, err := a.NewToken(ownerName, TokenSpec{Name: " "}); code(err) != "token.name" {
		t.Fatalf("no name: %v", err)
	}
	data, _ := os.ReadFile(filepath.Join(dir, documentName))
	if strings.Contains(string(data), secret) {
		t.Fatal("the secret is on disk")
	}
	a = newAuth(t, dir)
	for header, want := range map[string]string{
		"Bearer " + secret: "", "bearer  " + secret: "", "Bearer " + secret + "x": "token.unknown", "Bearer ": "token.unknown",
		"Basic abc": "token.scheme",
	} {
		id, err := a.Identify(request(nil, header))
		if code(err) != want || (err == nil && (id.Name != "backup script" || id.Token != tok.ID || id.Ended() != nil)) {
			t.Errorf("%q: %+v, %v", header, id, err)
		}
	}
	if list := a.Tokens(); len(list) != 1 || list[0].LastUsed.IsZero() {
		t.Fatalf("%+v", list)
	}
	if err := a.RevokeToken("other"); code(err) != "token.missing" {
		t.Fatalf("revoke another: %v", err)
	}
	if err := a.RevokeToken(tok.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(request(nil, "Bearer "+secret)); code(err) != "token.unknown" {
		t.Fatalf("revoked: %v", err)
	}
	for i := range maxTokens {
		if _, _, err := a.NewToken(ownerName, TokenSpec{Name: "t" + strings.Repeat("x", i%60) + string(rune('a'+i/60))}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := a.NewToken(ownerName, TokenSpec{Name: "one too many"}); code(err) != "token.limit" {
		t.Fatalf("over the limit: %v", err)
	}
}

func TestTokenFileLetsProgramsInBeforeSetUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(t.TempDir(), "token")
	a := newAuth(t, dir)
	if err := a.WriteTokenFile(path); err != nil {
		t.Fatal(err)
	}
	first, _ := os.ReadFile(path)
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v", st.Mode())
	}
	if id, err := a.Identify(request(nil, "Bearer "+strings.TrimSpace(string(first)))); err != nil || id.Role != RoleOwner {
		t.Fatalf("%+v, %v", id, err)
	}
	if a.SetUp() {
		t.Fatal("a token file is no owner")
	}
	a = newAuth(t, dir)
	if err := a.WriteTokenFile(path); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(path); string(again) != string(first) {
		t.Fatal("a restart made another token")
	}
	if err := os.WriteFile(path, []byte("stale"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.WriteTokenFile(path); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(request(nil, "Bearer "+strings.TrimSpace(string(first)))); err == nil {
		t.Fatal("the replaced token still works")
	}
	if len(a.Tokens()) != 1 {
		t.Fatalf("%d tokens", len(a.Tokens()))
	}
}

func TestDamagedFilesAreToldNotGuessed(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"torn": `{"version":1,`, "newer": `{"version":99}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, documentName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{Dir: dir, Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, hash := range []string{"", "$argon2id$v=19$m=1,t=0,p=0$$", "$argon2id$v=19$m=1,t=1,p=1$!$!", "$argon2id$x$y$AA$AA", "$argon2id$v=19$m=19456,t=2,p=1$AAAA$AA"} {
		if ok, err := verifyPassword(hash, ""); ok || err == nil {
			t.Errorf("hash %q: %v %v", hash, ok, err)
		}
	}
}

func TestTokensOfSenders(t *testing.T) {
	t.Parallel()
	a, _ := owned(t)
	for _, spec := range []TokenSpec{
		{Name: "x", Role: "admin"}, {Name: "x", Role: RoleSender}, {Name: "x", Senders: []string{"bot"}}, {Name: "x", Role: RoleSender, Senders: make([]string, maxSenders+1)},
	} {
		if _, _, err := a.NewToken(ownerName, spec); problem.Of(err).Kind != problem.Invalid || len(problem.Of(err).Faults) != 1 {
			t.Errorf("%+v: %v", spec, err)
		}
	}
	tok, secret, err := a.NewToken(ownerName, TokenSpec{Name: "crm", Role: RoleSender, Senders: []string{"bot"}})
	if err != nil || tok.Role != RoleSender {
		t.Fatalf("%+v %v", tok, err)
	}
	id, err := a.identifyToken(secret)
	if err != nil || id.Role != RoleSender || len(id.Senders) != 1 || id.Senders[0] != "bot" || id.ReadsContent() {
		t.Errorf("%+v %v", id, err)
	}
}

func TestTheVersionBeforeFindsItsOwnAccounts(t *testing.T) {
	t.Parallel()
	_, dir := owned(t)
	path := filepath.Join(dir, documentName)
	ours, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A newer version keeps a copy, and changes the form.
	if err := errors.Join(os.WriteFile(path+".v1", ours, 0o600), os.WriteFile(path, []byte(`{"version":2,"people":[]}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	if a := newAuth(t, dir); !a.SetUp() || len(a.doc.Accounts) != 1 || a.doc.Accounts[0].Name != ownerName {
		t.Errorf("%+v", a.doc)
	}
	if _, err := os.Stat(path + ".v2-aside"); err != nil {
		t.Error(err)
	}
}
