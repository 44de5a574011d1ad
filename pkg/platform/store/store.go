// Package store opens a daemon's bbolt files: one process a file, a schema number in each, values as JSON.
package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/coraltele/sanchar/pkg/platform/copies"
)

// openTimeout bounds the wait for another process that holds the file: a restarted daemon may
// overlap its dying predecessor for a moment.
const openTimeout = 3 * time.Second

var (
	metaBucket = []byte("meta")
	schemaKey  = []byte("schema")
)

// Migration changes a file of schema n to schema n+1, n being its place in Options.Migrations.
type Migration func(tx *bbolt.Tx) error

// Options say what a file holds.
type Options struct {
	Buckets    []string    // made when missing
	Migrations []Migration // schema 1 is the first release's, so Migrations[0] leads to schema 2
	Derived    bool        // can be rebuilt: commits are not synced

	// KeepFreelist writes the list of free pages with each commit. Without it, which is best for a
	// file that churns, an open walks every page of the file, and a damaged page ends the process.
	KeepFreelist bool
}

// DB is an open file.
type DB struct {
	*bbolt.DB
}

// newest is the schema that a program with these options writes.
func (o Options) newest() int { return len(o.Migrations) + 1 }

// Open opens or makes the file at path and brings it to the newest schema; a copy of the older one stays
// for the program before while this one is on trial. A file of a newer schema than this program knows gives way to the copy that
// was made for it; without one it is refused untouched.
func Open(path string, opt Options) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := copies.Settle(path, opt.newest()); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db, err := open(path, opt)
	newer, isNewer := errors.AsType[*newerError](err)
	if !isNewer {
		return db, err
	}
	back, backErr := copies.Back(path, newer.have, newer.known)
	if backErr != nil || !back {
		return nil, errors.Join(err, backErr)
	}
	return open(path, opt)
}

// newerError is a file that a newer program has written.
type newerError struct{ have, known int }

func (e *newerError) Error() string {
	return fmt.Sprintf("schema %d is newer than this program's %d: start the newer image", e.have, e.known)
}

func open(path string, opt Options) (*DB, error) {
	free := bbolt.FreelistMapType
	if opt.KeepFreelist { // the map would be sorted with each commit
		free = bbolt.FreelistArrayType
	}
	b, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:        openTimeout,
		NoFreelistSync: !opt.KeepFreelist,
		FreelistType:   free,
		NoSync:         opt.Derived,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: another process holds it", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err = keepCopy(b, opt); err == nil {
		err = b.Update(func(tx *bbolt.Tx) error { return prepare(tx, opt) })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), b.Close())
	}
	return &DB{b}, nil
}

// keepCopy copies a file whose schema is about to change.
func keepCopy(b *bbolt.DB, opt Options) error {
	return b.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		have := schemaOf(meta, opt)
		switch {
		case meta == nil && opt.newest() > 1:
			return copies.Begin(b.Path())
		case have >= opt.newest():
			return nil
		}
		return copies.Keep(b.Path(), have, tx.Size(), func(w io.Writer) error {
			_, err := tx.WriteTo(w)
			return err
		})
	})
}

// schemaOf reads the schema of a file; one that has none is new.
func schemaOf(meta *bbolt.Bucket, opt Options) int {
	if meta != nil {
		if v := meta.Get(schemaKey); len(v) == 8 {
			return int(binary.BigEndian.Uint64(v))
		}
	}
	return opt.newest()
}

// prepare migrates and makes buckets in one transaction: a crash leaves the old schema whole.
func prepare(tx *bbolt.Tx, opt Options) error {
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	newest, have := opt.newest(), schemaOf(meta, opt)
	if have > newest {
		return &newerError{have, newest}
	}
	for ; have < newest; have++ {
		if err := opt.Migrations[have-1](tx); err != nil {
			return fmt.Errorf("migrate schema %d: %w", have, err)
		}
	}
	for _, name := range opt.Buckets {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return meta.Put(schemaKey, binary.BigEndian.AppendUint64(nil, uint64(newest)))
}

// Put stores v as JSON.
func Put(b *bbolt.Bucket, key string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put([]byte(key), data)
}

// Get reads the JSON at key into v and reports whether there was any.
func Get(b *bbolt.Bucket, key string, v any) (bool, error) {
	data := b.Get([]byte(key))
	if data == nil {
		return false, nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	return true, nil
}
