package records

import (
	"bytes"
	"encoding/json"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/archive/search"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/record"
)

// index is what the records of a partition are found by, within a transaction.
type index interface {
	// put makes a record be found by has, and no more by what is only in had.
	put(e entry, isNew bool, had, has []string) error
	// finish is called before the commit.
	finish() error
}

func indexOf(tx *bbolt.Tx, kind record.Kind) index {
	if kind == record.KindMessage {
		return messageIndex{words: search.Open(tx), records: tx.Bucket(recordsBucket), threads: openThreads(tx)}
	}
	return keyIndex{tx.Bucket(indexBucket)}
}

func indexBuckets(kind record.Kind) []string {
	if kind == record.KindMessage {
		return append(search.Buckets(), threadBuckets()...)
	}
	return []string{string(indexBucket)}
}

// indexBucket is posting -> nothing. A posting is a key: term, 0, record id. All records with a
// value stand together in the order of time.
var indexBucket = []byte("index")

// keyIndex has a key for each term of each record. It suits records with few terms.
type keyIndex struct{ keys *bbolt.Bucket }

func posting(term, id string) []byte { return []byte(term + "\x00" + id) }

func (x keyIndex) put(e entry, _ bool, had, has []string) error {
	for _, term := range missing(had, has) {
		if err := x.keys.Delete(posting(term, e.ID)); err != nil {
			return err
		}
	}
	for _, term := range missing(has, had) {
		if err := x.keys.Put(posting(term, e.ID), nil); err != nil {
			return err
		}
	}
	return nil
}

func (keyIndex) finish() error { return nil }

// messageIndex has lists of records for each word and value of messages, and who talks with whom.
type messageIndex struct {
	words   *search.Index
	records *bbolt.Bucket
	threads threads
}

func (x messageIndex) put(e entry, isNew bool, had, has []string) error {
	head, _ := ids.Head(e.ID) // checked before
	d := search.Document{ID: e.ID, Doc: search.Doc(head), New: isNew, Had: had, Has: has}
	if isNew {
		if err := x.threads.add(e.Envelope); err != nil {
			return err
		}
	} else {
		d.Shared = x.shared(e.ID, head)
	}
	return x.words.Put(d)
}

// shared reports whether another record has the same head.
func (x messageIndex) shared(id string, head uint64) bool {
	c := x.records.Cursor()
	end := []byte(ids.HeadPrefix(head + 1))
	for k, _ := c.Seek([]byte(ids.HeadPrefix(head))); k != nil && bytes.Compare(k, end) < 0; k, _ = c.Next() {
		if string(k) != id {
			return true
		}
	}
	return false
}

func (x messageIndex) finish() error { return x.words.Flush() }

// bare takes away what a message says, if the policy says so when the message first comes. A
// message keeps to that as it grows, whatever the policy is by then.
func bare(e entry, old []byte, drop bool) (entry, error) {
	if e.Kind != record.KindMessage {
		return e, nil
	}
	if old != nil { // in a text of JSON the quotes would be escaped
		drop = bytes.Contains(old, []byte(`"dropped":true`))
	}
	if !drop {
		return e, nil
	}
	data, err := bareData(e.Data, true)
	if err != nil {
		return e, err
	}
	e.Data = data
	e.terms, err = termsOf(e.Envelope)
	return e, err
}

// bareData is a message's record without what it says.
func bareData(data json.RawMessage, dropped bool) (json.RawMessage, error) {
	var m record.Message
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	m.Bare()
	m.Dropped = m.Dropped || dropped
	return json.Marshal(m)
}
