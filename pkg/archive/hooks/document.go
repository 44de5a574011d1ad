package hooks

import (
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/platform/store"
)

// Buckets of hooks.db.
const (
	hooksBucket  = "hooks"  // id -> document
	placesBucket = "places" // id -> place
)

// document is a hook as it is kept.
type document struct {
	ctl.HookSpec
	ID          string    `json:"id"`
	Revision    uint64    `json:"revision"`
	Created     time.Time `json:"created"`
	By          string    `json:"by"`
	Rotated     time.Time `json:"rotated"`
	Secret      []byte    `json:"secret"`           // sealed
	Before      []byte    `json:"before,omitempty"` // the one before, sealed
	BeforeUntil time.Time `json:"before_until,omitzero"`
}

// place is how far a hook has come.
type place struct {
	Passed uint64           `json:"passed"` // number of the last change that it was told of, or that is not for it
	Last   time.Time        `json:"last,omitzero"`
	Failed *ctl.HookFailure `json:"failed,omitempty"` // of the last try, if it failed
	At     uint64           `json:"at,omitempty"`     // number of the change that it failed with
	First  time.Time        `json:"first,omitzero"`   // when that failed first
	Tries  int              `json:"tries,omitempty"`  // of that
	Next   time.Time        `json:"next,omitzero"`    // when it is tried again
	Parked bool             `json:"parked,omitempty"` // it is not
}

func owner(id string) []byte { return seal.Owner(nil, "hook", id) }

func (e *Engine) seal(id string, secret []byte) []byte { return e.key.Seal(nil, secret, owner(id)) }

func (e *Engine) unseal(id string, sealed []byte) ([]byte, error) {
	return e.key.Open(nil, sealed, owner(id))
}

// read reads all that is kept.
func (e *Engine) read() (docs []document, places map[string]place, err error) {
	places = map[string]place{}
	err = e.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(hooksBucket)).ForEach(func(k, v []byte) error {
			var d document
			if err := json.Unmarshal(v, &d); err != nil {
				return fmt.Errorf("hook %s: %w", k, err)
			}
			var p place
			if _, err := store.Get(tx.Bucket([]byte(placesBucket)), d.ID, &p); err != nil {
				return err
			}
			docs, places[d.ID] = append(docs, d), p
			return nil
		})
	})
	return docs, places, err
}

// write keeps a hook and its place.
func (e *Engine) write(d *document, p *place) error { return e.writeAs(d, d.ID, p) }

// writeAs keeps the place of a hook, and the hook if there is a document: else it is as it was, and one
// that was removed meanwhile stays so.
func (e *Engine) writeAs(d *document, id string, p *place) error {
	err := e.db.Update(func(tx *bbolt.Tx) error {
		hooks := tx.Bucket([]byte(hooksBucket))
		if d != nil {
			if err := store.Put(hooks, id, d); err != nil {
				return err
			}
		} else if hooks.Get([]byte(id)) == nil {
			return nil
		}
		return store.Put(tx.Bucket([]byte(placesBucket)), id, p)
	})
	if fsx.IsFull(err) {
		return problem.Wrap(err, problem.Full, "hook.disk", "the disk is full: this cannot be kept", "free disk space")
	}
	return err
}

func (e *Engine) erase(id string) error {
	return e.db.Update(func(tx *bbolt.Tx) error {
		for _, b := range []string{hooksBucket, placesBucket} {
			if err := tx.Bucket([]byte(b)).Delete([]byte(id)); err != nil {
				return err
			}
		}
		return nil
	})
}
