// Package courier carries finished recordings to the archive, however long that is away: a file leaves
// this disk when the archive has it synced on its own.
package courier

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/develop"
	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// Names in the folder: the file itself, and what goes with it. The second is written last and removed
// last, so the first is whole whenever both are there.
const (
	fileSuffix  = ".file"
	aboutSuffix = ".about"
)

// Pauses between attempts.
const (
	firstPause = time.Second
	longPause  = time.Minute // an archive that is away for days costs one attempt a minute
)

// Config of a courier.
type Config struct {
	Dir string
	Key *seal.Key
	// Put hands a file to the archive; without error it is kept there.
	Put func(ctx context.Context, file ctl.RecordingHead, body io.Reader) error
	Log *slog.Logger
}

// Courier is a queue of files on disk. Its methods may be called from any goroutine.
type Courier struct {
	cfg  Config
	wake chan struct{} // holds a token when a file came

	mu      sync.Mutex // guards what follows
	waiting int
	failing error // of the last attempt
	since   time.Time
}

// Stats tells how the queue is.
type Stats struct {
	Waiting int
	Failing error // why the last attempt did not succeed
	Since   time.Time
}

// New opens the queue in cfg.Dir and clears away what was not whole.
func New(cfg Config) (*Courier, error) {
	c := &Courier{cfg: cfg, wake: make(chan struct{}, 1)}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		id, isFile := strings.CutSuffix(e.Name(), fileSuffix)
		if isFile && !c.Has(id) {
			err = errors.Join(err, os.Remove(c.path(id, fileSuffix)))
		}
	}
	ids, listErr := c.list()
	c.waiting = len(ids)
	return c, errors.Join(err, listErr)
}

func (c *Courier) path(id, suffix string) string { return filepath.Join(c.cfg.Dir, id+suffix) }

// Has reports whether the file of this id waits.
func (c *Courier) Has(id string) bool {
	_, err := os.Stat(c.path(id, aboutSuffix))
	return err == nil
}

// Stats returns how the queue is.
func (c *Courier) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Waiting: c.waiting, Failing: c.failing, Since: c.since}
}

func owner(id, suffix string) []byte { return seal.Owner(nil, "recording", id, suffix) }

// Add queues a file that write writes, which also says what goes with it. When it returns without error
// the file will arrive.
func (c *Courier) Add(id string, write func(develop.File) (ctl.RecordingHead, error)) error {
	f, err := os.OpenFile(c.path(id, fileSuffix), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	about, err := c.fill(f, id, write)
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if len(about.Patches) > 0 {
		if err := c.sumAgain(id, &about); err != nil {
			return err
		}
	}
	if err := c.describe(id, about); err != nil {
		return err
	}
	c.mu.Lock()
	c.waiting++
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// fileBlock is how much of a file is sealed at once.
const fileBlock = 64 << 10

func (c *Courier) fill(f io.Writer, id string, write func(develop.File) (ctl.RecordingHead, error)) (about description, err error) {
	sealer, err := reel.NewSealer(f, c.cfg.Key, owner(id, fileSuffix))
	if err != nil {
		return about, err
	}
	s := newSummer(sealer)
	about.RecordingHead, err = write(s)
	if err == nil {
		err = s.w.Flush()
	}
	about.ID, about.Size, about.SHA256, about.Patches = id, s.size, s.hash.Sum(nil), s.sorted()
	return about, err
}

// description goes with a file on the disk.
type description struct {
	ctl.RecordingHead
	Patches []patch `json:"patches,omitempty"` // what is written over the file; it is sealed in order
}

// sumAgain makes the sum of a file with its patches.
func (c *Courier) sumAgain(id string, about *description) error {
	f, plain, err := c.open(id, about.Patches)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, plain); err != nil {
		return err
	}
	about.SHA256 = hash.Sum(nil)
	return nil
}

// open returns what a file holds.
func (c *Courier) open(id string, patches []patch) (*os.File, io.Reader, error) {
	f, err := os.Open(c.path(id, fileSuffix))
	if err != nil {
		return nil, nil, err
	}
	plain, err := reel.NewOpener(f, c.cfg.Key, owner(id, fileSuffix))
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, &patched{r: plain, patches: patches}, nil
}

// describe writes what goes with a file: from then on it is queued.
func (c *Courier) describe(id string, about description) error {
	text, err := json.Marshal(about)
	if err != nil {
		return err
	}
	return fsx.WriteFile(c.path(id, aboutSuffix), c.cfg.Key.Seal(nil, text, owner(id, aboutSuffix)), 0o600)
}

// list returns the ids that wait, the oldest first.
func (c *Courier) list() ([]string, error) {
	entries, err := os.ReadDir(c.cfg.Dir)
	if err != nil {
		return nil, err
	}
	type waiting struct {
		id string
		at time.Time
	}
	var all []waiting
	for _, e := range entries {
		info, err := e.Info()
		if id, ok := strings.CutSuffix(e.Name(), aboutSuffix); ok && err == nil {
			all = append(all, waiting{id, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b waiting) int { return a.at.Compare(b.at) })
	ids := make([]string, len(all))
	for i, w := range all {
		ids[i] = w.id
	}
	return ids, nil
}

// Run carries until ctx ends.
func (c *Courier) Run(ctx context.Context) error {
	pause := firstPause
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-timer.C:
		}
		err := c.carryAll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			pause = firstPause
			timer.Reset(longPause) // nothing waits: it is woken
		default:
			timer.Reset(pause)
			pause = min(2*pause, longPause)
		}
	}
}

// carryAll tries every file that waits. One that the archive does not take holds up no other; if the
// archive is away there is no use in trying more.
func (c *Courier) carryAll(ctx context.Context) (first error) {
	ids, err := c.list()
	if err != nil {
		c.note(0, err)
		return err
	}
	left := len(ids)
	for _, id := range ids {
		err := c.carry(ctx, id)
		if err == nil {
			left--
			continue
		}
		if first == nil {
			first = fmt.Errorf("hand over recording %s: %w", id, err)
		}
		if problem.Is(err, problem.Unavailable) || ctx.Err() != nil {
			break
		}
	}
	c.note(left, first)
	return first
}

// note keeps how the last attempt went, and logs when that changes.
func (c *Courier) note(left int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = left
	if (err == nil) == (c.failing == nil) {
		c.failing = err
		return
	}
	c.failing, c.since = err, time.Now()
	if err != nil {
		c.cfg.Log.Warn("recordings wait for the archive", "recordings", left, "err", err)
		return
	}
	c.cfg.Log.Info("the archive takes recordings again")
}

// carry hands one file over and removes it.
func (c *Courier) carry(ctx context.Context, id string) error {
	sealed, err := os.ReadFile(c.path(id, aboutSuffix))
	if err != nil {
		return err
	}
	text, err := c.cfg.Key.Open(nil, sealed, owner(id, aboutSuffix))
	if err != nil {
		return err
	}
	var about description
	if err := json.Unmarshal(text, &about); err != nil {
		return err
	}
	f, plain, err := c.open(id, about.Patches)
	if errors.Is(err, fs.ErrNotExist) { // it was delivered; a crash left what goes with it
		return os.Remove(c.path(id, aboutSuffix))
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// A body that ends early fails in the client: its length is promised.
	if err := c.cfg.Put(ctx, about.RecordingHead, plain); err != nil {
		return err
	}
	return errors.Join(os.Remove(c.path(id, fileSuffix)), os.Remove(c.path(id, aboutSuffix)))
}
