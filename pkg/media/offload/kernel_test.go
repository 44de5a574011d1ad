package offload

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/rtp/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSequenceNumbersAreExtended(t *testing.T) {
	p, m := loaded(t)
	w := worlds()["IPv4"]
	_, b := w.started(t, m) // 1<<16 + 999 is the highest
	for _, c := range []struct {
		seq     uint16
		highest uint32
		passed  bool
	}{
		{1000, 1<<16 + 1000, true},
		{1000, 1<<16 + 1000, true},               // twice
		{950, 1<<16 + 1000, true},                // late
		{800, 1<<16 + 1000, false},               // too late: a new run
		{1000 + 2999, 1<<16 + 1000 + 2999, true}, // the largest gap
		{3999 + 3000, 1<<16 + 3999, false},       // beyond it
	} {
		d := w.datagram()
		binary.BigEndian.PutUint16(d.payload[2:], c.seq)
		if passed, _ := run(t, p, d.frame()); passed != c.passed || b.Passed().Highest != c.highest {
			t.Errorf("%d: passed on %v, highest %d", c.seq, passed, b.Passed().Highest)
		}
	}
	for seq := 5000; seq <= 1<<16+10; seq += 2500 { // over the turn
		d := w.datagram()
		binary.BigEndian.PutUint16(d.payload[2:], uint16(seq))
		if passed, _ := run(t, p, d.frame()); !passed || b.Passed().Highest != uint32(1<<16+seq) {
			t.Fatalf("%d: passed on %v, highest %d", seq, passed, b.Passed().Highest)
		}
	}
}

// The kernel counts jitter as mediad does.
func TestJitterIsThatOfTheReceiver(t *testing.T) {
	p, m := loaded(t)
	w := worlds()["IPv6"]
	_, b := w.started(t, m)
	var r stats.Receiver
	for i := range uint32(40) {
		d := w.datagram()
		timestamp := 8000 + i*160 + i%7*30
		binary.BigEndian.PutUint16(d.payload[2:], uint16(1000+i))
		binary.BigEndian.PutUint32(d.payload[4:], timestamp)
		if passed, _ := run(t, p, d.frame()); !passed {
			t.Fatal("not passed on")
		}
		r.Time(timestamp, 8000, b.Passed().Last)
	}
	got := b.Passed()
	// The first packet's step is from nowhere for the kernel, or no step at all.
	if n := uint64(got.Timed); n < r.Timed || n > r.Timed+1 {
		t.Errorf("%d steps, not %d", n, r.Timed)
	}
	if diff := int64(got.Jitter) - int64(r.Jitter); diff < -64 || diff > 64 { // a tick counts 16
		t.Errorf("jitter %d, not %d", got.Jitter, r.Jitter)
	}
	mean := time.Duration(got.JitterSum * (1e9 / 16) / 8000 / uint64(got.Timed))
	if diff := mean - r.MeanJitter(); diff < -time.Millisecond || diff > time.Millisecond || r.MeanJitter() == 0 {
		t.Errorf("mean jitter %v, not %v", mean, r.MeanJitter())
	}
}

func TestSlotsAreUsedUpAndComeBack(t *testing.T) {
	_, m := loaded(t)
	w := worlds()["IPv4"]
	k, first := w.started(t, m)
	f := first.(*bypass).flow
	for i := 1; i < MaxFlows; i++ {
		f.Local = netip.AddrPortFrom(f.Local.Addr(), uint16(30000+i))
		if _, err := k.Start(f); err != nil {
			t.Fatalf("flow %d: %v", i, err)
		}
	}
	f.Local = netip.AddrPortFrom(f.Local.Addr(), 29998)
	if _, err := k.Start(f); !errors.Is(err, errFull) {
		t.Errorf("one more: %v", err)
	}
	first.Close()
	if _, err := k.Start(f); !errors.Is(err, errFull) {
		t.Errorf("before its counts were given up: %v", err)
	}
	first.Release()
	b, err := k.Start(f)
	if err != nil {
		t.Fatal(err)
	}
	if p := b.Passed(); p.Slot != first.Passed().Slot || p.Strangers != 0 || p.Highest != f.Start.Highest {
		t.Errorf("begins with %+v", p)
	}
	f.To = netip.MustParseAddrPort("203.0.113.77:9")
	if _, err := k.Start(f); !errors.Is(err, ErrNoRoute) {
		t.Errorf("without a route: %v", err)
	}
	if err := k.Clear(); err != nil {
		t.Error(err)
	}
	if it := m.Flows.Iterate(); it.Next(new([]byte), new([]byte)) {
		t.Error("a flow is left after Clear")
	}
}

// What an older mediad's successor knows of a slot.
func TestCountsAreFoundAfterARestart(t *testing.T) {
	p, m := loaded(t)
	w := worlds()["IPv4"]
	k, b := w.started(t, m)
	kept := b.Passed()
	d := w.datagram()
	run(t, p, d.frame())
	next, err := Open(m, NewRoutes())
	if err != nil {
		t.Fatal(err)
	}
	if got := next.Passed(kept); got.Packets[0] != 1 || got.Formats != kept.Formats || got.Rate != 8000 || got != k.Passed(kept) {
		t.Errorf("found %+v", got)
	}
	for _, none := range []relay.Passed{{}, {Slot: MaxFlows + 1}} {
		if got := next.Passed(none); got != none {
			t.Errorf("found %+v", got)
		}
	}
}

func TestOtherMapsAreRefused(t *testing.T) {
	_, m := loaded(t)
	dup := func(of *ebpf.Map) int {
		t.Helper()
		fd, err := unix.FcntlInt(uintptr(of.FD()), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	again, err := OpenMaps([]int{dup(m.Flows), dup(m.Slots)})
	if err != nil || !again.Same(m) {
		t.Fatalf("the same maps: %v, %v", again.Same(m), err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	other, err := NewMaps()
	if err != nil {
		t.Fatal(err)
	}
	if other.Same(m) {
		t.Error("other maps are the same")
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for _, fds := range [][]int{nil, {dup(m.Flows)}, {dup(m.Slots), dup(m.Flows)}, {dup(m.Flows), pipe[0]}, {pipe[1], dup(m.Slots)}} {
		if _, err := OpenMaps(fds); err == nil {
			t.Errorf("%v were taken", fds)
		}
		for _, fd := range fds {
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
				t.Errorf("descriptor %d is left open", fd)
			}
		}
	}
}
