package events

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/fakeswitch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// part is a mediad or a netd.
type part struct {
	mu     sync.Mutex
	away   bool
	alarms []ctl.Alarm
}

func (p *part) set(away bool, alarms ...ctl.Alarm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away, p.alarms = away, alarms
}

func (p *part) answer() ([]ctl.Alarm, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return nil, errors.New("away")
	}
	return p.alarms, nil
}

type fakeMedia struct{ part }

func (m *fakeMedia) Status(context.Context) (ctl.MediaStatus, error) {
	alarms, err := m.answer()
	return ctl.MediaStatus{Version: "m", Sessions: 2, Streams: 4, Alarms: alarms}, err
}

type fakeNet struct{ part }

func (n *fakeNet) Status(context.Context) (ctl.NetStatus, error) {
	alarms, err := n.answer()
	return ctl.NetStatus{Version: "n", Alarms: alarms}, err
}

func (n *fakeNet) Links(context.Context) ([]ctl.Link, error) {
	_, err := n.answer()
	return []ctl.Link{
		{Name: "lo", Up: true, Loopback: true, Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}},
		{Name: "eth0", Up: true, Addresses: []netip.Prefix{
			netip.MustParsePrefix("2001:db8::5/64"), netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("192.0.2.5/24"),
		}},
		{Name: "eth1", Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24")}},
	}, err
}

type box struct {
	hub    *Hub
	sw     *fakeswitch.Switch
	media  fakeMedia
	net    fakeNet
	client *Client
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{sw: fakeswitch.Start(t, filepath.Join(t.TempDir(), "s"), "pbx.example")}
	b.hub = New(Config{
		Switch: ctl.NewSwitch(b.sw.Socket), Media: &b.media, Net: &b.net, Log: slog.New(slog.DiscardHandler),
		Own: func() Own { return Own{Version: "a", DiskFree: 7} },
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.hub.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	var err error
	if b.client, err = b.hub.Subscribe(); err != nil {
		t.Fatal(err)
	}
	return b
}

// await reads events until one of this name satisfies is.
func await[T any](t *testing.T, c *Client, name string, is func(T) bool) T {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case ev, open := <-c.Events():
			if !open {
				t.Fatal("the page was cut off")
			}
			if ev.Name != name {
				continue
			}
			var v T
			if err := json.Unmarshal(ev.Data, &v); err != nil {
				t.Fatal(err)
			}
			if is(v) {
				return v
			}
		case <-limit:
			t.Fatalf("no event %s as expected", name)
		}
	}
}

func TestWhatHappensReachesThePage(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.sw.Register(ctl.Registration{ID: "r1", User: "bob", UserID: "u1"})
	await(t, b.client, Registered, func(r ctl.Registration) bool { return r.ID == "r1" && r.User == "bob" })
	await(t, b.client, Presence, func(p UserPresence) bool { return p == UserPresence{ID: "u1", Devices: 1} })
	b.sw.SetCall(ctl.LiveCall{ID: "c1", State: ctl.CallRinging})
	await(t, b.client, Call, func(c ctl.LiveCall) bool { return c.ID == "c1" && c.State == ctl.CallRinging })
	b.sw.EndCall("c1")
	await(t, b.client, CallEnded, func(e Ended) bool { return e.ID == "c1" })
	b.sw.Unregister("r1")
	await(t, b.client, Unregistered, func(r ctl.Registration) bool { return r.ID == "r1" })
	await(t, b.client, Presence, func(p UserPresence) bool { return p == UserPresence{ID: "u1", Devices: 0} })
	b.sw.Raise(ctl.Alarm{Code: "switch.hot", Text: "too hot"})
	await(t, b.client, AlarmChanged, func(a AlarmChange) bool { return a.Active && a.Alarm.Code == "switch.hot" && a.Alarm.Source == switchd })
	await(t, b.client, Changed, func(o Overview) bool { return len(o.Alarms) == 1 })
	b.sw.Clear("switch.hot")
	await(t, b.client, AlarmChanged, func(a AlarmChange) bool { return !a.Active && a.Alarm.Code == "switch.hot" })
	b.hub.Recorded([]record.Envelope{
		{ID: "a", Kind: record.KindAudit, Data: []byte(`{}`)},
		{ID: "b", Kind: record.KindCall, Data: []byte(`{"id":"b"}`)},
	})
	await(t, b.client, Recorded, func(r Record) bool {
		if r.Kind == record.KindAudit {
			t.Error("an audit record passed by")
		}
		return r.ID == "b" && string(r.Record) == `{"id":"b"}`
	})
}

func TestPresenceCountsDevicesOnce(t *testing.T) {
	t.Parallel()
	h := quietHub()
	c, err := h.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	phone, tablet := ctl.Registration{ID: "r1", UserID: "u1"}, ctl.Registration{ID: "r2", UserID: "u1"}
	asleep := ctl.Registration{ID: "r1", UserID: "u1", Asleep: true}
	for _, ev := range []ctl.SwitchEvent{
		{Registered: &phone},
		{Registered: &phone}, // changed: still one
		{Registered: &tablet},
		{Unregistered: &phone},
		{Unregistered: &phone}, // nobody knows it any more
		{Unregistered: &tablet},
		{Registered: &asleep}, // who sleeps is not there
		{Registered: &phone},
		{Registered: &asleep},
		{Registered: &asleep},
		{Unregistered: &phone},
	} {
		h.take(ev)
	}
	var got []int
	for len(c.events) > 0 {
		if ev := <-c.events; ev.Name == Presence {
			var p UserPresence
			if err := json.Unmarshal(ev.Data, &p); err != nil {
				t.Fatal(err)
			}
			got = append(got, p.Devices)
		}
	}
	if !slices.Equal(got, []int{1, 2, 1, 0, 1, 0}) || len(h.live.devices) != 0 {
		t.Errorf("%v, left over: %v", got, h.live.devices)
	}
}

