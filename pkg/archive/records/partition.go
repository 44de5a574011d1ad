package records

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/coraltele/sanchar/pkg/platform/store"
	"github.com/coraltele/sanchar/pkg/record"
)

// partition is the file of one kind and one month (UTC). It is open while it is used, and a while
// after: what is open costs memory.
type partition struct {
	path  string
	kind  record.Kind
	month time.Time // its first instant
	log   *slog.Logger

	mu   sync.Mutex // guards what follows; held while the file is opened
	db   *store.DB
	refs int
	used time.Time
	gone bool  // the file was removed
	bad  error // why the file cannot be written: it is set aside when nobody reads it
}

// recordsBucket is id -> version, data. What records are found by is in buckets of the index.
var recordsBucket = []byte("records")

const partitionSuffix = ".db"

// recordsFill leaves little free in pages of records: ids grow, so new ones go to the end.
const recordsFill = 0.9

func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func partitionName(kind record.Kind, month time.Time) string {
	return string(kind) + month.Format("-2006-01") + partitionSuffix
}

// parsePartition reads a file's name.
func parsePartition(name string) (kind record.Kind, month time.Time, ok bool) {
	stem, ok := strings.CutSuffix(name, partitionSuffix)
	if !ok {
		return "", month, false
	}
	first, rest, ok := strings.Cut(stem, "-")
	if !ok || record.Kind(first).Fields() == nil {
		return "", month, false
	}
	month, err := time.Parse("2006-01", rest)
	return record.Kind(first), month, err == nil
}

func newPartition(dir string, kind record.Kind, month time.Time, log *slog.Logger) *partition {
	return &partition{path: filepath.Join(dir, partitionName(kind, month)), kind: kind, month: month, log: log}
}

var (
	errGone = errors.New("the file of records was removed")
	errBusy = errors.New("the file of records is damaged and still read")
)

// acquire opens the file if need be; release must follow.
func (p *partition) acquire() (*store.DB, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.gone:
		return nil, errGone
	case p.bad != nil && p.refs > 0:
		return nil, errBusy
	case p.bad != nil:
		if err := p.setAsideLocked(p.bad); err != nil {
			return nil, err
		}
	}
	if p.db == nil {
		db, err := openPartition(p.path, p.kind)
		if isDamage(err) {
			if err = p.setAsideLocked(err); err == nil {
				db, err = openPartition(p.path, p.kind)
			}
		}
		if err != nil {
			return nil, err
		}
		p.db = db
	}
	p.refs++
	return p.db, nil
}

// openPartition keeps the list of free pages in the file: it is short, for little is ever deleted
// (80 KB after words were spread), and without it a month of a million calls took 1.8 s to open instead of 3 ms.
func openPartition(path string, kind record.Kind) (db *store.DB, err error) {
	buckets := append([]string{string(recordsBucket)}, indexBuckets(kind)...)
	err = survive(func() error {
		db, err = store.Open(path, store.Options{Buckets: buckets, KeepFreelist: true})
		return err
	})
	return db, err
}

func (p *partition) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refs--
	p.used = time.Now()
	if p.gone && p.refs == 0 {
		if err := p.closeLocked(); err != nil {
			p.log.Error("a removed file of records did not close", "file", p.path, "err", err)
		}
	}
}

// closeIdle closes the file if nobody used it for that long.
func (p *partition) closeIdle(idle time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refs > 0 || time.Since(p.used) < idle {
		return nil
	}
	return p.closeLocked()
}

func (p *partition) closeLocked() error {
	if p.db == nil {
		return nil
	}
	err := p.db.Close()
	p.db = nil
	return err
}

// remove unlinks the file. One who reads it reads on to the end of his page.
func (p *partition) remove() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	if p.refs > 0 {
		return os.Remove(p.path)
	}
	return errors.Join(p.closeLocked(), os.Remove(p.path))
}

// isDamage reports whether a file is no longer a store: it was never acknowledged to be one, or
// the disk changed it.
func isDamage(err error) bool {
	return errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrVersionMismatch) || errors.Is(err, berrors.ErrChecksum) || errors.Is(err, errDamaged)
}

