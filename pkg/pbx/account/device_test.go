package account

import (
	"net/netip"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/racing"
)

// A device signs in by its own secret, as its user and nobody else, and is locked out alone.
func TestADeviceHasASecretOfItsOwn(t *testing.T) {
	d, g := newGuard(t)
	alice := add(t, d, "alice", "right-password", "201")
	first, err := d.AddDevice(alice.ID)
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.AddDevice(alice.ID)
	if err != nil || first.Login == second.Login || first.Password == second.Password {
		t.Fatalf("%+v %+v %v", first, second, err)
	}
	here := netip.MustParseAddr("192.0.2.1")
	check := func(user, pass, from string) Verdict {
		phone := &client{guard: g, from: here, user: user, pass: pass}
		phone.challenge()
		return g.Check(phone.message(t, from, "sip:pbx.test"), here)
	}
	const asAlice = "sip:alice@pbx.test"
	if v := check(first.Login, first.Password, asAlice); v.Outcome != Accepted || v.Account.Name != "alice" || v.Device != first.Login {
		t.Errorf("%+v", v)
	}
	if v := check("alice", "right-password", asAlice); v.Outcome != Accepted || v.Device != "" {
		t.Errorf("the user's own: %+v", v)
	}
	for name, v := range map[string]Verdict{
		"another device's":    check(first.Login, second.Password, asAlice),
		"the user's":          check(first.Login, "right-password", asAlice),
		"a device's, as user": check("alice", first.Password, asAlice),
	} {
		if v.Outcome != Refused || v.Reason != record.AuthWrongSecret || v.Device != "" {
			t.Errorf("%s: %+v", name, v)
		}
	}
	add(t, d, "bob", "right-password")
	if v := check(first.Login, first.Password, "sip:bob@pbx.test"); v.Outcome != Forbidden {
		t.Errorf("as somebody else: %+v", v)
	}
	if _, err := d.ResetSecret(alice.ID, ctl.Secret{Password: "other-password"}); err != nil {
		t.Fatal(err)
	}
	if v := check(first.Login, first.Password, asAlice); v.Outcome != Accepted {
		t.Errorf("after the user's secret changed: %+v", v)
	}
	if err := d.RemoveDevice(alice.ID, first.Login); err != nil {
		t.Fatal(err)
	}
	if v := check(first.Login, first.Password, asAlice); v.Outcome != Refused || v.Reason != record.AuthUnknownUser {
		t.Errorf("removed: %+v", v)
	}
	if err := d.Remove(alice.ID); err != nil {
		t.Fatal(err)
	}
	if v := check(second.Login, second.Password, asAlice); v.Outcome != Refused {
		t.Errorf("of who is gone: %+v", v)
	}
}

func TestDevicesSurviveARestartAndAreBounded(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	if err := d.SetDomain(domain); err != nil {
		t.Fatal(err)
	}
	alice := add(t, d, "alice", "right-password")
	one, err := d.AddDevice(alice.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	g := NewGuard(d, func(string) bool { return true }, time.Now)
	here := netip.MustParseAddr("192.0.2.1")
	phone := &client{guard: g, from: here, user: one.Login, pass: one.Password}
	phone.challenge()
	m := phone.message(t, "sip:alice@pbx.test", "sip:pbx.test")
	if v := g.Check(m, here); v.Outcome != Accepted {
		t.Errorf("after a restart: %+v", v)
	}
	if n := testing.AllocsPerRun(100, func() { g.Check(m, here) }); !racing.On && n != 0 {
		t.Errorf("%v allocations", n)
	}
	for range maxDevices - 1 {
		if _, err := d.AddDevice(alice.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.AddDevice(alice.ID); !problem.Is(err, problem.Full) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := d.AddDevice("nobody"); !problem.Is(err, problem.Missing) {
		t.Errorf("of nobody: %v", err)
	}
}
