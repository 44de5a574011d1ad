package page

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

// TestBridges adds a hook, tries it, starts it again when it takes nothing, gives it a new secret and
// removes it, and makes a token that may only send.
func TestBridges(t *testing.T) {
	t.Parallel()
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			b.setUp()
			b.addUsers(2)
			v := signedIn(t, b, l, "/bridges")
			v.expect("status of 422")
			v.hookAdded()
			v.hookFails()
			v.hookChanged()
			v.hookRemoved()
			v.senderToken()
			v.bridgesInAudit()
		})
	}
}

func (v *visitor) hookAdded() {
	v.t.Helper()
	v.heading(v.text("nav.bridges"))
	v.see(v.text("hooks.none"), "Idempotency-Key")
	v.check("bridges-none")
	v.press(v.text("hooks.add"))
	v.fill(v.text("hooks.name"), "CRM")
	v.fill(v.text("hooks.url"), "http://crm.example.com/")
	v.fill(v.text("hooks.users"), "user000, nobody")
	v.key(kb.Enter)
	v.await("document.querySelector('dialog input[name=users][aria-invalid=true]') !== null", "a refusal of a user who is none")
	v.fill(v.text("hooks.users"), "user000, user001")
	v.press(v.text("hooks.event.new")) // off: none is left
	v.key(kb.Enter)
	v.await("document.querySelector('dialog input[name=url][aria-invalid=true]') !== null", "a refusal of http")
	v.check("bridges-faults")
	v.press(v.text("hooks.event.new"))
	v.press(v.text("hooks.event.status"))
	v.press(v.text("hooks.content"))
	port := v.b.address[strings.LastIndex(v.b.address, ":")+1:]
	v.fill(v.text("hooks.url"), "https://localhost:"+port+"/")
	v.key(kb.Enter)
	v.see(v.text("hooks.secret", "name", "CRM"), "whsec_", v.text("hooks.working"), "user000, user001", v.text("hooks.with"))
	v.await("document.activeElement.getAttribute('role') === 'group'", "the focus on the secret")
	v.check("bridges")
}

// hookFails tries a hook whose target is the box itself, which is refused.
func (v *visitor) hookFails() {
	v.t.Helper()
	v.press(v.text("hooks.test.label", "name", "CRM"))
	v.see(v.text("hooks.test.failed"))
	m := messageRecord(time.Minute, false, "Invoice 4711")
	m.Sender.User = "user000"
	v.b.storeMessages(m)
	v.see(v.text("hooks.retrying"))
	v.check("bridges-retrying")
	v.press(v.text("hooks.resume.label", "name", "CRM"))
	v.check("bridges-resume")
	v.press(v.text("hooks.skip.all"))
	v.press(v.text("hooks.resume"))
	v.see(v.text("hooks.resumed", "name", "CRM"))
	v.see(v.text("hooks.working"))
}

func (v *visitor) hookChanged() {
	v.t.Helper()
	v.press(v.text("hooks.edit", "name", "CRM"))
	v.await("document.querySelector('dialog input[name=users]')?.value === 'user000, user001'", "the hook's users")
	v.check("bridges-edit")
	v.press(v.text("hooks.on"))
	v.fill(v.text("hooks.users"), "")
	v.press(v.text("act.save"))
	v.see(v.text("hooks.saved", "name", "CRM"), v.text("hooks.off"), v.text("hooks.users.all"))
	v.press(v.text("hooks.rotate.label", "name", "CRM"))
	v.see(v.text("hooks.rotate.text"))
	v.press(v.text("hooks.rotate"))
	v.await("document.activeElement.getAttribute('role') === 'group'", "the focus on the new secret")
}

func (v *visitor) hookRemoved() {
	v.t.Helper()
	v.press(v.text("hooks.remove.label", "name", "CRM"))
	v.see(v.text("hooks.remove.text"))
	v.press(v.text("hooks.remove"))
	v.see(v.text("hooks.removed", "name", "CRM"), v.text("hooks.none"))
}

func (v *visitor) senderToken() {
	v.t.Helper()
	v.press(v.text("bridge.in.token"))
	v.heading(v.text("nav.account"))
	v.fill(v.text("tokens.name"), "ticket system")
	v.press(v.text("tokens.role.sender"))
	v.press(v.text("tokens.make"))
	v.await("document.querySelector('input[name=senders][aria-invalid=true]') !== null", "a refusal without users")
	v.fill(v.text("tokens.senders"), "user001")
	v.press(v.text("tokens.make"))
	v.see(v.text("tokens.once"), v.text("tokens.sends", "names", "user001"))
	v.check("bridges-token")
}

func (v *visitor) bridgesInAudit() {
	v.t.Helper()
	v.open("/logs/audit")
	v.see(v.text("did.hookadd"), v.text("did.hookchange"), v.text("did.hooksecret"), v.text("did.hookresume"), v.text("did.hooktest"), v.text("did.hookremove"))
}
