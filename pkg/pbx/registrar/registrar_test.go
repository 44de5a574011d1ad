package registrar

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/pn"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a registrar behind an edge.
type rig struct {
	*sipside.Side
	reg *Registrar

	mu      sync.Mutex // guards what follows
	events  []Event
	records []record.Registration
	now     time.Time
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

// took returns what was told since, when n records have been: the answer may be there earlier.
func (r *rig) took(n int) (evs []Event, recs []record.Registration) {
	for deadline := time.Now().Add(sipside.Wait); ; runtime.Gosched() {
		r.mu.Lock()
		if len(r.records) >= n || time.Now().After(deadline) {
			evs, recs = r.events, r.records
			r.events, r.records = nil, nil
			r.mu.Unlock()
			return evs, recs
		}
		r.mu.Unlock()
	}
}

func newRig(t *testing.T, dir string, users ...string) *rig {
	t.Helper()
	return newRigAt(t, dir, time.Now().UTC().Truncate(time.Millisecond), users...)
}

func newRigAt(t *testing.T, dir string, now time.Time, users ...string) *rig {
	t.Helper()
	r := &rig{Side: sipside.New(t, users...), now: now}
	r.open(t, dir)
	return r
}

func (r *rig) open(t *testing.T, dir string) {
	t.Helper()
	var err error
	r.reg, err = Open(dir, Deps{
		Log: slog.New(slog.DiscardHandler), Edge: r.Edge, Domain: r.Users.Domain, Clock: r.clock,
		Watch:  func(ev Event) { r.mu.Lock(); r.events = append(r.events, ev); r.mu.Unlock() },
		Record: func(rec record.Registration) { r.mu.Lock(); r.records = append(r.records, rec); r.mu.Unlock() },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.reg.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.Close(t)
	})
	r.Start(t, edge.Handlers{
		Register: r.reg.Register, Call: func(*edge.Inbound) bool { return false }, Response: func(*edge.Inbound) bool { return false },
		Failed: func(*edge.Inbound, account.Verdict) {},
	})
}

const toBox = "sip:" + sipside.Domain

func register(p *sipside.Phone, user, extra string) string {
	return p.Ask("REGISTER", toBox, "sip:"+user+"@"+sipside.Domain, extra)
}

func contact(p *sipside.Phone, user, params string) string {
	return fmt.Sprintf("Contact: <sip:%s@%s>%s\n", user, p.Addr(), params)
}

const instance = `;+sip.instance="<urn:uuid:657d8bcf-8691-00a1-91a1-08489a2f38d2>"`

func contacts(reply string) (lines []string) {
	for line := range strings.SplitSeq(reply, "\r\n") {
		if v, ok := strings.CutPrefix(line, "Contact: "); ok {
			lines = append(lines, v)
		}
	}
	return lines
}

func TestADeviceComesStaysAndGoes(t *testing.T) {
	r := newRig(t, t.TempDir(), "alice")
	for _, tr := range []edge.Transport{edge.UDP, edge.TCP} {
		p := r.Phone(t, "alice", tr)
		got := register(p, "alice", contact(p, "alice", instance)+"Expires: 31536000\nSupported: replaces, outbound, gruu\nUser-Agent: phone/1\n")
		want := fmt.Sprintf(`<sip:alice@%s>;expires=86400;+sip.instance="<urn:uuid:657d8bcf-8691-00a1-91a1-08489a2f38d2>";`+
			`pub-gruu="sip:alice@pbx.test;gr=urn:uuid:657d8bcf-8691-00a1-91a1-08489a2f38d2"`, p.Addr())
		if sipside.Status(got) != 200 || len(contacts(got)) != 1 || contacts(got)[0] != want {
			t.Fatalf("%s: %q\nwant %s", tr, got, want)
		}
		evs, recs := r.took(1)
		if len(evs) != 1 || !evs[0].New || len(recs) != 1 || recs[0].Result != record.RegActive || recs[0].Asked != 31536000 || recs[0].Expires != 86400 ||
			recs[0].Transport != tr.Param() || recs[0].Source != p.Addr() || recs[0].UserAgent != "phone/1" {
			t.Fatalf("%s: events %+v, records %+v", tr, evs, recs)
		}
		r.advance(10 * time.Second)
		got = register(p, "alice", contact(p, "alice", instance)+"Expires: 31536000\nUser-Agent: phone/1\n")
		if sipside.Status(got) != 200 || strings.Contains(got, "pub-gruu") {
			t.Fatalf("%s: a refresh: %q", tr, got)
		}
		if evs, recs := r.took(0); len(evs)+len(recs) != 0 {
			t.Errorf("%s: a refresh made noise: %+v %+v", tr, evs, recs)
		}
		got = register(p, "alice", contact(p, "alice", instance)+"Expires: 0\n")
		if sipside.Status(got) != 200 || len(contacts(got)) != 0 || r.reg.Len() != 0 {
			t.Fatalf("%s: unregister: %q", tr, got)
		}
		if _, recs := r.took(1); len(recs) != 1 || recs[0].Result != record.RegUnregistered || recs[0].Refreshes != 1 || recs[0].End.Sub(recs[0].First) != 10*time.Second {
			t.Errorf("%s: record of the stay: %+v", tr, recs)
		}
	}
}

func TestTimesAreClamped(t *testing.T) {
	r := newRig(t, t.TempDir(), "alice")
	p := r.Phone(t, "alice", edge.UDP)
	for extra, want := range map[string]string{
		"Expires: 5\n": "60", "Expires: 300\n": "300", "Expires: 99999999\n": "86400", "": "3600",
	} {
		if got := register(p, "alice", contact(p, "alice", instance)+extra); !strings.Contains(got, ";expires="+want+";") {
			t.Errorf("%q: %v, want %s", extra, contacts(got), want)
		}
	}
	if got := register(p, "alice", contact(p, "alice", ";expires=120"+instance)+"Expires: 300\n"); !strings.Contains(got, ";expires=120;") {
		t.Errorf("the contact's own time: %v", contacts(got))
	}
}

func TestManyDevicesOfOneUser(t *testing.T) {
	r := newRig(t, t.TempDir(), "alice")
	var last string
	for i := range maxBindings {
		p := r.Phone(t, "alice", edge.UDP)
		last = register(p, "alice", contact(p, "alice", fmt.Sprintf(`;+sip.instance="<urn:uuid:%d>";q=0.%d`, i, i%10)))
	}
	if len(contacts(last)) != maxBindings {
		t.Fatalf("%d contacts, want %d", len(contacts(last)), maxBindings)
	}
	p := r.Phone(t, "alice", edge.UDP)
	if got := register(p, "alice", contact(p, "alice", "")); sipside.Status(got) != 403 {
		t.Errorf("one device more: %q", got)
	}
	alice := r.Users.Lookup("alice")
	list := r.reg.Lookup(alice.ID)
	for i := 1; i < len(list); i++ {
		if list[i-1].Q < list[i].Q {
			t.Fatal("bindings are not in the order of q")
		}
	}
	if b, ok := r.reg.Device(alice.ID, "urn:uuid:7"); !ok || b.Q != 700 {
		t.Errorf("device by instance: %+v %v", b, ok)
	}
	if got := register(p, "alice", "Contact: *\nExpires: 60\n"); sipside.Status(got) != 400 {
		t.Errorf("Contact * with a time: %q", got)
	}
	if got := register(p, "alice", "Contact: *\nExpires: 0\n"); sipside.Status(got) != 200 || r.reg.Len() != 0 {
		t.Errorf("Contact *: %q, %d left", got, r.reg.Len())
	}
}

func TestRetransmissionsAndOldRequestsChangeNothing(t *testing.T) {
	r := newRig(t, t.TempDir(), "alice")
	p := r.Phone(t, "alice", edge.UDP)
	p.Send(p.Request("REGISTER", toBox, "sip:alice@pbx.test"))
	challenge := p.Next(sipside.Wait)
	text := p.Request("REGISTER", toBox, "sip:alice@pbx.test") + sipside.Authorization(challenge, "alice", sipside.Password, "REGISTER", toBox) + contact(p, "alice", instance)
	p.Send(text)
	first := p.Next(sipside.Wait)
	p.Send(text)
	if again := p.Next(sipside.Wait); sipside.Status(first) != 200 || sipside.Status(again) != 200 || sipside.Header(first, "To") != sipside.Header(again, "To") {
		t.Errorf("a retransmission is answered otherwise:\n%s\n%s", first, again)
	}
	if evs, _ := r.took(1); len(evs) != 1 {
		t.Errorf("%d events, want 1", len(evs))
	}
}

func TestBindingsOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	var gone, kept string
	t.Run("before", func(t *testing.T) {
		r := newRig(t, dir, "alice")
		short, long := r.Phone(t, "alice", edge.UDP), r.Phone(t, "alice", edge.TCP)
		gone, kept = short.Addr().String(), long.Addr().String()
		if got := register(short, "alice", contact(short, "alice", ";expires=60")); sipside.Status(got) != 200 {
			t.Fatal(got)
		}
		wakes := strings.Replace(contact(long, "alice", instance), ">", ";pn-provider=fcm;pn-prid=token;pn-param=project;pn-silent=1>", 1)
		if got := register(long, "alice", wakes+"Path: <sip:proxy;lr>\n"); sipside.Status(got) != 200 {
			t.Fatal(got)
		}
	})
	t.Run("after", func(t *testing.T) {
		r := newRig(t, dir, "alice")
		if r.reg.Len() != 2 {
			t.Fatalf("%d bindings came back, want 2", r.reg.Len())
		}
		r.advance(61 * time.Second)
		r.reg.expire()
		list := r.reg.List()
		if len(list) != 1 || !strings.Contains(list[0].Contact, kept) || strings.Contains(list[0].Contact, gone) ||
			list[0].Instance == "" || strings.Join(list[0].Features, " ") != "path push" {
			t.Fatalf("%+v", list)
		}
		if p, ok := r.reg.Lookup(list[0].UserID)[0].Push(); !ok || p.Provider != pn.FCM || p.PRID != "token" || p.Param != "project" || !p.Silent {
			t.Errorf("it is woken by %+v", p)
		}
		if evs, recs := r.took(1); len(evs) != 1 || evs[0].Gone != record.RegExpired || len(recs) != 1 || recs[0].Result != record.RegExpired {
			t.Errorf("%+v %+v", evs, recs)
		}
	})
}

