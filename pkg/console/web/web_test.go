package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func built(t *testing.T) *Page {
	t.Helper()
	p, err := newPage(fstest.MapFS{
		"index.html":          {Data: []byte("<!doctype html>page")},
		"assets/app-1a2b.js":  {Data: []byte(strings.Repeat("let a = 1;\n", 500))},
		"assets/logo-3c4d.xy": {Data: []byte(strings.Repeat("x", 5000))},
		"favicon.svg":         {Data: []byte("<svg/>")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func get(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFilesAndViews(t *testing.T) {
	t.Parallel()
	p := built(t)
	const page = "<!doctype html>page"
	for _, c := range []struct {
		path  string
		code  int
		text  string
		cache string
	}{
		{"/", 200, page, "no-cache"},
		{"/index.html", 200, page, "no-cache"},
		{"/calls/log", 200, page, "no-cache"},
		{"/favicon.svg", 200, "<svg/>", "no-cache"},
		{"/assets/logo-3c4d.xy", 200, strings.Repeat("x", 5000), "public, max-age=31536000, immutable"},
		{"/assets/app-old.js", 404, "", ""},
		{"/assets/view", 404, "", ""},
		{"/robots.txt", 404, "", ""},
		{"/../../etc/passwd.x", 404, "", ""},
	} {
		r := get(p, http.MethodGet, c.path)
		text := body(t, r)
		if r.StatusCode != c.code || (c.code == 200 && (text != c.text || r.Header.Get("Cache-Control") != c.cache)) {
			t.Errorf("%s: %d %q %v", c.path, r.StatusCode, text, r.Header)
		}
	}
	if r := get(p, http.MethodPost, "/"); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", r.StatusCode)
	}
	if r := get(p, http.MethodHead, "/"); r.StatusCode != 200 || body(t, r) != "" || r.Header.Get("Content-Length") != "19" {
		t.Errorf("HEAD: %d %v", r.StatusCode, r.Header)
	}
}

func TestAnUnchangedFileIsNotSentAgain(t *testing.T) {
	t.Parallel()
	p := built(t)
	tag := get(p, http.MethodGet, "/").Header.Get("ETag")
	if r := get(p, http.MethodGet, "/", "If-None-Match", tag); r.StatusCode != http.StatusNotModified || body(t, r) != "" {
		t.Errorf("%d", r.StatusCode)
	}
	if r := get(p, http.MethodGet, "/", "If-None-Match", `"other"`); r.StatusCode != http.StatusOK {
		t.Errorf("%d", r.StatusCode)
	}
}

func TestTextIsSentCompressedToWhoCanReadIt(t *testing.T) {
	t.Parallel()
	p := built(t)
	r := get(p, http.MethodGet, "/assets/app-1a2b.js", "Accept-Encoding", "br, gzip")
	if r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%v", r.Header)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || !strings.HasPrefix(string(text), "let a") || len(text) != 5500 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	if r := get(p, http.MethodGet, "/assets/app-1a2b.js"); r.Header.Get("Content-Encoding") != "" || len(body(t, r)) != 5500 {
		t.Error("compressed for who did not ask")
	}
	if r := get(p, http.MethodGet, "/assets/logo-3c4d.xy", "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "" {
		t.Error("a file that is no text is compressed")
	}
}

func TestAProgramWithoutThePageSaysSo(t *testing.T) {
	t.Parallel()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if p.Built() {
		t.Skip("this program holds the page")
	}
	if text := body(t, get(p, http.MethodGet, "/")); !strings.Contains(text, "built without its page") || strings.Contains(text, "<style") {
		t.Fatalf("%s", text)
	}
	if _, err := newPage(fstest.MapFS{"other": {}}); err == nil {
		t.Fatal("a program with nothing to show starts")
	}
}

// What the policy forbids would not work, and what is large is slow on a phone.
func TestThePageKeepsItsPolicy(t *testing.T) {
	t.Parallel()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if !p.Built() {
		t.Skip("this program does not hold the page: make ui")
	}
	const most = 200_000 // bytes on the wire, all files together
	index := string(p.files[indexName].data)
	for _, inline := range []string{"<style", "style=\"", "javascript:", " onload=", " onclick="} {
		if strings.Contains(index, inline) {
			t.Errorf("%s in %s", inline, index)
		}
	}
	for _, m := range regexp.MustCompile(`<script([^>]*)>(.*?)</script>`).FindAllStringSubmatch(index, -1) {
		if !strings.Contains(m[1], "src=") || m[2] != "" {
			t.Errorf("an inline script: %s", m[0])
		}
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(index, -1) {
		if _, ok := p.files[strings.TrimPrefix(m[1], "/")]; !ok {
			t.Errorf("%s is not in the program", m[1])
		}
	}
	total := 0
	for name, f := range p.files {
		if f.zipped != nil {
			total += len(f.zipped)
		} else {
			total += len(f.data)
		}
		if strings.HasPrefix(name, assetsPrefix) && strings.Contains(string(f.data), "//cdn.") {
			t.Errorf("%s loads from elsewhere", name)
		}
	}
	if total > most {
		t.Errorf("the page has %d bytes compressed", total)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	h := get(Secure(built(t)), http.MethodGet, "/").Header
	csp := h.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("%s is not in %s", want, csp)
		}
	}
	if strings.Contains(csp, "unsafe") {
		t.Errorf("%s", csp)
	}
	if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%v", h)
	}
}
