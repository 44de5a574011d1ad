// Package inbox keeps messages on disk until each device of their recipients has them: an inbox for
// each user, in the order that messages came, and in it a place for each of his devices.
package inbox

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/platform/store"
)

// Buckets of chat.db. A message is named by its number, which grows with each that is taken.
const (
	messages = "messages" // number -> Item
	wires    = "wires"    // number -> Wire
	entries  = "inboxes"  // user, number -> Entry: some device of the user does not have it yet
	devices  = "devices"  // user, device -> Device
	names    = "names"    // Message-ID or Call-ID, sender -> number: what receipts name
	seen     = "seen"     // sender, Call-ID, tag, CSeq -> number: a request that comes again
	due      = "due"      // time, number -> what ends then
	dirty    = "dirty"    // number -> revision: its record is to be written
	settings = "settings" // what an admin decides
)

// Store is an open chat.db. One goroutine at a time may Update; any may View.
type Store struct {
	db     *store.DB
	dir    string
	opened time.Time
	page   int64 // bytes
	use    *usage
	total  atomic.Int64 // messages that no device of their recipient has
}

// Open opens or makes the file in dir.
func Open(dir string) (*Store, error) {
	db, err := store.Open(filepath.Join(dir, "chat.db"), store.Options{
		Buckets: []string{messages, wires, entries, devices, names, seen, due, dirty, settings},
	})
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, dir: dir, opened: time.Now(), page: int64(db.Info().PageSize)}
	if err := s.count(); err != nil {
		_ = db.Close() // the error of count says what is wrong
		return nil, fmt.Errorf("read inboxes: %w", err)
	}
	return s, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Waiting returns how many messages no device of their recipient has yet.
func (s *Store) Waiting() int { return int(s.total.Load()) }

// Update runs do in one transaction. When it returns without error all of it is on disk; with an
// error nothing is.
func (s *Store) Update(do func(*Tx)) error {
	t := &Tx{store: s}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		t.tx = tx
		do(t)
		return t.err
	})
	if err != nil {
		_ = s.count() // what was counted did not happen; a file that cannot be read either fails again
		return err
	}
	s.total.Store(int64(s.use.total.n))
	return nil
}

// View runs do in a transaction that sees one moment.
func (s *Store) View(do func(*Tx)) error {
	t := &Tx{store: s}
	return s.db.View(func(tx *bbolt.Tx) error {
		t.tx = tx
		do(t)
		return t.err
	})
}

// Tx is a transaction. After an error it does nothing more.
type Tx struct {
	// Failed are messages that turned out in this transaction to reach nobody.
	Failed []*Item

	store *Store
	tx    *bbolt.Tx
	err   error
}

func (t *Tx) bucket(name string) *bbolt.Bucket { return t.tx.Bucket([]byte(name)) }

func (t *Tx) note(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *Tx) put(name string, key, value []byte) {
	if t.err == nil {
		t.note(t.bucket(name).Put(key, value))
	}
}

func (t *Tx) putJSON(name string, key []byte, v any) {
	data, err := json.Marshal(v)
	t.note(err)
	t.put(name, key, data)
}

func (t *Tx) drop(name string, key []byte) {
	if t.err == nil {
		t.note(t.bucket(name).Delete(key))
	}
}

// getJSON reports whether there was something to read.
func (t *Tx) getJSON(name string, key []byte, v any) bool {
	data := t.bucket(name).Get(key)
	if data == nil || t.err != nil {
		return false
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.note(fmt.Errorf("read %s %x: %w", name, key, err))
	}
	return t.err == nil
}

// number is a message's key.
func number(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// joined makes a key of texts, which hold no zero byte.
func joined(parts ...string) []byte {
	var key []byte
	for i, p := range parts {
		if i > 0 {
			key = append(key, 0)
		}
		key = append(key, p...)
	}
	return key
}

// place is the key of an entry, and without number what those of a user begin with.
func place(user string) []byte { return append([]byte(user), 0) }

func entryKey(user string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(place(user), seq)
}

func seenKey(i *Item) []byte {
	return binary.BigEndian.AppendUint32(append(joined(i.SenderID, i.Rec.CallID, i.Tag), 0), i.CSeq)
}

func dueKey(at time.Time, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli())), seq)
}

// Setting reads what an admin decided; it reports false where he has not.
func (t *Tx) Setting(name string, v any) bool { return t.getJSON(settings, []byte(name), v) }

// Set writes what an admin decided.
func (t *Tx) Set(name string, v any) { t.putJSON(settings, []byte(name), v) }
