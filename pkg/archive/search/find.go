package search

import (
	"bytes"
	"cmp"
	"container/heap"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// maxExpansion is how many words one beginning may stand for in the lists. One that stands for
// more is in so many documents that looking at the newest finds some at once.
const maxExpansion = 1000

// Query is what documents must have: all terms, and of each beginning a term that begins so.
type Query struct {
	Terms      []string
	Beginnings []string
}

// Match reports whether a document with these terms, sorted, is one that the query finds.
func (q Query) Match(terms []string) bool {
	for _, t := range q.Terms {
		if _, there := slices.BinarySearch(terms, t); !there {
			return false
		}
	}
	for _, b := range q.Beginnings {
		if at, _ := slices.BinarySearch(terms, b); at == len(terms) || !strings.HasPrefix(terms[at], b) {
			return false
		}
	}
	return true
}

// list is a set of documents that is walked downwards.
type list interface {
	// below returns the highest document below bound. Bounds must not grow.
	below(bound Doc) (Doc, bool)
}

// Hits are the documents that a query may find. Each must still be looked at: one may share its
// Doc with another, and what waits for no list may not.
type Hits struct {
	all     []list // that all must agree
	waiting *fixed
	err     error
}

// Find returns what a query finds, and false when the query narrows nothing down.
func (x *Index) Find(q Query) (*Hits, bool, error) {
	h := &Hits{}
	for _, t := range q.Terms {
		h.all = append(h.all, &postings{cursor: x.lists.Cursor(), term: t, hits: h})
	}
	for _, b := range q.Beginnings {
		if l := x.expand(h, b); l != nil {
			h.all = append(h.all, l)
		}
	}
	if len(h.all) == 0 {
		return nil, false, nil
	}
	var err error
	h.waiting, err = x.findWaiting(q)
	return h, true, err
}

// Below returns the highest document below bound that all lists agree on, or one to go on from
// that the first to disagree proposes; ok is false when there is none. Bounds must not grow.
func (h *Hits) Below(bound Doc) (doc Doc, agreed, ok bool, err error) {
	doc, agreed, ok = h.listsBelow(bound)
	if w, there := h.waiting.below(bound); there && (!ok || w >= doc) {
		return w, true, true, h.err
	}
	return doc, agreed, ok, h.err
}

func (h *Hits) listsBelow(bound Doc) (doc Doc, agreed, ok bool) {
	if doc, ok = h.all[0].below(bound); !ok {
		return 0, false, false
	}
	for _, l := range h.all[1:] {
		other, ok := l.below(doc + 1)
		if !ok {
			return 0, false, false
		}
		if other != doc {
			return other + 1, false, true // it may be in all: go on from there, it included
		}
	}
	return doc, true, true
}

// postings is a term's list.
type postings struct {
	cursor *bbolt.Cursor
	term   string
	hits   *Hits // takes an error
	docs   []Doc // of the block that was read last
}

func (p *postings) below(bound Doc) (Doc, bool) {
	if bound == 0 {
		return 0, false
	}
	if len(p.docs) == 0 || bound <= p.docs[0] {
		if !p.load(bound - 1) {
			return 0, false
		}
	}
	at, _ := slices.BinarySearch(p.docs, bound)
	p.docs = p.docs[:at] // bounds do not grow
	return p.docs[at-1], true
}

// load reads the block that at is in, or the one before.
func (p *postings) load(at Doc) bool {
	p.docs = p.docs[:0]
	key, value := seekLast(p.cursor, p.term, at)
	if key == nil {
		return false
	}
	first, _ := firstOf(key, p.term)
	docs, err := decodeBlock(p.docs, first, value)
	p.hits.err = cmp.Or(p.hits.err, err)
	p.docs = docs
	return err == nil
}

// fixed is a list in memory, sorted upwards.
type fixed struct{ docs []Doc }

func (f *fixed) below(bound Doc) (Doc, bool) {
	at, _ := slices.BinarySearch(f.docs, bound)
	f.docs = f.docs[:at]
	if at == 0 {
		return 0, false
	}
	return f.docs[at-1], true
}

// findWaiting looks through the documents that are in no list yet.
func (x *Index) findWaiting(q Query) (*fixed, error) {
	var needles [][]byte
	for _, t := range q.Terms {
		needles = append(needles, []byte("\x00"+t+"\x00"))
	}
	for _, b := range q.Beginnings {
		needles = append(needles, []byte("\x00"+b))
	}
	f := &fixed{}
	err := x.waiting.ForEach(func(_, value []byte) error {
		d, terms, err := decodeWaiting(value)
		for _, n := range needles {
			if err != nil || !bytes.Contains(terms, n) {
				return err
			}
		}
		f.docs = append(f.docs, d)
		return nil
	})
	slices.Sort(f.docs)
	return f, err
}

// union is all lists of the words with one beginning: a heap by the document that each is at.
type union struct {
	at    []Doc
	lists []*postings
}

// expand returns the union of the words that begin so, nil when there are too many.
func (x *Index) expand(h *Hits, beginning string) list {
	u := &union{}
	c := x.lists.Cursor()
	for key, _ := c.Seek([]byte(beginning)); bytes.HasPrefix(termOf(key), []byte(beginning)); {
		if len(u.lists) == maxExpansion {
			return nil
		}
		term := string(termOf(key))
		u.lists = append(u.lists, &postings{cursor: x.lists.Cursor(), term: term, hits: h})
		u.at = append(u.at, ^Doc(0))
		key, _ = c.Seek([]byte(term + "\x01")) // past this word's blocks: no word holds a byte so low
	}
	return u
}

// Len, Less, Swap, Push and Pop make the heap: the highest document is on top.
func (u *union) Len() int           { return len(u.lists) }
func (u *union) Less(i, j int) bool { return u.at[i] > u.at[j] }
func (u *union) Swap(i, j int) {
	u.at[i], u.at[j] = u.at[j], u.at[i]
	u.lists[i], u.lists[j] = u.lists[j], u.lists[i]
}

// Push is never asked for: lists only end.
func (u *union) Push(any) {}

// Pop takes the last list away.
func (u *union) Pop() any {
	n := len(u.lists) - 1
	u.at, u.lists = u.at[:n], u.lists[:n]
	return nil
}

func (u *union) below(bound Doc) (Doc, bool) {
	for len(u.lists) > 0 && u.at[0] >= bound {
		d, ok := u.lists[0].below(bound)
		if !ok {
			heap.Pop(u)
			continue
		}
		u.at[0] = d
		heap.Fix(u, 0)
	}
	if len(u.lists) == 0 {
		return 0, false
	}
	return u.at[0], true
}
