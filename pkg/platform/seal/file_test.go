package seal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// chip returns the key of a security chip for a daemon.
func chip(t testing.TB, fill byte) *Key {
	t.Helper()
	run := t.TempDir()
	if err := os.MkdirAll(filepath.Join(run, ChipDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(run, ChipDir, "switch"), bytes.Repeat([]byte{fill}, keyBytes), 0o400); err != nil {
		t.Fatal(err)
	}
	k, err := Chip(run, "switch")
	if err != nil || k == nil {
		t.Fatalf("%v, %v", k, err)
	}
	return k
}

func TestABoxWithoutAChipHasNoKeyOfOne(t *testing.T) {
	t.Parallel()
	if k, err := Chip(t.TempDir(), "switch"); k != nil || err != nil {
		t.Fatalf("%v, %v", k, err)
	}
	run := t.TempDir()
	if err := os.MkdirAll(filepath.Join(run, ChipDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(run, ChipDir, "switch"), make([]byte, keyBytes), 0o444); err != nil {
		t.Fatal(err)
	}
	if _, err := Chip(run, "switch"); problem.Of(err).Code != "seal.key.mode" {
		t.Errorf("a key that others can read: %v", err)
	}
}

func TestAWrappedKeyFileOpensWithItsChipAlone(t *testing.T) {
	t.Parallel()
	ours := chip(t, 1)
	dir := t.TempDir()
	path := filepath.Join(dir, "seal.key")
	first, err := Load(path, false, ours)
	if err != nil {
		t.Fatal(err)
	}
	sealed := first.Seal(nil, []byte("secret"), nil)
	again, err := Load(path, true, ours)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open(nil, sealed, nil); err != nil || string(got) != "secret" {
		t.Fatalf("%q, %v", got, err)
	}
	moved := filepath.Join(dir, "hooks.key")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(moved, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "seal.key")
	if err := os.WriteFile(cut, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path  string
		under *Key
		code  string
	}{
		"no chip":      {path, nil, "seal.key.wrapped"},
		"another chip": {path, chip(t, 2), "seal.key.foreign"},
		"another name": {moved, ours, "seal.key.damaged"},
		"cut":          {cut, ours, "seal.key.damaged"},
	} {
		if _, err := Load(c.path, true, c.under); problem.Of(err).Code != c.code || problem.Of(err).Cure == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, whole) {
		t.Errorf("who could not open the file changed it: %v", err)
	}
}

// TestAPowerCutWhileAKeyIsWrappedLosesNothing ends the work behind each of its steps.
func TestAPowerCutWhileAKeyIsWrappedLosesNothing(t *testing.T) {
	t.Parallel()
	under := chip(t, 1)
	key := bytes.Repeat([]byte("k"), keyBytes)
	path := filepath.Join(t.TempDir(), "x")
	steps := len(under.wrapping(path, key))
	for done := 0; done <= steps; done++ {
		path := filepath.Join(t.TempDir(), "seal.key")
		if err := os.WriteFile(path, key, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, step := range under.wrapping(path, key)[:done] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if got, err := ReadFile(path, under); err != nil || !bytes.Equal(got, key) {
				t.Fatalf("cut behind step %d: %q, %v", done, got, err)
			}
		}
		inClear(t, filepath.Dir(path), key, done)
	}
}

// inClear fails if a file in dir has the key in clear, or if anything is there but the key file.
func inClear(t *testing.T, dir string, key []byte, done int) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || bytes.Contains(text, key) || f.Name() != "seal.key" {
			t.Errorf("cut behind step %d: %s is there, %d bytes, %v", done, f.Name(), len(text), err)
		}
	}
}

func TestTheOldBlocksOfAKeyAreOverwritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tls.key")
	key := []byte("-----BEGIN PRIVATE KEY-----")
	if err := os.WriteFile(path, key, 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(path) // the old blocks are read through it when they have no name any more
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if _, err := ReadFile(path, chip(t, 1)); err != nil {
		t.Fatal(err)
	}
	left := make([]byte, len(key))
	if _, err := old.ReadAt(left, 0); err != nil || !bytes.Equal(left, make([]byte, len(key))) {
		t.Errorf("the old blocks say %q, %v", left, err)
	}
}
