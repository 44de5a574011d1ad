package page

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	devlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/coraltele/sanchar/pkg/console/web"
)

// look is how a browser shows the page.
type look struct {
	name          string
	width, height int64
	phone         bool
	dark          bool
	lang          string // "en" or "hi"
}

// looks pairs every width with every theme and language, every theme with every language.
func looks() []look {
	return []look{
		{name: "desktop-light-en", width: 1366, height: 860, lang: "en"},
		{name: "desktop-dark-hi", width: 1366, height: 860, dark: true, lang: "hi"},
		{name: "phone-light-hi", width: 390, height: 844, phone: true, lang: "hi"},
		{name: "phone-dark-en", width: 390, height: 844, phone: true, dark: true, lang: "en"},
	}
}

// stepLimit is how long one step may take before it is called stuck.
const stepLimit = 20 * time.Second

// visitor is an admin before a browser.
type visitor struct {
	t     *testing.T
	b     *box
	ctx   context.Context
	look  look
	texts texts
	files string // folder of downloads

	mu       sync.Mutex // guards what follows
	trouble  []string   // what the browser's console complained of
	expected []string   // complaints that the test provokes
}

// visit opens a browser on a box. A machine without one cannot run these tests; anything else
// that is missing is a failure.
func visit(t *testing.T, b *box, l look) *visitor {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: apt-get install chromium")
	}
	if p, err := web.New(); err != nil || !p.Built() {
		t.Fatalf("the programs hold no page (%v): make ui", err)
	}
	if b.browser != "" {
		path = b.browser
	}
	v := &visitor{t: t, b: b, look: l, texts: loadTexts(t, l.lang), files: t.TempDir()}
	profile, err := os.MkdirTemp("", "pg-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.WindowSize(int(l.width), int(l.height)),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("lang", "en-IN"),
		chromedp.Flag("ignore-certificate-errors-spki-list", fingerprint(t, b)),
	)
	var cancel context.CancelFunc
	v.ctx, cancel = chromedp.NewContext(alloc, chromedp.WithListener(v.hear))
	t.Cleanup(func() {
		cancel()
		stopAlloc()
		os.RemoveAll(profile)
		v.complain()
	})
	if err := chromedp.Do(v.ctx); err != nil { // the browser lives as long as the context that it is started with
		t.Fatal(err)
	}
	v.prepare()
	return v
}

// fingerprint is of the public key that the box shows: the browser trusts it and no other.
func fingerprint(t *testing.T, b *box) string {
	t.Helper()
	cert, err := b.shown()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (v *visitor) prepare() {
	v.t.Helper()
	options := []chromedp.EmulateViewportOption{}
	if v.look.phone {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	v.do(chromedp.EmulateViewport(v.look.width, v.look.height, options...))
	v.media("")
	_, err := chromedp.CallBrowser(v.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: v.files,
	})
	if err != nil {
		v.t.Fatal(err)
	}
}

// media shows the page on a screen, or as on paper with "print".
func (v *visitor) media(kind string) {
	v.t.Helper()
	scheme := map[bool]string{false: "light", true: "dark"}[v.look.dark]
	_, err := chromedp.Call(v.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: kind, Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	if err != nil {
		v.t.Fatal(err)
	}
}

// hear notes what went wrong inside the page: exceptions, refused scripts and styles, errors.
func (v *visitor) hear(ev any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		v.trouble = append(v.trouble, text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			for _, a := range e.Args {
				v.trouble = append(v.trouble, string(a.Value)+" "+a.Description)
			}
		}
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, v.b.address+"/") && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "blob:") {
			v.trouble = append(v.trouble, "something from outside the box: "+u)
		}
	case *devlog.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			v.trouble = append(v.trouble, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

// expect names complaints of the browser that a test provokes, such as a refusal of the box.
func (v *visitor) expect(parts ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expected = append(v.expected, parts...)
}

func (v *visitor) complain() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, text := range v.trouble {
		known := false
		for _, part := range v.expected {
			known = known || strings.Contains(text, part)
		}
		if !known {
			v.t.Errorf("the browser complains: %s", text)
		}
	}
}

// do runs steps that return nothing.
func (v *visitor) do(steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, stepLimit)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		v.stuck("", err)
	}
}

// evaluate runs JavaScript in the page.
func evaluate[T any](v *visitor, script string) T {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, stepLimit)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		v.stuck(script, err)
	}
	return value
}

// stuck ends the test with what the page shows.
func (v *visitor) stuck(what string, err error) {
	v.t.Helper()
	v.shot("stuck")
	ctx, cancel := context.WithTimeout(v.ctx, stepLimit)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("location.pathname + '\\n' + document.body.innerText"))
	v.t.Fatalf("%s: %v\nthe page shows:\n%s", what, err, text)
}

// shot keeps a picture for people, where SANCHAR_SHOTS names a folder.
func (v *visitor) shot(name string) {
	v.t.Helper()
	dir := os.Getenv("SANCHAR_SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(v.ctx, stepLimit)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		v.t.Errorf("picture %s: %v", name, err)
		return
	}
	if err := os.WriteFile(filepath.Join(dir, v.look.name+"-"+name+".png"), png, 0o644); err != nil {
		v.t.Error(err)
	}
}
