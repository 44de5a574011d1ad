package records

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/record"
)

// Who talks with whom is kept as messages come: to count a million of them takes too long.
var (
	threadsBucket = []byte("threads") // thread -> summary
	latestBucket  = []byte("latest")  // id of a thread's latest message -> thread
)

func threadBuckets() []string { return []string{string(threadsBucket), string(latestBucket)} }

// threads are the threads of one partition, within a transaction.
type threads struct {
	summaries, latest *bbolt.Bucket
}

func openThreads(tx *bbolt.Tx) threads {
	return threads{tx.Bucket(threadsBucket), tx.Bucket(latestBucket)}
}

// summary is what a partition knows of a thread.
type summary struct {
	Count  int      `json:"n"`
	Latest string   `json:"l"` // id of its latest message
	Users  []string `json:"u"` // who sent that and to whom, normal
}

// add counts a new message. Receipts are no part of a conversation.
func (t threads) add(e record.Envelope) error {
	var m record.Message
	if err := json.Unmarshal(e.Data, &m); err != nil {
		return err
	}
	thread := normal(m.Thread)
	if m.Type != record.MessageContent || thread == "" {
		return nil
	}
	s, err := t.of(thread)
	if err != nil {
		return err
	}
	s.Count++
	if e.ID > s.Latest {
		if s.Latest != "" {
			if err := t.latest.Delete([]byte(s.Latest)); err != nil {
				return err
			}
		}
		s.Latest, s.Users = e.ID, []string{normal(m.Sender.User), normal(m.Recipient.User)}
		if err := t.latest.Put([]byte(e.ID), []byte(thread)); err != nil {
			return err
		}
	}
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return t.summaries.Put([]byte(thread), value)
}

func (t threads) of(thread string) (s summary, err error) {
	if value := t.summaries.Get([]byte(thread)); value != nil {
		if err = json.Unmarshal(value, &s); err != nil {
			err = fmt.Errorf("thread %s: %w", thread, err)
		}
	}
	return s, err
}

// Threads returns who talks with whom, the latest first.
func (a *Archive) Threads(ctx context.Context, q record.ThreadQuery) (record.ThreadPage, error) {
	if q.Limit < 0 || q.Limit > MaxLimit {
		return record.ThreadPage{}, problem.Fields("threads.query", []problem.Fault{limitFault(q.Limit)})
	}
	w := &threadWalk{
		user: normal(q.User), upper: cmp.Or(q.Before, lastID), limit: cmp.Or(q.Limit, DefaultLimit), budget: lookBudget,
		at: map[string]int{},
	}
	all := a.list(record.KindMessage)
	for i, p := range all {
		full, err := w.in(ctx, p, all[:i])
		if err != nil {
			return record.ThreadPage{}, fmt.Errorf("threads of %s: %w", p.month.Format("2006-01"), err)
		}
		if full {
			w.page.Next = w.last
			break
		}
	}
	return w.page, w.count(ctx, all)
}

// threadWalk looks for threads from the newest partition to the oldest.
type threadWalk struct {
	user, upper   string
	limit, budget int
	last          string // id that was looked at last
	page          record.ThreadPage
	at            map[string]int // place of a thread on the page
}

// in takes the threads whose latest message is in this partition: those that no newer one has.
func (w *threadWalk) in(ctx context.Context, p *partition, newer []*partition) (full bool, err error) {
	err = p.view(func(tx *bbolt.Tx) error {
		t := openThreads(tx)
		c := t.latest.Cursor()
		for key, thread := last(c, w.upper); key != nil; key, thread = c.Prev() {
			if len(w.page.Threads) == w.limit || w.budget <= 0 {
				full = true
				return nil
			}
			if w.budget--; w.budget%1000 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			w.last = string(key)
			s, err := t.of(string(thread))
			if err != nil {
				return err
			}
			if w.user != "" && !strings.Contains("\x00"+strings.Join(s.Users, "\x00")+"\x00", "\x00"+w.user+"\x00") {
				continue
			}
			known, err := hasThread(newer, string(thread))
			if err != nil {
				return err
			}
			if known {
				continue
			}
			if err := w.take(tx, string(thread), string(key)); err != nil {
				return err
			}
		}
		return nil
	})
	return full, err
}

func (w *threadWalk) take(tx *bbolt.Tx, thread, id string) error {
	var m record.Message
	e, err := decodeValue(record.KindMessage, id, tx.Bucket(recordsBucket).Get([]byte(id)))
	if err == nil {
		err = json.Unmarshal(e.Data, &m)
	}
	if err != nil {
		return err
	}
	m.Bare()
	w.at[thread] = len(w.page.Threads)
	w.page.Threads = append(w.page.Threads, record.Thread{ID: m.Thread, Latest: m})
	return nil
}

// last moves to the highest key below bound.
func last(c *bbolt.Cursor, bound string) (key, value []byte) {
	if key, _ = c.Seek([]byte(bound)); key == nil {
		return c.Last()
	}
	return c.Prev()
}

func hasThread(among []*partition, thread string) (known bool, err error) {
	for _, p := range among {
		err := p.view(func(tx *bbolt.Tx) error {
			known = tx.Bucket(threadsBucket).Get([]byte(thread)) != nil
			return nil
		})
		if known || err != nil {
			return known, err
		}
	}
	return false, nil
}

// count sums up over all partitions how many messages the threads on the page have.
func (w *threadWalk) count(ctx context.Context, all []*partition) error {
	for _, p := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := p.view(func(tx *bbolt.Tx) error {
			t := openThreads(tx)
			for thread, i := range w.at {
				s, err := t.of(thread)
				if err != nil {
					return err
				}
				w.page.Threads[i].Count += s.Count
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// view reads a partition. One that was removed is empty.
func (p *partition) view(do func(tx *bbolt.Tx) error) error {
	db, err := p.acquire()
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.release()
	return survive(func() error { return db.View(do) })
}
