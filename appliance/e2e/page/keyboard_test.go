package page

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/coraltele/sanchar/pkg/record"
)

// focused is the accessible name of what has the focus.
const focused = `((e) => (e.matches('body, main, h2') ? '' : e.getAttribute('aria-label') ?? (e.labels?.length ? e.labels[0].textContent : e.textContent)).replace(/\s+/g, ' ').trim())(document.activeElement)`

// tabTo goes on with Tab until something of this name has the focus.
func (v *visitor) tabTo(name string) {
	v.t.Helper()
	for range 90 {
		if strings.HasPrefix(evaluate[string](v, focused), name) {
			if !evaluate[bool](v, "[document.activeElement, document.activeElement.closest('label') ?? document.activeElement].some((e) => getComputedStyle(e).outlineStyle !== 'none')") {
				v.t.Errorf("the focus is not seen on %s", name)
			}
			return
		}
		v.key(kb.Tab)
	}
	v.stuck("Tab never came to "+name, fmt.Errorf("last on %s", evaluate[string](v, focused)))
}

func (v *visitor) key(keys string) {
	v.t.Helper()
	v.do(chromedp.KeyEvent(keys))
}

// has waits until something of this name has the focus without a key.
func (v *visitor) has(name string) {
	v.t.Helper()
	v.await(focused+".startsWith("+quote(name)+")", "the focus on "+name)
}

// TestKeyboardAlone walks from first start to an exported call without a mouse.
func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	v := visit(t, b, desktop())
	v.expect("status of 403")
	v.open("/")
	v.keysThroughSetup()
	v.keysAddUser()
	v.keysHangUp()
	v.keysToExport()
}

// TestTheNetworkByKeyboardAlone prepares, plans, applies and brings back a change without a mouse.
func TestTheNetworkByKeyboardAlone(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.setUp()
	v := signedIn(t, b, desktop(), "/")
	v.tabTo(v.text("nav.network"))
	v.key(kb.Enter)
	v.has(v.text("nav.network"))
	v.tabTo(v.text("nt.edit"))
	v.key(kb.Enter)
	v.see(v.text("nw.vlan", "id", "20", "parent", "eth0"))
	v.tabTo(v.text("ns.vlans.add"))
	v.key(kb.Enter)
	v.has(v.text("nf.parent"))
	v.key("eth0")
	v.tabTo(v.text("nf.vlan"))
	v.key("30" + kb.Enter)
	v.see(v.text("ned.prepared"), "eth0.30")
	v.tabTo(v.text("np.links"))
	for _, part := range []string{"np.zones", "np.uplinks", "np.filter", "np.services", "np.tunnels", "np.expert"} {
		v.key(kb.ArrowRight) // they are one choice
		v.has(v.text(part))
	}
	v.tabTo(v.text("ned.plan"))
	v.key(kb.Enter)
	v.see(v.text("plan.steps"))
	v.tabTo(v.text("plan.apply"))
	v.key(kb.Enter)
	v.see(v.text("count.title"))
	v.tabTo(v.text("count.revert"))
	v.key(kb.Enter)
	v.see(v.text("net.reverted", "who", owner))
	v.tabTo(v.text("act.dismiss"))
	v.key(kb.Enter)
	v.gone(v.text("net.reverted", "who", owner))
	for _, screen := range []string{"nt.hosts", "nt.firewall", "nt.diagnosis", "nt.revisions"} {
		v.tabTo(v.text(screen))
		v.key(kb.Enter)
		v.heading(v.text(screen))
	}
}

func (v *visitor) keysThroughSetup() {
	v.t.Helper()
	v.has(v.text("setup.code"))
	v.key(v.b.code() + kb.Enter)
	v.has(v.text("setup.name"))
	v.key(owner + kb.Tab)
	v.has(v.text("setup.password"))
	v.key(password + kb.Enter)
	v.has(v.text("setup.domain"))
	v.key(domain + kb.Enter)
	v.heading(v.text("nav.overview"))
	v.see(v.text("next.user"))
	v.tabTo(v.text("nav.skip"))
	v.key(kb.Enter)
	v.await("document.activeElement.id === 'main'", "the focus behind the menu")
}

func (v *visitor) keysAddUser() {
	v.t.Helper()
	v.tabTo(v.text("next.user.do"))
	v.key(kb.Enter)
	v.has(v.text("user.person"))
	v.key("Asha Rao" + kb.Tab + kb.Tab + "201" + kb.Enter)
	v.see(v.text("secret.once"))
	v.key(kb.Escape)
	v.gone(v.text("secret.once"))
	v.see("asha.rao")
	v.await("document.activeElement.matches('h1, button, a')", "the focus back on the page")
	v.key("/")
	v.has(v.text("users.search"))
	v.key("asha")
	v.see(v.text("list.shown", "n", "1", "total", "1"))
	v.tabTo("Asha Rao")
	v.key(kb.Enter)
	v.see(v.text("user.setup"))
	v.key(kb.Escape)
	v.gone(v.text("user.setup"))
	v.has("Asha Rao")
}

func (v *visitor) keysHangUp() {
	v.t.Helper()
	call := liveCall("c1")
	v.b.sw.SetCall(call)
	v.tabTo(v.text("nav.calls"))
	v.key(kb.Enter)
	v.has(v.text("nav.calls")) // the heading: a screen reader reads where one is
	v.see("Vikram Seth")
	name := v.text("calls.who", "a", "Asha Rao", "b", "Vikram Seth")
	v.tabTo(v.text("calls.hangup.label", "name", name))
	v.key(kb.Enter)
	v.see(v.text("calls.hangup.title"))
	v.tabTo(v.text("act.cancel"))
	v.key(kb.Enter)
	v.gone(v.text("calls.hangup.title"))
	v.has(v.text("calls.hangup.label", "name", name))
	v.key(kb.Enter)
	v.see(v.text("calls.hangup.title"))
	v.tabTo(v.text("calls.hangup"))
	v.key(kb.Enter)
	v.see(v.text("calls.none"))
}

func (v *visitor) keysToExport() {
	v.t.Helper()
	call := callRecord(5 * time.Minute)
	v.b.store(record.KindCall, call.ID, call)
	v.tabTo(v.text("nav.logs"))
	v.key(kb.Enter)
	v.heading(v.text("log.calls.title"))
	v.see("4:12")
	v.tabTo(v.text("call.status"))
	v.key("a") // a select goes to the option that begins with it
	v.await("location.search.includes('status=answered')", "the filter in the address")
	v.tabTo(v.text("act.export.csv"))
	v.key(kb.Enter)
	if text := v.download("calls-*.csv"); !strings.Contains(text, "asha.rao") {
		v.t.Errorf("exported: %s", text)
	}
}
