package records

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/archive/search"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/record"
)

// Limits of a query.
const (
	// DefaultLimit and MaxLimit bound a page.
	DefaultLimit = 100
	MaxLimit     = 1000
	// lookBudget is how many records one answer looks at: a search for rare text pauses there and
	// goes on with the next page, so that no read holds back the disk space of later writes.
	lookBudget = 50_000
	// stepBudget is the same for messages, in steps along lists of words: it takes about a tenth of
	// a second. To look at a record that is not one of those asked for costs lookSteps.
	stepBudget = 1_000_000
	lookSteps  = 200
	// maxWords is how many words a search may ask for.
	maxWords = 16
	// lastID sorts after every record id.
	lastID = "~"
)

// lookup is a query on its way through the partitions.
type lookup struct {
	lower, upper string       // ids from lower up to below upper
	terms        []string     // that records must have all of
	words        search.Query // of messages: the same, with words
	text         *textMatch
	bare         bool // of messages: without what they say
	limit        int
	budget       int
	found        []record.Envelope
	at           string // lowest id that was looked at
}

// Find returns a page of records, newest first.
func (a *Archive) Find(ctx context.Context, q record.Query) (record.Page, error) {
	s, err := newLookup(q)
	if err != nil {
		return record.Page{}, err
	}
	for _, p := range a.list(q.Kind) {
		if !s.overlaps(p) {
			continue
		}
		done, err := s.in(ctx, p)
		if err != nil {
			return record.Page{}, fmt.Errorf("search %s of %s: %w", q.Kind, p.month.Format("2006-01"), err)
		}
		if done {
			return record.Page{Records: s.found, Next: s.at}, nil
		}
	}
	return record.Page{Records: s.found}, nil
}

// Get returns one record.
func (a *Archive) Get(ctx context.Context, kind record.Kind, id string) (record.Envelope, error) {
	at, ok := ids.RecordTime(id)
	if ok {
		a.mu.Lock()
		p := a.partitions[partitionName(kind, monthOf(at))]
		a.mu.Unlock()
		if p != nil {
			s := &lookup{lower: id, upper: id + "\x00", limit: 1, budget: 1}
			if _, err := s.in(ctx, p); err != nil {
				return record.Envelope{}, fmt.Errorf("read record %s: %w", id, err)
			}
			if len(s.found) == 1 {
				return s.found[0], nil
			}
		}
	}
	return record.Envelope{}, problem.New(problem.Missing, "record.missing", "there is no such record", "it may have been too old to keep")
}

func newLookup(q record.Query) (*lookup, error) {
	if err := checkQuery(q); err != nil {
		return nil, err
	}
	s := &lookup{lower: idBound(q.From, ""), upper: idBound(q.To, lastID), limit: q.Limit, budget: lookBudget}
	if s.limit == 0 {
		s.limit = DefaultLimit
	}
	if q.Before != "" {
		s.upper = min(s.upper, q.Before)
	}
	for f, v := range q.Match {
		s.terms = append(s.terms, term(q.Kind, f, normalQuery(f, v)))
	}
	slices.Sort(s.terms)
	if q.Kind == record.KindMessage {
		s.bare, s.budget = !q.Content, stepBudget
		s.words.Terms = s.terms
		words, beginnings := search.Asked(q.Words)
		for _, w := range words {
			s.words.Terms = append(s.words.Terms, term(q.Kind, fieldWord, w))
		}
		for _, w := range beginnings {
			s.words.Beginnings = append(s.words.Beginnings, term(q.Kind, fieldWord, w))
		}
	}
	if q.Text != "" {
		s.text = newTextMatch(q.Text)
	}
	return s, nil
}

func checkQuery(q record.Query) error {
	var faults []problem.Fault
	fields := q.Kind.Fields()
	if fields == nil {
		faults = append(faults, problem.Fault{Path: "kind", Value: string(q.Kind), Rule: fmt.Sprintf("one of %v", record.Kinds()), Cure: "ask for one of these"})
	}
	for f, v := range q.Match {
		if fields != nil && !slices.Contains(fields, f) {
			faults = append(faults, problem.Fault{Path: string(f), Value: v, Rule: fmt.Sprintf("a %s record is found by %v", q.Kind, fields), Cure: "leave it out"})
		}
	}
	faults = append(faults, checkWords(q)...)
	if q.Limit < 0 || q.Limit > MaxLimit {
		faults = append(faults, limitFault(q.Limit))
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		faults = append(faults, problem.Fault{Path: "to", Value: q.To.Format(time.RFC3339), Rule: "not before from", Cure: "exchange the two"})
	}
	return problem.Fields("records.query", faults)
}

func limitFault(limit int) problem.Fault {
	return problem.Fault{Path: "limit", Value: fmt.Sprint(limit), Rule: fmt.Sprintf("1 to %d", MaxLimit), Cure: "ask for further pages"}
}

