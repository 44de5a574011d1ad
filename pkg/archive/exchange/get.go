package exchange

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/coraltele/sanchar/pkg/archive/vault"
	"github.com/coraltele/sanchar/pkg/base/problem"
)

// get sends a file, or the part of it that is asked for (RFC 9110 §14), to a user who knows its id.
func (x *Exchange) get(w http.ResponseWriter, r *http.Request, who user) {
	if !x.reading.enter(who.id) {
		x.fail(w, problem.New(problem.Unavailable, "file.busy", "too many files are being fetched at this moment", "try again in a moment"))
		return
	}
	defer x.reading.leave(who.id)
	if err := x.Serve(w, r, r.PathValue("id")); err != nil {
		x.fail(w, err)
	}
}

// Serve answers with a file, in a way that no browser shows or runs it. After an error nothing was
// answered yet.
func (x *Exchange) Serve(w http.ResponseWriter, r *http.Request, id string) error {
	f, err := x.cfg.Vault.Open(id)
	if err != nil {
		return err
	}
	defer f.Close()
	secure(w.Header())
	h := w.Header()
	h.Set("Content-Type", f.ContentType)
	h.Set("Content-Disposition", attachment(f.Name))
	h.Set("ETag", `"`+f.ID+`"`) // a file never changes
	if strings.Contains(r.Header.Get("Range"), ",") {
		r.Header.Del("Range") // RFC 9110 §14.2: many small ranges cost far more than they bring; they may be ignored
	}
	watched := &watchedReader{Reader: f}
	http.ServeContent(newSlowWriter(w), r, "", f.Created, watched)
	if watched.err != nil {
		x.cfg.Log.Error("a file cannot be read", "err", watched.err)
	}
	return nil
}

// watchedReader keeps the error of a file that is damaged: its reader only sees it end early.
type watchedReader struct {
	*vault.Reader
	err error
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// attachment is the Content-Disposition (RFC 6266 §4) of a file that is saved, not shown.
func attachment(name string) string {
	if text := mime.FormatMediaType("attachment", map[string]string{"filename": name}); text != "" {
		return text
	}
	return "attachment"
}
