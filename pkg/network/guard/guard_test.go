package guard

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/nft"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// daemons stand for switchd, mediad and admind.
type daemons struct {
	dir    string
	events chan ctl.SwitchEvent

	mu     sync.Mutex // guards what follows
	sw     ctl.SwitchStatus
	media  ctl.MediaStatus
	admin  ctl.AdminStatus
	serves sync.WaitGroup
}

func startDaemons(t *testing.T) *daemons {
	t.Helper()
	d := &daemons{dir: t.TempDir(), events: make(chan ctl.SwitchEvent, 100)}
	d.listen("198.18.1.1:5060")
	d.media.Ports = ctl.PortUse{First: 20000, Last: 29999}
	d.media.STUN = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:3478"), netip.MustParseAddrPort("[::]:3478"), netip.MustParseAddrPort("127.0.0.1:9")}
	d.admin.Page = "https://box.test:8443"
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); d.serves.Wait() })
	d.serve(ctx, t, "switch", func(mux *http.ServeMux) {
		ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.SwitchStatus, error) { return locked(d, &d.sw), nil })
		ctl.Stream(mux, "GET /v1/events", d.stream)
	})
	d.serve(ctx, t, "media", func(mux *http.ServeMux) {
		ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.MediaStatus, error) { return locked(d, &d.media), nil })
	})
	d.serve(ctx, t, "admin", func(mux *http.ServeMux) {
		ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.AdminStatus, error) { return locked(d, &d.admin), nil })
	})
	return d
}

func locked[T any](d *daemons, v *T) T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *v
}

