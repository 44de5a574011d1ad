// Package hooks tells other systems of messages: each hook gets what it asked for as signed HTTP
// requests, in the order of the archive, at least once, however long its target is away.
package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/records"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/platform/store"
	"github.com/coraltele/sanchar/pkg/record"
)

// Archive is what is followed.
type Archive interface {
	LastChange() uint64
	Changes(ctx context.Context, after uint64, limit int) ([]records.Change, error)
	Get(ctx context.Context, kind record.Kind, id string) (record.Envelope, error)
}

// Config says where hooks are kept and what they follow.
type Config struct {
	Dir     string
	Archive Archive
	Taken   func(context.Context, ctl.TakenMessage) error // told of messages that targets took in the place of phones
	Product string                                        // for User-Agent
	Under   *seal.Key                                     // of the security chip, which wraps the key file; nil where there is none
	Log     *slog.Logger
}

// Engine holds the hooks. Its methods may be called from any goroutine.
type Engine struct {
	cfg  Config
	key  *seal.Key
	db   *store.DB
	way  func(*ctl.HookSpec) (http.RoundTripper, error) // to a target
	wait sync.WaitGroup

	changing sync.Mutex // one change of the list at a time

	mu      sync.Mutex // guards what follows; held for moments
	ctx     context.Context
	workers map[string]*worker
}

// Open opens the hooks that are kept in cfg.Dir. Run closes them.
func Open(cfg Config) (*Engine, error) {
	e := &Engine{cfg: cfg, workers: map[string]*worker{}}
	e.way = func(s *ctl.HookSpec) (http.RoundTripper, error) { return newTransport(s, guardAddress) }
	var err error
	if e.db, err = store.Open(filepath.Join(cfg.Dir, "hooks.db"), store.Options{Buckets: []string{hooksBucket, placesBucket}}); err != nil {
		return nil, err
	}
	if err := e.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read hooks: %w", err), e.db.Close())
	}
	return e, nil
}

// Close closes hooks that are not run.
func (e *Engine) Close() error { return e.db.Close() }

func (e *Engine) load() error {
	docs, places, err := e.read()
	if err != nil {
		return err
	}
	if e.key, err = seal.Load(filepath.Join(e.cfg.Dir, "hooks.key"), len(docs) > 0, e.cfg.Under); err != nil {
		return err
	}
	for _, d := range docs {
		w, err := e.newWorker(d, places[d.ID])
		if err != nil {
			return fmt.Errorf("hook %s: %w", d.Name, err)
		}
		e.workers[d.ID] = w
	}
	return nil
}

// Run tells until ctx ends. Where it was is on disk then.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.mu.Lock()
	e.ctx = ctx
	for _, w := range e.workers {
		e.startLocked(w)
	}
	e.mu.Unlock()
	<-ctx.Done()
	e.changing.Lock() // who changes something now has come to its end
	defer e.changing.Unlock()
	e.wait.Wait()
	return e.db.Close()
}

// startLocked runs a worker, if the engine runs.
func (e *Engine) startLocked(w *worker) {
	if e.ctx == nil || e.ctx.Err() != nil {
		return
	}
	ctx, stop := context.WithCancel(e.ctx)
	w.stop = stop
	e.wait.Go(func() {
		defer stop()
		w.run(ctx)
	})
}

// Wake tells that the archive has changed. It does not block.
func (e *Engine) Wake() {
	for _, w := range e.list() {
		w.kick()
	}
}

// Followed tells the archive whether somebody follows it, and what all have passed.
func (e *Engine) Followed() (passed uint64, any bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.workers {
		if w.off.Load() {
			continue
		}
		if n := w.saved.Load(); !any || n < passed {
			passed = n
		}
		any = true
	}
	return passed, any
}

// list returns all workers, in no order.
func (e *Engine) list() []*worker {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*worker, 0, len(e.workers))
	for _, w := range e.workers {
		all = append(all, w)
	}
	return all
}

func (e *Engine) worker(id string) (*worker, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w := e.workers[id]; w != nil {
		return w, nil
	}
	return nil, problem.New(problem.Missing, "hook.missing", "there is no such hook", "look at the list: it may have been removed")
}

