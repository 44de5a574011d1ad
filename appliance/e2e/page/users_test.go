package page

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// addUsers makes users behind the page's back.
func (b *box) addUsers(n int) (list []ctl.User) {
	b.t.Helper()
	client := ctl.NewSwitch(b.sw.Socket)
	for i := range n {
		u, err := client.AddUser(b.t.Context(), ctl.NewUser{UserSpec: ctl.UserSpec{
			Name: fmt.Sprintf("user%03d", i), Numbers: []string{fmt.Sprint(200 + i)}, DisplayName: fmt.Sprintf("Person %03d", i),
		}})
		if err != nil {
			b.t.Fatal(err)
		}
		list = append(list, u.User)
	}
	return list
}

// TestUsersOfALargeBox pages through many users and searches among them.
func TestUsersOfALargeBox(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.setUp()
	b.addUsers(120)
	v := signedIn(t, b, phone(), "/users")
	v.see(v.text("list.shown", "n", "50", "total", "120"))
	v.check("users-many")
	v.press(v.text("list.more"))
	v.see(v.text("list.shown", "n", "100", "total", "120"))
	v.press(v.text("list.more"))
	v.see(v.text("list.shown", "n", "120", "total", "120"), "Person 119")
	v.fill(v.text("users.search"), "user07")
	v.see(v.text("list.shown", "n", "10", "total", "10"))
	v.fill(v.text("users.search"), "nobody at all")
	v.see(v.text("users.nomatch"))
	v.press(v.text("act.export"))
	if text := v.download("users*.csv"); len(text) < 120*20 {
		t.Errorf("exported %d bytes", len(text))
	}
}

// TestUserChanges edits, disables, enables and deletes a user, and meets another admin on the way.
func TestUserChanges(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.setUp()
	u := b.addUsers(1)[0]
	v := signedIn(t, b, desktop(), "/users?id="+u.ID)
	v.expect("status of 409", "status of 422")
	v.see(v.text("user.details"))
	client := ctl.NewSwitch(b.sw.Socket)
	spec := u.UserSpec
	spec.Email = "meanwhile@example.com"
	if _, err := client.ChangeUser(t.Context(), u.ID, u.Revision, spec); err != nil {
		t.Fatal(err)
	}
	v.fill(v.text("user.person"), "Somebody Else")
	v.press(v.text("act.save"))
	v.press(v.text("act.retry")) // fetches what the other admin wrote
	v.await("document.querySelector('dialog input[name=email]').value === 'meanwhile@example.com'", "the other admin's change")
	v.fill(v.text("user.person"), "Somebody Else")
	v.press(v.text("act.save"))
	v.see(v.text("user.saved", "name", "Somebody Else"))
	if now, err := client.User(t.Context(), u.ID); err != nil || now.DisplayName != "Somebody Else" || now.Email != spec.Email {
		t.Errorf("%+v, %v", now, err)
	}
	v.deskPhone()
	v.userEnds(u)
}

// deskPhone binds a phone with a slip in its address, then rightly, and removes it.
func (v *visitor) deskPhone() {
	v.t.Helper()
	v.see(v.text("desk.title"))
	v.fill(v.text("link.mac"), "00:11:22:33:44")
	v.press(v.text("desk.bind"))
	v.await("document.querySelector('dialog input[name=mac][aria-invalid=true]') === document.activeElement", "the fault beside the address, and the focus there")
	v.check("desk-phone-fault")
	v.fill(v.text("link.mac"), "00-11-22-33-44-55")
	v.press(v.text("desk.bind"))
	v.see(v.text("desk.bound"), "00:11:22:33:44:55", v.text("desk.open"))
	v.check("desk-phone")
	v.press(v.text("desk.remove", "mac", "00:11:22:33:44:55"))
	v.see(v.text("desk.removed"))
}

func (v *visitor) userEnds(u ctl.User) {
	v.t.Helper()
	v.press(v.text("user.disable"))
	v.see(v.text("user.disable.text", "name", u.Name))
	v.press(v.text("user.disable"))
	v.see(v.text("user.disabled.done", "name", u.Name))
	v.press(v.text("user.enable"))
	v.see(v.text("user.enabled.done", "name", u.Name))
	v.press(v.text("user.reset"))
	v.press(v.text("user.reset.do"))
	v.see(v.text("secret.once"))
	v.printSheet(u)
	v.press(v.text("secret.done"))
	v.press(v.text("user.delete"))
	v.fill(v.text("confirm.type", "word", u.Name), "something else")
	v.press(v.text("user.delete"))
	v.see(v.text("confirm.rule", "word", u.Name))
	v.check("user-delete")
	v.fill(v.text("confirm.type", "word", u.Name), u.Name)
	v.press(v.text("user.delete"))
	v.see(v.text("user.deleted", "name", u.Name), v.text("users.none"))
}

// printSheet looks at what would be on paper.
func (v *visitor) printSheet(u ctl.User) {
	v.t.Helper()
	evaluate[bool](v, "(window.print = () => { window.paper = document.querySelector('body > .print-sheet').cloneNode(true); }, true)")
	v.press(v.text("secret.print"))
	v.await("window.paper && !document.querySelector('body > .print-sheet')", "the printed sheet to be gone")
	secret := evaluate[string](v, "[...document.querySelectorAll('dialog dt')].find((e) => e.textContent === "+
		quote(v.text("settings.password"))+").nextElementSibling.querySelector('.mono').textContent")
	paper := evaluate[string](v, "window.paper.textContent + window.paper.querySelector('img').src")
	for _, want := range []string{secret, "sip:" + u.Name + "@" + domain, "data:image/svg+xml", v.text("secret.qr.2")} {
		if !strings.Contains(paper, want) {
			v.t.Errorf("%q is not on paper: %s", want, paper)
		}
	}
	v.media("print")
	evaluate[bool](v, "(document.body.append(window.paper), true)")
	v.shot("paper")
	if evaluate[bool](v, "document.querySelector('#app').checkVisibility()") {
		v.t.Error("the page itself would be printed, too")
	}
	evaluate[bool](v, "(window.paper.remove(), true)")
	v.media("")
}

// TestImport sends a file with faults, then a good one.
func TestImport(t *testing.T) {
	t.Parallel()
	for _, l := range []look{desktop(), looks()[2]} {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			b.setUp()
			v := signedIn(t, b, l, "/users/import")
			v.expect("status of 422")
			v.upload("user,password\nasha rao,long-enough-1\nvikram,long-enough-2\nna@me,long-enough-3\n")
			v.see(v.text("import.faults", "n", "2"), "asha rao")
			v.check("import-faults")
			v.upload("user,password\nasha,long-enough-1\nvikram,long-enough-2\n")
			v.see(v.text("import.plan"), v.text("import.added", "n", "2"))
			v.check("import-plan")
			page, err := ctl.NewSwitch(b.sw.Socket).Users(t.Context(), ctl.UserQuery{})
			if err != nil || page.Total != 0 {
				t.Fatalf("a check changed something: %+v, %v", page, err)
			}
			v.press(v.text("import.do", "n", "2"))
			v.see(v.text("import.added.done", "n", "2"))
			v.press(v.text("import.see"))
			v.see("asha", "vikram")
		})
	}
}

func (v *visitor) upload(text string) {
	v.t.Helper()
	path := filepath.Join(v.files, "users.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		v.t.Fatal(err)
	}
	v.await("document.querySelector('input[type=file]') !== null", "a field for a file")
	v.do(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{path}))
}
