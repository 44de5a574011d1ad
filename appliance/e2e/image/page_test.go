package image

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// byPage installs an update as an owner does: by the page in a browser, which shows how far it is, finds
// the box again, and shows the new version.
func (o *owner) byPage(t *testing.T, update, version string) {
	t.Helper()
	profile, err := os.MkdirTemp("", "img-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(profile)
	alloc, stop := chromedp.NewExecAllocator(t.Context(), chromedp.ExecPath("chromium"), chromedp.UserDataDir(profile), chromedp.Headless, chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("lang", "en-IN"),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("ignore-certificate-errors", true))
	defer stop()
	ctx, cancel := chromedp.NewContext(alloc)
	defer cancel()
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := chromedp.Do(limited, steps...); err != nil {
			t.Fatalf("%v\n%s", err, shown(ctx))
		}
	}
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as the context that it is started with
		t.Fatal(err)
	}
	signIn := func() {
		t.Helper()
		do(
			chromedp.Navigate("https://"+o.m.page+"/account"),
			chromedp.WaitVisible(chromedp.CSS("[name=password]")),
			chromedp.SendKeys(chromedp.CSS("[name=name]"), "Owner"),
			chromedp.SendKeys(chromedp.CSS("[name=password]"), "correct horse battery\r"),
			chromedp.WaitReady(chromedp.CSS("#update")),
		)
	}
	signIn()
	do(
		chromedp.WaitReady(chromedp.CSS("#bundle")),
		chromedp.SetUploadFiles(chromedp.CSS("#bundle"), []string{update}),
		chromedp.WaitVisible(chromedp.CSS("progress")),
	)
	want := "Version " + version + " runs."
	for late := time.Now().Add(3 * patience); !strings.Contains(shown(ctx), want); time.Sleep(time.Second) {
		if time.Now().After(late) {
			t.Fatalf("the page does not say %q:\n%s", want, shown(ctx))
		}
		if out, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("document.querySelector('form [name=name]') !== null")); err == nil && out {
			signIn() // the restart has ended the session
		}
	}
}

// shown is what the page says, for a person who wants to know why a test failed.
func shown(ctx context.Context) string {
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText")) // it may be on its way to another
	return text
}
