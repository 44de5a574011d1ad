package hooks

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/records"
)

// How a hook is told.
const (
	batch      = 100             // changes that are looked at together
	saveEvery  = time.Second     // what a crash makes come again is what was told since
	pauseFirst = 2 * time.Second // between the first two tries of an event; each further pause is twice as long
	pauseLast  = time.Hour
	parkAfter  = 24 * time.Hour // of failures, no further try: somebody must look
	archiveOut = 10 * time.Second
)

// worker tells one hook, in order: what fails keeps back what is behind it.
type worker struct {
	e     *Engine
	wake  chan struct{}
	saved atomic.Uint64 // place.Passed as it is on disk
	off   atomic.Bool
	stop  context.CancelFunc // nil while it does not run; guarded by Engine.mu

	mu      sync.Mutex // guards what follows; also held while it is written
	doc     document
	secrets [2][]byte // the present one and the one before
	client  *http.Client
	place   place
	dirty   bool      // place is not on disk
	written time.Time // when it was written
	turn    uint64    // grows with what an admin does: what was under way does not count then
	gone    bool      // the hook was removed
}

func (e *Engine) newWorker(d document, p place) (*worker, error) {
	w := &worker{e: e, wake: make(chan struct{}, 1), place: p}
	w.saved.Store(p.Passed)
	return w, w.adopt(d)
}

// adopt takes a document as its own.
func (w *worker) adopt(d document) error {
	secret, err := w.e.unseal(d.ID, d.Secret)
	if err != nil {
		return err
	}
	var before []byte
	if d.Before != nil {
		if before, err = w.e.unseal(d.ID, d.Before); err != nil {
			return err
		}
	}
	way, err := w.e.way(&d.HookSpec)
	if err != nil {
		return err
	}
	if w.client != nil {
		w.client.CloseIdleConnections()
	}
	w.doc, w.secrets = d, [2][]byte{secret, before}
	w.client = &http.Client{
		Transport: way, Timeout: requestTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // its address is what the admin typed
	}
	w.off.Store(d.Disabled)
	return nil
}

func (w *worker) document() document {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.doc
}

// become changes the hook. One that was off begins with what comes from now on; one that could not be
// told is tried at once.
func (w *worker) become(d document, now uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.place
	if w.doc.Disabled && !d.Disabled {
		p = place{Passed: now, Last: p.Last}
	}
	p.Next, p.First, p.Tries, p.Parked = time.Time{}, time.Time{}, 0, false
	if err := w.e.write(&d, &p); err != nil {
		return err
	}
	w.set(p)
	w.turn++
	defer w.kick()
	return w.adopt(d)
}

// set takes a place that is on disk. w.mu is held.
func (w *worker) set(p place) {
	w.place, w.dirty, w.written = p, false, time.Now()
	w.saved.Store(p.Passed)
}

// end stops a hook that was removed.
func (w *worker) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	w.turn++
	w.client.CloseIdleConnections()
}

func (w *worker) kick() {
	select {
	case w.wake <- struct{}{}:
	default: // it is about to look
	}
}

// run tells the hook until ctx ends.
func (w *worker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		pause, again := w.step(ctx)
		if again {
			timer.Reset(pause)
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-timer.C:
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saveLocked()
	w.client.CloseIdleConnections()
}

// step tells all that it can now. It returns when to go on, and false when only news can change
// anything.
func (w *worker) step(ctx context.Context) (pause time.Duration, again bool) {
	for ctx.Err() == nil {
		w.mu.Lock()
		p, off := w.place, w.doc.Disabled || w.place.Parked
		w.mu.Unlock()
		if pause = time.Until(p.Next); off || pause > 0 {
			return pause, !off
		}
		changes, err := w.e.cfg.Archive.Changes(ctx, p.Passed, batch)
		if err != nil {
			w.complain(ctx, err)
			return archiveOut, true
		}
		for _, c := range changes {
			if !w.deliver(ctx, c) {
				break
			}
		}
		if len(changes) == 0 {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.saveLocked()
			return 0, false
		}
	}
	return 0, false
}

func (w *worker) complain(ctx context.Context, err error) {
	if ctx.Err() == nil {
		w.e.cfg.Log.Error("the archive cannot be followed", "hook", w.document().Name, "err", err)
	}
}

// deliver tells the hook of one change. It reports false when the next one has to wait.
func (w *worker) deliver(ctx context.Context, c records.Change) bool {
	w.mu.Lock()
	spec, turn := w.doc.HookSpec, w.turn
	w.mu.Unlock()
	ev, err := w.e.event(ctx, &spec, c)
	if err != nil {
		w.complain(ctx, err)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.place.Next = time.Now().Add(archiveOut)
		return false
	}
	var f *failed
	if ev != nil {
		f = w.send(ctx, ev)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case ctx.Err() != nil || turn != w.turn:
		return false // it comes again, or an admin skipped it
	case f != nil:
		w.failLocked(c.Number, f)
		return false
	}
	w.passLocked(c.Number, ev != nil && ev.body != nil)
	return true
}

// passLocked notes that the hook has come past a change.
func (w *worker) passLocked(number uint64, told bool) {
	p := place{Passed: number, Last: w.place.Last}
	if told {
		p.Last = time.Now().UTC()
		if w.place.Failed != nil {
			w.e.cfg.Log.Info("a hook takes events again", "hook", w.doc.Name)
		}
	} else {
		p.Failed, p.Tries, p.First = w.place.Failed, w.place.Tries, w.place.First
	}
	w.place, w.dirty = p, true
	if time.Since(w.written) >= saveEvery {
		w.saveLocked()
	}
}

// failLocked notes a try that failed, and when the next one is, if there is one.
func (w *worker) failLocked(number uint64, f *failed) {
	now := time.Now().UTC()
	p := &w.place
	if p.At != number || p.First.IsZero() {
		p.At, p.First, p.Tries = number, now, 0
	}
	if p.Failed == nil {
		w.e.cfg.Log.Warn("a hook does not take an event", "hook", w.doc.Name, "err", f.Text)
	}
	p.Failed, p.Tries = f.told(), p.Tries+1
	pause := max(pauseAfter(p.Tries), f.wait)
	p.Next = now.Add(pause)
	if p.Parked = f.final || p.Next.Sub(p.First) > parkAfter; p.Parked {
		p.Next = time.Time{}
		w.e.cfg.Log.Error("a hook is parked", "hook", w.doc.Name, "tries", p.Tries, "err", f.Text)
	}
	w.dirty = true
	w.saveLocked()
}

// pauseAfter is how long to wait after so many tries. Hooks that failed together do not all come
// back in the same moment.
func pauseAfter(tries int) time.Duration {
	pause := pauseLast
	if tries < 12 { // 2 s doubled 11 times is over an hour
		pause = min(pauseFirst<<(tries-1), pauseLast)
	}
	return time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))
}

// saveLocked writes how far the hook has come. What a disk does not take comes again after a crash.
func (w *worker) saveLocked() {
	if !w.dirty || w.gone {
		return
	}
	w.written = time.Now()
	if err := w.e.writeAs(nil, w.doc.ID, &w.place); err != nil {
		w.e.cfg.Log.Error("the place of a hook is not kept", "hook", w.doc.Name, "err", err)
		return
	}
	w.dirty = false
	w.saved.Store(w.place.Passed)
}
