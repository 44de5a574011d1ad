package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/firmware/setup"
)

// person types into a terminal whose screen is a file.
func person(t *testing.T, typed string) (*terminal, func() string) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "screen"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // its folder goes
	term := &terminal{out: []*os.File{f}, keys: make(chan byte, len(typed))}
	for i := range len(typed) {
		term.keys <- typed[i]
	}
	return term, func() string {
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestADiskIsChosen(t *testing.T) {
	t.Parallel()
	empty, ours, foreign := setup.Disk{Name: "vda"}, setup.Disk{Name: "vdb", Content: setup.Ours}, setup.Disk{Name: "vdc", Content: setup.Foreign}
	stick := setup.Disk{Name: "sda", Unfit: "the installer was started from it"}
	for name, c := range map[string]struct {
		disks []setup.Disk
		typed string
		want  string
		erase bool
	}{
		"the only one, empty":        {[]setup.Disk{stick, empty}, "", "vda", false},
		"the only one, kept":         {[]setup.Disk{ours, stick}, "", "vdb", false},
		"stopped, then asked for":    {[]setup.Disk{empty}, " 1\r", "vda", false},
		"stopped, and begun anew":    {[]setup.Disk{ours}, "x1\rerase\r", "vdb", true},
		"stopped, and kept":          {[]setup.Disk{ours}, "x1\nkeep\n", "vdb", false},
		"something else is lost":     {[]setup.Disk{foreign, stick}, "1\rerase\r", "vdc", true},
		"not agreed, then agreed":    {[]setup.Disk{foreign}, "1\rno\r1\rkeep\r1\rerase\r", "vdc", true},
		"one of two":                 {[]setup.Disk{empty, stick, foreign}, "2\rerase\r", "vdc", true},
		"a number that is none":      {[]setup.Disk{empty, ours}, "3\r0\rsda\r2\rkeep\r", "vdb", false},
		"with a slip of the fingers": {[]setup.Disk{empty, ours}, "2\x7f1\r", "vda", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			term, screen := person(t, c.typed)
			d, erase, err := choose(term, func() ([]setup.Disk, error) { return c.disks, nil }, time.Millisecond)
			if err != nil || d.Name != c.want || erase != c.erase {
				t.Errorf("%s %v, %v\n%s", d.Name, erase, err, screen())
			}
		})
	}
}

func TestADiskIsWaitedFor(t *testing.T) {
	t.Parallel()
	term, screen := person(t, "\r1\r")
	looks := 0
	d, _, err := choose(term, func() ([]setup.Disk, error) {
		if looks++; looks == 1 {
			return []setup.Disk{{Name: "sdb", Unfit: "it is on USB"}}, nil
		}
		return []setup.Disk{{Name: "vda"}}, nil
	}, time.Millisecond)
	if err != nil || d.Name != "vda" || !strings.Contains(screen(), "no disk in this box") || !strings.Contains(screen(), "it is on USB") {
		t.Errorf("%+v, %v\n%s", d, err, screen())
	}
	gone := errors.New("gone")
	if _, _, err := choose(term, func() ([]setup.Disk, error) { return nil, gone }, time.Millisecond); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

func TestProgressIsShownInTenths(t *testing.T) {
	t.Parallel()
	term, screen := person(t, "")
	show := progress(term)
	for done := range int64(1001) {
		show(setup.Writing, done, 1000)
	}
	if n := strings.Count(screen(), "\n"); n != 11 || !strings.HasSuffix(screen(), "writing: 100 %\r\n") {
		t.Errorf("%d lines\n%s", n, screen())
	}
}

func TestEveryConsoleIsUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	active := filepath.Join(dir, "active")
	if err := errors.Join(os.WriteFile(active, []byte("tty0 ttyS0 gone\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "tty0"), nil, 0o600), os.WriteFile(filepath.Join(dir, "ttyS0"), []byte("y\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	term := openTerminal(active, dir)
	term.reopen()
	if text, err := term.line(time.Minute); err != nil || text != "y" {
		t.Errorf("%q, %v", text, err)
	}
	screen, err := os.ReadFile(filepath.Join(dir, "tty0"))
	if err != nil || !strings.Contains(string(screen), "y") {
		t.Errorf("the other does not show what was typed: %q, %v", screen, err)
	}
	if _, err := term.line(time.Millisecond); !errors.Is(err, errLate) {
		t.Errorf("%v", err)
	}
}
