package page

import (
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// TestStory walks the whole way of a new box: first start, a user, his phone, his call, its
// record, its export. Each screen on the way is looked at.
func TestStory(t *testing.T) {
	t.Parallel()
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			v := visit(t, b, l)
			v.firstStart()
			id := v.addUser()
			v.phoneRegisters(id)
			v.callLive()
			v.callInLog()
			v.otherScreens()
			v.signOutAndIn()
		})
	}
}

func (v *visitor) firstStart() {
	v.t.Helper()
	v.expect("status of 403", "status of 422", "status of 401")
	v.open("/")
	if v.look.lang == "hi" {
		v.press("हिन्दी")
	}
	v.heading(v.text("setup.title"))
	v.check("setup-code")
	v.fill(v.text("setup.code"), "0000-0000-0000")
	v.press(v.text("act.next"))
	v.await("document.querySelector('[role=alert], .faults') !== null", "a refusal of the code")
	v.check("setup-code-wrong")
	v.fill(v.text("setup.code"), strings.ReplaceAll(v.b.code(), "-", "")) // the page writes the hyphens
	v.press(v.text("act.next"))

	v.fill(v.text("setup.name"), owner)
	v.fill(v.text("setup.password"), "owner")
	v.see(v.text("password.none"))
	v.check("setup-owner")
	v.fill(v.text("setup.password"), password)
	v.gone(v.text("password.none"))
	v.press(v.text("act.next"))

	v.fill(v.text("setup.domain"), "not a domain")
	v.press(v.text("setup.finish"))
	v.await("document.querySelector('input[name=domain][aria-invalid=true]') !== null", "a refusal of the domain")
	v.check("setup-domain-wrong")
	v.fill(v.text("setup.domain"), domain)
	v.press(v.text("setup.finish"))
	v.heading(v.text("nav.overview"))
	v.see(v.text("next.user"), domain)
	v.check("overview-new")
}

func (v *visitor) addUser() (id string) {
	v.t.Helper()
	v.press(v.text("next.user.do"))
	v.fill(v.text("user.person"), "Asha Rao")
	v.await("document.querySelector('dialog input[name=name]').value === 'asha.rao'", "a user name from the person's")
	v.fill(v.text("user.name"), "asha rao")
	v.fill(v.text("user.numbers"), "201 2x3")
	v.press(v.text("users.add"))
	v.await("document.querySelectorAll('dialog input[aria-invalid=true]').length === 2", "two faults beside their fields")
	v.check("user-add-wrong")
	v.fill(v.text("user.name"), "asha.rao")
	v.fill(v.text("user.numbers"), "201")
	v.press(v.text("users.add"))
	v.see(v.text("secret.title", "name", "Asha Rao"), v.text("secret.once"), "sip:asha.rao@"+domain)
	v.await("document.querySelector('.qr img').naturalWidth > 0", "the QR code")
	v.check("user-secret")
	v.press(v.text("secret.done"))
	v.see("Asha Rao", "201")
	page, err := ctl.NewSwitch(v.b.sw.Socket).Users(v.t.Context(), ctl.UserQuery{})
	if err != nil || len(page.Users) != 1 {
		v.t.Fatalf("%+v, %v", page, err)
	}
	return page.Users[0].ID
}

func (v *visitor) phoneRegisters(id string) {
	v.t.Helper()
	v.see(v.text("presence.off"))
	v.b.sw.Register(registration("r1", "asha.rao", id))
	v.see(v.text("presence.on", "n", "1"))
	v.check("users")
	v.press("Asha Rao")
	v.see("LinphoneAndroid/5.2.5 (Pixel 8)")
	v.check("user-panel")
	v.press(v.text("act.close"))
	v.menu("nav.devices")
	v.heading(v.text("nav.devices"))
	v.see("192.0.2.77:40112")
	v.check("devices")
}

