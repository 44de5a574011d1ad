// Package update takes an update in, waits for calls to end, restarts the box, and afterwards says
// whether the new version is well.
package update

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/install"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	// MaxWait bounds how long a restart waits for calls.
	MaxWait = 8 * time.Hour
	// drainAhead is how far ahead new calls are refused each time: should we die, they are taken again
	// soon.
	drainAhead = 30 * time.Second
	lookEvery  = time.Second // at calls that are still up
	// wellWithin is how long a new version may take until it is well; init has the last word after that.
	wellWithin = 5 * time.Minute
	// tryEvery is how often a version that is not well yet is looked at again.
	tryEvery = 5 * time.Second
	// tellEvery bounds how often progress is told of.
	tellEvery = 250 * time.Millisecond
)

// Switch is what is asked of switchd.
type Switch interface {
	Calls(ctx context.Context) ([]ctl.LiveCall, error)
	Drain(ctx context.Context, in ctl.Drain) error
}

// Init is what is asked of the box's first program.
type Init interface {
	Boot(ctx context.Context) (ctl.Boot, error)
	EndTrial(ctx context.Context, r ctl.TrialReport) error
	Restart(ctx context.Context, r ctl.RestartRequest) error
}

// Config says who does the work.
type Config struct {
	// Target finds the place for an update, an error on a machine that has none.
	Target      func() (install.Target, error)
	Version     string // that runs
	Board       string
	Development bool // the keys are not the maker's
	Dir         string
	Switch      Switch
	Init        Init
	Well        func(ctx context.Context) error // whether the box does what it is for
	Changed     func()                          // the state is another one
	Log         *slog.Logger
}

// Options of one update.
type Options struct {
	Wait      time.Duration // for calls to end
	Downgrade bool          // an older version is asked for on purpose
	By        string
}

// Updates is the box's way to another version.
type Updates struct {
	cfg   Config
	ready chan Options // an update is in its place

	mu   sync.Mutex // guards what follows
	st   ctl.UpdateState
	told time.Time
	min  manifestFloor
}

// New returns what takes updates.
func New(cfg Config) (*Updates, error) {
	u := &Updates{cfg: cfg, ready: make(chan Options, 1)}
	var err error
	if u.min, err = readFloor(cfg.Dir); err != nil {
		return nil, err
	}
	u.st = ctl.UpdateState{Version: cfg.Version, Board: cfg.Board, Development: cfg.Development}
	return u, nil
}

// State tells how an update stands.
func (u *Updates) State(ctx context.Context) ctl.UpdateState {
	boot, err := u.cfg.Init.Boot(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	st := u.st
	if err != nil { // a machine that init does not run
		return st
	}
	st.Able = boot.Slot != "" && boot.Fault == ""
	st.Slot, st.Images, st.Trial, st.Failed, st.Fault = boot.Slot, boot.Images, boot.Trial, boot.Failed, boot.Fault
	st.Keys, st.Foreign, st.Aside = boot.Keys, boot.Foreign, boot.Aside
	return st
}

// change changes the state and tells of it.
func (u *Updates) change(do func(st *ctl.UpdateState)) {
	u.mu.Lock()
	do(&u.st)
	u.mu.Unlock()
	u.cfg.Changed()
}

// begin takes the one place for an update.
func (u *Updates) begin() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.st.Phase != ctl.UpdateIdle {
		return problem.New(problem.Conflict, "update.busy", "another update is under way", "wait until it is over")
	}
	u.st.Phase, u.st.Reason, u.st.Done, u.st.Total, u.st.Next = ctl.UpdateReceiving, "", 0, 0, ""
	return nil
}

// Receive writes an update into the place that does not run. When it returns without error the box
// restarts as soon as calls are over.
func (u *Updates) Receive(ctx context.Context, bundle io.Reader, o Options) (m manifest.Manifest, err error) {
	if o.Wait < 0 || o.Wait > MaxWait {
		return m, problem.Fields("update", []problem.Fault{{Path: "wait", Value: o.Wait.String(), Rule: "between 0 and " + MaxWait.String(), Cure: "choose a shorter time"}})
	}
	if err := u.begin(); err != nil {
		return m, err
	}
	u.cfg.Changed()
	m, err = u.install(ctx, bundle, o)
	u.change(func(st *ctl.UpdateState) {
		if err == nil {
			st.Phase, st.Until = ctl.UpdateWaiting, time.Now().Add(o.Wait).UTC()
			return
		}
		st.Phase, st.Next, st.Reason = ctl.UpdateIdle, "", problem.Of(err).Text
	})
	if err == nil {
		u.ready <- o
	}
	return m, err
}

func (u *Updates) install(ctx context.Context, bundle io.Reader, o Options) (m manifest.Manifest, err error) {
	t, err := u.cfg.Target()
	if err != nil {
		return m, err
	}
	u.mu.Lock()
	t.Box = manifest.Box{Board: u.cfg.Board, Version: u.cfg.Version, MinVersion: u.min.Version, Downgrade: o.Downgrade}
	u.mu.Unlock()
	t.Opened = func(m manifest.Manifest) { u.change(func(st *ctl.UpdateState) { st.Next = m.Version }) }
	m, err = install.Install(ctx, bundle, t, u.progress)
	if err != nil {
		u.cfg.Log.Warn("an update was refused", "err", err)
		return m, err
	}
	u.cfg.Log.Info("an update is in its place", "version", m.Version)
	return m, u.expect(m)
}

