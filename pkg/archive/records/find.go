package records

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

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
	// lastID sorts after every record id.
	lastID = "~"
)

// search is a query on its way through the partitions.
type search struct {
	lower, upper string   // ids from lower up to below upper
	prefixes     []string // of the postings that must all exist
	text         *textMatch
	limit        int
	budget       int
	found        []record.Envelope
	at           string // lowest id that was looked at
}

// Find returns a page of records, newest first.
func (a *Archive) Find(ctx context.Context, q record.Query) (record.Page, error) {
	s, err := newSearch(q)
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
			s := &search{lower: id, upper: id + "\x00", limit: 1, budget: 1}
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

func newSearch(q record.Query) (*search, error) {
	if err := checkQuery(q); err != nil {
		return nil, err
	}
	s := &search{lower: idBound(q.From, ""), upper: idBound(q.To, lastID), limit: q.Limit, budget: lookBudget}
	if s.limit == 0 {
		s.limit = DefaultLimit
	}
	if q.Before != "" {
		s.upper = min(s.upper, q.Before)
	}
	for f, v := range q.Match {
		s.prefixes = append(s.prefixes, prefix(f, normalQuery(f, v)))
	}
	slices.Sort(s.prefixes)
	if q.Text != "" {
		s.text = newTextMatch(q.Text)
	}
	return s, nil
}

func checkQuery(q record.Query) error {
	var faults []problem.Fault
	fields := q.Kind.Fields()
	if fields == nil {
		faults = append(faults, problem.Fault{Path: "kind", Value: string(q.Kind), Rule: "one of call, registration, auth, audit", Cure: "ask for one of these"})
	}
	for f, v := range q.Match {
		if fields != nil && !slices.Contains(fields, f) {
			faults = append(faults, problem.Fault{Path: string(f), Value: v, Rule: fmt.Sprintf("a %s record is found by %v", q.Kind, fields), Cure: "leave it out"})
		}
	}
	if q.Limit < 0 || q.Limit > MaxLimit {
		faults = append(faults, problem.Fault{Path: "limit", Value: fmt.Sprint(q.Limit), Rule: fmt.Sprintf("1 to %d", MaxLimit), Cure: "ask for further pages"})
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		faults = append(faults, problem.Fault{Path: "to", Value: q.To.Format(time.RFC3339), Rule: "not before from", Cure: "exchange the two"})
	}
	return problem.Fields("records.query", faults)
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

func (s *search) overlaps(p *partition) bool {
	first := idBound(p.month, "")
	end := idBound(p.month.AddDate(0, 1, 0), lastID)
	return first < s.upper && s.lower < end
}

// in looks through a partition and reports whether the page is complete.
func (s *search) in(ctx context.Context, p *partition) (done bool, err error) {
	db, err := p.acquire()
	if errors.Is(err, errGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer p.release()
	err = survive(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			done, err = s.walk(ctx, tx, p.kind)
			return err
		})
	})
	return done, err
}

// walk goes down through the ids that have all postings asked for.
func (s *search) walk(ctx context.Context, tx *bbolt.Tx, kind record.Kind) (done bool, err error) {
	recs := tx.Bucket(recordsBucket)
	lists := s.lists(tx)
	bound := s.upper
	for {
		if len(s.found) == s.limit || s.budget == 0 {
			return true, nil
		}
		if s.budget--; s.budget%1000 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		id, agreed := lists.below(bound)
		if id < s.lower || id == "" {
			return false, nil
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
}

func (s *search) take(recs *bbolt.Bucket, kind record.Kind, id string) error {
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
	if err == nil {
		s.found = append(s.found, e)
	}
	return err
}

// postingLists are walked downwards together.
type postingLists []postingList

// postingList is the run of keys with a prefix; what follows it is an id.
type postingList struct {
	cursor *bbolt.Cursor
	prefix string
}

func (s *search) lists(tx *bbolt.Tx) (lists postingLists) {
	for _, p := range s.prefixes {
		lists = append(lists, postingList{tx.Bucket(indexBucket).Cursor(), p})
	}
	if lists == nil { // no condition: the records themselves are the list
		lists = append(lists, postingList{tx.Bucket(recordsBucket).Cursor(), ""})
	}
	return lists
}

// below returns the highest id below bound that all lists agree on, or that the first one to
// disagree proposes; "" when a list has none.
func (ls postingLists) below(bound string) (id string, agreed bool) {
	id = ls[0].below(bound)
	for _, l := range ls[1:] {
		if id == "" {
			return "", false
		}
		if other := l.below(id + "\x00"); other != id {
			return other, false
		}
	}
	return id, true
}

func (l postingList) below(bound string) string {
	k, _ := l.cursor.Seek([]byte(l.prefix + bound))
	if k == nil {
		k, _ = l.cursor.Last()
		for k != nil && string(k) >= l.prefix+bound {
			k, _ = l.cursor.Prev()
		}
	} else {
		k, _ = l.cursor.Prev()
	}
	if id, ok := bytes.CutPrefix(k, []byte(l.prefix)); ok && k != nil {
		return string(id)
	}
	return ""
}
