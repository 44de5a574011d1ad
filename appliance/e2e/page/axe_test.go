package page

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// violation is what axe-core found wrong.
type violation struct {
	ID     string   `json:"id"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

const runAxe = `axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) => ({
  id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 4).map((n) => n.html.slice(0, 160) + ' | ' + n.failureSummary),
})))`

// check looks at a screen with axe-core's eyes, for anything wider than the window and for what
// is too small to tap, and keeps its picture.
func (v *visitor) check(name string) {
	v.t.Helper()
	v.shot(name)
	if !evaluate[bool](v, "typeof axe !== 'undefined'") {
		source, err := os.ReadFile(filepath.Join(ui, "node_modules/axe-core/axe.min.js"))
		if err != nil {
			v.t.Fatalf("%v: run npm ci in %s first", err, ui)
		}
		v.do(chromedp.Evaluate[chromedp.Void](string(source)))
	}
	found, err := chromedp.Run(v.ctx, chromedp.Evaluate[[]violation](runAxe, func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }))
	if err != nil {
		v.t.Fatalf("axe-core on %s: %v", name, err)
	}
	for _, f := range found {
		if f.Impact == "serious" || f.Impact == "critical" {
			v.t.Errorf("%s: %s (%s): %s\n  %s", name, f.ID, f.Impact, f.Help, strings.Join(f.Nodes, "\n  "))
		} else {
			v.t.Logf("%s: %s (%s): %s\n  %s", name, f.ID, f.Impact, f.Help, strings.Join(f.Nodes, "\n  "))
		}
	}
	if wide := evaluate[int](v, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
		v.t.Errorf("%s is %d pixels wider than the window", name, wide)
	}
	if v.look.phone {
		for _, small := range evaluate[[]string](v, tooSmall) {
			v.t.Errorf("%s: too small to tap: %s", name, small)
		}
	}
}

// tooSmall lists controls that are lower than 44 pixels or narrower than 24, but for links within
// text and what a label enlarges.
const tooSmall = finder + `.scope.querySelectorAll('button, select, input:not([type=radio], [type=checkbox], [type=file]), summary, a.button, nav a').values()
  .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('.unseen, td.first') && !e.matches('.unseen, .skip'))
  .map((e) => ({ e, r: e.getBoundingClientRect() }))
  .filter(({ r }) => r.width > 0 && (r.height < 43.5 || r.width < 24))
  .map(({ e, r }) => e.outerHTML.slice(0, 120) + ' ' + Math.round(r.width) + 'x' + Math.round(r.height)).toArray()`
