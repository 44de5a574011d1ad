package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/install"
	"github.com/coraltele/sanchar/pkg/platform/copies"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	// trialTime is how long a new version may take to show that it is well: daemons that start, stores
	// that migrate, an address that a slow server gives.
	trialTime = 10 * time.Minute
	// trialFile is there, in memory, as long as the version that runs is on trial: daemons keep copies then.
	trialFile = "trial"
	// failedKept is how many versions that were given up are remembered.
	failedKept = 8
)

// bootPartition lets somebody look at the boot partition, or change it.
type bootPartition interface {
	Read(at string, do func(boot string) error) error
	Write(at string, do func(boot string) error) error
}

// memory is what outlives a start: it stands on the data partition.
type memory struct {
	Trial  *attempt         `json:"trial,omitempty"`
	Failed []ctl.BootFailed `json:"failed,omitempty"`
	// Stays is the version that was told to stay, until the copies that the one before would have needed
	// are removed.
	Stays string `json:"stays,omitempty"`
}

// attempt counts the starts of a version on trial that came as far as its init.
type attempt struct {
	Version string `json:"version"`
	Starts  int    `json:"starts"`
}

// starter knows which version runs and whether it is on trial, and restarts the box.
type starter struct {
	version string
	slot    string // "" where the boot partition was not found
	part    bootPartition
	at      string // where the boot partition is mounted while it is looked at
	run     string // folder in memory
	data    string // where the data partition is mounted; "" while there is none
	chip    *chip
	trouble error // why the box runs the page alone
	ill     func() string
	log     *slog.Logger
	restart func(why string)

	mu     sync.Mutex // guards what follows
	images []ctl.BootImage
	trial  *ctl.BootTrial
	kept   memory
	fault  error
	over   chan struct{} // closed when the trial is over
}

// open reads what there is. What it cannot read it tells of later: the box runs.
func (s *starter) open(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = make(chan struct{})
	if err := s.recall(); err != nil {
		s.log.Error("what became of versions before is not known", "err", err)
	}
	var all []install.Entry
	settled := true
	s.fault = s.part.Read(s.at, func(boot string) (err error) {
		if all, err = install.Entries(boot); err == nil {
			settled, err = install.Settled(boot, s.slot)
		}
		return err
	})
	if s.fault != nil {
		s.log.Error("the boot partition cannot be read", "err", s.fault)
		return
	}
	if !settled {
		if err := s.part.Write(s.at, func(boot string) error { return install.Settle(boot, s.slot) }); err != nil {
			s.log.Error("an image that is good keeps the name of one that is not", "err", err)
		}
	}
	s.takeLocked(all)
	if e, ok := install.Running(all, s.slot); ok && e.Left >= 0 {
		s.beginLocked(e, now)
	} else {
		s.blameLocked(all, now)
		s.dropLocked(now)
	}
	s.keepLocked()
}

func (s *starter) takeLocked(all []install.Entry) {
	s.images = nil
	for _, e := range all {
		state := map[bool]string{true: ctl.ImageGood, false: ctl.ImageTrial}[e.Left < 0]
		if e.Left == 0 && e.Slot != s.slot {
			state = ctl.ImageFailed
		}
		s.images = append(s.images, ctl.BootImage{Version: e.Version, Slot: e.Slot, State: state, Left: max(e.Left, 0)})
	}
}

// beginLocked begins a try of the version that runs.
func (s *starter) beginLocked(e install.Entry, now time.Time) {
	if s.kept.Trial == nil || s.kept.Trial.Version != e.Version {
		s.kept.Trial = &attempt{Version: e.Version}
	}
	s.kept.Trial.Starts++
	if err := fsx.WriteFile(filepath.Join(s.run, trialFile), nil, 0o600); err != nil {
		s.log.Error("the daemons keep no copies for the version before", "err", err)
	}
	s.trial = &ctl.BootTrial{Since: now.UTC(), Until: now.Add(trialTime).UTC(), Start: max(e.Done, 1)}
	s.log.Warn("this version is on trial", "start", s.trial.Start, "left", e.Left)
}

// blameLocked tells why a version that had all its tries did not stay, if nobody has: it could not say
// so itself.
func (s *starter) blameLocked(all []install.Entry, now time.Time) {
	for _, e := range install.Failed(all) {
		if slices.ContainsFunc(s.kept.Failed, func(f ctl.BootFailed) bool { return f.Version == e.Version }) {
			continue
		}
		reason := fmt.Sprintf("it did not start (tries: %d): its kernel, its root or its first program is damaged, or hangs", e.Done)
		if t := s.kept.Trial; t != nil && t.Version == e.Version {
			reason = fmt.Sprintf("it started %d times and was restarted before it was well: it hung, crashed, or lost power", t.Starts)
		}
		s.failLocked(e.Version, reason, now)
	}
	s.kept.Trial = nil
}

