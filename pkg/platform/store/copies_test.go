package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/platform/copies"
)

// version is a program whose newest schema is so many.
func version(schema int) Options {
	opt := Options{Buckets: []string{"users"}}
	for n := 2; n <= schema; n++ {
		opt.Migrations = append(opt.Migrations, func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("users"))
			return b.Put([]byte("form"), fmt.Appendf(nil, "%d", n))
		})
	}
	return opt
}

// write starts a program on a file and lets it add a user.
func write(t *testing.T, path string, opt Options, user string) {
	t.Helper()
	db, err := Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return Put(tx.Bucket([]byte("users")), user, true) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// users starts a program on a file and lists what it finds.
func users(t *testing.T, path string, opt Options) string {
	t.Helper()
	db, err := Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("users")).ForEach(func(k, v []byte) error {
			all = append(all, string(k))
			return nil
		})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// beside lists what is in the folder of a file.
func beside(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestTheVersionBeforeFindsItsOwnData(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	path := filepath.Join(root, "switch", "state.db")
	write(t, path, version(1), "alice")
	write(t, path, version(2), "bob") // on trial
	write(t, path, version(2), "carol")
	if got := beside(t, path); got != "state.db state.db.v1" {
		t.Fatalf("during the trial: %s", got)
	}
	for range 2 {
		if got := users(t, path, version(1)); got != "alice" {
			t.Fatalf("the version before finds %q", got)
		}
	}
	if got := beside(t, path); got != "state.db state.db.v2-aside" {
		t.Fatalf("after it came back: %s", got)
	}
	aside, err := copies.Find(root)
	if err != nil || len(aside) != 1 || aside[0].Path != "switch/state.db" || time.Since(aside[0].At) > time.Hour {
		t.Errorf("set aside: %+v, %v", aside, err)
	}
	if got := users(t, path+".v2-aside", version(2)); got != "alice bob carol form" {
		t.Errorf("in what was set aside: %q", got)
	}
}

func TestAVersionThatStaysDropsCopies(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	path := filepath.Join(root, "admin", "vault", "vault.db")
	write(t, path, version(1), "alice")
	write(t, path, version(3), "bob")
	now := time.Now()
	if err := copies.Drop(root, now); err != nil {
		t.Fatal(err)
	}
	if got := beside(t, path); got != "vault.db" {
		t.Errorf("beside it: %s", got)
	}
	if got := users(t, path, version(3)); got != "alice bob form" {
		t.Errorf("%q", got)
	}
	if _, err := Open(path, version(2)); err == nil || !strings.Contains(err.Error(), "newer image") {
		t.Errorf("an older version without a copy: %v", err)
	}
}

func TestWhatIsSetAsideGoesWithTheNextVersionThatStays(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	path := filepath.Join(root, "switch", "state.db")
	write(t, path, version(1), "alice")
	write(t, path, version(2), "bob")
	write(t, path, version(1), "carol")
	write(t, path, version(3), "dave") // the next trial
	if got := users(t, path, version(3)); got != "alice carol dave form" {
		t.Errorf("%q", got)
	}
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, "state.db state.db.v2-aside"}, {copies.AsideFor + time.Hour, "state.db"}} {
		if err := copies.Drop(root, time.Now().Add(c.after)); err != nil {
			t.Fatal(err)
		}
		if got := beside(t, path); got != c.want {
			t.Errorf("after %v: %s", c.after, got)
		}
	}
}

// TestAPowerCutAtEachRename cuts a migration and a return where the disk may be left: behind each change
// of a name.
func TestAPowerCutAtEachRename(t *testing.T) {
	t.Parallel()
	fresh := func(schema int) (root, path string) {
		root = t.TempDir()
		path = filepath.Join(root, "switch", "state.db")
		write(t, path, version(schema), "alice")
		return root, path
	}

	_, path := fresh(1)
	if err := os.WriteFile(path+".v1.new", []byte("half a cop"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := users(t, path, version(1)); got != "alice" {
		t.Errorf("a copy that was being written: %q", got)
	}
	write(t, path, version(2), "bob")
	if got := users(t, path, version(1)); got != "alice" {
		t.Errorf("a copy that was written twice: %q", got)
	}

	_, path = fresh(1) // the copy is there, the migration is not
	if err := os.WriteFile(path+".v1", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, path, version(1), "bob") // the version before goes on meanwhile
	write(t, path, version(2), "carol")
	if got := users(t, path, version(1)); got != "alice bob" {
		t.Errorf("a copy of an earlier try is used: %q", got)
	}

	_, path = fresh(1) // the newer file is aside, the copy has not its name yet
	write(t, path, version(2), "bob")
	if err := os.Rename(path, path+".v2-aside"); err != nil {
		t.Fatal(err)
	}
	if got := users(t, path, version(1)); got != "alice" {
		t.Errorf("half way back: %q", got)
	}
	if got := beside(t, path); got != "state.db state.db.v2-aside" {
		t.Errorf("half way back: %s", got)
	}
}

func TestAMigrationWithoutRoomForACopyIsNotDone(t *testing.T) {
	t.Parallel()
	err := copies.Keep(filepath.Join(t.TempDir(), "state.db"), 1, 1<<62, nil)
	if err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("%v", err)
	}
}

func TestAVersionBeforeWithoutAFileHasNoneAgain(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	path := filepath.Join(root, "switch", "state.db")
	write(t, path, version(2), "bob") // on trial: the version before had none
	if got := beside(t, path); got != "state.db state.db.v0" {
		t.Fatalf("during the trial: %s", got)
	}
	if got := users(t, path, version(1)); got != "" {
		t.Errorf("the version before finds %q", got)
	}
	if got := beside(t, path); got != "state.db state.db.v2-aside" {
		t.Errorf("after it came back: %s", got)
	}
	if aside, err := copies.Find(root); err != nil || len(aside) != 1 {
		t.Errorf("%+v, %v", aside, err)
	}
}

func TestAVersionThatIsNotOnTrialKeepsNoCopies(t *testing.T) {
	t.Setenv(copies.Env, filepath.Join(t.TempDir(), "trial"))
	path := filepath.Join(t.TempDir(), "switch", "state.db")
	write(t, path, version(1), "alice")
	write(t, path, version(2), "bob")
	if got := beside(t, path); got != "state.db" {
		t.Errorf("beside it: %s", got)
	}
	if _, err := Open(path, version(1)); err == nil {
		t.Error("an older version opens it")
	}
}
