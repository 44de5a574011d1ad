package page

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// TestRealBox walks the story on the whole product, with phones that others wrote: first start,
// a user, his phone registers, his call is seen live and ended from the page, found in the log
// with what was heard, and exported.
func TestRealBox(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	admin, asha, bob := lab.Host(t, "admin"), lab.Host(t, "asha"), lab.Host(t, "bob")
	data := t.TempDir()
	real := boxtest.Start(t, lab, boxtest.Config{Users: []string{"bob"}, Data: data})
	real.API(admin) // waits until the page has the certificate of the box's CA

	b := &box{t: t, data: filepath.Join(data, "admin"), address: "https://" + netip.AddrPortFrom(admin.Box4, boxtest.HTTPS).String()}
	newWire(t, b, func(network, address string) (net.Conn, error) {
		return admin.DialContext(context.Background(), network, address)
	})
	v := visit(t, b, desktop())
	v.presetStart()
	secret := v.addRealUser()

	caller := linphone.Start(t, asha, linphone.Config{
		User: "asha.rao", Password: secret, Domain: boxtest.Domain, Server: boxtest.Server(asha, "tcp"), Transport: "tcp", Tone: 440,
	})
	v.see("Asha Rao", v.text("presence.on", "n", "1"))
	callee := linphone.Start(t, bob, linphone.Config{
		User: "bob", Password: boxtest.Password("bob"), Domain: boxtest.Domain, Server: boxtest.Server(bob, "udp"), Transport: "udp", Tone: 880,
	})
	v.realCall(caller, callee)
	v.realRecord()
}

// presetStart is the first start of a box whose domain is preset.
func (v *visitor) presetStart() {
	v.t.Helper()
	v.open("/")
	v.fill(v.text("setup.code"), v.b.code())
	v.press(v.text("act.next"))
	v.fill(v.text("setup.name"), owner)
	v.fill(v.text("setup.password"), password)
	v.press(v.text("act.next"))
	v.see(v.text("setup.domain.fixed"))
	if !evaluate[bool](v, "document.querySelector('input[name=domain]').readOnly") {
		v.t.Error("a preset domain can be typed over")
	}
	v.check("real-domain")
	v.press(v.text("setup.finish"))
	v.heading(v.text("nav.overview"))
	v.see(boxtest.Domain)
}

// addRealUser returns the password that the box made.
func (v *visitor) addRealUser() string {
	v.t.Helper()
	v.menu("nav.users")
	v.see("Bob")
	v.press(v.text("users.add"))
	v.fill(v.text("user.person"), "Asha Rao")
	v.fill(v.text("user.numbers"), "201")
	v.press(v.text("users.add"))
	v.see(v.text("secret.once"))
	v.check("real-secret")
	secret := evaluate[string](v, "[...document.querySelectorAll('dialog dt')].find((e) => e.textContent === "+
		quote(v.text("settings.password"))+").nextElementSibling.querySelector('.mono').textContent")
	if len(secret) < 20 {
		v.t.Fatalf("the password %q", secret)
	}
	v.press(v.text("secret.done"))
	return secret
}

func (v *visitor) realCall(caller, callee *linphone.Phone) {
	v.t.Helper()
	v.menu("nav.calls")
	v.see(v.text("calls.none"))
	out := caller.Call(callee.AoR())
	in := callee.Incoming()
	v.see(v.text("live.ringing"), "Asha Rao", "Bob")
	callee.Answer(in)
	caller.Up(out)
	v.see(v.text("live.up"), "0:03")
	v.check("real-call")
	v.press(v.text("calls.hangup"))
	v.see(v.text("calls.hangup.title"))
	v.press(v.text("calls.hangup"))
	caller.Over(out)
	callee.Over(in)
	v.see(v.text("calls.none"))
}

func (v *visitor) realRecord() {
	v.t.Helper()
	v.menu("nav.logs")
	v.see(v.text("log.shown.all", "n", "1"), "Asha Rao", "Bob")
	v.press(evaluate[string](v, "document.querySelector('tbody .open').textContent.replace(/\\s+/g, ' ').trim()"))
	v.see(v.text("call.picture"), v.text("ended.admin", "name", owner), v.text("stream.audio"))
	v.check("real-record")
	v.press(v.text("act.close"))
	v.press(v.text("act.export.csv"))
	if text := v.download("calls-*.csv"); !strings.Contains(text, "asha.rao") || !strings.Contains(text, "answered") {
		v.t.Errorf("the export: %s", text)
	}
	v.press(v.text("log.registrations"))
	v.see(v.text("result.registered"), "asha.rao", "Linphone")
	v.check("real-registrations")
}
