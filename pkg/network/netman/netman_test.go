package netman

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/network/netapply"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimKey); dir != "" {
		victim(dir)
	}
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

var quietLog = slog.New(slog.DiscardHandler)

// fake is a kernel that holds whatever it is told, as the hostname of the document.
type fake struct {
	mu     sync.Mutex
	holds  string
	refuse string // a hostname that cannot be applied
	times  int
	plan   netapply.Plan
}

func (f *fake) Plan(netcfg.Document, netplan.Facts) (netapply.Plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.plan, nil
}

// planned says what a comparison finds from now on.
func (f *fake) planned(p netplan.Plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan.Plan = p
}

func (f *fake) Apply(_ context.Context, doc netcfg.Document, _ netplan.Facts) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.times++
	f.holds = doc.Hostname
	if doc.Hostname == f.refuse {
		return 1, errors.New("no room for it")
	}
	return 1, nil
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.times
}

func (f *fake) now() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.holds
}

// still tells of no change, ever, but the one that a test makes.
type still struct {
	mu      sync.Mutex
	changed chan struct{}
}

func (s *still) Want(netcfg.Document) {}

func (s *still) Facts() (netplan.Facts, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return netplan.Facts{}, s.changed
}

func (s *still) change() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

type rig struct {
	t      *testing.T
	m      *Manager
	kernel *fake
	file   *conf.File[netcfg.Document]
	dir    string
	stop   func()
	source *still
}

// begin starts a manager, on the folder of an earlier one if there was one.
func begin(t *testing.T, dir string, manage bool) *rig {
	t.Helper()
	file, err := conf.Open(filepath.Join(dir, "network.json"), netcfg.Schema(), quietLog)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, kernel: &fake{refuse: "bad"}, file: file, dir: dir, source: &still{changed: make(chan struct{})}}
	never := make(chan struct{})
	r.m = New(Config{
		File: file, Dir: dir, Applier: r.kernel, Sources: r.source, Manage: manage, Log: quietLog, Services: func(netcfg.Document) {},
		Links: func() ([]ctl.Link, <-chan struct{}) {
			return []ctl.Link{{Name: "lo", Loopback: true}, {Name: "eth0"}, {Name: "br0", Kind: "bridge"}}, never
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.m.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-r.m.Ready()
	return r
}

func named(name string) []byte { return []byte(fmt.Sprintf(`{"hostname":%q}`, name)) }

func (r *rig) apply(name string, base uint64) error {
	_, err := r.m.Apply(r.t.Context(), ctl.NetProposal{Document: named(name), Revision: base, Who: "ann"})
	return err
}

func (r *rig) want(kernel string, revision uint64) {
	r.t.Helper()
	if _, rev := r.file.Load(); r.kernel.now() != kernel || rev.Number != revision {
		r.t.Errorf("the kernel holds %q and revision %d is confirmed, want %q and %d", r.kernel.now(), rev.Number, kernel, revision)
	}
}

func (r *rig) last(confirmed bool, why string) {
	r.t.Helper()
	st, err := r.m.State()
	if err != nil || st.Last == nil || st.Last.Confirmed != confirmed || st.Last.Why != why || st.Last.Who != "ann" {
		r.t.Errorf("the last change ended as %+v (%v), want %v, %q", st.Last, err, confirmed, why)
	}
}

func TestAChangeThatNobodyConfirmsGoesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, t.TempDir(), true)
		defer r.stop()
		if doc, rev := r.file.Load(); rev.Who != "first boot" || len(doc.Ports) != 1 || doc.Ports[0].Name != "eth0" {
			t.Fatalf("first boot: %+v, %+v", doc, rev)
		}
		if err := r.apply("new", 1); err != nil {
			t.Fatal(err)
		}
		r.want("new", 1)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		r.want("new", 1)
		if d, err := r.m.Document(); err != nil || d.Candidate == nil || d.Candidate.Who != "ann" || len(d.Candidate.Changes) == 0 {
			t.Errorf("while it waits: %+v, %v", d, err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.want("", 1)
		r.last(false, "nobody confirmed it in time")
		if _, err := r.m.Confirm(t.Context(), "ann"); !problem.Is(err, problem.Missing) {
			t.Errorf("confirmed too late: %v", err)
		}
	})
}

