package offload

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// teller is a netd: it hears what is told, and answers when the test says.
type teller struct {
	heard  chan ctl.MediaFlows
	answer chan error
}

func (n *teller) tell(ctx context.Context, c ctl.MediaFlows) error {
	n.heard <- c
	select {
	case err := <-n.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next returns what is told next, and answers it.
func (n *teller) next(err error) ctl.MediaFlows {
	c := <-n.heard
	n.answer <- err
	synctest.Wait()
	return c
}

const testNow = 4711

// filtering runs a test in virtual time with a filter that is running, and flows whose routes are known.
func filtering(t *testing.T, do func(t *testing.T, f *Filter, n *teller, flows []Flow)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		file, err := NewFile()
		must(t, err)
		n := &teller{heard: make(chan ctl.MediaFlows), answer: make(chan error)}
		routes := NewRoutes()
		f := NewFilter(file, routes, n.tell, func() int64 { return testNow })
		var flows []Flow
		for i := range uint16(4) {
			w := worlds()["IPv4"]
			flow := Flow{
				Local: netip.AddrPortFrom(w.local.Addr(), 20000+i), From: w.from, DSCP: 46,
				Plan: relay.Plan{Peer: w.peer, To: w.to, SSRC: testSSRC, Types: [carried]uint8{0, 13, noType, noType}},
			}
			flow.Start = relay.Passed{Highest: 999, Rate: 8000, Formats: [carried]uint8{1, 2}}
			flows = append(flows, flow)
			routes.found[flow.ways()[0]] = Route{Ifindex: 2, MTU: 1400, Longest: 1500, NextHop: w.peer.Addr()}
			routes.found[flow.ways()[1]] = Route{Ifindex: 3, MTU: 1500, Longest: 1500, NextHop: w.nextHop.Addr()}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		do(t, f, n, flows)
		cancel()
		<-ended
		must(t, f.Close())
	})
}

func started(t *testing.T, f *Filter, flow Flow) relay.Bypass {
	t.Helper()
	b, err := f.Start(flow)
	must(t, err)
	return b
}

func slotsOf(flows []ctl.MediaFlow) (slots []uint32) {
	for _, f := range flows {
		slots = append(slots, f.Slot)
	}
	return slots
}

func TestWhatComesMeanwhileIsToldAtOnce(t *testing.T) {
	filtering(t, func(t *testing.T, f *Filter, n *teller, flows []Flow) {
		first := started(t, f, flows[0])
		one := <-n.heard
		if len(one.Put) != 1 || one.Path != f.Path() || !slices.Equal(one.Put[0].Types, []uint8{0, 13}) || one.Put[0].In != 2 || one.Put[0].Out != 3 ||
			one.Put[0].Priority != priority(46, true) || one.Put[0].Peer != flows[0].Peer || one.Put[0].From != flows[0].From {
			t.Errorf("told %+v", one)
		}
		second, third, fourth := started(t, f, flows[1]), started(t, f, flows[2]), started(t, f, flows[3])
		first.Close()
		third.Close() // before anybody was told
		if _, begun := first.Begun(); begun || first.Over() || !third.Over() {
			t.Error("begun or over before netd has answered")
		}
		n.answer <- nil
		synctest.Wait()
		if at, begun := first.Begun(); !begun || at != testNow {
			t.Errorf("begun %v at %d", begun, at)
		}
		if c := n.next(nil); !slices.Equal(slotsOf(c.Put), []uint32{1, 3}) || !slices.Equal(c.Take, []uint32{0}) {
			t.Errorf("told %+v", c)
		}
		for _, b := range []relay.Bypass{second, fourth} {
			if _, begun := b.Begun(); !begun || b.Over() {
				t.Error("not begun, or over")
			}
		}
		if !first.Over() {
			t.Error("not over though netd has taken it")
		}
	})
}

func TestSettleWaitsForWhatWasClosed(t *testing.T) {
	filtering(t, func(t *testing.T, f *Filter, n *teller, flows []Flow) {
		f.Settle(t.Context()) // nothing was
		b := started(t, f, flows[0])
		n.next(nil)
		b.Close()
		b.Close()
		settled := make(chan struct{})
		go func() { f.Settle(t.Context()); close(settled) }()
		c := <-n.heard
		synctest.Wait()
		select {
		case <-settled:
			t.Error("settled before netd has answered")
		default:
		}
		if !slices.Equal(c.Take, []uint32{0}) {
			t.Errorf("told %+v", c)
		}
		n.answer <- nil
		<-settled
		other := started(t, f, flows[1])
		n.next(nil)
		other.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f.Settle(ctx) // netd hangs
		if ctx.Err() == nil {
			t.Error("settled though netd has not answered")
		}
		<-n.heard
		n.answer <- nil
	})
}

func TestASlotIsFreeWhenNetdCountsThereNoMore(t *testing.T) {
	filtering(t, func(t *testing.T, f *Filter, n *teller, flows []Flow) {
		b := started(t, f, flows[0])
		n.next(nil)
		must(t, f.Count(0, 1, 3, 500, 77))
		want := relay.Passed{
			Slot: 1, Rate: 8000, Formats: [carried]uint8{1, 2}, Packets: [carried]uint32{0, 3}, Bytes: 500, Last: 77, Highest: 1002, Blind: true,
		}
		if got := b.Passed(); got != want || f.Passed(want) != want {
			t.Errorf("passed %+v, want %+v", got, want)
		}
		f.Counted(77) // of a second that is over, so that it may be heard still
		if got := b.Passed().Last; got != testNow {
			t.Errorf("heard at %d", got)
		}
		f.Counted(78)
		if got := b.Passed().Last; got != 77 {
			t.Errorf("heard at %d though it was silent since", got)
		}
		must(t, f.Count(0, 1, 1, 1, testNow-int64(lateCount)))
		f.Counted(testNow - int64(lateCount))
		if got := b.Passed().Last; got != testNow-int64(lateCount) {
			t.Errorf("heard at %d though nobody counts any more", got)
		}
		all := len(f.free)
		b.Close()
		b.Release()
		<-n.heard
		if len(f.free) != all {
			t.Error("the slot is free before netd has taken the flow")
		}
		n.answer <- nil
		synctest.Wait()
		if len(f.free) != all+1 {
			t.Error("the slot is not free")
		}
		f.free = nil
		if _, err := f.Start(flows[1]); !errors.Is(err, errFull) {
			t.Errorf("without a slot: %v", err)
		}
		if err := f.Count(MaxFlows, 0, 1, 1, 1); err == nil {
			t.Error("counted where there is no slot")
		}
	})
}

func TestAFlowThatTheRulesCannotPassOn(t *testing.T) {
	filtering(t, func(t *testing.T, f *Filter, _ *teller, flows []Flow) {
		for name, spoil := range map[string]func(flow *Flow){
			"the way out takes less": func(flow *Flow) {
				flow.To = netip.MustParseAddrPort("203.0.113.77:9")
				f.routes.found[flow.ways()[1]] = Route{Ifindex: 3, MTU: 1499, Longest: 1500, NextHop: flow.To.Addr()}
			},
			"another version of IP": func(flow *Flow) {
				flow.From, flow.To = worlds()["IPv6"].from, worlds()["IPv6"].to
				f.routes.found[flow.ways()[1]] = Route{Ifindex: 3, MTU: 1500, Longest: 1500, NextHop: flow.To.Addr()}
			},
			"no route": func(flow *Flow) { flow.To = netip.MustParseAddrPort("203.0.113.78:9") },
		} {
			flow := flows[0]
			spoil(&flow)
			if _, err := f.Start(flow); !errors.Is(err, ErrNoRoute) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestOnlyWhatGoesAnotherWayIsToldAgain(t *testing.T) {
	filtering(t, func(t *testing.T, f *Filter, n *teller, flows []Flow) {
		b := started(t, f, flows[0])
		n.next(nil)
		must(t, f.Reroute()) // nothing has changed, and nothing is told: what comes next is of the change
		w := flows[0].ways()[1]
		f.routes.found[w] = Route{Ifindex: 5, MTU: 1500, Longest: 1500, NextHop: netip.MustParseAddr("198.51.100.9")}
		must(t, f.Reroute())
		if c := n.next(nil); len(c.Put) != 1 || c.Put[0].Out != 5 || c.Put[0].Slot != 0 || len(c.Take) != 0 {
			t.Errorf("told %+v", c)
		}
		f.routes.found[w] = Route{}
		if err := f.Reroute(); !errors.Is(err, ErrNoRoute) {
			t.Errorf("without a way: %v", err)
		}
		if c := n.next(nil); len(c.Put) != 0 || !slices.Equal(c.Take, []uint32{0}) || b.Over() {
			t.Errorf("told %+v, over %v", c, b.Over())
		}
		b.Close()
		if n.next(nil); !b.Over() {
			t.Error("not over")
		}
	})
}

func TestNetdHearsThatMediadIsThere(t *testing.T) {
	filtering(t, func(t *testing.T, f *Filter, n *teller, _ []Flow) {
		begin := time.Now()
		if c := n.next(nil); len(c.Put)+len(c.Take) != 0 || c.Path != f.Path() || time.Since(begin) != aliveTime {
			t.Errorf("told %+v after %v", c, time.Since(begin))
		}
		answer := func(err error) {
			if c := <-n.heard; !c.Clear || c.Path != f.Path() {
				t.Errorf("told %+v", c)
			}
			n.answer <- err
		}
		go answer(nil)
		must(t, f.Clear())
		go answer(unix.EPIPE)
		if err := f.Clear(); !errors.Is(err, unix.EPIPE) {
			t.Errorf("cleared: %v", err)
		}
	})
}

func TestANetdThatFailsIsGivenUp(t *testing.T) {
	for name, fail := range map[string]func(n *teller){
		"a fault":   func(n *teller) { n.next(unix.EIO) },
		"no answer": func(n *teller) { <-n.heard; time.Sleep(tellLimit + time.Second); synctest.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			filtering(t, func(t *testing.T, f *Filter, n *teller, flows []Flow) {
				b := started(t, f, flows[0])
				n.next(nil)
				b.Close()
				settled := make(chan struct{})
				go func() { f.Settle(t.Context()); close(settled) }()
				fail(n)
				<-settled
				if _, err := f.Start(flows[1]); !errors.Is(err, errNotTold) || b.Over() {
					t.Errorf("start %v, over %v", err, b.Over())
				}
			})
		})
	}
}

func TestTheFileIsKnownByItsHead(t *testing.T) {
	t.Parallel()
	file, err := NewFile()
	must(t, err)
	again := func() int {
		fd, err := unix.FcntlInt(uintptr(file.FD()), unix.F_DUPFD_CLOEXEC, 0)
		must(t, err)
		return fd
	}
	other, err := OpenFile(again())
	must(t, err)
	must(t, file.Count(7, 0, 1<<32+5, 6, 8))
	if got := other.Passed(relay.Passed{Slot: 8}); got.Packets[0] != 5 || got.Bytes != 6 || other.Path() != file.Path() || file.Path() == 0 {
		t.Errorf("the other one has %+v, %d of %d", got, other.Path(), file.Path())
	}
	if err := unix.Ftruncate(file.FD(), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("cut short: %v", err)
	}
	file.whole[0]++
	if _, err := OpenFile(again()); err == nil {
		t.Error("a file of another generation was opened")
	}
	empty, err := unix.MemfdCreate("x", unix.MFD_CLOEXEC)
	must(t, err)
	if _, err := OpenFile(empty); err == nil {
		t.Error("an empty file was opened")
	}
	must(t, errors.Join(other.Close(), file.Close()))
}