func (u *Updates) progress(done, total int64) {
	now := time.Now()
	u.mu.Lock()
	u.st.Done, u.st.Total = done, total
	tell := done == total || now.Sub(u.told) > tellEvery
	if tell {
		u.told = now
	}
	u.mu.Unlock()
	if tell {
		u.cfg.Changed()
	}
}

// Run judges the version that runs, if it is on trial, and restarts the box into one that was installed.
func (u *Updates) Run(ctx context.Context) error {
	u.judge(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-u.ready:
			u.restart(ctx, o)
		}
	}
}

// restart waits for calls and restarts the box.
func (u *Updates) restart(ctx context.Context, o Options) {
	u.drain(ctx, time.Now().Add(o.Wait))
	if ctx.Err() != nil {
		return
	}
	u.change(func(st *ctl.UpdateState) { st.Phase, st.Calls = ctl.UpdateRestarting, 0 })
	u.mu.Lock()
	why := "version " + u.st.Next + " was installed by " + o.By
	u.mu.Unlock()
	if err := u.cfg.Init.Restart(ctx, ctl.RestartRequest{Why: why}); err != nil {
		u.cfg.Log.Error("the box does not restart", "err", err)
		_ = u.cfg.Switch.Drain(ctx, ctl.Drain{}) // it ends by itself soon
		u.change(func(st *ctl.UpdateState) {
			st.Phase, st.Reason = ctl.UpdateIdle, "the new version is in its place, but the box could not be restarted: "+problem.Of(err).Text
		})
	}
}

// drain returns when no call is up any more, or its time is over.
func (u *Updates) drain(ctx context.Context, until time.Time) {
	for ctx.Err() == nil {
		if err := u.cfg.Switch.Drain(ctx, ctl.Drain{For: drainAhead}); err != nil {
			u.cfg.Log.Warn("new calls are not refused", "err", err)
		}
		calls, err := u.cfg.Switch.Calls(ctx)
		if (err == nil && len(calls) == 0) || !time.Now().Before(until) {
			return
		}
		u.change(func(st *ctl.UpdateState) { st.Calls = len(calls) })
		wait := time.NewTimer(min(lookEvery, time.Until(until)))
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
}

// judge ends the trial of the version that runs: it stays when it is well, and goes when it is not in time.
func (u *Updates) judge(ctx context.Context) {
	boot, err := u.cfg.Init.Boot(ctx)
	if err != nil || boot.Trial == nil {
		if err == nil {
			u.settled()
		}
		return
	}
	report := u.report(ctx)
	if ctx.Err() != nil {
		return
	}
	if err := u.cfg.Init.EndTrial(ctx, report); err != nil {
		u.cfg.Log.Error("the trial cannot be ended", "err", err)
		return
	}
	if report.OK {
		u.settled()
	}
	u.change(func(st *ctl.UpdateState) { st.Waiting = "" })
}

func (u *Updates) report(ctx context.Context) ctl.TrialReport {
	end := time.Now().Add(wellWithin)
	for {
		err := u.cfg.Well(ctx)
		if err == nil {
			return ctl.TrialReport{OK: true}
		}
		u.cfg.Log.Warn("this version is not well yet", "err", err)
		u.change(func(st *ctl.UpdateState) { st.Waiting = err.Error() })
		if time.Now().After(end) {
			return ctl.TrialReport{Reason: err.Error()}
		}
		select {
		case <-ctx.Done():
			return ctl.TrialReport{}
		case <-time.After(tryEvery):
		}
	}
}

// Restart restarts the box at once; reset erases what it keeps.
func (u *Updates) Restart(ctx context.Context, by string, reset bool) error {
	u.mu.Lock()
	busy := u.st.Phase != ctl.UpdateIdle
	u.mu.Unlock()
	if busy {
		return problem.New(problem.Conflict, "update.busy", "an update is under way", "wait until it is over")
	}
	why := "asked for by " + by
	if reset {
		why = "factory reset, " + why
	}
	return onImage(u.cfg.Init.Restart(ctx, ctl.RestartRequest{Why: why, Reset: reset}))
}

// Adopt restarts the box with the data of another box as its own.
func (u *Updates) Adopt(ctx context.Context, by string) error {
	return onImage(u.cfg.Init.Restart(ctx, ctl.RestartRequest{Why: "the data of another box is adopted, asked for by " + by, Adopt: true}))
}

// onImage says it in words when there is no init of ours.
func onImage(err error) error {
	if p, ok := errors.AsType[*problem.Error](err); ok && p.Kind == problem.Unavailable {
		return problem.Wrap(err, problem.Unavailable, "update.machine", "this machine was not started from an image", "restart it as it was started")
	}
	return err
}
