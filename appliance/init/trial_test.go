package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/install"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// folder is a boot partition.
type folder string

func (f folder) Read(_ string, do func(string) error) error  { return do(string(f)) }
func (f folder) Write(_ string, do func(string) error) error { return do(string(f)) }

// broken is a boot partition that cannot be read.
type broken struct{}

func (broken) Read(string, func(string) error) error  { return errors.New("damaged") }
func (broken) Write(string, func(string) error) error { return errors.New("damaged") }

type rig struct {
	t   *testing.T
	dir string

	mu       sync.Mutex // guards restarts
	restarts []string
}

func (r *rig) restart(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.restarts = append(r.restarts, why)
}

func (r *rig) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.restarts)
}

// start is a start of the box with these images, of which that in slot runs.
func (r *rig) start(version, slot string, images ...string) *starter {
	r.t.Helper()
	dir := filepath.Join(r.dir, "EFI/Linux")
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		r.t.Fatal(err)
	}
	for _, i := range images {
		if err := os.WriteFile(filepath.Join(dir, "sanchar-"+i+".efi"), nil, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	s := &starter{
		version: version, slot: slot, part: folder(r.dir), run: r.t.TempDir(), data: filepath.Join(r.dir, "data"), chip: &chip{}, log: slog.New(slog.DiscardHandler),
		ill: func() string { return "switchd" }, restart: r.restart,
	}
	s.open(time.Now())
	return s
}

func (r *rig) images() (names string) {
	found, err := filepath.Glob(filepath.Join(r.dir, "EFI/Linux/*"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range found {
		names += strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "sanchar-"), ".efi") + " "
	}
	return strings.TrimSpace(names)
}

func TestAVersionThatIsWellStays(t *testing.T) {
	t.Parallel()
	r := &rig{t: t, dir: t.TempDir()}
	s := r.start("2.0.0", "b", "1.0.0-a", "2.0.0-b+2-1")
	if b := s.boot(); b.Trial == nil || b.Trial.Start != 1 || len(b.Images) != 2 {
		t.Fatalf("%+v", b)
	}
	if _, err := os.Stat(filepath.Join(s.run, trialFile)); err != nil {
		t.Errorf("the daemons keep no copies: %v", err)
	}
	if err := s.end(ctl.TrialReport{OK: true}); err != nil {
		t.Fatal(err)
	}
	if b := s.boot(); b.Trial != nil || r.images() != "1.0.0-a 2.0.0-b" || len(r.restarts) != 0 || b.Images[0].State != ctl.ImageGood {
		t.Errorf("%+v, %s, %v", b, r.images(), r.restarts)
	}
	if _, err := os.Stat(filepath.Join(s.run, trialFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the daemons go on to keep copies: %v", err)
	}
	if err := s.end(ctl.TrialReport{OK: true}); problem.Of(err).Code != "update.trial" {
		t.Errorf("a second end: %v", err)
	}
}

func TestAVersionThatIsNotWellGoesAtOnce(t *testing.T) {
	t.Parallel()
	r := &rig{t: t, dir: t.TempDir()}
	s := r.start("2.0.0", "b", "1.0.0-a", "2.0.0-b+2-1")
	if err := s.end(ctl.TrialReport{Reason: "no tone was heard"}); err != nil {
		t.Fatal(err)
	}
	if r.images() != "1.0.0-a 2.0.0-b+0-3" || len(r.restarts) != 1 || !strings.Contains(r.restarts[0], "no tone") {
		t.Fatalf("%s, %v", r.images(), r.restarts)
	}
	b := r.start("1.0.0", "a", "1.0.0-a", "2.0.0-b+0-3").boot()
	if len(b.Failed) != 1 || b.Failed[0].Reason != "no tone was heard" || b.Failed[0].Version != "2.0.0" || b.Images[0].State != ctl.ImageFailed {
		t.Errorf("%+v", b)
	}
}

// An older version was asked for and did not stay: the one that comes back is good, and has its name again
// before its starts are taken for tries.
func TestAVersionComesBackFromBehindAnOlderOne(t *testing.T) {
	t.Parallel()
	r := &rig{t: t, dir: t.TempDir()}
	b := r.start("2.0.0", "a", "2.0.0-a+0-1", "1.0.0-b+0-3").boot()
	if b.Trial != nil || len(b.Failed) != 1 || b.Failed[0].Version != "1.0.0" || r.images() != "1.0.0-b+0-3 2.0.0-a" {
		t.Errorf("%+v, %s", b, r.images())
	}
	r = &rig{t: t, dir: t.TempDir()}
	b = r.start("2.0.0", "a", "2.0.0-a+0", "1.0.0-b+3").boot() // the power was cut before the older one started
	if b.Trial != nil || len(b.Failed) != 0 || r.images() != "1.0.0-b+3 2.0.0-a+0" {
		t.Errorf("%+v, %s", b, r.images())
	}
	b = r.start("1.0.0", "b", "2.0.0-a+0", "1.0.0-b").boot()
	if b.Trial != nil || b.Images[0].State != ctl.ImageGood || r.images() != "1.0.0-b 2.0.0-a+0" {
		t.Errorf("%+v, %s", b, r.images())
	}
}

func TestAVersionThatCouldNotSayWhy(t *testing.T) {
	t.Parallel()
	r := &rig{t: t, dir: t.TempDir()}
	if b := r.start("1.0.0", "a", "1.0.0-a", "2.0.0-b+0-3").boot(); len(b.Failed) != 1 || !strings.Contains(b.Failed[0].Reason, "did not start") {
		t.Errorf("it never came to its init: %+v", b.Failed)
	}
	for left := 2; left >= 1; left-- { // it comes to its init and hangs there
		r.start("3.0.0", "b", "1.0.0-a", fmt.Sprintf("3.0.0-b+%d-%d", left, 3-left))
	}
	b := r.start("1.0.0", "a", "1.0.0-a", "3.0.0-b+0-3").boot()
	if len(b.Failed) != 2 || !strings.Contains(b.Failed[1].Reason, "started 2 times") {
		t.Errorf("%+v", b.Failed)
	}
	if b := r.start("1.0.0", "a", "1.0.0-a", "3.0.0-b+0-3").boot(); len(b.Failed) != 2 {
		t.Errorf("it is blamed again: %+v", b.Failed)
	}
}

func TestATrialThatNobodyEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, dir: dir}
		s := r.start("2.0.0", "b", "1.0.0-a", "2.0.0-b+2-1")
		go s.watch(t.Context())
		time.Sleep(trialTime - time.Second)
		synctest.Wait()
		if len(r.asked()) != 0 {
			t.Fatal("it was given up too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(r.asked()) != 1 || r.images() != "1.0.0-a 2.0.0-b+0-3" || !strings.Contains(s.boot().Failed[0].Reason, "switchd does not run") {
			t.Errorf("%v, %s, %+v", r.asked(), r.images(), s.boot().Failed)
		}
	})
}

