// Package web serves the page from the program itself, and sets what a browser may do with it.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// dist is what the front end's build leaves; without one it holds the placeholder only.
//
//go:embed all:dist
var dist embed.FS

const (
	indexName       = "index.html"
	placeholderName = "placeholder.html"
	// assetsPrefix is where the build puts files whose names change with their content.
	assetsPrefix = "assets/"
	// zipFrom is where compression begins to pay.
	zipFrom = 1 << 10
)

// Page serves the files of the front end.
type Page struct {
	files map[string]file // by path without a leading slash
}

type file struct {
	data   []byte
	zipped []byte // nil when that is no smaller
	kind   string // content type
	etag   string
}

// New returns the page that the program was built with.
func New() (*Page, error) {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	return newPage(sub)
}

func newPage(root fs.FS) (*Page, error) {
	p := &Page{files: map[string]file{}}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		p.files[name], err = newFile(name, data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	if _, ok := p.files[placeholderName]; !ok && !p.Built() {
		return nil, errors.New("the program holds neither a page nor its placeholder")
	}
	return p, nil
}

func newFile(name string, data []byte) (file, error) {
	sum := sha256.Sum256(data)
	f := file{data: data, kind: mime.TypeByExtension(path.Ext(name)), etag: `"` + hex.EncodeToString(sum[:8]) + `"`}
	if f.kind == "" {
		f.kind = "application/octet-stream"
	}
	if len(data) < zipFrom || !compressible(f.kind) {
		return f, nil
	}
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return f, err
	}
	if _, err := z.Write(data); err != nil {
		return f, err
	}
	if err := z.Close(); err != nil {
		return f, err
	}
	f.zipped = buf.Bytes()
	return f, nil
}

func compressible(kind string) bool {
	for _, k := range []string{"text/", "javascript", "json", "svg", "xml"} {
		if strings.Contains(kind, k) {
			return true
		}
	}
	return false
}

// Built reports whether the program holds the page.
func (p *Page) Built() bool {
	_, ok := p.files[indexName]
	return ok
}

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the page is only read", http.StatusMethodNotAllowed)
		return
	}
	name, f, ok := p.find(r)
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache") // asked for again each time, answered 304 when unchanged
	if strings.HasPrefix(name, assetsPrefix) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	data := f.data
	if f.zipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			data = f.zipped
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(data) // the browser is gone
	}
}

// find returns the file of a path. A path that is a view of the page, not a file, is the page.
func (p *Page) find(r *http.Request) (name string, f file, ok bool) {
	name = strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	if f, ok = p.files[name]; ok {
		return name, f, true
	}
	if path.Ext(name) != "" || strings.HasPrefix(name, assetsPrefix) {
		return "", f, false
	}
	if f, ok = p.files[indexName]; ok {
		return indexName, f, true
	}
	f, ok = p.files[placeholderName]
	return placeholderName, f, ok
}

// policy is what a browser lets the page do: nothing from elsewhere, no inline script, no frame but our own.
// Images may be data: a QR code arrives within an answer.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; media-src 'self'; " +
	"connect-src 'self'; frame-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// hopPrefix begins the names of a frame's files that looks for the box at its other addresses after a
// change of the network.
const hopPrefix = "/hop."

// hopPolicy lets that frame ask elsewhere whether the box is there, and nothing else: it has an origin
// of its own, without the page's sign-in and without a way to look at the page.
const hopPolicy = "default-src 'none'; script-src 'self'; connect-src https:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts"

// Secure sets the headers that each answer has, of the page and of the API.
func Secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY")
		if strings.HasPrefix(r.URL.Path, hopPrefix) {
			h.Set("Content-Security-Policy", hopPolicy)
			h.Set("X-Frame-Options", "SAMEORIGIN")
			h.Set("Cross-Origin-Resource-Policy", "cross-origin") // it is the box's sign of life, seen from its other addresses
		}
		next.ServeHTTP(w, r)
	})
}
