package page

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// startInit runs an init that tells of two versions, one of which did not stay.
func (b *box) startInit() {
	mux := http.NewServeMux()
	ctl.Handle(mux, "GET /v1/boot", func(*http.Request, ctl.None) (ctl.Boot, error) {
		return ctl.Boot{
			Version: "1.0.0", Slot: "a",
			Images: []ctl.BootImage{{Version: "1.0.0", Slot: "a", State: ctl.ImageGood}, {Version: "0.9.0", Slot: "b", State: ctl.ImageGood}},
			Failed: []ctl.BootFailed{{Version: "1.1.0", At: time.Now().Add(-time.Hour), Reason: "a call through the box: no tone was heard"}},
		}, nil
	})
	b.serve(func(ctx context.Context) error {
		return ctl.Serve(ctx, filepath.Join(b.dir, "init.sock"), mux, slog.New(slog.DiscardHandler))
	})
}

// TestVersion is an admin who sees which version runs and what did not stay, and sends a file that is
// refused.
func TestVersion(t *testing.T) {
	t.Parallel()
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			b.startInit()
			b.setUp()
			v := signedIn(t, b, l, "/account")
			v.expect("status of 503")
			v.heading(v.text("nav.account"))
			v.see(v.text("update.runs", "version", "1.0.0"), v.text("update.other", "version", "0.9.0"), v.text("update.failed", "version", "1.1.0"))
			v.check("version")
			path := filepath.Join(v.files, "new.update")
			if err := os.WriteFile(path, []byte("no update"), 0o600); err != nil {
				t.Fatal(err)
			}
			v.do(chromedp.SetUploadFiles(chromedp.CSS("#bundle"), []string{path}))
			v.await("document.querySelector('[aria-labelledby=update] [role=alert]') !== null", "the refusal")
			v.press(v.text("update.reset"))
			v.see(v.text("update.reset.text"))
			v.check("version-erase")
		})
	}
}
