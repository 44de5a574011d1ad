package hooks

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/records"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// fakeArchive has messages that are numbered from 1.
type fakeArchive struct {
	mu   sync.Mutex // guards what follows
	all  []record.Message
	gone string // id of one that is kept no more
}

func (a *fakeArchive) LastChange() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return uint64(len(a.all))
}

func (a *fakeArchive) Changes(_ context.Context, after uint64, limit int) (all []records.Change, _ error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n := after + 1; n <= uint64(len(a.all)) && len(all) < limit; n++ {
		all = append(all, records.Change{Number: n, What: records.ChangeNew, ID: a.all[n-1].ID})
	}
	return all, nil
}

func (a *fakeArchive) Get(_ context.Context, _ record.Kind, id string) (record.Envelope, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.all {
		if m.ID == id && id != a.gone {
			return envelope(m), nil
		}
	}
	return record.Envelope{}, problem.New(problem.Missing, "record.missing", "gone", "")
}

// tries is a target in virtual time.
type tries struct {
	mu    sync.Mutex // guards what follows
	fails bool
	hangs bool
	at    []time.Time
	sigs  []int
}

func (g *tries) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	g.at = append(g.at, time.Now())
	g.sigs = append(g.sigs, len(strings.Fields(r.Header.Get(headerSignature))))
	fails, hangs := g.fails, g.hangs
	g.mu.Unlock()
	if fails {
		return nil, errors.New("away")
	}
	if hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: 204, Body: http.NoBody, Header: http.Header{}}, nil
}

func (g *tries) be(fails, hangs bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fails, g.hangs = fails, hangs
}

func (g *tries) times() []time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.at)
}

func inBubble(t *testing.T, test func(t *testing.T, e *Engine, a *fakeArchive, g *tries, id string)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a, g := &fakeArchive{}, &tries{}
		e, err := Open(Config{Dir: dir, Archive: a, Taken: noPhones, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		e.way = func(*ctl.HookSpec) (http.RoundTripper, error) { return g, nil }
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait()
		h, _, err := e.Add(ctx, ctl.HookSpec{Name: "CRM", URL: "https://x.example/", Events: Events()}, "Owner")
		if err != nil {
			t.Fatal(err)
		}
		test(t, e, a, g, h.ID)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (a *fakeArchive) add(e *Engine, n int) {
	for range n {
		a.mu.Lock()
		a.all = append(a.all, message("asha", "vikram", "text"))
		a.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	e.Wake()
	synctest.Wait()
}

// A target that is away is tried after pauses that grow; after a day the hook is parked, and an admin
// hears of it. Nothing of what waits is lost.
func TestAHookIsParkedAfterADay(t *testing.T) {
	inBubble(t, func(t *testing.T, e *Engine, a *fakeArchive, g *tries, id string) {
		g.be(true, false)
		a.add(e, 3)
		time.Sleep(16 * time.Minute)
		if all := e.Alarms(); len(all) != 1 || all[0].Code != "hook.failing."+id || all[0].Cure == "" {
			t.Errorf("%+v", all)
		}
		time.Sleep(30 * time.Hour)
		all := e.Alarms()
		if len(all) != 1 || all[0].Code != "hook.parked."+id || !strings.Contains(all[0].Text, "CRM") {
			t.Errorf("%+v", all)
		}
		at := g.times()
		if n := len(at); n < 30 || n > 45 {
			t.Errorf("%d tries", n)
		}
		for i := 2; i < len(at); i++ {
			pause, before := at[i].Sub(at[i-1]), at[i-1].Sub(at[i-2])
			if pause > 73*time.Minute || before < 30*time.Minute && pause < before {
				t.Errorf("try %d after %v, the one before after %v", i, pause, before)
			}
		}
		if last := at[len(at)-1].Sub(at[0]); last < 22*time.Hour || last > parkAfter {
			t.Errorf("the last try came %v after the first", last)
		}
		g.be(false, false)
		tried := len(g.times())
		a.add(e, 1)
		time.Sleep(24 * time.Hour)
		if len(g.times()) != tried {
			t.Error("a parked hook was tried")
		}
		if h, err := e.Resume(t.Context(), id, ctl.HookSkipNone); err != nil || h.Health.State != ctl.HookWorking {
			t.Errorf("%+v %v", h, err)
		}
		synctest.Wait()
		if h, err := e.Get(t.Context(), id); err != nil || h.Health.Waiting != 0 || len(g.times()) != tried+4 || len(e.Alarms()) != 0 {
			t.Errorf("%+v %v after %d tries", h, err, len(g.times())-tried)
		}
	})
}

func TestWhatFailedCanBeSkipped(t *testing.T) {
	inBubble(t, func(t *testing.T, e *Engine, a *fakeArchive, g *tries, id string) {
		if _, err := e.Resume(t.Context(), id, ctl.HookSkipOne); problem.Of(err).Code != "hook.skip" {
			t.Error(err)
		}
		g.be(false, true)
		a.add(e, 5)
		time.Sleep(requestTime)
		synctest.Wait()
		h, err := e.Get(t.Context(), id)
		if f := h.Health.Failure; err != nil || f == nil || !strings.Contains(f.Text, "15 seconds") || h.Health.Waiting != 5 {
			t.Fatalf("%+v %v", h.Health, err)
		}
		if h, err := e.Resume(t.Context(), id, ctl.HookSkipOne); err != nil || h.Health.Waiting != 4 {
			t.Errorf("%+v %v", h.Health, err)
		}
		if h, err := e.Resume(t.Context(), id, ctl.HookSkipAll); err != nil || h.Health.Waiting != 0 {
			t.Errorf("%+v %v", h.Health, err)
		}
		if _, err := e.Resume(t.Context(), id, "some"); problem.Of(err).Code != "hook.invalid" {
			t.Error(err)
		}
		g.be(false, false)
		time.Sleep(time.Hour)
		tried := len(g.times())
		a.add(e, 1)
		if len(g.times()) != tried+1 {
			t.Errorf("%d tries", len(g.times())-tried)
		}
	})
}

// The secret before the newest signs for a day.
func TestAnOldSecretSignsForADay(t *testing.T) {
	inBubble(t, func(t *testing.T, e *Engine, a *fakeArchive, g *tries, id string) {
		if _, err := e.Rotate(id); err != nil {
			t.Fatal(err)
		}
		a.add(e, 1)
		time.Sleep(ctl.HookOverlap)
		a.add(e, 1)
		if len(g.sigs) != 2 || g.sigs[0] != 2 || g.sigs[1] != 1 {
			t.Errorf("%v signatures", g.sigs)
		}
	})
}

// A message whose time in the log is over is passed.
func TestWhatTheLogHasNoMoreIsPassed(t *testing.T) {
	inBubble(t, func(t *testing.T, e *Engine, a *fakeArchive, g *tries, id string) {
		g.be(true, false)
		a.add(e, 2)
		a.mu.Lock()
		a.gone = a.all[0].ID
		a.mu.Unlock()
		g.be(false, false)
		if _, err := e.Resume(t.Context(), id, ctl.HookSkipNone); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if h, err := e.Get(t.Context(), id); err != nil || h.Health.Waiting != 0 || len(g.times()) != 2 {
			t.Errorf("%+v %v, %d tries", h, err, len(g.times()))
		}
	})
}