// List returns all hooks, in the order of their names.
func (e *Engine) List(ctx context.Context) ([]ctl.Hook, error) {
	all := []ctl.Hook{}
	for _, w := range e.list() {
		h, err := w.hook(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b ctl.Hook) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return all, nil
}

// Get returns one hook.
func (e *Engine) Get(ctx context.Context, id string) (ctl.Hook, error) {
	w, err := e.worker(id)
	if err != nil {
		return ctl.Hook{}, err
	}
	return w.hook(ctx)
}

// check returns all that is wrong with a spec for the hook of this id.
func (e *Engine) check(s *ctl.HookSpec, id string) error {
	faults := faultsOf(s)
	for _, w := range e.list() {
		if d := w.document(); d.ID != id && strings.EqualFold(d.Name, s.Name) {
			faults = append(faults, problem.Fault{Path: "name", Value: s.Name, Rule: "not the name of another hook", Cure: "choose another name"})
		}
	}
	return problem.Fields("hook.invalid", faults)
}

// Add makes a hook, which is told of what comes from now on. Its secret is returned this once.
func (e *Engine) Add(ctx context.Context, s ctl.HookSpec, by string) (h ctl.Hook, secret string, err error) {
	s = tidied(s)
	e.changing.Lock()
	defer e.changing.Unlock()
	if err := e.check(&s, ""); err != nil {
		return h, "", err
	}
	if n := len(e.list()); n >= maxHooks {
		return h, "", problem.New(problem.Full, "hook.limit", fmt.Sprintf("there are %d hooks already", n), "remove one that nobody needs")
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	raw := newSecret()
	d := document{HookSpec: s, ID: ids.Random(10), Revision: 1, Created: now, By: by, Rotated: now}
	d.Secret = e.seal(d.ID, raw)
	w, err := e.newWorker(d, place{Passed: e.cfg.Archive.LastChange()})
	if err != nil {
		return h, "", err
	}
	if err := e.write(&d, &w.place); err != nil {
		return h, "", fmt.Errorf("keep hook: %w", err)
	}
	e.mu.Lock()
	e.workers[d.ID] = w
	e.startLocked(w)
	e.mu.Unlock()
	h, err = w.hook(ctx)
	return h, secretText(raw), err
}

// Change replaces what is decided about a hook, if its revision is still this one.
func (e *Engine) Change(ctx context.Context, id string, revision uint64, s ctl.HookSpec) (h ctl.Hook, err error) {
	s = tidied(s)
	w, err := e.changed(id, func(w *worker, d *document) error {
		if revision != d.Revision {
			return problem.New(problem.Conflict, "hook.changed", "somebody changed the hook meanwhile", "look at it as it is now and change it again")
		}
		if err := e.check(&s, id); err != nil {
			return err
		}
		d.HookSpec = s
		return nil
	})
	if err != nil {
		return h, err
	}
	return w.hook(ctx)
}

// Rotate gives a hook a new secret, which is returned this once. The one before signs as well for a day.
func (e *Engine) Rotate(id string) (secret string, err error) {
	raw := newSecret()
	_, err = e.changed(id, func(_ *worker, d *document) error {
		now := time.Now().UTC().Truncate(time.Millisecond)
		d.Before, d.BeforeUntil = d.Secret, now.Add(ctl.HookOverlap)
		d.Secret, d.Rotated = e.seal(id, raw), now
		return nil
	})
	return secretText(raw), err
}

// changed changes a hook's document, on disk first.
func (e *Engine) changed(id string, change func(*worker, *document) error) (*worker, error) {
	e.changing.Lock()
	defer e.changing.Unlock()
	w, err := e.worker(id)
	if err != nil {
		return nil, err
	}
	d := w.document()
	if err := change(w, &d); err != nil {
		return nil, err
	}
	d.Revision++
	if err := w.become(d, e.cfg.Archive.LastChange()); err != nil {
		return nil, fmt.Errorf("keep hook: %w", err)
	}
	return w, nil
}

// Remove ends a hook and forgets what waits for it.
func (e *Engine) Remove(id string) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	w, err := e.worker(id)
	if err != nil {
		return err
	}
	if err := e.erase(id); err != nil {
		return fmt.Errorf("remove hook: %w", err)
	}
	w.end()
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.workers, id)
	if w.stop != nil {
		w.stop()
	}
	return nil
}
