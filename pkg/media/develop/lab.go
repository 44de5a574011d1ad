package develop

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// The lab works at most half of the time of one core: calls go before files.
const (
	workTime  = 5 * time.Millisecond
	retryTime = time.Minute // after a fault of the disk
)

// LabConfig says where films come from and where files go.
type LabConfig struct {
	Dir   string // has a folder with the parts of each recording that is closed
	Key   *seal.Key
	Owner func(id string) []byte
	// Add keeps the file of a recording that write writes. Without error it is on disk.
	Add func(id string, write func(File) (ctl.RecordingHead, error)) error
	Has func(id string) bool // it is kept already
	Log *slog.Logger
}

// Lab develops one film after another. Its methods may be called from any goroutine.
type Lab struct {
	cfg  LabConfig
	wake chan struct{} // holds a token when a film came

	mu      sync.Mutex // guards what follows
	waiting int
	failing error
}

// NewLab returns a lab.
func NewLab(cfg LabConfig) *Lab { return &Lab{cfg: cfg, wake: make(chan struct{}, 1)} }

// Wake says that a film has come.
func (l *Lab) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Stats returns how many films wait, and why the last one could not be developed.
func (l *Lab) Stats() (waiting int, failing error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting, l.failing
}

// Run develops until ctx ends. What is not done then is done from the start next time.
func (l *Lab) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-timer.C:
		}
		err := l.developAll(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			l.cfg.Log.Error("recordings could not be made into files", "err", err)
		}
		timer.Reset(retryTime)
	}
}

func (l *Lab) note(waiting int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting, l.failing = waiting, err
}

// developAll develops all films that wait. One that fails holds up no other.
func (l *Lab) developAll(ctx context.Context) (fault error) {
	for ctx.Err() == nil {
		entries, err := os.ReadDir(l.cfg.Dir)
		if err != nil {
			return err
		}
		l.note(len(entries), fault)
		if len(entries) == 0 {
			return fault
		}
		var errs []error
		for _, e := range entries {
			if ctx.Err() == nil {
				errs = append(errs, l.develop(ctx, e.Name()))
			}
		}
		if fault = errors.Join(errs...); fault != nil {
			l.note(len(entries), fault)
			return fault
		}
	}
	return ctx.Err()
}

func (l *Lab) develop(ctx context.Context, id string) error {
	dir := filepath.Join(l.cfg.Dir, id)
	parts, err := filepath.Glob(filepath.Join(dir, "*.reel"))
	if err != nil {
		return err
	}
	slices.Sort(parts)
	film := &Film{Parts: parts, Key: l.cfg.Key, Owner: l.cfg.Owner(id)}
	if !l.cfg.Has(id) { // a crash may have come between
		err = l.cfg.Add(id, func(w File) (ctl.RecordingHead, error) { return Develop(film, w, pacer(ctx)) })
	}
	switch {
	case errors.Is(err, ErrEmpty):
		l.cfg.Log.Info("a recording holds nothing and is dropped", "recording", id)
	case errors.Is(err, seal.ErrDamaged), errors.Is(err, seal.ErrOtherKey), errors.Is(err, seal.ErrFormat):
		return errors.Join(errUnreadable, err) // it stays where it is: the key may come back
	case err != nil:
		return err
	}
	if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

var errUnreadable = errors.New("a recording cannot be read with the key of this box")

// pacer returns what lets others have their turn: after some work it sleeps for as long.
func pacer(ctx context.Context) func() {
	begin := time.Now()
	return func() {
		worked := time.Since(begin)
		if worked < workTime || ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(worked):
		}
		begin = time.Now()
	}
}