func checkWords(q record.Query) (faults []problem.Fault) {
	bad := func(path, value, rule, cure string) {
		faults = append(faults, problem.Fault{Path: path, Value: value, Rule: rule, Cure: cure})
	}
	words, beginnings := search.Asked(q.Words)
	switch n := len(words) + len(beginnings); {
	case q.Words == "":
	case q.Kind != record.KindMessage:
		bad("words", q.Words, fmt.Sprintf("a %s record has no words", q.Kind), "ask for text")
	case n == 0:
		bad("words", q.Words, "at least one letter, digit or emoji", "write a word of the message")
	case n > maxWords:
		bad("words", q.Words, fmt.Sprintf("at most %d words", maxWords), "leave out the common ones")
	}
	if q.Text != "" && q.Kind == record.KindMessage && !q.Content {
		bad("text", q.Text, "text is looked for in what messages say", "ask for words, or for content")
	}
	return faults
}

// idBound returns the lowest id at t, and none for a time that ids cannot tell.
func idBound(t time.Time, none string) string {
	const idTimes = 1 << 47 // milliseconds since 1970 that fit an id
	switch ms := t.UnixMilli(); {
	case t.IsZero() || ms >= idTimes:
		return none
	case ms < 0:
		return ""
	}
	return ids.RecordPrefix(t)
}

func (s *lookup) overlaps(p *partition) bool {
	first := idBound(p.month, "")
	end := idBound(p.month.AddDate(0, 1, 0), lastID)
	return first < s.upper && s.lower < end
}

// in looks through a partition and reports whether the page is complete.
func (s *lookup) in(ctx context.Context, p *partition) (done bool, err error) {
	err = p.view(func(tx *bbolt.Tx) error {
		done, err = s.walk(ctx, tx, p.kind)
		return err
	})
	return done, err
}

// walk goes down through the ids of the records that may be asked for.
func (s *lookup) walk(ctx context.Context, tx *bbolt.Tx, kind record.Kind) (done bool, err error) {
	recs := tx.Bucket(recordsBucket)
	ids, err := s.ids(tx, kind)
	bound := s.upper
	for steps := 1; err == nil; steps++ {
		if len(s.found) == s.limit || s.budget <= 0 {
			return true, nil
		}
		if s.budget--; steps%1000 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		id, agreed, err := ids.below(bound)
		if id < s.lower || id == "" {
			return false, err
		}
		bound = id
		if !agreed {
			bound += "\x00" // a later list stands here: begin with it included
		}
		s.at = bound
		if agreed {
			if err := s.take(recs, kind, id); err != nil {
				return false, err
			}
		}
	}
	return false, err
}

func (s *lookup) take(recs *bbolt.Bucket, kind record.Kind, id string) error {
	value := recs.Get([]byte(id))
	if value == nil {
		return fmt.Errorf("record %s is in the index only", id)
	}
	if s.text != nil {
		_, n := binary.Uvarint(value)
		if n <= 0 || !s.text.in(value[n:]) {
			return nil
		}
	}
	e, err := decodeValue(kind, id, value)
	if err == nil && kind == record.KindMessage {
		return s.takeMessage(e)
	}
	if err == nil {
		s.found = append(s.found, e)
	}
	return err
}

// takeMessage looks at a message before it takes it: an index of words and hashes may err.
func (s *lookup) takeMessage(e record.Envelope) error {
	if len(s.words.Terms)+len(s.words.Beginnings) > 0 {
		t, err := termsOf(e)
		if err != nil {
			return fmt.Errorf("record %s: %w", e.ID, err)
		}
		if !s.words.Match(t.sorted(e.Kind)) {
			s.budget -= lookSteps
			return nil
		}
	}
	var err error
	if s.bare {
		e.Data, err = bareData(e.Data, false)
	}
	s.found = append(s.found, e)
	return err
}

// idList is a set of record ids that is walked downwards.
type idList interface {
	// below returns the highest id below bound that is in the set, or one that the search is to go
	// on from, it included; "" when there is none.
	below(bound string) (id string, agreed bool, err error)
}

func (s *lookup) ids(tx *bbolt.Tx, kind record.Kind) (idList, error) {
	if kind == record.KindMessage {
		hits, narrow, err := search.Open(tx).Find(s.words)
		if err != nil || narrow {
			return newMessageHits(hits, tx.Bucket(recordsBucket), s.upper), err
		}
	}
	var lists postingLists
	for _, t := range s.terms {
		lists = append(lists, postingList{tx.Bucket(indexBucket).Cursor(), t + "\x00"})
	}
	if lists == nil { // no condition: the records themselves are the list
		lists = append(lists, postingList{tx.Bucket(recordsBucket).Cursor(), ""})
	}
	return lists, nil
}

// postingLists are walked downwards together.
type postingLists []postingList

// postingList is the run of keys with a prefix; what follows it is an id.
type postingList struct {
	cursor *bbolt.Cursor
	prefix string
}

// below returns the highest id below bound that all lists agree on, or that the first one to
// disagree proposes; "" when a list has none.
func (ls postingLists) below(bound string) (id string, agreed bool, err error) {
	id = ls[0].below(bound)
	for _, l := range ls[1:] {
		if id == "" {
			return "", false, nil
		}
		if other := l.below(id + "\x00"); other != id {
			return other, false, nil
		}
	}
	return id, true, nil
}

func (l postingList) below(bound string) string {
	k, _ := last(l.cursor, l.prefix+bound)
	if id, ok := bytes.CutPrefix(k, []byte(l.prefix)); ok && k != nil {
		return string(id)
	}
	return ""
}