// A refresh is answered before it is on disk. A crash in between takes nothing back: the device was
// promised an hour, and has at least that.
func TestARefreshHoldsThroughACrash(t *testing.T) {
	dir, crashed := t.TempDir(), t.TempDir()
	const hour = 3600 * time.Second
	var refreshed time.Time
	t.Run("before", func(t *testing.T) {
		r := newRig(t, dir, "alice")
		p := r.Phone(t, "alice", edge.UDP)
		if got := register(p, "alice", contact(p, "alice", instance+";expires=3600")); sipside.Status(got) != 200 {
			t.Fatal(got)
		}
		before, _ := r.reg.journal.Size()
		r.advance(hour - time.Minute)
		refreshed = r.clock()
		if got := register(p, "alice", contact(p, "alice", instance+";expires=3600")); sipside.Status(got) != 200 || !strings.Contains(got, "expires=3600") {
			t.Fatal(got)
		}
		data, err := os.ReadFile(filepath.Join(dir, "bindings.log"))
		if err == nil {
			err = os.WriteFile(filepath.Join(crashed, "bindings.log"), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(data)) != before {
			t.Fatal("the answer has waited for the disk")
		}
	})
	for name, c := range map[string]struct {
		dir  string
		from time.Duration // of the promised time, since the refresh
	}{
		"crash":       {crashed, 2 * time.Minute},
		"orderly end": {dir, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigAt(t, c.dir, refreshed.Add(2*time.Minute), "alice")
			r.reg.expire()
			list := r.reg.List()
			if len(list) != 1 || !list[0].Expires.Equal(refreshed.Add(c.from+hour)) {
				t.Fatalf("refreshed at %v: %+v", refreshed, list)
			}
			r.advance(2 * hour)
			if r.reg.expire(); r.reg.Len() != 0 {
				t.Error("it never ends")
			}
		})
	}
}