func TestABootPartitionThatCannotBeReadStopsNobody(t *testing.T) {
	t.Parallel()
	s := &starter{version: "1.0.0", slot: "a", part: broken{}, chip: &chip{}, log: slog.New(slog.DiscardHandler)}
	s.open(time.Now())
	if b := s.boot(); b.Fault == "" || b.Trial != nil {
		t.Errorf("%+v", b)
	}
}

func TestAResetIsAskedForOnTheBootPartition(t *testing.T) {
	t.Parallel()
	r := &rig{t: t, dir: t.TempDir()}
	s := r.start("1.0.0", "a", "1.0.0-a")
	if err := s.askReset(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(r.dir, resetFlag)); err != nil {
		t.Error(err)
	}
	if err := s.reset(); err != nil || len(r.asked()) != 1 || !strings.Contains(r.asked()[0], "button") {
		t.Errorf("by its button: %v, %v", r.asked(), err)
	}
	s.slot = ""
	if err := s.reset(); err == nil || len(r.asked()) != 1 {
		t.Errorf("a machine without an image is restarted: %v", r.asked())
	}
	if err := s.askReset(); problem.Of(err).Code != "reset.machine" {
		t.Errorf("without an image: %v", err)
	}
}

// A Raspberry Pi tries a version when it is asked to. After a power cut between the installation and the restart
// nobody has, so the next start does.
func TestAPiIsAskedForAVersionOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text, err := install.Autoboot("a")
	if err = errors.Join(err, os.MkdirAll(filepath.Join(dir, "slots"), 0o755), os.WriteFile(filepath.Join(dir, "autoboot.txt"), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sanchar-1.0.0-a.efi", "sanchar-2.0.0-b+1.efi"} {
		if err := os.WriteFile(filepath.Join(dir, "slots", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func(version, slot string) *starter {
		s := &starter{version: version, slot: slot, part: folder(dir), run: t.TempDir(), data: filepath.Join(dir, "data"), chip: &chip{}, log: slog.New(slog.DiscardHandler)}
		s.open(time.Now())
		return s
	}
	if n := start("1.0.0", "a").waiting(); n != 3 {
		t.Fatalf("partition %d, want 3", n)
	}
	s := start("2.0.0", "b")
	if b := s.boot(); b.Trial == nil || b.Trial.Start != 1 {
		t.Fatalf("%+v", b)
	}
	if n := s.waiting(); n != 0 {
		t.Errorf("on trial, partition %d is asked for", n)
	}
	again := start("1.0.0", "a") // it hung
	if b := again.boot(); len(b.Failed) != 1 || !strings.Contains(b.Failed[0].Reason, "started 1 times") || again.waiting() != 0 {
		t.Errorf("%+v", b)
	}
	if (&starter{part: broken{}, slot: "a", log: slog.New(slog.DiscardHandler)}).next() != 0 {
		t.Error("a boot partition that cannot be read names a partition")
	}
}

// write puts files on the data partition.
func (r *rig) write(names ...string) {
	r.t.Helper()
	for _, n := range names {
		path := filepath.Join(r.dir, "data", n)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// copied reports whether the copy for the version before is there.
func (r *rig) copied() bool {
	_, err := os.Stat(filepath.Join(r.dir, "data", "switch", "state.db.v1"))
	return err == nil
}

func TestCopiesForTheVersionBeforeGoWhenTheNewOneStays(t *testing.T) {
	t.Parallel()
	r := &rig{t: t, dir: t.TempDir()}
	r.start("2.0.0", "b", "1.0.0-a", "2.0.0-b+2-1")
	r.write("switch/state.db", "switch/state.db.v1")
	s := r.start("2.0.0", "b", "1.0.0-a", "2.0.0-b+1-2") // a second try
	if !r.copied() {
		t.Fatal("the copy is gone before the trial is over")
	}
	if err := s.end(ctl.TrialReport{OK: true}); err != nil {
		t.Fatal(err)
	}
	if r.copied() {
		t.Error("the version stays, and so does the copy")
	}
}

func TestCopiesStayWhenTheNewVersionGoes(t *testing.T) {
	t.Parallel()
	r := &rig{t: t, dir: t.TempDir()}
	s := r.start("2.0.0", "b", "1.0.0-a", "2.0.0-b+2-1")
	r.write("switch/state.db", "switch/state.db.v1", "net/network.json", "net/network.json.v2-aside")
	if err := s.end(ctl.TrialReport{Reason: "no tone was heard"}); err != nil {
		t.Fatal(err)
	}
	b := r.start("1.0.0", "a", "1.0.0-a", "2.0.0-b+0-3").boot()
	if !r.copied() {
		t.Error("the version that came back does not find its own data")
	}
	if len(b.Aside) != 1 || b.Aside[0].File != "net/network.json" || b.Aside[0].At.IsZero() {
		t.Errorf("set aside: %+v", b.Aside)
	}
}

// TestAPowerCutWhileAVersionIsBlessed cuts before the image has its name, and behind that.
func TestAPowerCutWhileAVersionIsBlessed(t *testing.T) {
	t.Parallel()
	for _, blessed := range []bool{false, true} {
		r := &rig{t: t, dir: t.TempDir()}
		s := r.start("2.0.0", "b", "1.0.0-a", "2.0.0-b+2-1")
		r.write("switch/state.db", "switch/state.db.v1")
		s.mu.Lock()
		s.kept.Stays = s.version
		s.keepLocked()
		s.mu.Unlock()
		if blessed {
			r.start("2.0.0", "b", "1.0.0-a", "2.0.0-b")
		} else {
			r.start("1.0.0", "a", "1.0.0-a", "2.0.0-b+0-3")
		}
		if r.copied() == blessed {
			t.Errorf("blessed %v: the copy is there: %v", blessed, r.copied())
		}
		if blessed {
			continue
		}
		r.write("switch/state.db.v1")
		r.start("2.0.0", "b", "2.0.0-b") // it is installed again, and good: nobody has told it to stay
		if !r.copied() {
			t.Error("what was said of an earlier try counts still")
		}
	}
}
