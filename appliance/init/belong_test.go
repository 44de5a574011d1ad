package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// parts are the data partition and the identity partition of a disk.
type parts struct {
	t              *testing.T
	data, identity string
}

func newParts(t *testing.T) *parts {
	t.Helper()
	return &parts{t, t.TempDir(), t.TempDir()}
}

// start looks at the partitions as a start does, and returns the code of what is wrong.
func (p *parts) start() string {
	p.t.Helper()
	serial, err := serialOf(p.identity)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := belongs(p.data, p.identity, serial); err != nil {
		return problem.Of(err).Code
	}
	return ""
}

// use lets a daemon keep something.
func (p *parts) use() {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Join(p.data, "switch"), 0o700); err != nil {
		p.t.Fatal(err)
	}
}

func TestDataOfAnotherBoxIsFound(t *testing.T) {
	t.Parallel()
	ours, other := newParts(t), newParts(t)
	for _, p := range []*parts{ours, other} {
		if code := p.start(); code != "" {
			t.Fatalf("a new box: %s", code)
		}
		p.use()
		if code := p.start(); code != "" {
			t.Fatalf("its second start: %s", code)
		}
	}
	moved := &parts{t, other.data, ours.identity}
	if code := moved.start(); code != foreignCode {
		t.Errorf("another box's data: %q", code)
	}
	if code := (&parts{t, other.data, t.TempDir()}).start(); code != foreignCode {
		t.Errorf("another box's data in a new box: %q", code)
	}
	if code := (&parts{t, t.TempDir(), ours.identity}).start(); code != "" {
		t.Errorf("after a factory reset: %q", code)
	}
	nameless := &parts{t, t.TempDir(), ours.identity}
	nameless.use()
	if code := nameless.start(); code != foreignCode {
		t.Errorf("data that says nothing of its box: %q", code)
	}
	serial, err := serialOf(ours.identity)
	if err != nil {
		t.Fatal(err)
	}
	if err := adopt(moved.data, serial); err != nil {
		t.Fatal(err)
	}
	if code := moved.start(); code != "" {
		t.Errorf("adopted: %q", code)
	}
	if code := other.start(); code != foreignCode {
		t.Errorf("the box that it came from: %q", code)
	}
}

func TestDataFromBeforeBoxesWereNamedIsTaken(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	p.use()
	for range 2 {
		if code := p.start(); code != "" {
			t.Fatal(code)
		}
	}
	for _, left := range []string{filepath.Join(p.identity, pairedFile), ""} { // a power cut before the last write
		if left != "" {
			if err := os.Remove(left); err != nil {
				t.Fatal(err)
			}
		}
		if code := p.start(); code != "" {
			t.Errorf("after a power cut: %s", code)
		}
	}
}

func TestThePageTellsWhatHelps(t *testing.T) {
	t.Parallel()
	all := specs(problem.New(problem.Conflict, foreignCode, "the data is another box's", "adopt it"))
	if len(all) != 2 || all[1].Name != "admind" {
		t.Fatalf("%+v", all)
	}
	if args := strings.Join(all[1].Args, "|"); !strings.Contains(args, "--trouble|the data is another box's|--cure|adopt it") || strings.Contains(args, dataDir+"/") {
		t.Errorf("%s", args)
	}
	if env := strings.Join(all[1].Env, "|"); env != "SANCHAR_TRIAL=/run/sanchar/trial|SANCHAR_RETREAT=/run/sanchar/retreat-admind" {
		t.Errorf("%q", env)
	}
	if len(specs(nil)) != len(daemons()) {
		t.Error("a daemon has no folder")
	}
}

func TestOnlyDataOfAnotherBoxIsAdopted(t *testing.T) {
	t.Parallel()
	for _, trouble := range []error{nil, os.ErrPermission} {
		if err := (&starter{trouble: trouble}).adopt(); problem.Of(err).Code != "box.own" {
			t.Errorf("%v: %v", trouble, err)
		}
	}
}
