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
			if !evaluate[bool](v, "getComputedStyle(document.activeElement).outlineStyle !== 'none'") {
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
