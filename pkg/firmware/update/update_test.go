package update

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/install"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeBox is an init and a switchd.
type fakeBox struct {
	mu       sync.Mutex
	boot     ctl.Boot
	calls    int
	drained  []time.Duration
	restarts []ctl.RestartRequest
	reports  []ctl.TrialReport
	err      error // of a restart
}

func (f *fakeBox) Boot(context.Context) (ctl.Boot, error) { return f.boot, nil }

func (f *fakeBox) EndTrial(_ context.Context, r ctl.TrialReport) error {
	f.reports = append(f.reports, r)
	f.boot.Trial = nil
	return nil
}

func (f *fakeBox) Restart(_ context.Context, r ctl.RestartRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restarts = append(f.restarts, r)
	return f.err
}

func (f *fakeBox) Calls(context.Context) ([]ctl.LiveCall, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return make([]ctl.LiveCall, f.calls), nil
}

func (f *fakeBox) Drain(_ context.Context, in ctl.Drain) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drained = append(f.drained, in.For)
	return nil
}

func (f *fakeBox) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = 0
}

// start runs what takes updates on a box.
func start(t *testing.T, f *fakeBox, well func() error) *Updates {
	t.Helper()
	u, err := New(Config{
		Target:  func() (install.Target, error) { return install.Target{}, errors.New("no slots") },
		Version: "2.0.0", Board: "x86", Dir: t.TempDir(), Switch: f, Init: f, Changed: func() {}, Log: slog.New(slog.DiscardHandler),
		Well: func(context.Context) error { return well() },
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func isWell() error { return nil }

func TestTheRestartWaitsForCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBox{calls: 2}
		u := start(t, f, isWell)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = u.Run(ctx) }()
		u.ready <- Options{Wait: time.Hour, By: "Owner"}
		time.Sleep(10 * time.Minute)
		if st := u.State(ctx); len(f.restarts) != 0 || st.Calls != 2 {
			t.Errorf("%v, %+v", f.restarts, st)
		}
		f.hangUp()
		time.Sleep(2 * time.Second)
		if len(f.restarts) != 1 || f.restarts[0].Reset || !strings.Contains(f.restarts[0].Why, "Owner") || u.State(ctx).Phase != ctl.UpdateRestarting {
			t.Errorf("%+v", f.restarts)
		}
		if f.drained[0] != drainAhead || len(f.drained) < 600 {
			t.Errorf("new calls were refused %d times", len(f.drained))
		}
		cancel()
		synctest.Wait()
	})
}

func TestTheRestartWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBox{calls: 1, err: errors.New("init is away")}
		u := start(t, f, isWell)
		began := time.Now()
		u.restart(t.Context(), Options{Wait: 90 * time.Second})
		if took := time.Since(began); took != 90*time.Second || len(f.restarts) != 1 {
			t.Errorf("%v, %v", took, f.restarts)
		}
		if st := u.State(t.Context()); st.Phase != ctl.UpdateIdle || st.Reason == "" {
			t.Errorf("a restart that did not come: %+v", st)
		}
		if last := f.drained[len(f.drained)-1]; last != 0 {
			t.Errorf("new calls are still refused for %v", last)
		}
	})
}

func TestATrialEndsWhenTheBoxIsWell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBox{boot: ctl.Boot{Slot: "b", Trial: &ctl.BootTrial{}}}
		tries := 0
		u := start(t, f, func() error {
			if tries++; tries < 4 {
				return errors.New("switchd does not answer")
			}
			return nil
		})
		u.judge(t.Context())
		if len(f.reports) != 1 || !f.reports[0].OK || tries != 4 {
			t.Errorf("%+v after %d tries", f.reports, tries)
		}
	})
}

func TestATrialEndsWhenTheBoxIsNotWellInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBox{boot: ctl.Boot{Slot: "b", Trial: &ctl.BootTrial{}}}
		u := start(t, f, func() error { return errors.New("no tone was heard") })
		began := time.Now()
		u.judge(t.Context())
		if len(f.reports) != 1 || f.reports[0].OK || f.reports[0].Reason != "no tone was heard" || time.Since(began) > wellWithin+time.Minute {
			t.Errorf("%+v after %v", f.reports, time.Since(began))
		}
	})
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	u := start(t, &fakeBox{}, isWell)
	if _, err := u.Receive(t.Context(), strings.NewReader(""), Options{Wait: 9 * time.Hour}); problem.Of(err).Code != "update" {
		t.Errorf("a wait of nine hours: %v", err)
	}
	if _, err := u.Receive(t.Context(), strings.NewReader(""), Options{}); err == nil || u.State(t.Context()).Phase != ctl.UpdateIdle {
		t.Errorf("without slots: %v", err)
	}
	u.st.Phase = ctl.UpdateReceiving
	if _, err := u.Receive(t.Context(), strings.NewReader(""), Options{}); problem.Of(err).Code != "update.busy" {
		t.Errorf("a second one: %v", err)
	}
	if err := u.Restart(t.Context(), "Owner", false); problem.Of(err).Code != "update.busy" {
		t.Errorf("a restart meanwhile: %v", err)
	}
}

func TestTheFloorRisesWithAVersionThatIsWell(t *testing.T) {
	t.Parallel()
	f := &fakeBox{boot: ctl.Boot{Slot: "b", Trial: &ctl.BootTrial{}}}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, floorFile), []byte(`{"min_version":"1.0.0","next":{"version":"2.0.0","min_version":"1.5.0"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := New(Config{Version: "2.0.0", Dir: dir, Init: f, Switch: f, Changed: func() {}, Log: slog.New(slog.DiscardHandler), Well: func(context.Context) error { return nil }})
	if err != nil || u.min.Version != "1.0.0" {
		t.Fatalf("%+v, %v", u.min, err)
	}
	u.judge(t.Context())
	if kept, err := readFloor(dir); err != nil || kept.Version != "1.5.0" {
		t.Errorf("%+v, %v", kept, err)
	}
	if err := os.WriteFile(filepath.Join(dir, floorFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Dir: dir}); err == nil {
		t.Error("a floor that cannot be read was taken for none")
	}
}

func TestWhatTheInitSaysOfKeysAndDataIsToldOn(t *testing.T) {
	t.Parallel()
	f := &fakeBox{boot: ctl.Boot{
		Slot: "a", Keys: ctl.BootKeys{Held: ctl.KeysChip}, Foreign: true, Aside: []ctl.BootAside{{File: "switch/state.db"}},
	}}
	u := start(t, f, isWell)
	if st := u.State(t.Context()); st.Keys.Held != ctl.KeysChip || !st.Foreign || len(st.Aside) != 1 {
		t.Errorf("%+v", st)
	}
	if err := u.Adopt(t.Context(), "Owner"); err != nil || len(f.restarts) != 1 || !f.restarts[0].Adopt || !strings.Contains(f.restarts[0].Why, "Owner") {
		t.Errorf("%+v, %v", f.restarts, err)
	}
	f.err = problem.New(problem.Unavailable, "init.away", "away", "")
	if err := u.Adopt(t.Context(), "Owner"); problem.Of(err).Code != "update.machine" {
		t.Errorf("%v", err)
	}
}
