// Package vault keeps files encrypted at rest: each under a key of its own, in authenticated
// segments that can be read from any place, on disk before it is promised, gone when its time is over.
package vault

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/platform/store"
)

// Limits.
const (
	// Reserve is what files leave free on the disk. It is more than the archive's first alarm, so
	// files stop before a record is in danger.
	Reserve = 768 << 20
	// maxUploads bounds the segments in memory: 64 KiB for each file on its way.
	maxUploads = 32
	// maxUploadsEach keeps one user from taking all of these.
	maxUploadsEach = 4
	// idBytes is what a stranger would have to guess of a file's address: 160 bits.
	idBytes = 20
)

// Buckets of vault.db. Descriptions are sealed: a name tells much of a file.
const (
	filesBucket = "files" // id -> sealed description
	endsBucket  = "ends"  // when it ends (8 bytes), id -> nothing
	usageBucket = "usage" // owner -> bytes (8 bytes)
)

// Config says where the files are.
type Config struct {
	Dir     string
	KeyFile string    // seals the files' keys
	Under   *seal.Key // of the security chip, which wraps the key file; nil where there is none
	Log     *slog.Logger
	Clock   func() time.Time       // nil is the time of day
	Free    func() (uint64, error) // bytes free for files; nil asks the disk
}

// Vault is an open vault. Its methods may be called from any goroutine.
type Vault struct {
	cfg Config
	db  *store.DB
	key *seal.Key

	mu      sync.Mutex       // guards what follows
	used    map[string]int64 // owner -> bytes, of files on their way, too
	coming  map[string]int   // owner -> files on their way
	uploads int
	files   int
	bytes   int64
}

// Open opens or makes the vault in cfg.Dir and removes what an interrupted upload left.
func Open(cfg Config) (*Vault, error) {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Free == nil {
		cfg.Free = func() (uint64, error) { return fsx.Free(cfg.Dir) }
	}
	db, err := store.Open(filepath.Join(cfg.Dir, "vault.db"), store.Options{Buckets: []string{filesBucket, endsBucket, usageBucket}})
	if err != nil {
		return nil, err
	}
	v := &Vault{cfg: cfg, db: db, used: map[string]int64{}, coming: map[string]int{}}
	if err := v.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the vault %s: %w", cfg.Dir, err), db.Close())
	}
	return v, nil
}

func (v *Vault) load() (err error) {
	for _, dir := range []string{v.newDir(), v.blobDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	err = v.db.View(func(tx *bbolt.Tx) error {
		v.files = tx.Bucket([]byte(filesBucket)).Stats().KeyN
		return tx.Bucket([]byte(usageBucket)).ForEach(func(owner, n []byte) error {
			v.used[string(owner)] = int64(binary.BigEndian.Uint64(n))
			v.bytes += int64(binary.BigEndian.Uint64(n))
			return nil
		})
	})
	if err != nil {
		return err
	}
	if v.key, err = seal.Load(v.cfg.KeyFile, v.files > 0, v.cfg.Under); err != nil {
		return err
	}
	return v.tidy()
}

// Close closes the vault.
func (v *Vault) Close() error { return v.db.Close() }

func (v *Vault) newDir() string            { return filepath.Join(v.cfg.Dir, "new") }
func (v *Vault) blobDir() string           { return filepath.Join(v.cfg.Dir, "files") }
func (v *Vault) blobPath(id string) string { return filepath.Join(v.blobDir(), id) }
func (v *Vault) newPath(id string) string  { return filepath.Join(v.newDir(), id) }
func descriptionOwner(id string) []byte    { return seal.Owner(nil, "file", id) }
func endKey(until time.Time, id string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(until.Unix())), id...)
}

// tidy removes files that were never promised: a crash between a file's last byte and its
// description leaves one.
func (v *Vault) tidy() error {
	left, err := os.ReadDir(v.newDir())
	if err != nil {
		return err
	}
	for _, e := range left {
		err = errors.Join(err, os.Remove(v.newPath(e.Name())))
	}
	blobs, readErr := os.ReadDir(v.blobDir())
	if err = errors.Join(err, readErr); err != nil {
		return err
	}
	return v.db.View(func(tx *bbolt.Tx) (err error) {
		for _, e := range blobs {
			if tx.Bucket([]byte(filesBucket)).Get([]byte(e.Name())) == nil {
				err = errors.Join(err, os.Remove(v.blobPath(e.Name())))
			}
		}
		return err
	})
}

// Stat describes the file, if its time is not over.
func (v *Vault) Stat(id string) (f ctl.StoredFile, err error) {
	err = v.db.View(func(tx *bbolt.Tx) error {
		f, err = v.describedIn(tx, id)
		return err
	})
	if err == nil && !v.cfg.Clock().Before(f.Until) {
		return ctl.StoredFile{}, errMissing()
	}
	return f, err
}

