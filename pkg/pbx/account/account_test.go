package account

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/digest"
	"github.com/coraltele/sanchar/pkg/testkit/racing"
)

const domain = "pbx.test"

func open(t *testing.T, dir string) *Directory {
	t.Helper()
	d, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func newDirectory(t *testing.T) *Directory {
	t.Helper()
	d := open(t, t.TempDir())
	if err := d.SetDomain(domain); err != nil {
		t.Fatal(err)
	}
	return d
}

func add(t *testing.T, d *Directory, name, password string, numbers ...string) ctl.UserWithSecret {
	t.Helper()
	u, err := d.Add(ctl.NewUser{UserSpec: ctl.UserSpec{Name: name, Numbers: numbers}, Secret: ctl.Secret{Password: password}})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestUsersSurviveARestartAndNoPasswordIsKept(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	if _, err := d.Add(ctl.NewUser{UserSpec: ctl.UserSpec{Name: "early"}}); !problem.Is(err, problem.Conflict) {
		t.Fatalf("a user before the domain: %v", err)
	}
	if err := d.SetDomain(domain); err != nil {
		t.Fatal(err)
	}
	made, err := d.Add(ctl.NewUser{UserSpec: ctl.UserSpec{Name: " Alice ", Numbers: []string{"2-01"}, DisplayName: "Alice A", Email: "a@pbx.test"}})
	if err != nil || made.Name != "alice" || made.Numbers[0] != "201" || len(made.Password) != 26 || len(made.HA1) != 32 {
		t.Fatalf("%+v %v", made, err)
	}
	if err := d.SetDomain("other.test"); !problem.Is(err, problem.Conflict) {
		t.Errorf("the domain was changed: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), made.Password) || strings.Contains(string(raw), made.HA1) {
		t.Error("the secret is on disk in clear")
	}
	d = open(t, dir)
	if got := d.Lookup("201"); got == nil || got.Name != "alice" || got.ID != made.ID || d.Domain() != domain {
		t.Errorf("after the restart: %+v", got)
	}
}

func TestEveryFaultIsNamed(t *testing.T) {
	d := newDirectory(t)
	add(t, d, "alice", "", "201")
	_, err := d.Add(ctl.NewUser{
		UserSpec: ctl.UserSpec{
			Name: "a b", Numbers: []string{"201", "2x", "301", "301"}, DisplayName: "x\x00", Email: "no", Phone: "call me",
		},
		Secret: ctl.Secret{Password: "short"},
	})
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Kind != problem.Invalid {
		t.Fatalf("%v", err)
	}
	got := map[string]bool{}
	for _, f := range p.Faults {
		got[f.Path] = true
		if f.Rule == "" || f.Cure == "" || strings.Contains(f.Value, "short") {
			t.Errorf("fault without rule or cure, or with the secret: %+v", f)
		}
	}
	for _, path := range []string{"name", "numbers[0]", "numbers[1]", "numbers[3]", "display_name", "email", "phone", "secret.password"} {
		if !got[path] {
			t.Errorf("no fault at %s in %+v", path, p.Faults)
		}
	}
}

func TestChangeNeedsTheLatestRevision(t *testing.T) {
	d := newDirectory(t)
	var told []string
	d.Watch(func(id string) { told = append(told, id) })
	u := add(t, d, "alice", "", "201")
	spec := u.UserSpec
	spec.Numbers = []string{"202"}
	changed, err := d.Change(u.ID, u.Revision, spec)
	if err != nil || changed.Revision != u.Revision+1 || d.Lookup("201") != nil || d.Lookup("202") == nil {
		t.Fatalf("%+v %v", changed, err)
	}
	if _, err := d.Change(u.ID, u.Revision, spec); !problem.Is(err, problem.Conflict) {
		t.Errorf("an old revision: %v", err)
	}
	spec.Name = "alicia"
	if _, err := d.Change(u.ID, changed.Revision, spec); !problem.Is(err, problem.Invalid) {
		t.Errorf("a new name: %v", err)
	}
	if _, err := d.Change("nobody", 1, spec); !problem.Is(err, problem.Missing) {
		t.Errorf("nobody: %v", err)
	}
	if err := d.Remove(u.ID); err != nil || d.Lookup("alice") != nil || d.Len() != 0 {
		t.Errorf("remove: %v", err)
	}
	if len(told) != 3 {
		t.Errorf("told of %d changes, want 3", len(told))
	}
}

func TestImport(t *testing.T) {
	d := newDirectory(t)
	add(t, d, "alice", "old-password", "201")
	csv := "user,number,password,ha1,name,email,phone\nalice,,new-password,,Alice A,a@pbx.test,\n,300,,8ca523f5e9506fed4657c9700eebdbec,,,\nbob,301,pw,,Bob,,+91 22 1\n"
	want := ctl.ImportResult{Added: 2, Changed: 1, Weak: 1}
	if res, err := d.Import(strings.NewReader(csv), true); err != nil || res != want || d.Len() != 1 {
		t.Fatalf("a check: %+v %v, %d users", res, err, d.Len())
	}
	res, err := d.Import(strings.NewReader(csv), false)
	if err != nil || res != want {
		t.Fatalf("%+v %v", res, err)
	}
	if a := d.Lookup("201"); a == nil || a.DisplayName != "Alice A" {
		t.Errorf("alice: %+v", a)
	}
	if n := d.Lookup("300"); n == nil || n.Name != "300" || n.Sealed[digest.SHA256] != nil || n.Sealed[digest.MD5] == nil {
		t.Errorf("300: %+v", n)
	}
	for csv, want := range map[string][]string{
		"":                              {"line 1"},
		"name\nx\n":                     {"line 1", "line 1"},
		"user,password,colour\nx,y,z\n": {"line 1"},
		"user,password\ncarl,password-1\ncarl,password-1\n":   {"line 3: user"},
		"user,password\ncarl\nd e,password-1\nxy,\n":          {"line 2"},
		"user,password\nd e,password-1\nxy,\n":                {"line 2: name", "line 3: password"},
		"number,ha1\n201,8ca523f5e9506fed4657c9700eebdbec\n":  {"line 2: name", "line 2: numbers[0]"},
		"user,password,email\ncarl,password-1,nonsense\n":     {"line 2: email"},
		"user,password\n\"carl,password-1\ndora,password-1\n": {"line 2"},
	} {
		before := d.Len()
		_, err := d.Import(strings.NewReader(csv), false)
		p, ok := errors.AsType[*problem.Error](err)
		if !ok || len(p.Faults) < len(want) {
			t.Errorf("%q: %v, want faults at %q", csv, err, want)
			continue
		}
		for i, path := range want {
			if p.Faults[i].Path != path {
				t.Errorf("%q: fault %d at %q, want %q", csv, i, p.Faults[i].Path, path)
			}
		}
		if d.Len() != before {
			t.Errorf("%q: users were made in spite of a fault", csv)
		}
	}
}

func TestListPages(t *testing.T) {
	d := newDirectory(t)
	for i := range 7 {
		add(t, d, fmt.Sprintf("user%d", i), "", fmt.Sprint(400+i))
	}
	var names []string
	for after := ""; ; {
		page := d.List(ctl.UserQuery{After: after, Limit: 3})
		for _, u := range page.Users {
			names = append(names, u.Name)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if strings.Join(names, " ") != "user0 user1 user2 user3 user4 user5 user6" {
		t.Errorf("%v", names)
	}
	if page := d.List(ctl.UserQuery{Text: "405"}); page.Total != 1 || page.Users[0].Name != "user5" {
		t.Errorf("%+v", page)
	}
}

// client answers challenges as a phone does.
type client struct {
	guard      *Guard
	from       netip.Addr
	user, pass string
	nonce      string
	nc         int
}

func (c *client) challenge() {
	lines := string(c.guard.AppendChallenge(nil, "WWW-Authenticate: ", c.from, false, false))
	_, rest, _ := strings.Cut(lines, `nonce="`)
	c.nonce, _, _ = strings.Cut(rest, `"`)
	c.nc = 0
}

func (c *client) message(t *testing.T, from, uri string) *checked.Message {
	t.Helper()
	c.nc++
	cred := digest.Credentials{Username: c.user, Realm: domain, Nonce: c.nonce, URI: uri, CNonce: "cn", NC: fmt.Sprintf("%08x", c.nc)}
	response := cred.Answer(digest.HA1(digest.MD5, c.user, domain, c.pass), "REGISTER")
	text := fmt.Sprintf("REGISTER sip:pbx.test SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKs\r\nFrom: <%s>;tag=1\r\nTo: <%s>\r\nCall-ID: 1\r\nCSeq: %d REGISTER\r\n"+
		"Authorization: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", response=\"%s\", cnonce=\"cn\", nc=%s, qop=auth\r\n\r\n",
		from, from, c.nc, c.user, domain, c.nonce, uri, response, cred.NC)
	m := new(checked.Message)
	if err := m.Read([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if r := m.Check(); r != nil {
		t.Fatalf("%+v", r)
	}
	return m
}

func newGuard(t *testing.T) (*Directory, *Guard) {
	d := newDirectory(t)
	return d, NewGuard(d, func(host string) bool { return host == domain || host == "192.0.2.10" }, time.Now)
}

func TestGuardTellsUsersFromOthers(t *testing.T) {
	d, g := newGuard(t)
	add(t, d, "alice", "right-password", "201")
	off := add(t, d, "dora", "right-password")
	spec := off.UserSpec
	spec.Disabled = true
	if _, err := d.Change(off.ID, off.Revision, spec); err != nil {
		t.Fatal(err)
	}
	here := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		user, pass, from, uri string
		want                  Outcome
		reason                string
	}{
		{"alice", "right-password", "sip:alice@pbx.test", "sip:pbx.test", Accepted, ""},
		{"alice", "right-password", "sip:201@pbx.test", "sip:192.0.2.10", Accepted, ""},
		{"alice", "right-password", "sip:ALICE@PBX.test", "sip:pbx.test", Accepted, ""},
		{"alice", "wrong-password", "sip:alice@pbx.test", "sip:pbx.test", Refused, record.AuthWrongSecret},
		{"nobody", "right-password", "sip:nobody@pbx.test", "sip:pbx.test", Refused, record.AuthUnknownUser},
		{"dora", "right-password", "sip:dora@pbx.test", "sip:pbx.test", Refused, record.AuthDisabled},
		{"alice", "right-password", "sip:dora@pbx.test", "sip:pbx.test", Forbidden, record.AuthIdentity},
		{"alice", "right-password", "sip:alice@other.test", "sip:pbx.test", Forbidden, record.AuthIdentity},
		{"alice", "right-password", "sip:alice@pbx.test", "sip:other.test", Forbidden, record.AuthBadURI},
	} {
		phone := &client{guard: g, from: here, user: c.user, pass: c.pass}
		phone.challenge()
		v := g.Check(phone.message(t, c.from, c.uri), here)
		if v.Outcome != c.want || v.Reason != c.reason || (v.Account != nil) != (c.want == Accepted) {
			t.Errorf("%s as %s for %s: %+v, want %d %q", c.user, c.from, c.uri, v, c.want, c.reason)
		}
		other := netip.MustParseAddr("192.0.2.2")
		if v := g.Check(phone.message(t, c.from, c.uri), other); v.Outcome != Challenge {
			t.Errorf("%s with another's nonce: %+v", c.user, v)
		}
	}
}

// The same work is done for every user name: what a stranger could measure is alike.
func TestGuardDoesTheSameWorkForAll(t *testing.T) {
	d, g := newGuard(t)
	add(t, d, "alice", "right-password")
	here := netip.MustParseAddr("192.0.2.1")
	var allocs []float64
	for _, user := range []string{"alice", "nobody"} {
		phone := &client{guard: g, from: here, user: user, pass: "wrong"}
		phone.challenge()
		m := phone.message(t, "sip:"+user+"@pbx.test", "sip:pbx.test")
		allocs = append(allocs, testing.AllocsPerRun(100, func() { g.Check(m, here) }))
	}
	if !racing.On && (allocs[0] != 0 || allocs[1] != 0) {
		t.Errorf("allocations: %v for a user, %v for nobody", allocs[0], allocs[1])
	}
}

func TestNoncesAgeAndCountsAreUsedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := newGuard(t)
		add(t, d, "alice", "right-password")
		here := netip.MustParseAddr("192.0.2.1")
		phone := &client{guard: g, from: here, user: "alice", pass: "right-password"}
		check := func(m *checked.Message, want Outcome, what string) {
			t.Helper()
			if v := g.Check(m, here); v.Outcome != want {
				t.Errorf("%s: %+v, want %d", what, v, want)
			}
		}
		next := func() *checked.Message { return phone.message(t, "sip:alice@pbx.test", "sip:pbx.test") }
		phone.challenge()
		first := next()
		check(first, Accepted, "first use")
		check(first, Accepted, "a retransmission")
		second := next()
		check(second, Accepted, "second use")
		check(first, Stale, "a replay")
		skipped := next()
		check(next(), Accepted, "a count further on")
		check(skipped, Accepted, "the count before it, late")
		check(skipped, Stale, "the late count again")
		time.Sleep(nonceInUse - time.Second)
		check(next(), Accepted, "shortly before it is old")
		time.Sleep(nonceInUse + time.Second)
		check(next(), Stale, "too long unused")
		phone.challenge()
		time.Sleep(nonceFirst + time.Second)
		check(next(), Stale, "a first use too late")
		phone.pass = "wrong"
		check(next(), Refused, "an old nonce and a wrong password")
		phone.pass = "right-password"
		phone.challenge()
		time.Sleep(30 * time.Second)
		check(next(), Accepted, "across the change of keys at midnight, or not")
		time.Sleep(3 * keyPeriod)
		check(next(), Challenge, "a nonce of a key that is gone")
	})
}

func BenchmarkGuard(b *testing.B) {
	d, err := Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	if err := d.SetDomain(domain); err != nil {
		b.Fatal(err)
	}
	if _, err := d.Add(ctl.NewUser{UserSpec: ctl.UserSpec{Name: "alice"}, Secret: ctl.Secret{Password: "right-password"}}); err != nil {
		b.Fatal(err)
	}
	g := NewGuard(d, func(string) bool { return true }, time.Now)
	here := netip.MustParseAddr("192.0.2.1")
	phone := &client{guard: g, from: here, user: "alice", pass: "right-password"}
	phone.challenge()
	m := phone.message(&testing.T{}, "sip:alice@pbx.test", "sip:pbx.test")
	b.ReportAllocs()
	for b.Loop() {
		if g.Check(m, here).Outcome != Accepted {
			b.Fatal("refused")
		}
	}
}
