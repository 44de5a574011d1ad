package page

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// finder is JavaScript that finds what people see: within the topmost dialog, if one is open.
const finder = `
(() => {
  const dialogs = [...document.querySelectorAll('dialog[open]')];
  const scope = dialogs.at(-1) ?? document;
  const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;
  const tidy = (s) => (s ?? '').replace(/\s+/g, ' ').trim();
  const named = (e) => tidy(e.getAttribute('aria-label') ?? e.textContent);
  return {
    scope,
    control(name) {
      const all = [...scope.querySelectorAll('button, a[href], summary, label, [role=button]')].filter(seen);
      return all.find((e) => named(e) === name) ?? all.find((e) => named(e).startsWith(name)) ?? null;
    },
    field(label) {
      const of = [...scope.querySelectorAll('label')].filter(seen).find((l) => tidy(l.textContent).startsWith(label));
      return (of && (of.control ?? document.getElementById(of.htmlFor))) ?? [...scope.querySelectorAll('input, select')].filter(seen).find((e) => e.getAttribute('aria-label') === label) ?? null;
    },
  };
})()`

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func control(name string) chromedp.JSPath {
	return chromedp.JSPath(finder + ".control(" + quote(name) + ")")
}

func field(label string) chromedp.JSPath {
	return chromedp.JSPath(finder + ".field(" + quote(label) + ")")
}

// open goes to a path of the page by its address.
func (v *visitor) open(path string) {
	v.t.Helper()
	v.do(chromedp.Navigate(v.b.address + path))
}

// press clicks or taps what bears a name.
func (v *visitor) press(name string) {
	v.t.Helper()
	v.await(free(name), "a control "+name+" that nothing covers")
	if v.look.phone {
		v.do(chromedp.Tap(control(name)))
		return
	}
	v.do(chromedp.Click(control(name)))
}

// free is whether a control is there and nothing lies over it, such as a message that will go.
func free(name string) string {
	return "((e) => { if (!e) return false; e.scrollIntoView({ block: 'center' }); const r = e.getBoundingClientRect();" +
		"const top = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2); return e === top || e.contains(top); })(" + finder + ".control(" + quote(name) + "))"
}

// fill types into a field, in the place of what it holds.
func (v *visitor) fill(label, value string) {
	v.t.Helper()
	v.await(finder+".field("+quote(label)+") !== null", "a field "+label)
	v.do(chromedp.Focus(field(label)))
	evaluate[bool](v, "(document.activeElement.select?.(), true)")
	if value == "" {
		v.do(chromedp.KeyEvent(kb.Backspace))
		return
	}
	v.do(chromedp.KeyEvent(value))
}

// choose picks an option of a select.
func (v *visitor) choose(label, value string) {
	v.t.Helper()
	v.await(finder+".field("+quote(label)+") !== null", "a field "+label)
	evaluate[bool](v, fmt.Sprintf("(() => { const s = %s.field(%s); s.value = %s; s.dispatchEvent(new Event('change', { bubbles: true })); return s.value !== ''; })()", finder, quote(label), quote(value)))
}

// see waits until a text is seen.
func (v *visitor) see(texts ...string) {
	v.t.Helper()
	for _, text := range texts {
		v.await(seen(text), "to see "+text)
	}
}

// gone waits until a text is seen no more.
func (v *visitor) gone(text string) {
	v.t.Helper()
	v.await("!("+seen(text)+")", "not to see "+text)
}

func seen(text string) string {
	return "(document.body?.innerText ?? '').replace(/\\s+/g, ' ').includes(" + quote(strings.Join(strings.Fields(text), " ")) + ")"
}

// await waits until a condition holds in the page.
func (v *visitor) await(condition, what string) {
	v.t.Helper()
	for end := time.Now().Add(stepLimit); time.Now().Before(end); time.Sleep(25 * time.Millisecond) {
		if evaluate[bool](v, "!!("+condition+")") {
			return
		}
	}
	v.stuck("waited for "+what, fmt.Errorf("not within %v", stepLimit))
}

// go to a place by the page's menu, which on a phone has a second half.
func (v *visitor) menu(key string) {
	v.t.Helper()
	name := v.text(key)
	if v.look.phone && !evaluate[bool](v, finder+".control("+quote(name)+")?.closest('nav') != null") {
		v.press(v.text("nav.more"))
	}
	v.press(name)
}

// heading waits for a screen by its heading.
func (v *visitor) heading(text string) {
	v.t.Helper()
	v.await("document.querySelector('h1')?.textContent === "+quote(text), "the heading "+text)
}

// download waits for a file to be complete and returns its text.
func (v *visitor) download(pattern string) string {
	v.t.Helper()
	for end := time.Now().Add(stepLimit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		found, err := filepath.Glob(filepath.Join(v.files, pattern))
		if err != nil {
			v.t.Fatal(err)
		}
		if len(found) == 0 {
			continue
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			v.t.Fatal(err)
		}
		if len(text) > 0 { // the browser makes its files empty first
			return string(text)
		}
	}
	v.stuck("waited for a file "+pattern, os.ErrNotExist)
	return ""
}
