package recordings

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"hash"
	"net/http"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/record"
)

const sumBytes = sha256.Size

func newSum() hash.Hash { return sha256.New() }

// Get describes a recording. The record of one whose time is over says so.
func (s *Recordings) Get(ctx context.Context, id string) (rec record.Recording, err error) {
	e, err := s.cfg.Archive.Get(ctx, record.KindRecording, id)
	if err != nil {
		return rec, err
	}
	err = json.Unmarshal(e.Data, &rec)
	return rec.At(time.Now()), err
}

// Serve answers with the sound, or the part of it that is asked for (RFC 9110 §14). After an error
// nothing was answered yet.
func (s *Recordings) Serve(w http.ResponseWriter, r *http.Request, rec record.Recording, save bool) error {
	if rec.File == "" {
		return errErased()
	}
	f, err := s.cfg.Vault.Open(rec.File)
	if err != nil {
		if problem.Of(err).Kind == problem.Missing {
			return errErased()
		}
		return err
	}
	defer f.Close()
	h := w.Header()
	h.Set("Content-Type", f.ContentType)
	h.Set("ETag", `"`+rec.SHA256+`"`) // it never changes
	h.Set("X-Content-Type-Options", "nosniff")
	if save {
		h.Set("Content-Disposition", `attachment; filename="`+rec.Start.UTC().Format("20060102-150405")+"-"+rec.ID+extension(f.ContentType)+`"`)
	}
	if strings.Contains(r.Header.Get("Range"), ",") {
		r.Header.Del("Range") // RFC 9110 §14.2: many small ranges cost far more than they bring; they may be ignored
	}
	http.ServeContent(w, r, "", f.Created, f)
	return nil
}

func errErased() error {
	return problem.New(problem.Missing, "recording.erased", "the sound of this recording is erased", "its record tells when and by whom")
}

// extension is what a program on an admin's computer knows the sound by.
func extension(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	switch strings.TrimSpace(kind) {
	case "audio/ogg":
		return ".ogg"
	case "audio/wav", "audio/vnd.wave":
		return ".wav"
	case "video/webm":
		return ".webm"
	case "video/mp4":
		return ".mp4"
	}
	return ""
}

// Erase erases the sound of a recording; its record stays and tells who did it.
func (s *Recordings) Erase(ctx context.Context, id, by string) (record.Recording, error) {
	rec, err := s.Get(ctx, id)
	if err != nil {
		return rec, err
	}
	if rec.File == "" {
		return rec, errErased()
	}
	// The record first: a crash in between leaves a file that nobody can reach, and that is erased at the next start.
	file := rec.File
	rec.File, rec.Erased, rec.ErasedBy, rec.Left, rec.Right = "", time.Now().UTC(), by, nil, nil
	if err := s.store(ctx, rec); err != nil {
		return rec, err
	}
	return rec, s.remove(file)
}
