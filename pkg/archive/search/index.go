// Package search finds documents by the words and values that they have: posting lists in a bbolt
// file, changed in the transaction that stores the documents.
package search

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// flushDocs is how many new documents wait until they are spread over the lists together: one by
// one each would write a page for each of its words. What waits is searched as it stands, which
// takes half a millisecond. A long document counts as several: what waits stays a few megabytes.
const (
	flushDocs = 4096
	longTerms = 64
)

var (
	listsBucket   = []byte("lists")   // block of a term's posting list -> its documents
	waitingBucket = []byte("waiting") // id of a new document -> its terms
)

// Buckets are those that a file must have.
func Buckets() []string { return []string{string(listsBucket), string(waitingBucket)} }

// Index is the index of a file, within one transaction.
type Index struct {
	tx             *bbolt.Tx
	lists, waiting *bbolt.Bucket
}

// Open returns the index of the file that tx is of.
func Open(tx *bbolt.Tx) *Index {
	return &Index{tx: tx, lists: tx.Bucket(listsBucket), waiting: tx.Bucket(waitingBucket)}
}

// Document is a document as it changes. Terms are sorted, each is there once, and none holds a 0.
type Document struct {
	ID     string
	Doc    Doc
	New    bool
	Had    []string // terms until now
	Has    []string // terms from now on
	Shared bool     // another document has the same Doc
}

// Put makes a document be found by the terms that it has.
func (x *Index) Put(d Document) error {
	key := []byte(d.ID)
	if d.New || x.waiting.Get(key) != nil {
		return x.wait(key, d)
	}
	for _, term := range without(d.Had, d.Has) {
		if d.Shared { // it may be the other's; who searches looks at the document anyway
			break
		}
		if err := change(x.lists, term, nil, []Doc{d.Doc}); err != nil {
			return fmt.Errorf("index %s: %w", d.ID, err)
		}
	}
	for _, term := range without(d.Has, d.Had) {
		if err := change(x.lists, term, []Doc{d.Doc}, nil); err != nil {
			return fmt.Errorf("index %s: %w", d.ID, err)
		}
	}
	return nil
}

// without returns what is in a but not in b; both are sorted.
func without(a, b []string) (rest []string) {
	for _, term := range a {
		if _, there := slices.BinarySearch(b, term); !there {
			rest = append(rest, term)
		}
	}
	return rest
}

func (x *Index) wait(key []byte, d Document) error {
	if d.New {
		// The bucket's sequence counts its documents, so that nobody has to look at them.
		if err := x.waiting.SetSequence(x.waiting.Sequence() + 1 + uint64(len(d.Has)/longTerms)); err != nil {
			return err
		}
	}
	return x.waiting.Put(key, encodeWaiting(d))
}

// encodeWaiting writes the document's number, then each term between zeros.
func encodeWaiting(d Document) []byte {
	return []byte(string(docKey(d.Doc)) + "\x00" + strings.Join(d.Has, "\x00") + "\x00")
}

func docKey(d Doc) []byte { return blockKey("", d)[1:] }

func decodeWaiting(value []byte) (Doc, []byte, error) {
	d, ok := firstOf(append([]byte{0}, value[:min(docBytes, len(value))]...), "")
	if !ok {
		return 0, nil, fmt.Errorf("a document that waits is damaged")
	}
	return d, value[docBytes:], nil
}

// Flush spreads what waits over the lists, if it is enough.
func (x *Index) Flush() error {
	if x.waiting.Sequence() < flushDocs {
		return nil
	}
	return x.Spread()
}

// Spread spreads what waits over the lists, however little it is.
func (x *Index) Spread() error {
	lists := map[string][]Doc{}
	err := x.waiting.ForEach(func(_, value []byte) error {
		d, terms, err := decodeWaiting(value)
		if err != nil {
			return err
		}
		for term := range bytes.SplitSeq(bytes.Trim(terms, "\x00"), []byte{0}) {
			lists[string(term)] = append(lists[string(term)], d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	delete(lists, "") // of a document without any term
	for _, term := range slices.Sorted(maps.Keys(lists)) {
		docs := lists[term]
		slices.Sort(docs)
		if err := change(x.lists, term, slices.Compact(docs), nil); err != nil {
			return fmt.Errorf("spread %q: %w", term, err)
		}
	}
	if err := x.tx.DeleteBucket(waitingBucket); err != nil {
		return err
	}
	x.waiting, err = x.tx.CreateBucket(waitingBucket)
	return err
}