// until asks until the box is as expected.
func (b *box) until(t *testing.T, is func(Overview) bool) Overview {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(50 * time.Millisecond) {
		b.hub.Expire()
		if o := b.hub.Overview(t.Context()); is(o) {
			return o
		}
	}
	t.Fatal("the box is not as expected")
	return Overview{}
}

func TestOverviewTellsHowTheBoxIs(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.media.set(false, ctl.Alarm{Code: "media.ports"})
	b.net.set(true)
	o := b.until(t, func(o Overview) bool { return len(o.Alarms) == 2 }) // netd is missed after a while
	if o.Domain != "pbx.example" || o.Sessions != 2 || o.Streams != 4 || o.DiskFree != 7 || len(o.Listeners) != 3 {
		t.Errorf("%+v", o)
	}
	want := []string{"media.ports", "netd.away"}
	for i, a := range o.Alarms {
		if a.Code != want[i] {
			t.Errorf("alarm %d is %s, want %s", i, a.Code, want[i])
		}
	}
	for _, d := range o.Daemons {
		if d.Up == (d.Name == netd) || d.Since.IsZero() != d.Up {
			t.Errorf("%+v", d)
		}
	}
	b.net.set(false)
	o = b.until(t, func(o Overview) bool { return len(o.Alarms) == 1 })
	if !slices.Equal(o.Addresses, []string{"192.0.2.5", "2001:db8::5"}) {
		t.Errorf("addresses %v", o.Addresses)
	}
}

func TestAfterAnAbsenceOfSwitchdThePageIsTrueAgain(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.sw.Register(ctl.Registration{ID: "stays"})
	b.sw.Register(ctl.Registration{ID: "goes"})
	b.sw.SetCall(ctl.LiveCall{ID: "ends"})
	await(t, b.client, Call, func(c ctl.LiveCall) bool { return c.ID == "ends" })
	b.sw.Leave()
	b.sw.Unregister("goes")
	b.sw.EndCall("ends")
	b.sw.Register(ctl.Registration{ID: "new"})
	b.sw.Return()
	seen := map[string]bool{}
	limit := time.After(20 * time.Second)
	for !seen[Registered+"stays"] || !seen[Registered+"new"] || !seen[Unregistered+"goes"] || !seen[CallEnded+"ends"] {
		select {
		case ev := <-b.client.Events():
			var v struct{ ID string }
			if err := json.Unmarshal(ev.Data, &v); err != nil {
				t.Fatal(err)
			}
			seen[ev.Name+v.ID] = true
		case <-limit:
			t.Fatalf("seen: %v", seen)
		}
	}
	if seen[Unregistered+"stays"] || seen[Unregistered+"new"] {
		t.Fatalf("what is there was ended: %v", seen)
	}
}

func quietHub() *Hub {
	return New(Config{Log: slog.New(slog.DiscardHandler), Own: func() Own { return Own{} }})
}

func TestASlowPageIsCutOffAndTheOthersAreNot(t *testing.T) {
	t.Parallel()
	h := quietHub()
	slow, err := h.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	quick, err := h.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	for range clientQueue + 1 {
		h.mu.Lock()
		h.sendLocked(CallEnded, Ended{"x"})
		h.mu.Unlock()
		<-quick.Events()
	}
	n := 0
	for range slow.Events() {
		n++
	}
	if n != clientQueue {
		t.Fatalf("the slow page had %d events before it was cut off, want %d", n, clientQueue)
	}
	slow.Close() // again: it must not matter
	quick.Close()
	if _, open := <-quick.Events(); open {
		t.Fatal("a closed page still receives")
	}
}

func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	h := quietHub()
	for range maxClients {
		if _, err := h.Subscribe(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Subscribe(); !problem.Is(err, problem.Full) {
		t.Fatalf("one more: %v", err)
	}
}

// stillSwitch is a switchd that is never there.
type stillSwitch struct{ asked atomic.Int64 }

func (s *stillSwitch) Status(context.Context) (ctl.SwitchStatus, error) {
	s.asked.Add(1)
	return ctl.SwitchStatus{}, errors.New("away")
}
func (s *stillSwitch) Registrations(context.Context) ([]ctl.Registration, error) { return nil, nil }
func (s *stillSwitch) Calls(context.Context) ([]ctl.LiveCall, error)             { return nil, nil }
func (s *stillSwitch) Events(context.Context, func(ctl.SwitchEvent) error) error {
	return errors.New("away")
}

func TestWithoutAPageItHardlyAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sw := &stillSwitch{}
		h := New(Config{Switch: sw, Media: &fakeMedia{}, Net: &fakeNet{}, Own: func() Own { return Own{} }, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = h.Run(ctx) })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := sw.asked.Load(); n > 12 {
			t.Errorf("asked %d times in 10 minutes with no page open", n)
		}
		c, err := h.Subscribe()
		if err != nil {
			t.Fatal(err)
		}
		before := sw.asked.Load()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := sw.asked.Load() - before; n < 10 {
			t.Errorf("asked %d times in a minute with a page open", n)
		}
		first := <-c.Events()
		var o Overview
		if err := json.Unmarshal(first.Data, &o); first.Name != Changed || err != nil || len(o.Alarms) != 1 {
			t.Errorf("a page begins with %s %s", first.Name, first.Data)
		}
		cancel()
		wg.Wait()
		for range c.Events() { // closed by the hub's end
		}
	})
}
