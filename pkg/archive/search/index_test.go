package search

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/coraltele/sanchar/pkg/platform/store"
)

func open(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "x.db"), store.Options{Buckets: Buckets(), Derived: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func update(t rapid.TB, db *store.DB, do func(x *Index) error) {
	t.Helper()
	if err := db.Update(func(tx *bbolt.Tx) error { return do(Open(tx)) }); err != nil {
		t.Fatal(err)
	}
}

// find returns all documents that a query may find, downwards, and how many steps that took.
func find(t rapid.TB, db *store.DB, q Query) (docs []Doc, steps int) {
	t.Helper()
	err := db.View(func(tx *bbolt.Tx) error {
		h, narrow, err := Open(tx).Find(q)
		if err != nil || !narrow {
			return fmt.Errorf("%v: narrow %v, %w", q, narrow, err)
		}
		for bound := ^Doc(0); ; steps++ {
			d, agreed, ok, err := h.Below(bound)
			if err != nil || !ok {
				return err
			}
			if d > bound || d == bound && agreed {
				return fmt.Errorf("%d is not below %d", d, bound)
			}
			if bound = d; agreed {
				docs = append(docs, d)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return docs, steps
}

// TestFindAgreesWithANaiveModel adds, changes, flushes and asks at random.
func TestFindAgreesWithANaiveModel(t *testing.T) {
	t.Parallel()
	db := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		update(rt, db, func(x *Index) error {
			for _, b := range Buckets() {
				if err := x.tx.DeleteBucket([]byte(b)); err != nil {
					return err
				}
				if _, err := x.tx.CreateBucket([]byte(b)); err != nil {
					return err
				}
			}
			return nil
		})
		model := map[Doc][]string{}
		terms := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "ab", "abc", "b", "bc", "c", "ñ"}), 0, 5, rapid.ID)
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				d := Doc(rapid.IntRange(1, 60).Draw(rt, "doc"))
				has := terms.Draw(rt, "terms")
				slices.Sort(has)
				had, known := model[d]
				model[d] = has
				update(rt, db, func(x *Index) error {
					return x.Put(Document{ID: fmt.Sprint(d), Doc: d, New: !known, Had: had, Has: has})
				})
			},
			"flush": func(rt *rapid.T) { update(rt, db, (*Index).Spread) },
			"find": func(rt *rapid.T) {
				q := Query{Terms: terms.Draw(rt, "all"), Beginnings: terms.Draw(rt, "beginnings")}
				if len(q.Terms)+len(q.Beginnings) == 0 {
					q.Terms = []string{"a"}
				}
				var want []Doc
				for d, has := range model {
					if q.Match(has) {
						want = append(want, d)
					}
				}
				slices.Sort(want)
				slices.Reverse(want)
				if got, _ := find(rt, db, q); !slices.Equal(got, want) {
					rt.Fatalf("%v: %v, want %v of %v", q, got, want, model)
				}
			},
		})
	})
}

// TestLongListsStayInOrder fills blocks from both ends and the middle and empties them again.
func TestLongListsStayInOrder(t *testing.T) {
	t.Parallel()
	db := open(t)
	rng := rand.New(rand.NewPCG(1, 2))
	model := map[Doc]bool{}
	for round := range 60 {
		var add, remove []Doc
		for range 1 + rng.IntN(2*blockDocs) {
			add = append(add, Doc(rng.IntN(1<<(8+round/4))))
		}
		if round > 40 {
			add = nil
		}
		for d := range model {
			if rng.IntN(3) == 0 && !slices.Contains(add, d) {
				remove = append(remove, d)
			}
		}
		slices.Sort(add)
		slices.Sort(remove)
		add = slices.Compact(add)
		update(t, db, func(x *Index) error {
			if err := change(x.lists, "before", add, nil); err != nil {
				return err
			}
			return change(x.lists, "term", add, remove)
		})
		for _, d := range add {
			model[d] = true
		}
		for _, d := range remove {
			delete(model, d)
		}
		want := slices.Sorted(maps.Keys(model))
		slices.Reverse(want)
		if got, _ := find(t, db, Query{Terms: []string{"term"}}); !slices.Equal(got, want) {
			t.Fatalf("round %d: %d documents, want %d", round, len(got), len(want))
		}
	}
	checkBlocks(t, db)
}

