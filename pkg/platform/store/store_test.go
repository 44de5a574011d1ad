package store

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/platform/copies"
)

func TestMigrationsRunOnceAndANewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "state.db")
	open := func(opt Options) error {
		db, err := Open(path, opt)
		if err != nil {
			return err
		}
		return db.Close()
	}
	first := Options{Buckets: []string{"users"}}
	if err := open(first); err != nil {
		t.Fatal(err)
	}
	runs := 0
	second := Options{Buckets: []string{"users"}, Migrations: []Migration{func(tx *bbolt.Tx) error {
		runs++
		return Put(tx.Bucket([]byte("users")), "alice", map[string]int{"v": 2})
	}}}
	for range 2 {
		if err := open(second); err != nil {
			t.Fatal(err)
		}
	}
	if runs != 1 {
		t.Fatalf("migration ran %d times", runs)
	}
	if err := copies.Drop(filepath.Dir(filepath.Dir(path)), time.Now()); err != nil { // the newer version stays
		t.Fatal(err)
	}
	if err := open(first); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Fatalf("opening a newer schema: %v", err)
	}
}

func TestASecondOpenIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("second open: %v", err)
	}
}

func TestGetAndPut(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "x.db"), Options{Buckets: []string{"b"}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("b"))
		if err := Put(b, "k", []int{1, 2}); err != nil {
			return err
		}
		var got []int
		if ok, err := Get(b, "k", &got); !ok || err != nil || len(got) != 2 {
			t.Errorf("got %v %v %v", got, ok, err)
		}
		if ok, err := Get(b, "absent", &got); ok || err != nil {
			t.Errorf("absent: %v %v", ok, err)
		}
		return b.Put([]byte("torn"), []byte("{"))
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = db.View(func(tx *bbolt.Tx) error {
		var got []int
		if _, err := Get(tx.Bucket([]byte("b")), "torn", &got); err == nil || !strings.Contains(err.Error(), "torn") {
			t.Errorf("torn value: %v", err)
		}
		return nil
	})
}