func (d *daemons) serve(ctx context.Context, t *testing.T, name string, routes func(*http.ServeMux)) {
	mux := http.NewServeMux()
	routes(mux)
	sock, err := ctl.Listen(filepath.Join(d.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	d.serves.Go(func() {
		if err := sock.Serve(ctx, mux, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
	})
}

func (d *daemons) listen(addresses ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sw.Listeners = []ctl.Listener{{Transport: "udp", Address: netip.MustParseAddrPort("127.0.0.1:9")}}
	for _, a := range addresses {
		d.sw.Listeners = append(d.sw.Listeners, ctl.Listener{Transport: "udp", Address: netip.MustParseAddrPort(a)}, ctl.Listener{Transport: "tls", Address: netip.MustParseAddrPort(a)})
	}
}

func (d *daemons) stream(r *http.Request, emit func(any) error) error {
	for {
		select {
		case <-r.Context().Done():
			return nil
		case ev := <-d.events:
			if err := emit(ev); err != nil {
				return err
			}
		}
	}
}

// run starts a guard of the site on the daemons; it has applied the site's document.
func (s *site) run(t *testing.T, d *daemons) *Guard {
	t.Helper()
	g, err := New(Config{
		Kernel: s.kernel, Switch: ctl.NewSwitch(filepath.Join(d.dir, "switch")), Media: ctl.NewMedia(filepath.Join(d.dir, "media")), Admin: ctl.NewAdmin(filepath.Join(d.dir, "admin")),
		Links: func() ([]ctl.Link, <-chan struct{}) {
			return []ctl.Link{{Name: "wan0", Addresses: []netip.Prefix{netip.MustParsePrefix("198.18.1.1/24"), netip.MustParsePrefix("fe80::1/64")}}}, nil
		},
		StateDir: d.dir, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(t.Context(), s.document(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return g
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(2 * lookEvery); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

func (g *Guard) has(t *testing.T, rule string) bool {
	t.Helper()
	st, err := g.Status()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(st.Rules, func(r ctl.FirewallRule) bool { return r.Name == rule })
}

func TestTheFilterFollowsWhatDaemonsListenOn(t *testing.T) {
	t.Parallel()
	s, d := newSite(t), startDaemons(t)
	g := s.run(t, d)
	await(t, "SIP, media and page are open", func() bool {
		return g.has(t, "box.phones.sip") && g.has(t, "box.phones.media") && g.has(t, "box.office.page")
	})
	echo(t, s.box, "198.18.2.1:3478")
	if got := datagram(t, s.phone, "198.18.2.2:4000", "198.18.2.1:3478", patience); got == "" {
		t.Error("a phone cannot ask for its address")
	}
	echo(t, s.box, "198.18.2.1:5070")
	if got := datagram(t, s.phone, "198.18.2.2:4000", "198.18.2.1:5070", moment); got != "" {
		t.Errorf("a port is open that nobody listens on: %q", got)
	}
	d.listen("198.18.1.1:5070")
	await(t, "the new port is open", func() bool {
		return datagram(t, s.phone, "198.18.2.2:4000", "198.18.2.1:5070", 50*time.Millisecond) != ""
	})
	next, err := New(Config{Kernel: s.kernel, StateDir: d.dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if got := next.facts.SIPUDP; len(got) != 1 || got[0] != 5070 {
		t.Errorf("the next guard begins with SIP at %v", got)
	}
	if steps, err := next.Steps(s.document(t)); err != nil || len(steps) != 0 {
		t.Errorf("a guard that starts anew would change: %v, %v", steps, err)
	}
}

func TestKnownAndBannedSourcesReachTheKernel(t *testing.T) {
	t.Parallel()
	s, d := newSite(t), startDaemons(t)
	g := s.run(t, d)
	four, six := netip.MustParseAddrPort("198.18.2.2:5060"), netip.MustParseAddrPort("[2001:db8:2::2]:5060")
	for i, source := range []netip.AddrPort{four, six, netip.MustParseAddrPort("127.0.0.1:5060")} {
		d.events <- ctl.SwitchEvent{Registered: &ctl.Registration{ID: fmt.Sprint(i), Source: source}}
	}
	until := time.Now().Add(time.Hour)
	d.events <- ctl.SwitchEvent{Banned: &ctl.Ban{Source: netip.MustParsePrefix("198.18.1.2/32"), Until: until}}
	d.events <- ctl.SwitchEvent{Banned: &ctl.Ban{Source: netip.MustParsePrefix("2001:db8:1::2/64"), Until: until}}
	await(t, "known and banned sources are in the sets", func() bool {
		return s.holds(t, filter.Known4, four.Addr()) && s.holds(t, filter.Known6, six.Addr()) &&
			s.holds(t, filter.Banned4, netip.MustParseAddr("198.18.1.2")) && s.holds(t, filter.Banned6, netip.MustParseAddr("2001:db8:1::"))
	})
	if err := s.kernel.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(t.Context(), s.document(t)); err != nil {
		t.Fatal(err)
	}
	await(t, "known sources are in new sets", func() bool { return s.holds(t, filter.Known4, four.Addr()) && s.holds(t, filter.Known6, six.Addr()) })
}

func (s *site) holds(t *testing.T, set string, addr netip.Addr) bool {
	t.Helper()
	elements, err := s.kernel.Elements(s.guard.feed.sets[set])
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(elements, func(e nft.Element) bool { return e.Addr == addr }) && len(elements) == 1
}

func TestKnownSourcesAgeOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f, now := s.guard.feed, time.Now()
	stays, leaves := netip.MustParseAddrPort("198.18.2.2:1"), netip.MustParseAddrPort("198.18.2.3:1")
	f.event(&ctl.SwitchEvent{Registered: &ctl.Registration{ID: "stays", Source: stays}})
	f.event(&ctl.SwitchEvent{Registered: &ctl.Registration{ID: "leaves", Source: leaves}})
	f.flush(now)
	f.event(&ctl.SwitchEvent{Unregistered: &ctl.Registration{ID: "leaves", Source: leaves}})
	f.flush(now.Add(refresh / 2))
	if listed, _ := f.known(); listed != 2 {
		t.Errorf("%d sources are listed half an hour after a registration ended, want both", listed)
	}
	f.flush(now.Add(refresh + lookAtAll))
	if listed, _ := f.known(); listed != 1 || f.told[stays.Addr()] != now.Add(refresh+lookAtAll) {
		t.Errorf("listed are %v", f.told)
	}
	elements, err := s.kernel.Elements(f.sets[filter.Known4])
	if err != nil || len(elements) != 2 {
		t.Errorf("the kernel has %v, %v: it forgets by itself", elements, err)
	}
}

func TestTheFeedIsBounded(t *testing.T) {
	t.Parallel()
	f := newFeed(nil, slog.New(slog.DiscardHandler))
	size := int(f.sets[filter.Known4].Size)
	for i := range size + 100 {
		source := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 5060)
		f.event(&ctl.SwitchEvent{Registered: &ctl.Registration{ID: fmt.Sprint(i), Source: source}})
		f.event(&ctl.SwitchEvent{Banned: &ctl.Ban{Source: netip.PrefixFrom(source.Addr(), 32), Until: time.Now().Add(time.Hour)}})
	}
	if listed, unlisted := f.known(); listed != size || unlisted != 100 || len(f.bans) != int(f.sets[filter.Banned4].Size) {
		t.Errorf("%d listed, %d not, %d bans", listed, unlisted, len(f.bans))
	}
	if b := f.take(time.Now()); len(b.known[0]) != feedBatch || len(b.banned[0]) != feedBatch {
		t.Errorf("one transaction has %d and %d elements", len(b.known[0]), len(b.banned[0]))
	}
}

func TestAPlanLeavesTheKernelAlone(t *testing.T) {
	t.Parallel()
	netlab.Need(t, "nft", "nftables")
	lab := netlab.New(t)
	g, err := New(Config{Kernel: nft.New(0), PlanOnly: true, StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	err = lab.Box.Do(func() error {
		steps, err := g.Steps(netcfg.FirstBoot([]string{"eth0"}))
		if len(steps) < 3 {
			t.Errorf("the plan says %v", steps)
		}
		if g.Apply(t.Context(), netcfg.Document{}) == nil {
			t.Error("a guard that only plans has applied")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := lab.Box.Output(t, "nft", "list", "ruleset"); got != "" {
		t.Errorf("the kernel has %s", got)
	}
}

func TestStepsSayWhatChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	doc := s.document(t)
	if steps, err := s.guard.Steps(doc); err != nil || len(steps) != 0 {
		t.Errorf("the same document would change %v, %v", steps, err)
	}
	doc.Zones[1].Reaches = []string{"office"}
	steps, err := s.guard.Steps(doc)
	want := []string{"no more: Phones in phones may reach internet", "new: Phones in phones may reach office"}
	if err != nil || !slices.Equal(steps, want) {
		t.Errorf("steps are %q, %v", steps, err)
	}
}
