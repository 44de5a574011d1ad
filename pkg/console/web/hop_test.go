package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The frame that looks for the box elsewhere may do so, and the page may not.
func TestOnlyTheHopFrameAsksElsewhere(t *testing.T) {
	t.Parallel()
	h := Secure(http.NotFoundHandler())
	for path, want := range map[string]struct{ connect, framed, corp string }{
		"/hop.html": {"connect-src https:;", "SAMEORIGIN", "cross-origin"},
		"/hop.js":   {"connect-src https:;", "SAMEORIGIN", "cross-origin"},
		"/":         {"connect-src 'self';", "DENY", "same-origin"},
		"/hopper":   {"connect-src 'self';", "DENY", "same-origin"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		got := w.Header()
		policy := got.Get("Content-Security-Policy")
		if !strings.Contains(policy, want.connect) || got.Get("X-Frame-Options") != want.framed || got.Get("Cross-Origin-Resource-Policy") != want.corp {
			t.Errorf("%s: %v", path, got)
		}
		if framed := strings.Contains(policy, "sandbox allow-scripts"); framed != (want.framed == "SAMEORIGIN") {
			t.Errorf("%s: sandbox %v", path, framed)
		}
	}
}