func TestARefreshIsSeenByTheExpiry(t *testing.T) {
	r := newRig(t, t.TempDir(), "alice")
	p := r.Phone(t, "alice", edge.UDP)
	for range 3 {
		register(p, "alice", contact(p, "alice", instance+";expires=60"))
		r.advance(40 * time.Second)
		if r.reg.expire(); r.reg.Len() != 1 {
			t.Fatal("expired in spite of its refreshes")
		}
	}
	r.advance(21 * time.Second)
	if r.reg.expire(); r.reg.Len() != 0 {
		t.Error("not expired after its last refresh")
	}
}

func TestADeviceThatMovesStartsAnotherStay(t *testing.T) {
	r := newRig(t, t.TempDir(), "alice")
	one, two := r.Phone(t, "alice", edge.UDP), r.Phone(t, "alice", edge.UDP)
	register(one, "alice", contact(one, "alice", instance))
	r.took(1)
	got := register(two, "alice", contact(two, "alice", instance))
	if len(contacts(got)) != 1 || !strings.Contains(got, two.Addr().String()) {
		t.Fatalf("%q", got)
	}
	evs, recs := r.took(2)
	if len(evs) != 2 || evs[0].Gone != record.RegMoved || !evs[1].New || len(recs) != 2 || recs[0].ID == recs[1].ID || recs[1].Source != two.Addr() {
		t.Errorf("%+v\n%+v", evs, recs)
	}
}

