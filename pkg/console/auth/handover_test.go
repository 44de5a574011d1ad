package auth

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestASignInIsTakenAlongOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a, cookie := handing(t, dir)
		id, ok := a.identifySession(cookie)
		if !ok {
			t.Fatal("not signed in")
		}
		first, err := a.HandOver(id)
		if err != nil {
			t.Fatal(err)
		}
		second, err := a.HandOver(id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.TakeOver(first, here()); code(err) != "session.handover" {
			t.Errorf("a code that was replaced: %v", err)
		}
		time.Sleep(HandoverTime - time.Second)
		taken, err := a.TakeOver(second, here())
		if err != nil || taken.Name != id.Name || taken.Role != id.Role || !taken.Ends().Equal(id.session.Ends()) {
			t.Fatalf("%+v, %v", taken, err)
		}
		if _, err := a.TakeOver(second, here()); code(err) != "session.handover" {
			t.Errorf("used twice: %v", err)
		}
		if _, err := a.TakeOver("", here()); code(err) != "session.handover" {
			t.Errorf("no code: %v", err)
		}
		late, err := a.HandOver(id)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(HandoverTime + time.Second)
		if _, err := a.TakeOver(late, here()); code(err) != "session.handover" {
			t.Errorf("too late: %v", err)
		}
		if _, err := a.HandOver(Identity{Name: "script", Token: "t"}); code(err) != "session.handover" {
			t.Errorf("of a token: %v", err)
		}
	})
}

func TestACodeEndsWithItsSignIn(t *testing.T) {
	t.Parallel()
	a, cookie := handing(t, t.TempDir())
	id, _ := a.identifySession(cookie)
	ticket, err := a.HandOver(id)
	if err != nil {
		t.Fatal(err)
	}
	a.SignOut(id)
	if _, err := a.TakeOver(ticket, here()); code(err) != "session.handover" {
		t.Errorf("after signing out: %v", err)
	}
}

// handing is an account with a sign-in, by its cookie.
func handing(t *testing.T, dir string) (a *Auth, cookie string) {
	t.Helper()
	a = newAuth(t, dir)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a, a.openLocked("Owner", RoleOwner, here()).secret
}
