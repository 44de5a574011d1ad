package records

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/record"
)

// What a change is.
const (
	ChangeNew     = 'n' // a message is new in the archive
	ChangeReceipt = 'r' // a receipt is
	ChangeStatus  = 's' // a message came to another state
)

// Change is one change of a message, for those who follow the archive. It is written in the
// transaction of the change itself: who has seen all numbers up to one has missed nothing.
type Change struct {
	Number uint64 // grows with each change; about the microseconds since 1970
	What   byte
	ID     string // of the record
	Status string // that the message came to
}

// changesBucket is number -> what, id, status. Only messages have it, and entries only while
// somebody follows.
var changesBucket = []byte("changes")

// dropChanges is how many entries that all have passed one transaction removes.
const dropChanges = 2 * groupRecords

// idLength is that of a record's id.
const idLength = 26

func changeKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

func (c Change) value() []byte { return append(append([]byte{c.What}, c.ID...), c.Status...) }

func readChange(k, v []byte) (Change, error) {
	if len(k) != 8 || len(v) < 1+idLength {
		return Change{}, fmt.Errorf("a change of %d and %d bytes", len(k), len(v))
	}
	return Change{Number: binary.BigEndian.Uint64(k), What: v[0], ID: string(v[1 : 1+idLength]), Status: string(v[1+idLength:])}, nil
}

// changes counts the changes of all partitions. It is the committer's, but for last.
type changes struct {
	known bool              // last was read from the files
	last  map[string]uint64 // by partition
	done  uint64            // number of the last change that is on disk; all below it are, too
}

// journal writes the changes of one transaction; nil writes none.
type journal struct {
	next   uint64 // number of the next change
	passed uint64 // who follows is beyond this
}

// journal returns where a transaction writes its changes, nil when nobody follows.
func (a *Archive) journal(kind record.Kind) *journal {
	if a.cfg.Followed == nil || kind != record.KindMessage {
		return nil
	}
	passed, any := a.cfg.Followed()
	if !any {
		return nil
	}
	return &journal{next: max(a.LastChange()+1, uint64(time.Now().UnixMicro())), passed: passed}
}

// wrote tells of a transaction that is on disk.
func (a *Archive) wrote(name string, j *journal) {
	if j == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes.last[name], a.changes.done = j.next-1, j.next-1
}

// LastChange returns the number of the last change.
func (a *Archive) LastChange() uint64 {
	a.mu.Lock()
	known := a.changes.known
	done := a.changes.done
	a.mu.Unlock()
	if known {
		return done
	}
	last := map[string]uint64{}
	for _, p := range a.list(record.KindMessage) {
		n, err := p.lastChange()
		if err != nil {
			a.cfg.Log.Error("changes of messages are not readable", "file", p.path, "err", err)
		}
		last[partitionName(p.kind, p.month)] = n
		done = max(done, n)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.changes.known { // else another one was quicker, and has counted on
		a.changes.known, a.changes.last, a.changes.done = true, last, done
	}
	return a.changes.done
}

func (p *partition) lastChange() (n uint64, err error) {
	err = p.view(func(tx *bbolt.Tx) error {
		if k, _ := tx.Bucket(changesBucket).Cursor().Last(); len(k) == 8 {
			n = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	return n, err
}

// Changes returns changes of messages behind a number, in order.
func (a *Archive) Changes(ctx context.Context, after uint64, limit int) (all []Change, err error) {
	done := a.LastChange() // first: all up to it are on disk, whichever file is read when
	for _, p := range a.list(record.KindMessage) {
		a.mu.Lock()
		last := a.changes.last[partitionName(p.kind, p.month)]
		a.mu.Unlock()
		if last <= after {
			continue
		}
		found, err := p.changes(after, done, limit)
		if err != nil {
			return nil, fmt.Errorf("changes of messages of %s: %w", p.month.Format("2006-01"), err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		all = append(all, found...)
	}
	slices.SortFunc(all, func(x, y Change) int { return cmp.Compare(x.Number, y.Number) })
	return all[:min(len(all), limit)], nil
}

func (p *partition) changes(after, done uint64, limit int) (all []Change, err error) {
	err = p.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(changesBucket).Cursor()
		for k, v := c.Seek(changeKey(after + 1)); k != nil && len(all) < limit; k, v = c.Next() {
			one, err := readChange(k, v)
			if err != nil {
				return err
			}
			if one.Number > done {
				break
			}
			all = append(all, one)
		}
		return nil
	})
	return all, err
}

// note writes the change that a record is, if it is one. old is what had its id.
func (j *journal) note(tx *bbolt.Tx, e entry, old []byte) error {
	if j == nil {
		return nil
	}
	var was, is struct {
		Type   string `json:"type"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal(e.Data, &is); err != nil {
		return err
	}
	if old != nil {
		before, err := decodeValue(e.Kind, e.ID, old)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(before.Data, &was); err != nil {
			return err
		}
	}
	c := Change{Number: j.next, What: ChangeStatus, ID: e.ID, Status: is.Status}
	receipt := is.Type == record.MessageNotification
	switch {
	case old == nil && receipt:
		c.What = ChangeReceipt
	case old == nil:
		c.What = ChangeNew
	case receipt || was.Status == is.Status:
		return nil
	}
	j.next++
	return tx.Bucket(changesBucket).Put(changeKey(c.Number), c.value())
}

// tidy removes what all who follow have passed.
func (j *journal) tidy(tx *bbolt.Tx) error {
	if j == nil {
		return nil
	}
	b := tx.Bucket(changesBucket)
	var gone [][]byte
	c := b.Cursor()
	for k, _ := c.First(); k != nil && len(gone) < dropChanges && binary.BigEndian.Uint64(k) <= j.passed; k, _ = c.Next() {
		gone = append(gone, slices.Clone(k))
	}
	for _, k := range gone {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
