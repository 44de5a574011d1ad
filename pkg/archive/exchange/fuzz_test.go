package exchange

import (
	"encoding/xml"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/coraltele/sanchar/pkg/archive/vault"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// deadlines is a recorder that takes deadlines, as a connection does.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetReadDeadline(time.Time) error  { return nil }
func (deadlines) SetWriteDeadline(time.Time) error { return nil }

// A form that is not whole leaves nothing; one that is taken is told of in XML that is well-formed.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		form("a.txt", "text/plain", []byte("abc")),
		form("../a", "text/plain", nil),
		"--" + boundary + "\r\nContent-Disposition: form-data;name=\"File\";filename*=UTF-8''%e0%a4%b5.txt\r\n\r\nabc\r\n--" + boundary + "--",
		"--" + boundary + "--\r\n",
		"",
	} {
		f.Add(seed)
	}
	dir := f.TempDir()
	log := slog.New(slog.DiscardHandler)
	v, err := vault.Open(vault.Config{Dir: filepath.Join(dir, "vault"), KeyFile: filepath.Join(dir, "key"), Log: log, Free: func() (uint64, error) { return 1 << 40, nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { v.Close() })
	x, err := New(Config{Dir: dir, Vault: v, Log: log})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data;boundary="+boundary)
		w := deadlines{httptest.NewRecorder()}
		x.post(w, r, user{"u1", "alice"})
		if w.Code == http.StatusOK {
			var told info
			if err := xml.Unmarshal(w.Body.Bytes(), &told); err != nil || told.File.Name == "" {
				t.Fatalf("%v in %s", err, w.Body)
			}
			if _, err := v.Remove(told.File.Data.URL[strings.LastIndexByte(told.File.Data.URL, '/')+1:]); err != nil {
				t.Fatal(err)
			}
		}
		entries, err := os.ReadDir(filepath.Join(dir, "vault", "new"))
		if u, usageErr := v.Usage(); err != nil || usageErr != nil || len(entries) > 0 || u != (ctl.FileUsage{Free: u.Free, Reserve: u.Reserve}) {
			t.Errorf("%d: %v %+v", w.Code, entries, u)
		}
	})
}

func FuzzFileName(f *testing.F) {
	for _, seed := range []string{`form-data;name="File";filename="a.txt"`, `form-data; name=File; filename*=UTF-8''%2e%2e%2fa`, `form-data;name="File";filename="..\\a"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, disposition string) {
		name, err := fileName(disposition)
		if err != nil {
			return
		}
		if name != filepath.Base(name) || len(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) || strings.Contains(name, `\`) {
			t.Errorf("%q from %q", name, disposition)
		}
		if d := attachment(name); strings.ContainsAny(d, "\r\n") {
			t.Errorf("%q from %q", d, name)
		}
		_ = runs(name)
	})
}