// checkBlocks sees that no block is too long, empty, or reaches into the next.
func checkBlocks(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.View(func(tx *bbolt.Tx) error {
		var last Doc
		term := ""
		return tx.Bucket(listsBucket).ForEach(func(key, value []byte) error {
			if string(termOf(key)) != term {
				last, term = 0, string(termOf(key))
			}
			first, _ := firstOf(key, term)
			docs, err := decodeBlock(nil, first, value)
			if err == nil && (len(docs) > blockDocs || first < last) {
				err = fmt.Errorf("%s: block of %d from %d, after %d", term, len(docs), first, last)
			}
			if err == nil {
				last = docs[len(docs)-1]
			}
			return err
		})
	})
	if err != nil {
		t.Error(err)
	}
}

// TestABeginningOfTooManyWordsIsLeftToTheReader sees that it does not narrow, and that others do.
func TestABeginningOfTooManyWordsIsLeftToTheReader(t *testing.T) {
	t.Parallel()
	db := open(t)
	update(t, db, func(x *Index) error {
		for i := range maxExpansion + 5 {
			d, has := Doc(i+1), []string{fmt.Sprintf("w%04d", i)}
			if i%2 == 0 {
				has = append([]string{"even"}, has...)
			}
			if err := x.Put(Document{ID: fmt.Sprint(d), Doc: d, New: true, Has: has}); err != nil {
				return err
			}
		}
		return x.Spread()
	})
	if got, _ := find(t, db, Query{Beginnings: []string{"w0"}}); len(got) != 1000 {
		t.Errorf("w0*: %d", len(got))
	}
	if got, _ := find(t, db, Query{Terms: []string{"even"}, Beginnings: []string{"w"}}); len(got) != (maxExpansion+6)/2 {
		t.Errorf("even w*: %d", len(got))
	}
	update(t, db, func(x *Index) error {
		if _, narrow, err := x.Find(Query{Beginnings: []string{"w"}}); narrow {
			t.Error("w* narrows")
			return err
		}
		return nil
	})
}

// TestFlushComesByItself puts more documents than may wait.
func TestFlushComesByItself(t *testing.T) {
	t.Parallel()
	db := open(t)
	for i := range 3 {
		update(t, db, func(x *Index) error {
			for j := range flushDocs/2 + 1 {
				d := Doc(i*flushDocs + j + 1)
				if err := x.Put(Document{ID: fmt.Sprint(d), Doc: d, New: true, Has: []string{"t"}}); err != nil {
					return err
				}
			}
			return x.Flush()
		})
		update(t, db, func(x *Index) error {
			if n := x.waiting.Sequence(); n > flushDocs || int(n) != x.waiting.Stats().KeyN {
				t.Errorf("%d wait, %d are there", n, x.waiting.Stats().KeyN)
			}
			return nil
		})
	}
	if got, _ := find(t, db, Query{Terms: []string{"t"}}); len(got) != 3*(flushDocs/2+1) {
		t.Errorf("found %d", len(got))
	}
}

// TestTwoCommonWordsThatNeverMeet counts steps: each costs less than a microsecond.
func TestTwoCommonWordsThatNeverMeet(t *testing.T) {
	t.Parallel()
	db := open(t)
	const n = 20_000
	update(t, db, func(x *Index) error {
		var left, right []Doc
		for i := range Doc(n) {
			left, right = append(left, 4*i+1), append(right, 4*i+3)
		}
		if err := change(x.lists, "left", left, nil); err != nil {
			return err
		}
		return change(x.lists, "right", right, nil)
	})
	got, steps := find(t, db, Query{Terms: []string{"left", "right"}})
	if len(got) != 0 || steps > 2*n {
		t.Errorf("%d found in %d steps", len(got), steps)
	}
}

// TestLongDocumentsAreSpreadSooner puts texts of thousands of words.
func TestLongDocumentsAreSpreadSooner(t *testing.T) {
	t.Parallel()
	db := open(t)
	var terms []string
	for i := range MaxWords {
		terms = append(terms, fmt.Sprintf("w%04d", i))
	}
	const most = flushDocs / (1 + MaxWords/longTerms)
	for i := range most + 1 {
		update(t, db, func(x *Index) error {
			d := Document{ID: fmt.Sprint(i), Doc: Doc(i + 1), New: true, Has: terms}
			if err := x.Put(d); err != nil {
				return err
			}
			return x.Flush()
		})
	}
	update(t, db, func(x *Index) error {
		if n := x.waiting.Stats().KeyN; n > most {
			t.Errorf("%d wait", n)
		}
		return nil
	})
	if got, _ := find(t, db, Query{Terms: terms[:2]}); len(got) != most+1 {
		t.Errorf("found %d", len(got))
	}
}