// setAsideLocked renames a damaged file, so that new records of the month are taken again.
func (p *partition) setAsideLocked(cause error) error {
	aside := p.path + time.Now().UTC().Format(".damaged-20060102T150405")
	p.log.Error("a file of records is damaged and set aside", "file", p.path, "aside", aside, "err", cause)
	p.db, p.bad = nil, nil // to close it could wait for ever on what the panic left locked
	return os.Rename(p.path, aside)
}

// errDamaged is a file whose pages contradict each other, or that the disk cannot read.
var errDamaged = errors.New("the file of records is damaged")

// survive turns a panic over a damaged page, or a fault of the disk under a mapped one, into an
// error: the other files are well.
func survive(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return do()
}

// entry is a record to store, with what it is found by.
type entry struct {
	record.Envelope
	terms terms
}

// put stores entries in one transaction and returns those that were new or different. drop says
// that what messages say is not kept; changes are written to j.
func (p *partition) put(entries []entry, drop bool, j *journal) (changed []entry, err error) {
	db, err := p.acquire()
	if err != nil {
		return nil, err
	}
	defer p.release()
	err = survive(func() error {
		return db.Update(func(tx *bbolt.Tx) error {
			changed, err = putAll(tx, entries, drop, j)
			return err
		})
	})
	if err == nil {
		return changed, nil
	}
	if errors.Is(err, errDamaged) {
		p.mu.Lock()
		p.bad = err
		p.mu.Unlock()
	}
	return nil, err
}

// putAll stores entries, which are of one kind.
func putAll(tx *bbolt.Tx, entries []entry, drop bool, j *journal) (changed []entry, err error) {
	recs, ix := tx.Bucket(recordsBucket), indexOf(tx, entries[0].Kind)
	recs.FillPercent = recordsFill
	for _, e := range entries {
		old := recs.Get([]byte(e.ID))
		if e, err = bare(e, old, drop); err != nil {
			return nil, fmt.Errorf("store record %s: %w", e.ID, err)
		}
		differs, err := putEntry(recs, ix, e, old)
		if err == nil && differs {
			err = j.note(tx, e, old)
			changed = append(changed, e)
		}
		if err != nil {
			return nil, fmt.Errorf("store record %s: %w", e.ID, err)
		}
	}
	return changed, errors.Join(ix.finish(), j.tidy(tx))
}

// putEntry stores a record in the place of what has its id, which is old. One that comes again as
// it is costs no write.
func putEntry(recs *bbolt.Bucket, ix index, e entry, old []byte) (differs bool, err error) {
	value := encodeValue(e.Envelope)
	if bytes.Equal(old, value) {
		return false, nil
	}
	var had []string
	if old != nil {
		if had, err = oldTerms(e.Envelope, old); err != nil {
			return false, err
		}
	}
	if err := ix.put(e, old == nil, had, e.terms.sorted(e.Kind)); err != nil {
		return false, err
	}
	return true, recs.Put([]byte(e.ID), value)
}

func oldTerms(e record.Envelope, value []byte) ([]string, error) {
	old, err := decodeValue(e.Kind, e.ID, value)
	if err != nil {
		return nil, err
	}
	t, err := termsOf(old)
	if err != nil {
		return nil, err
	}
	return t.sorted(e.Kind), nil
}

func encodeValue(e record.Envelope) []byte {
	b := make([]byte, 0, binary.MaxVarintLen32+len(e.Data))
	return append(binary.AppendUvarint(b, uint64(e.Version)), e.Data...)
}

// decodeValue copies what it returns: the value dies with its transaction.
func decodeValue(kind record.Kind, id string, value []byte) (record.Envelope, error) {
	version, n := binary.Uvarint(value)
	if n <= 0 {
		return record.Envelope{}, fmt.Errorf("record %s: no version", id)
	}
	return record.Envelope{ID: id, Kind: kind, Version: int(version), Data: slices.Clone(value[n:])}, nil
}
