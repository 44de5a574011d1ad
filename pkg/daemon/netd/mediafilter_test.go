package netd

import (
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/offload"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
)

// filtering returns an offloader by the packet filter of a network namespace of its own, with one interface.
func filtering(t *testing.T) (*offloader, Config) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace here: %v: run as root", err)
	}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wire"}, PeerName: "far"}); err != nil {
		t.Fatal(err)
	}
	wire, err := netlink.LinkByName("wire")
	if err != nil {
		t.Fatal(err)
	}
	o, cfg := &offloader{}, Config{Offload: OffloadNftables, Notify: &notify.Notifier{}, Log: slog.New(slog.DiscardHandler)}
	o.begin(cfg)
	if o.filter == nil {
		t.Skipf("no packet filter here: %s", o.status().Why)
	}
	t.Cleanup(func() { _ = o.close() })
	o.attach([]ctl.Link{{Name: "wire", Index: wire.Attrs().Index, MAC: wire.Attrs().HardwareAddr.String()}}, cfg)
	if st := o.status(); st.Way != OffloadNftables || !slices.Equal(st.Links, []string{"wire"}) || st.Why != "it was asked for" {
		t.Errorf("status %+v", st)
	}
	return o, cfg
}

func mediaFlow() ctl.MediaFlow {
	at := netip.MustParseAddrPort
	return ctl.MediaFlow{
		Slot: 5, In: 2, Out: 3, NextHop: netip.MustParseAddr("192.0.2.9"), Types: []uint8{0}, DSCP: 46,
		Peer: at("192.0.2.2:4000"), Local: at("192.0.2.1:20000"), From: at("192.0.2.1:20002"), To: at("192.0.2.3:5000"),
	}
}

func TestMediadTellsWhatThePacketFilterPassesOn(t *testing.T) {
	o, cfg := filtering(t)
	path := o.filter.file.Path()
	put := ctl.MediaFlows{Path: path, Put: []ctl.MediaFlow{mediaFlow()}}
	for _, c := range []struct {
		what string
		in   ctl.MediaFlows
		left int
	}{
		{"put", put, 1},
		{"put again", put, 1},
		{"take another", ctl.MediaFlows{Path: path, Take: []uint32{6}}, 1},
		{"say nothing", ctl.MediaFlows{Path: path}, 1},
		{"take", ctl.MediaFlows{Path: path, Take: []uint32{5}}, 0},
		{"put", put, 1},
		{"clear", ctl.MediaFlows{Path: path, Clear: true}, 0},
		{"clear and put", ctl.MediaFlows{Path: path, Clear: true, Put: put.Put}, 1},
	} {
		if err := o.pass(c.in, cfg); err != nil || o.filter.table.Len() != c.left {
			t.Errorf("%s: %v, %d flows", c.what, err, o.filter.table.Len())
		}
	}
	if err := o.pass(ctl.MediaFlows{Path: path + 1, Clear: true}, cfg); !problem.Is(err, problem.Conflict) || o.filter.table.Len() != 1 {
		t.Errorf("for another table: %v, %d flows", err, o.filter.table.Len())
	}
	var given []int
	if err := o.give(func(_ any, fds []int) error { given = fds; return nil }); err != nil || len(given) != 1 || given[0] != o.filter.file.FD() {
		t.Errorf("given %v, %v", given, err)
	}
}

// Flows of which nobody speaks any more do not stay for ever.
func TestFlowsGoWhenMediadIsAway(t *testing.T) {
	o, cfg := filtering(t)
	if err := o.pass(ctl.MediaFlows{Path: o.filter.file.Path(), Put: []ctl.MediaFlow{mediaFlow()}}, cfg); err != nil {
		t.Fatal(err)
	}
	o.filter.heard = time.Now().Add(time.Second - awayLimit)
	if o.count(cfg); o.filter.table.Len() != 1 {
		t.Error("taken while mediad may be there")
	}
	o.filter.heard = time.Now().Add(-awayLimit)
	if o.count(cfg); o.filter.table.Len() != 0 {
		t.Error("not taken")
	}
}

// What the kernel holds after a fault of its own nobody knows: there is another table.
func TestAFaultOfTheKernelMakesAnotherTable(t *testing.T) {
	o, cfg := filtering(t)
	first := o.filter
	if err := o.pass(ctl.MediaFlows{Path: first.file.Path(), Put: []ctl.MediaFlow{mediaFlow()}}, cfg); err != nil {
		t.Fatal(err)
	}
	path := first.file.Path()
	if err := first.table.Close(); err != nil {
		t.Fatal(err)
	}
	if err := o.pass(ctl.MediaFlows{Path: path, Take: []uint32{5}}, cfg); err == nil {
		t.Error("no fault")
	}
	if o.filter == nil || o.filter == first || o.filter.file.Path() == path || o.filter.table.Len() != 0 {
		t.Fatalf("there is no other table: %+v", o.filter)
	}
	if st := o.status(); st.Way != OffloadNftables || !slices.Equal(st.Links, []string{"wire"}) || !strings.HasPrefix(st.Why, "another table was given up") {
		t.Errorf("status %+v", st)
	}
}

func TestFlowsThatCannotBe(t *testing.T) {
	t.Parallel()
	for field, spoil := range map[string]func(f *ctl.MediaFlow){
		"slot":     func(f *ctl.MediaFlow) { f.Slot = offload.MaxFlows },
		"types":    func(f *ctl.MediaFlow) { f.Types = nil },
		"in":       func(f *ctl.MediaFlow) { f.In = 0 },
		"out":      func(f *ctl.MediaFlow) { f.Out = 0 },
		"dscp":     func(f *ctl.MediaFlow) { f.DSCP = 64 },
		"peer":     func(f *ctl.MediaFlow) { f.Peer = netip.MustParseAddrPort("[2001:db8::1]:9") },
		"from":     func(f *ctl.MediaFlow) { f.From = netip.AddrPort{} },
		"to":       func(f *ctl.MediaFlow) { f.To = netip.MustParseAddrPort("[::ffff:192.0.2.1]:9") },
		"next_hop": func(f *ctl.MediaFlow) { f.NextHop = netip.Addr{} },
	} {
		f := mediaFlow()
		spoil(&f)
		if err := checkFlows(&ctl.MediaFlows{Put: []ctl.MediaFlow{mediaFlow(), f}}); !problem.Is(err, problem.Invalid) || len(problem.Of(err).Faults) != 1 || problem.Of(err).Faults[0].Path != "put[1]."+field {
			t.Errorf("%s: %v", field, err)
		}
	}
	six := mediaFlow()
	six.Local = netip.MustParseAddrPort("[fe80::1%eth0]:9")
	if err := checkFlows(&ctl.MediaFlows{Put: []ctl.MediaFlow{six}}); len(problem.Of(err).Faults) != 5 {
		t.Errorf("all addresses: %v", err)
	}
	many := mediaFlow()
	many.Types = []uint8{0, 1, 2, 128}
	if err := checkFlows(&ctl.MediaFlows{Put: []ctl.MediaFlow{many}}); err == nil {
		t.Error("a payload type of eight bits")
	}
	var none offloader
	if err := none.pass(ctl.MediaFlows{}, Config{}); !problem.Is(err, problem.Unavailable) {
		t.Errorf("where nothing is passed on: %v", err)
	}
	if ctl.MaxMediaTypes != relay.MaxCarried {
		t.Errorf("netd takes %d payload types, a bypass has %d", ctl.MaxMediaTypes, relay.MaxCarried)
	}
}
