// Package store opens a daemon's bbolt files: one process a file, a schema number in each, values as JSON.
package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
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

// Open opens or makes the file at path and brings it to the newest schema. A file of a newer
// schema than this program knows is refused untouched.
func Open(path string, opt Options) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
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
	if err := b.Update(func(tx *bbolt.Tx) error { return prepare(tx, opt) }); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), b.Close())
	}
	return &DB{b}, nil
}

// prepare migrates and makes buckets in one transaction: a crash leaves the old schema whole.
func prepare(tx *bbolt.Tx, opt Options) error {
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	newest := uint64(len(opt.Migrations) + 1)
	have := newest
	if v := meta.Get(schemaKey); len(v) == 8 {
		have = binary.BigEndian.Uint64(v)
	}
	if have > newest {
		return fmt.Errorf("schema %d is newer than this program's %d: start the newer image", have, newest)
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
	return meta.Put(schemaKey, binary.BigEndian.AppendUint64(nil, newest))
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