func (v *Vault) describedIn(tx *bbolt.Tx, id string) (f ctl.StoredFile, err error) {
	sealed := tx.Bucket([]byte(filesBucket)).Get([]byte(id))
	if sealed == nil {
		return f, errMissing()
	}
	data, err := v.key.Open(nil, sealed, descriptionOwner(id))
	if err != nil {
		return f, fmt.Errorf("description of file %s: %w", id, err)
	}
	return f, json.Unmarshal(data, &f)
}

func errMissing() error {
	return problem.New(problem.Missing, "file.missing", "there is no such file, or it was erased when its time was over", "ask who sent it to send it again")
}

// Usage tells what the files take, and what is left.
func (v *Vault) Usage() (ctl.FileUsage, error) {
	free, err := v.cfg.Free()
	v.mu.Lock()
	defer v.mu.Unlock()
	return ctl.FileUsage{Files: v.files, Bytes: v.bytes, Free: free, Reserve: Reserve}, err
}

// commit makes a file that is on disk one that is kept.
func (v *Vault) commit(f ctl.StoredFile) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return v.db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(
			tx.Bucket([]byte(filesBucket)).Put([]byte(f.ID), v.key.Seal(nil, data, descriptionOwner(f.ID))),
			tx.Bucket([]byte(endsBucket)).Put(endKey(f.Until, f.ID), nil),
			addUsage(tx, f.OwnerID, f.Size),
		)
	})
}

func addUsage(tx *bbolt.Tx, owner string, n int64) error {
	b := tx.Bucket([]byte(usageBucket))
	var have int64
	if raw := b.Get([]byte(owner)); len(raw) == 8 {
		have = int64(binary.BigEndian.Uint64(raw))
	}
	if have += n; have <= 0 {
		return b.Delete([]byte(owner))
	}
	return b.Put([]byte(owner), binary.BigEndian.AppendUint64(nil, uint64(have)))
}

// Remove erases a file: its key goes with it.
func (v *Vault) Remove(id string) (f ctl.StoredFile, err error) {
	err = v.db.Update(func(tx *bbolt.Tx) error {
		if f, err = v.describedIn(tx, id); err != nil {
			return err
		}
		return errors.Join(
			tx.Bucket([]byte(filesBucket)).Delete([]byte(id)),
			tx.Bucket([]byte(endsBucket)).Delete(endKey(f.Until, id)),
			addUsage(tx, f.OwnerID, -f.Size),
		)
	})
	if err != nil {
		return f, err
	}
	v.mu.Lock()
	v.files--
	v.bytes -= f.Size
	v.giveLocked(f.OwnerID, f.Size)
	v.mu.Unlock()
	if err := os.Remove(v.blobPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, fmt.Errorf("erase file %s: %w", id, err)
	}
	return f, fsx.SyncDir(v.blobDir())
}

func (v *Vault) giveLocked(owner string, n int64) {
	if v.used[owner] -= n; v.used[owner] <= 0 {
		delete(v.used, owner)
	}
}

const (
	// sweepEvery is how often files whose time is over are looked for.
	sweepEvery = 10 * time.Minute
	// sweepMost bounds one look, so that it holds nobody up.
	sweepMost = 1000
	// jump is by how much the time of day may run ahead of the time that passed. A clock that was
	// set ahead by years must not erase everything before somebody sets it right.
	jump = time.Hour
)

// Run erases files whose time is over, until ctx ends.
func (v *Vault) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	last := v.cfg.Clock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := v.cfg.Clock()
		jumped := now.Round(0).Sub(last.Round(0)) - sweepEvery // Round takes the monotonic reading away
		last = now
		if jumped > jump {
			v.cfg.Log.Warn("the clock was set ahead: no file is erased for now", "by", jumped)
			continue
		}
		if n, err := v.Sweep(now); err != nil {
			v.cfg.Log.Error("files whose time is over are not all erased", "err", err)
		} else if n > 0 {
			v.cfg.Log.Info("files whose time is over were erased", "files", n)
		}
	}
}

// Sweep erases files whose time is over at now, and returns how many.
func (v *Vault) Sweep(now time.Time) (n int, err error) {
	var over []string
	last := endKey(now.Add(time.Second), "")
	err = v.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(endsBucket)).Cursor()
		for k, _ := c.First(); k != nil && string(k) < string(last) && len(over) < sweepMost; k, _ = c.Next() {
			over = append(over, string(k[8:]))
		}
		return nil
	})
	for _, id := range over {
		if _, removeErr := v.Remove(id); removeErr != nil {
			err = errors.Join(err, removeErr)
			continue
		}
		n++
	}
	return n, err
}