func (v *visitor) callLive() {
	v.t.Helper()
	v.menu("nav.calls")
	v.heading(v.text("nav.calls"))
	v.see(v.text("calls.none"))
	call := liveCall("c1")
	v.b.sw.SetCall(call)
	v.see(v.text("live.ringing"), "Asha Rao", "Vikram Seth")
	evaluate[bool](v, "(document.querySelector('td .button').focus(), true)")
	call.State, call.Answered, call.Codecs = ctl.CallUp, time.Now(), []string{"opus"}
	v.b.sw.SetCall(call)
	v.see(v.text("live.up"), "opus")
	if !evaluate[bool](v, "document.activeElement?.matches('td .button')") {
		v.t.Error("an update took the focus away")
	}
	v.see("0:02") // it ticks
	v.check("calls")
	other := liveCall("c2")
	v.b.sw.SetCall(other)
	v.see(v.text("calls.count", "n", "2"))
	v.b.sw.EndCall("c2")
	v.see(v.text("calls.count", "n", "1"))
	v.press(v.text("calls.hangup.label", "name", v.text("calls.who", "a", "Asha Rao", "b", "Vikram Seth")))
	v.see(v.text("calls.hangup.title"))
	v.check("calls-hangup")
	v.press(v.text("calls.hangup"))
	v.see(v.text("calls.none"))
	if by := v.b.sw.HungUp("c1"); by != owner {
		v.t.Errorf("hung up by %q", by)
	}
}

func (v *visitor) callInLog() {
	v.t.Helper()
	v.b.fill()
	v.menu("nav.logs")
	v.heading(v.text("log.calls.title"))
	v.see(v.text("log.shown.all", "n", "6"))
	call := callRecord(5 * time.Minute)
	v.b.store(record.KindCall, call.ID, call)
	v.press(v.text("log.fresh", "n", "1"))
	v.see("4:12")
	v.check("log-calls")
	v.choose(v.text("call.status"), "answered")
	v.see(v.text("log.shown.all", "n", "1"))
	v.press(evaluate[string](v, "document.querySelector('tbody .open').textContent.replace(/\\s+/g, ' ').trim()"))
	v.see(v.text("call.picture"), v.text("verdict.lossin"), v.text("verdict.clean"))
	v.check("log-call")
	evaluate[bool](v, "(document.querySelector('dialog .body').scrollTo(0, 520), true)")
	v.shot("log-call-below")
	v.press(v.text("act.close"))
	v.press(v.text("act.export.csv"))
	text := v.download("calls-*.csv")
	if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) != 2 || !strings.Contains(lines[1], "asha.rao") || !strings.Contains(lines[1], "answered") {
		v.t.Errorf("the export of what is filtered: %s", text)
	}
}

func (v *visitor) otherScreens() {
	v.t.Helper()
	v.press(v.text("log.registrations"))
	v.heading(v.text("log.registrations.title"))
	v.see(v.text("result.expired"))
	v.check("log-registrations")
	v.press(v.text("log.failures"))
	v.see(v.text("reason.secret"), "203.0.113.9")
	v.check("log-failures")
	v.press(evaluate[string](v, "document.querySelector('tbody .open').textContent.replace(/\\s+/g, ' ').trim()"))
	v.see(v.text("failure.do"))
	v.check("log-failure")
	v.press(v.text("act.close"))
	v.press(v.text("log.audit"))
	v.see(v.text("did.hangup"), v.text("did.useradd"))
	v.check("log-audit")
	if v.look.phone {
		v.press(v.text("nav.more"))
		v.see(v.text("nav.account"))
		v.check("more")
		v.press(v.text("nav.network"))
	} else {
		v.menu("nav.network")
	}
	v.see("eth1", v.text("link.nocable"))
	v.check("network")
	v.menu("nav.overview")
	v.see(v.text("recent.title"))
	v.see("Vikram Seth")
	v.b.sw.Raise(ctl.Alarm{Code: "switch.outbox", Text: "records wait for the archive", Cure: "free disk space", Since: time.Now()})
	v.await("document.querySelector('.alarms') !== null", "the alarm")
	v.check("overview")
	v.press(v.text("reach.ca"))
	if pem := v.download("sanchar-ca.pem"); !strings.Contains(pem, "BEGIN CERTIFICATE") {
		v.t.Errorf("the box's certificate: %s", pem)
	}
	v.b.sw.Clear("switch.outbox")
	v.await("document.querySelector('.alarms') === null", "the end of the alarm")
	v.menu("nav.account")
	v.fill(v.text("tokens.name"), "nightly backup")
	v.press(v.text("tokens.make"))
	v.see(v.text("tokens.once"))
	v.check("account")
}

func (v *visitor) signOutAndIn() {
	v.t.Helper()
	v.press(v.text("signout.do"))
	v.heading(v.text("signin.title"))
	v.see(v.text("signin.left"))
	v.check("signin")
	v.fill(v.text("signin.name"), owner)
	v.fill(v.text("signin.password"), "wrong")
	v.press(v.text("signin.do"))
	v.await("document.querySelector('[role=alert]') !== null", "a refusal of the password")
	v.fill(v.text("signin.password"), password)
	v.press(v.text("signin.do"))
	v.heading(v.text("nav.account"))
}