// dropLocked removes the copies that the version before would have needed, once the one that runs stays.
// After a return they are the data of the version that runs.
func (s *starter) dropLocked(now time.Time) {
	if s.kept.Stays == s.version && s.data != "" {
		if err := copies.Drop(s.data, now); err != nil {
			s.log.Error("not all copies for the version before are removed", "err", err)
			return // the next start does it
		}
	}
	s.kept.Stays = ""
}

func (s *starter) failLocked(version, reason string, now time.Time) {
	s.log.Error("a version was given up", "version", version, "reason", reason)
	s.kept.Failed = slices.DeleteFunc(s.kept.Failed, func(f ctl.BootFailed) bool { return f.Version == version })
	s.kept.Failed = append(s.kept.Failed, ctl.BootFailed{Version: version, At: now.UTC(), Reason: reason})
	if n := len(s.kept.Failed); n > failedKept {
		s.kept.Failed = s.kept.Failed[n-failedKept:]
	}
}

// path of the memory.
func (s *starter) path() string { return filepath.Join(s.data, "init", "versions.json") }

// recall reads the memory; there is none at first.
func (s *starter) recall() error {
	if s.data == "" {
		return nil
	}
	data, err := os.ReadFile(s.path())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, &s.kept)
}

func (s *starter) keepLocked() {
	if s.data == "" {
		return
	}
	data, err := json.Marshal(s.kept)
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(s.path()), 0o700), fsx.WriteFile(s.path(), data, 0o600))
	}
	if err != nil {
		s.log.Error("what became of a version is not kept", "err", err)
	}
}

// boot is what others are told.
func (s *starter) boot() ctl.Boot {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := ctl.Boot{Version: s.version, Slot: s.slot, Images: slices.Clone(s.images), Trial: s.trial, Failed: slices.Clone(s.kept.Failed)}
	if s.fault != nil {
		b.Fault = s.fault.Error()
	}
	b.Keys, b.Foreign = s.chip.state(), problem.Of(s.trouble).Code == foreignCode
	if s.data != "" {
		b.Aside = s.aside()
	}
	return b
}

// aside lists what a version wrote that did not stay.
func (s *starter) aside() (all []ctl.BootAside) {
	found, err := copies.Find(s.data)
	if err != nil {
		s.log.Error("what was set aside is not known", "err", err)
	}
	for _, f := range found {
		all = append(all, ctl.BootAside{File: f.Path, At: f.At.UTC()})
	}
	return all
}

// watch gives the version up when its time is over and nobody has said that it is well.
func (s *starter) watch(ctx context.Context) {
	s.mu.Lock()
	trial := s.trial
	s.mu.Unlock()
	if trial == nil {
		return
	}
	end := time.NewTimer(time.Until(trial.Until))
	defer end.Stop()
	select {
	case <-ctx.Done():
	case <-s.over:
	case <-end.C:
		reason := fmt.Sprintf("it did not show within %v that it is well", trialTime)
		if name := s.ill(); name != "" {
			reason += ": " + name + " does not run"
		}
		if err := s.end(ctl.TrialReport{Reason: reason}); err != nil {
			s.log.Error("the trial cannot be ended; the box restarts", "err", err)
			s.restart(reason)
		}
	}
}

// end keeps the version that runs, or gives it up and starts the one before.
func (s *starter) end(r ctl.TrialReport) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trial == nil {
		return problem.New(problem.Conflict, "update.trial", "the version that runs is not on trial", "look at the state of the update")
	}
	act := install.Reject
	if r.OK {
		act = install.Bless
		s.kept.Stays = s.version // first: a power cut behind the blessing must not leave copies
		s.keepLocked()
	}
	var all []install.Entry
	err := s.part.Write(s.at, func(boot string) (err error) {
		if err := act(boot, s.slot); err != nil {
			return err
		}
		all, err = install.Entries(boot)
		return err
	})
	if err != nil {
		return err
	}
	s.takeLocked(all)
	s.trial, s.kept.Trial = nil, nil
	close(s.over)
	if r.OK {
		if err := os.Remove(filepath.Join(s.run, trialFile)); err != nil {
			s.log.Error("the daemons go on to keep copies", "err", err)
		}
		s.kept.Failed = slices.DeleteFunc(s.kept.Failed, func(f ctl.BootFailed) bool { return f.Version == s.version })
		s.dropLocked(time.Now())
		s.keepLocked()
		s.log.Info("this version is well and stays")
		return nil
	}
	s.failLocked(s.version, r.Reason, time.Now())
	s.keepLocked()
	s.restart("a version was given up, " + s.version + ": " + r.Reason)
	return nil
}
