package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/platform/tpm"
	"github.com/coraltele/sanchar/pkg/testkit/swtpm"
)

// mainBoard is one with its disk: what is in memory is new at each start.
type mainBoard struct {
	t    *testing.T
	disk string
	open func() (transport.TPMCloser, error)
}

func newMainBoard(t *testing.T, open func() (transport.TPMCloser, error)) *mainBoard {
	t.Helper()
	return &mainBoard{t, t.TempDir(), open}
}

func chipless() (transport.TPMCloser, error) { return nil, tpm.ErrNone }

// start returns the chip of a start, with what is wrong.
func (b *mainBoard) start(onTrial bool) (*chip, error) {
	b.t.Helper()
	c := &chip{
		open: b.open, sealed: filepath.Join(b.disk, "init", "root.sealed"), data: b.disk,
		dir: filepath.Join(b.t.TempDir(), seal.ChipDir), log: slog.New(slog.DiscardHandler),
	}
	return c, c.hold(onTrial)
}

// use lets switchd open its key as it does at each start, and returns a value that it has sealed.
func (b *mainBoard) use(c *chip, sealed []byte) []byte {
	b.t.Helper()
	under, err := seal.Chip(filepath.Dir(c.dir), "switch")
	if err != nil {
		b.t.Fatal(err)
	}
	key, err := seal.Load(filepath.Join(b.disk, "switch", "seal.key"), sealed != nil, under)
	if err != nil {
		b.t.Fatal(err)
	}
	if sealed == nil {
		return key.Seal(nil, []byte("password"), nil)
	}
	if text, err := key.Open(nil, sealed, nil); err != nil || string(text) != "password" {
		b.t.Errorf("%q, %v", text, err)
	}
	return sealed
}

func (b *mainBoard) wrapped() bool {
	b.t.Helper()
	path, err := seal.Wrapped(b.disk)
	if err != nil {
		b.t.Fatal(err)
	}
	return path != ""
}

func TestTheChipTakesTheKeysOnceAVersionStays(t *testing.T) {
	t.Parallel()
	sw := swtpm.New(t)
	b := newMainBoard(t, chipless)
	c, err := b.start(false)
	if err != nil || c.state() != (ctl.BootKeys{Held: ctl.KeysClear}) {
		t.Fatalf("without a chip: %+v, %v", c.state(), err)
	}
	sealed := b.use(c, nil)

	b.open = sw.Open
	c, err = b.start(true)
	if err != nil || c.state().Held != ctl.KeysClear || c.state().Fault == "" {
		t.Fatalf("on trial: %+v, %v", c.state(), err)
	}
	b.use(c, sealed)
	if b.wrapped() {
		t.Fatal("the version before cannot open the keys any more")
	}

	for range 2 {
		c, err = b.start(false)
		if err != nil || c.state() != (ctl.BootKeys{Held: ctl.KeysChip}) {
			t.Fatalf("after the trial: %+v, %v", c.state(), err)
		}
		b.use(c, sealed)
		if !b.wrapped() {
			t.Fatal("the key lies in clear")
		}
	}
	if c, err = b.start(true); err != nil || c.state().Held != ctl.KeysChip { // of the next version
		t.Fatalf("on the next trial: %+v, %v", c.state(), err)
	}
	b.use(c, sealed)
}

func TestEachDaemonHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	b := newMainBoard(t, swtpm.New(t).Open)
	c, err := b.start(false)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, name := range daemons() {
		path := filepath.Join(c.dir, name)
		key, err := os.ReadFile(path)
		st, statErr := os.Stat(path)
		if errors.Join(err, statErr) != nil || seen[string(key)] || st.Mode().Perm() != 0o400 {
			t.Errorf("%s: %d bytes, %v, %v", name, len(key), err, statErr)
		}
		seen[string(key)] = true
	}
}

func TestADiskInAnotherBoxSaysWhatHelps(t *testing.T) {
	t.Parallel()
	own, other := swtpm.New(t), swtpm.New(t)
	b := newMainBoard(t, own.Open)
	c, err := b.start(false)
	if err != nil {
		t.Fatal(err)
	}
	sealed := b.use(c, nil)
	code, err := c.code()
	if err != nil {
		t.Fatal(err)
	}
	b.open = other.Open
	c, err = b.start(false)
	if p := problem.Of(err); p.Code != "keys.chip.other" || p.Cure == "" || c.state().Held != "" {
		t.Fatalf("%+v, %v", c.state(), err)
	}
	if _, err := c.code(); problem.Of(err).Code != "keys.trouble" {
		t.Errorf("it tells the code: %v", err)
	}
	if err := c.recover(code.Code); err != nil {
		t.Fatal(err)
	}
	if c, err = b.start(false); err != nil || c.state().Held != ctl.KeysChip {
		t.Fatalf("recovered: %+v, %v", c.state(), err)
	}
	b.use(c, sealed)
	if again, err := c.code(); err != nil || again != code {
		t.Errorf("it has another code: %v", err)
	}
	b.open = func() (transport.TPMCloser, error) { return nil, os.ErrPermission }
	if _, err := b.start(false); problem.Of(err).Code != "keys.chip" {
		t.Errorf("a chip that does not answer: %v", err)
	}
}

func TestAFactoryResetDestroysTheKeys(t *testing.T) {
	t.Parallel()
	r := &rig{t: t, dir: t.TempDir()}
	s := r.start("1.0.0", "a", "1.0.0-a")
	b := newMainBoard(t, swtpm.New(t).Open)
	var err error
	if s.chip, err = b.start(false); err != nil {
		t.Fatal(err)
	}
	b.use(s.chip, nil)
	old, err := os.Open(s.chip.sealed) // its blocks are read through it when they have no name any more
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := s.askReset(); err != nil {
		t.Fatal(err)
	}
	left := make([]byte, 16)
	if _, err := old.ReadAt(left, 0); err != nil || !bytes.Equal(left, make([]byte, 16)) {
		t.Errorf("the old blocks say %q, %v", left, err)
	}
	// Should the reset itself fail, no new key takes the place of the one that is gone.
	if _, err := b.start(false); problem.Of(err).Code != "keys.gone" {
		t.Errorf("%v", err)
	}
}

func TestAChipThatRefusesLeavesTheBoxAsItWas(t *testing.T) {
	t.Parallel()
	b := newMainBoard(t, func() (transport.TPMCloser, error) { return nil, os.ErrPermission })
	c, err := b.start(false)
	if err != nil || c.state().Held != ctl.KeysClear || c.state().Fault == "" {
		t.Errorf("%+v, %v", c.state(), err)
	}
	if _, err := c.code(); problem.Of(err).Code != "keys.clear" {
		t.Errorf("%v", err)
	}
}

func TestABoxWithoutItsChipIsHelped(t *testing.T) {
	t.Parallel()
	b := newMainBoard(t, swtpm.New(t).Open)
	c, err := b.start(false)
	if err != nil {
		t.Fatal(err)
	}
	sealed := b.use(c, nil)
	code, err := c.code()
	if err != nil {
		t.Fatal(err)
	}
	b.open = chipless
	c, err = b.start(false)
	if problem.Of(err).Code != "keys.chip.none" {
		t.Fatal(err)
	}
	if err := c.recover(code.Code); err != nil {
		t.Fatal(err)
	}
	if c, err = b.start(false); err != nil || c.state().Held != ctl.KeysClear {
		t.Fatalf("%+v, %v", c.state(), err)
	}
	b.use(c, sealed)
}