func TestAConfirmedChangeLasts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, dir, true)
		if err := r.apply("new", 1); err != nil {
			t.Fatal(err)
		}
		if err := r.apply("other", 1); problem.Of(err).Code != "net.pending" {
			t.Errorf("a second change: %v", err)
		}
		rev, err := r.m.Confirm(t.Context(), "bob")
		if err != nil || rev.Number != 2 || rev.Who != "ann, confirmed by bob" {
			t.Errorf("confirmed as %+v, %v", rev, err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		r.want("new", 2)
		r.last(true, "bob confirmed it")
		if err := r.apply("late", 1); problem.Of(err).Code != "net.changed" {
			t.Errorf("a change of what was before: %v", err)
		}
		r.stop()
		r = begin(t, dir, true)
		defer r.stop()
		r.want("new", 2)
		// Back to the first: a change like any other.
		if _, err := r.m.Apply(t.Context(), ctl.NetProposal{Restore: 1, Revision: 2, Who: "ann", ConfirmSeconds: 10}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.m.Confirm(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		r.want("", 3)
		revs, err := r.m.Revisions()
		if err != nil || len(revs) != 3 || revs[0].Changes[0] != "hostname: no longer new" || revs[2].Who != "first boot" {
			t.Errorf("revisions %+v, %v", revs, err)
		}
		if d, err := r.m.Revision(2); err != nil || string(d.Document) == "" || d.Number != 2 {
			t.Errorf("revision 2: %+v, %v", d, err)
		}
	})
}

func TestARestartTakesACandidateBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, dir, true)
		if err := r.apply("new", 1); err != nil {
			t.Fatal(err)
		}
		r.stop()
		r = begin(t, dir, true)
		defer r.stop()
		r.want("", 1)
		r.last(false, "the box was restarted before it was confirmed")
		if _, err := os.Stat(r.m.candidateFile()); !os.IsNotExist(err) {
			t.Errorf("the candidate's file: %v", err)
		}
	})
}

func TestWhatCannotBeAppliedGoesBackAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, t.TempDir(), true)
		defer r.stop()
		if err := r.apply("bad", 1); problem.Of(err).Code != "net.apply" {
			t.Errorf("got %v", err)
		}
		r.want("", 1)
		r.kernel.planned(netplan.Plan{Blocked: []string{"br0 exists"}})
		if err := r.apply("new", 1); problem.Of(err).Code != "net.blocked" {
			t.Errorf("got %v", err)
		}
		r.want("", 1)
		if err := r.m.Revert(t.Context(), "ann"); !problem.Is(err, problem.Missing) {
			t.Errorf("nothing to take back: %v", err)
		}
		r.kernel.planned(netplan.Plan{})
		if err := r.apply("new", 1); err != nil {
			t.Fatal(err)
		}
		if err := r.m.Revert(t.Context(), "bob"); err != nil {
			t.Error(err)
		}
		r.want("", 1)
		r.last(false, "bob took it back")
		for _, p := range []ctl.NetProposal{{Document: []byte(`{"x":1}`)}, {Document: named("a b")}, {Document: named("a"), ConfirmSeconds: 5}} {
			if _, err := r.m.Apply(t.Context(), p); len(problem.Of(err).Faults) == 0 {
				t.Errorf("%s: %v", p.Document, err)
			}
		}
	})
}

// What the network tells is followed, and what drifted is put right.
func TestTheNetworkIsFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, t.TempDir(), true)
		defer r.stop()
		times := r.kernel.count()
		r.source.change()
		time.Sleep(time.Second)
		synctest.Wait()
		if r.kernel.count() != times+1 {
			t.Errorf("applied %d times after a lease", r.kernel.count()-times)
		}
		time.Sleep(recheck)
		synctest.Wait()
		if r.kernel.count() != times+2 {
			t.Errorf("applied %d times after a minute", r.kernel.count()-times)
		}
	})
}

func TestPlanOnlyAppliesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, t.TempDir(), false)
		defer r.stop()
		r.kernel.planned(netplan.Plan{Steps: []netplan.Step{{Act: netplan.SetUp, Link: netplan.Link{Name: "eth0"}}}})
		plan, err := r.m.Propose(t.Context(), ctl.NetProposal{Document: named("new")})
		if err != nil || len(plan.Steps) != 1 || plan.Steps[0].Text != "eth0 will be switched on" || len(plan.Changes) != 1 {
			t.Errorf("plan %+v, %v", plan, err)
		}
		if err := r.apply("new", 0); problem.Of(err).Code != "net.plan-only" {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if st, err := r.m.State(); err != nil || st.Mode != ctl.NetPlanOnly || r.kernel.count() != 0 {
			t.Errorf("state %+v, %v, applied %d times", st, err, r.kernel.count())
		}
		r.want("", 0)
		r.stop()
		if err := r.apply("new", 0); problem.Of(err).Code != "net.stopped" {
			t.Errorf("after its end: %v", err)
		}
	})
}
