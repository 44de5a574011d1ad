// Package exchange is the HTTP exchange by which users' apps send each other files: a post with the
// file, the XML that tells of it, and a get by who was told (GSMA RCC.07 §3.5.4.8, as Linphone does it).
package exchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/scan"
	"github.com/coraltele/sanchar/pkg/archive/vault"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Path is where files are sent to; a file's id follows where it is fetched.
const Path = "/files/"

// Switch knows the users.
type Switch interface {
	Digest(ctx context.Context, in ctl.DigestRequest) (ctl.DigestAnswer, error)
}

// Config says where the files are and who helps.
type Config struct {
	Dir     string // of the policy
	Vault   *vault.Vault
	Switch  Switch
	Scanner scan.Scanner // a program that looks at each file, nil for none; a service is in the policy
	Log     *slog.Logger
}

// Exchange serves phones and apps. Its methods may be called from any goroutine.
type Exchange struct {
	cfg     Config
	policy  *conf.File[ctl.FilePolicy]
	limit   *limiter
	reading *readers

	mu    sync.Mutex // guards what follows
	blind time.Time  // since when the scanner fails; zero when it works
	low   time.Time  // since when the disk has no room for files; zero when it has
}

// New returns the exchange.
func New(cfg Config) (*Exchange, error) {
	policy, err := conf.Open(filepath.Join(cfg.Dir, "files.json"), policySchema(), cfg.Log)
	if err != nil {
		return nil, err
	}
	return &Exchange{cfg: cfg, policy: policy, limit: newLimiter(), reading: newReaders()}, nil
}

// Handle serves phones on mux.
func (x *Exchange) Handle(mux *http.ServeMux) {
	mux.HandleFunc("POST "+Path+"{$}", x.guarded(x.post))
	mux.HandleFunc("GET "+Path+"{id}", x.guarded(x.get))
	mux.HandleFunc(Path, func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "there is no such place")
	})
}

// user is who sent a request.
type user struct{ id, name string }

// guarded lets a request of a user through. Nothing of its body is read before.
func (x *Exchange) guarded(next func(w http.ResponseWriter, r *http.Request, who user)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		if err := patient(w, r); err != nil {
			refuse(w, http.StatusInternalServerError, "the connection cannot be timed")
			return
		}
		if who, ok := x.identify(w, r); ok {
			next(w, r, who)
		}
	}
}

// secure sets what a browser may do with an answer here, should one come: show nothing, run nothing.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, no-store")
}

// refuse answers a request that is not done, in words for the log of whoever sent it.
func refuse(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // the peer is gone
}

// busyPause is when who was refused for a moment's reason may come again, in seconds.
const busyPause = "5"

// fail answers a request with err's public part.
func (x *Exchange) fail(w http.ResponseWriter, err error) {
	p := problem.Of(err)
	status := ctl.HTTPStatus(p.Kind)
	switch p.Kind {
	case problem.Invalid:
		status = http.StatusBadRequest // clients know it as "not this file"
	case problem.Full:
		if p.Code == vault.CodeTooLarge {
			status = http.StatusBadRequest // Linphone takes 400 for too large
		}
	case problem.Unavailable:
		w.Header().Set("Retry-After", busyPause)
	case problem.Internal:
		x.cfg.Log.Error("a file was not served", "err", err)
	case problem.Missing, problem.Conflict, problem.Denied, problem.Unsigned:
	}
	refuse(w, status, p.Text+". "+p.Cure+".")
}

// Settings are the policy's document, to be watched.
func (x *Exchange) Settings() conf.Watched { return x.policy }

// Policy returns what an admin decided, and its revision.
func (x *Exchange) Policy() (ctl.FilePolicy, conf.Revision) { return x.policy.Load() }

// SetPolicy replaces the policy, if it is still of revision was.
func (x *Exchange) SetPolicy(p ctl.FilePolicy, was uint64, who string) (conf.Revision, error) {
	return x.policy.Save(p, was, who)
}

// Usage tells what the files take.
func (x *Exchange) Usage() (ctl.FileUsage, error) { return x.cfg.Vault.Usage() }

// Stat describes a file.
func (x *Exchange) Stat(id string) (ctl.StoredFile, error) { return x.cfg.Vault.Stat(id) }

// Remove erases a file.
func (x *Exchange) Remove(id string) (ctl.StoredFile, error) { return x.cfg.Vault.Remove(id) }

// Alarms returns what an admin must hear of.
func (x *Exchange) Alarms() (all []ctl.Alarm) {
	u, err := x.cfg.Vault.Usage()
	x.mu.Lock()
	blind := x.blind
	switch {
	case err != nil || u.Free >= u.Reserve:
		x.low = time.Time{}
	case x.low.IsZero():
		x.low = time.Now()
	}
	low := x.low
	x.mu.Unlock()
	if !blind.IsZero() {
		all = append(all, ctl.Alarm{
			Code: "files.scanner", Since: blind, Text: "the scanner of files does not answer: users' files are refused", Cure: "start the scanner, or correct its address in the settings of files",
		})
	}
	if !low.IsZero() {
		all = append(all, ctl.Alarm{
			Code: vault.CodeDisk, Since: low, Text: fmt.Sprintf("only %d MB of disk are free: users' files are refused", u.Free>>20),
			Cure: "free disk space, or keep files for fewer days",
		})
	}
	return all
}

// scanned notes whether the scanner works.
func (x *Exchange) scanned(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err == nil:
		x.blind = time.Time{}
	case x.blind.IsZero():
		x.blind = time.Now()
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		x.cfg.Log.Error("the scanner did not look at a file", "err", err)
	}
}
