package offload

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Times and sizes of what netd is told.
const (
	tellLimit = 2 * time.Second  // for netd's answer: later it is ill, and its table goes with it
	aliveTime = 10 * time.Second // so often netd hears that we are there
	maxChange = 500              // flows in one transaction, which others' transactions wait for
	// lateCount is how much later than each second netd may count until a flow that it has heard the last
	// time is taken for silent.
	lateCount = 3 * time.Second
)

// Filter is mediad's end of the packet filter: what is to be passed on is told to netd, which makes one
// transaction of all that came while it did the one before. Its methods may be called from any goroutine;
// only Clear and Settle wait.
type Filter struct {
	*File
	routes *Routes
	tell   func(context.Context, ctl.MediaFlows) error
	now    func() int64 // as the relay counts

	wake chan struct{} // holds a token when there is something to tell

	mu       sync.Mutex // guards what follows
	free     []uint32
	used     map[key]*filtered
	puts     []*filtered
	takes    []taking
	asked    uint64        // what was closed, and
	done     uint64        // of these: what netd has taken
	answered chan struct{} // closed when done grows, or never will
	fault    error
}

// taking is a flow that netd is to take: for good with its bypass, else until it has a route again.
type taking struct {
	slot uint32
	of   *filtered
}

var errNotTold = errors.New("netd does not pass media on any more")

// NewFilter returns a path that tells by tell what to pass on, and reads in file what passed. It owns the
// file. Run must run while it is used.
func NewFilter(file *File, routes *Routes, tell func(context.Context, ctl.MediaFlows) error, now func() int64) *Filter {
	return &Filter{
		File: file, routes: routes, tell: tell, now: now, wake: make(chan struct{}, 1),
		free: allSlots(), used: map[key]*filtered{}, answered: make(chan struct{}),
	}
}

// Passed returns what was counted for a bypass of which p is known. A flow that was heard when netd last
// counted is taken to be heard still: netd may be kept from its processor for a while.
func (f *Filter) Passed(p relay.Passed) relay.Passed {
	p = f.File.Passed(p)
	if counted, now := f.counted(), f.now(); p.Last != 0 && p.Last == counted && now > counted && now-counted < int64(lateCount) {
		p.Last = now
	}
	return p
}

// Clear makes netd take all flows, and waits for it.
func (f *Filter) Clear() error {
	ctx, cancel := context.WithTimeout(context.Background(), tellLimit)
	defer cancel()
	if err := f.tell(ctx, ctl.MediaFlows{Path: f.Path(), Clear: true}); err != nil {
		return fmt.Errorf("clear media flows: %w", err)
	}
	return nil
}

// Find looks for the routes that a flow needs, unless it is known how that ended.
func (f *Filter) Find(flow *Flow) error { return f.routes.findOf(flow) }

// Start makes netd pass a flow on soon. Packets come to the socket until then.
func (f *Filter) Start(flow Flow) (relay.Bypass, error) {
	in, out, err := f.routes.knownOf(&flow)
	if err == nil && in.Longest > out.MTU { // the rules do not look at the length
		err = ErrNoRoute
	}
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.fault != nil:
		return nil, f.fault
	case len(f.free) == 0:
		return nil, errFull
	}
	b := &filtered{filter: f, key: keyOf(flow.Local), slot: f.free[0], flow: flow}
	b.told = flow.told(b.slot, in, out)
	*f.slot(b.slot) = Slot{Highest: flow.Start.Highest}
	f.free = f.free[1:]
	f.used[b.key] = b
	f.putLocked(b)
	return b, nil
}

func (f *Filter) putLocked(b *filtered) {
	f.puts = append(f.puts, b)
	f.wakeUp()
}

func (f *Filter) takeLocked(t taking) {
	f.takes = append(f.takes, t)
	if t.of != nil {
		f.asked++
	}
	f.wakeUp()
}

func (f *Filter) wakeUp() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// told is the flow as netd is told.
func (f *Flow) told(slot uint32, in, out Route) ctl.MediaFlow {
	m := ctl.MediaFlow{
		Slot: slot, In: in.Ifindex, Out: out.Ifindex, NextHop: out.NextHop.WithZone(""),
		Peer: bare(f.Peer), Local: bare(f.Local), From: bare(f.From), To: bare(f.To),
		SSRC: f.SSRC, DSCP: f.DSCP, Priority: priority(f.DSCP, f.To.Addr().Is4()),
	}
	for _, payloadType := range f.Types {
		if payloadType != noType {
			m.Types = append(m.Types, payloadType)
		}
	}
	return m
}

// bare is an address as packets have it.
func bare(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}

// Reroute tells netd of the flows whose parties are reached otherwise now. What cannot be reached any
// more comes to the sockets; its streams see it and give their bypasses up.
func (f *Filter) Reroute() error {
	f.mu.Lock()
	all := make([]*filtered, 0, len(f.used))
	for _, b := range f.used {
		all = append(all, b)
	}
	f.mu.Unlock()
	var errs []error
	for _, b := range all {
		in, out, err := f.routes.lookOf(&b.flow)
		if err == nil && in.Longest > out.MTU {
			err = ErrNoRoute
		}
		f.reroute(b, in, out, err)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (f *Filter) reroute(b *filtered, in, out Route, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used[b.key] != b { // closed meanwhile
		return
	}
	if err != nil {
		f.puts = slices.DeleteFunc(f.puts, func(other *filtered) bool { return other == b })
		b.since.CompareAndSwap(0, f.now()) // what comes to the socket is a stray
		f.takeLocked(taking{slot: b.slot})
		return
	}
	if next := b.flow.told(b.slot, in, out); next.In != b.told.In || next.Out != b.told.Out || next.NextHop != b.told.NextHop {
		b.told = next
		f.putLocked(b)
	}
}

// Deferred is true: netd does what it is told a little later.
func (f *Filter) Deferred() bool { return true }

// Settle waits until netd has taken all that was closed before, or never will: it has an answer's time.
func (f *Filter) Settle(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for until := f.asked; f.done < until && f.fault == nil; {
		answered := f.answered
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			f.mu.Lock()
			return
		case <-answered:
		}
		f.mu.Lock()
	}
}

// filtered is a flow that the packet filter passes on.
type filtered struct {
	filter *Filter
	key    key
	slot   uint32
	flow   Flow
	told   ctl.MediaFlow // guarded by the filter's lock, and
	sent   bool          // to netd
	freed  bool          // nobody asks for its counts any more

	since atomic.Int64 // when netd had done it; 0 before
	over  atomic.Bool  // netd has taken it again
}

// Passed returns what was counted up to a second ago, or after the end.
func (b *filtered) Passed() relay.Passed {
	return b.filter.Passed(relay.Passed{Slot: b.slot + 1, Rate: b.flow.Start.Rate, Formats: b.flow.Start.Formats, Blind: true})
}

// Begun returns since when packets pass.
func (b *filtered) Begun() (at int64, ok bool) {
	at = b.since.Load()
	return at, at != 0
}

// Over reports whether the flow has ended and all is counted.
func (b *filtered) Over() bool { return b.over.Load() }

// Close makes netd take the flow soon.
func (b *filtered) Close() {
	f := b.filter
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used[b.key] != b {
		return // closed already
	}
	delete(f.used, b.key)
	if !b.sent {
		b.over.Store(true)
		return
	}
	f.takeLocked(taking{b.slot, b})
}

// Release gives the slot to others, once netd counts there no more. It is called once, after Close.
func (b *filtered) Release() {
	f := b.filter
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.freed = true; b.over.Load() {
		f.free = append(f.free, b.slot)
	}
}