// A device with a secret of its own is signed out alone, and stays when the user's secret changes.
func TestADeviceIsSignedOutAlone(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, "alice")
	alice := r.Users.Lookup("alice").ID
	d, err := r.Users.AddDevice(alice)
	if err != nil {
		t.Fatal(err)
	}
	app, desk := r.Phone(t, "alice", edge.UDP), r.Phone(t, "alice", edge.UDP)
	desk.Login(d)
	for range 2 { // the second is a refresh
		register(app, "alice", contact(app, "alice", ""))
		register(desk, "alice", contact(desk, "alice", ""))
	}
	left := func() (devices []string) {
		for _, b := range r.reg.Lookup(alice) {
			devices = append(devices, b.Device)
		}
		slices.Sort(devices)
		return devices
	}
	if got := left(); !slices.Equal(got, []string{"", d.Login}) {
		t.Fatalf("devices are %q", got)
	}
	r.reg.RemoveDevice(alice, "")
	if got := left(); !slices.Equal(got, []string{d.Login}) {
		t.Errorf("without the user's secret: %q", got)
	}
	register(app, "alice", contact(app, "alice", ""))
	r.reg.RemoveDevice(alice, d.Login)
	if got := left(); !slices.Equal(got, []string{""}) {
		t.Errorf("without the device: %q", got)
	}
}

func TestRemovedUsersAndLongFiles(t *testing.T) {
	r := newRig(t, t.TempDir(), "alice", "bob")
	a, b := r.Phone(t, "alice", edge.UDP), r.Phone(t, "bob", edge.UDP)
	register(a, "alice", contact(a, "alice", instance))
	register(b, "bob", contact(b, "bob", instance))
	r.took(2)
	r.reg.RemoveUser(r.Users.Lookup("alice").ID)
	if _, recs := r.took(1); r.reg.Len() != 1 || len(recs) != 1 || recs[0].Result != record.RegRemoved {
		t.Errorf("%d left, %+v", r.reg.Len(), recs)
	}
	for range 50 {
		register(b, "bob", contact(b, "bob", instance))
	}
	err := r.reg.journal.Rewrite(func(emit func([]byte)) {
		for _, b := range r.reg.snapshot() {
			emit(b.appendSet(nil))
		}
	})
	if _, frames := r.reg.journal.Size(); err != nil || frames != 1 {
		t.Errorf("%d frames after compaction, %v", frames, err)
	}
}

// What happened just before a crash may not have come into the outbox.
func TestRecordsThatACrashMayHaveLostAreTold(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	binding := func(id, stay string, first time.Time) *Binding {
		return &Binding{ID: id, RecordID: stay, First: first, Refreshed: first}
	}
	long, just := at.Add(-time.Hour), at.Add(-time.Second/2)
	frames := [][]byte{
		binding("old", "1", long).appendSet(nil),
		binding("ended", "2", long).appendSet(nil),
		binding("ended", "", long).appendDrop(nil, long, record.RegExpired),
		binding("moves", "3", long).appendSet(nil),
		binding("moves", "4", just).appendSet(nil),
		binding("leaves", "5", long).appendSet(nil),
		binding("leaves", "", long).appendDrop(nil, at, record.RegUnregistered),
		binding("new", "6", at).appendSet(nil),
	}
	tell := func(frames [][]byte) map[string]string {
		r := replayed{byID: map[string]*Binding{}, asleep: map[string]*Binding{}}
		for _, f := range frames {
			if err := r.frame(f); err != nil {
				t.Fatal(err)
			}
		}
		told := map[string]string{}
		for _, rec := range r.untold() {
			told[rec.ID] = rec.Result
		}
		return told
	}
	want := map[string]string{"3": record.RegMoved, "4": record.RegActive, "5": record.RegUnregistered, "6": record.RegActive}
	if got := tell(frames); !maps.Equal(got, want) {
		t.Errorf("after a crash %v, want %v", got, want)
	}
	if got := tell(append(frames, []byte{frameClean})); len(got) != 0 {
		t.Errorf("after an orderly end %v", got)
	}
}

func FuzzReplay(f *testing.F) {
	b := &Binding{ID: "x", Contact: "sip:a@b"}
	f.Add(b.appendSet(nil))
	f.Add(b.appendRefresh(nil))
	f.Add(b.appendDrop(nil, time.UnixMilli(1), record.RegExpired))
	f.Fuzz(func(_ *testing.T, frame []byte) {
		if len(frame) > 0 {
			r := replayed{byID: map[string]*Binding{"x": {ID: "x"}}, asleep: map[string]*Binding{}}
			_ = r.frame(frame)
			r.makeGood(time.Now())
			r.untold()
		}
	})
}
