package copies

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestNothingButCopiesIsDropped(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	files := map[string]bool{ // whether it stays
		"switch/state.db": true, "switch/state.db.v1": false, "switch/state.db.v0": false, "switch/state.db.v2.new": false,
		"switch/state.db.v2-aside":   true, // it is young
		"switch/state.db.v01":        true,
		"switch/state.db.version":    true,
		"media/sounds/welcome.v2":    true, // somebody's own: there is no file welcome
		"admin/vault/vault.db":       true,
		"admin/vault/vault.db.v12":   false,
		"admin/vault/files/x":        true,
		"admin/vault/files/x.v1":     true, // too deep to be ours
		"net/network.json.v2-aside":  true, // the version before had none
		"net/network.history/1.json": true,
	}
	for name := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Drop(root, time.Now()); err != nil {
		t.Fatal(err)
	}
	for name, stays := range files {
		if _, err := os.Stat(filepath.Join(root, name)); (err == nil) != stays {
			t.Errorf("%s: %v, it stays: %v", name, err, stays)
		}
	}
	aside, err := Find(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range aside {
		names = append(names, a.Path)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"net/network.json", "switch/state.db"}) {
		t.Errorf("set aside: %v", names)
	}
}

func TestOneFileIsSetAside(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	for _, name := range []string{path, path + ".v1", path + ".v2-aside"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if back, err := Back(path, 3, 1); !back || err != nil {
		t.Fatalf("%v, %v", back, err)
	}
	left, err := filepath.Glob(path + "*")
	if err != nil || !slices.Equal(left, []string{path, path + ".v3-aside"}) {
		t.Errorf("%v, %v", left, err)
	}
	if back, err := Back(path, 3, 1); back || err != nil {
		t.Errorf("without a copy: %v, %v", back, err)
	}
}
