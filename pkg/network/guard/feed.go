package guard

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/nft"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// How sets are fed. A thousand registrations a second are five transactions.
const (
	feedEvery = 200 * time.Millisecond
	feedBatch = 2_000            // elements of one transaction; the others wait for the next
	refresh   = 30 * time.Minute // of an address that is still registered: half of what it lasts
	lookAtAll = time.Minute
)

// feed holds whom switchd knows and bans, and what of it the kernel has yet to be told. It is bounded
// by the sizes of the sets.
type feed struct {
	kernel    *nft.Kernel
	log       *slog.Logger
	sets      map[string]ruleset.Set
	connected chan struct{} // holds a token when switchd has come back

	mu       sync.Mutex // guards what follows
	bound    map[string]netip.Addr
	told     map[netip.Addr]time.Time // known addresses, and when the kernel was last told of each
	fresh    map[netip.Addr]struct{}  // of these, those to be told
	looked   time.Time                // when all were last looked at
	bans     map[netip.Addr]time.Time // until when, of those that the kernel was not told of
	unlisted int                      // known addresses that found no place
	failing  bool
}

func newFeed(kernel *nft.Kernel, log *slog.Logger) *feed {
	f := &feed{
		kernel: kernel, log: log, sets: map[string]ruleset.Set{}, connected: make(chan struct{}, 1),
		bound: map[string]netip.Addr{}, told: map[netip.Addr]time.Time{}, fresh: map[netip.Addr]struct{}{}, bans: map[netip.Addr]time.Time{},
	}
	for _, s := range filter.Sets() {
		f.sets[s.Name] = s
	}
	return f
}

// begin forgets the bindings: switchd tells all of them anew.
func (f *feed) begin() {
	f.mu.Lock()
	clear(f.bound)
	f.mu.Unlock()
	select {
	case f.connected <- struct{}{}:
	default:
	}
}

// resync makes the kernel be told of all: its sets may be new.
func (f *feed) resync() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for addr := range f.told {
		f.fresh[addr] = struct{}{}
	}
}

// event takes what switchd tells.
func (f *feed) event(ev *ctl.SwitchEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case ev.Registered != nil:
		f.registeredLocked(ev.Registered)
	case ev.Unregistered != nil:
		delete(f.bound, ev.Unregistered.ID) // its address is served until its time in the set is over
	case ev.Banned != nil:
		if len(f.bans) < int(f.sets[filter.Banned4].Size) {
			f.bans[ev.Banned.Source.Masked().Addr()] = ev.Banned.Until
		}
	}
}

func (f *feed) registeredLocked(r *ctl.Registration) {
	addr := r.Source.Addr().Unmap().WithZone("")
	if !addr.IsValid() || addr.IsLoopback() || r.Asleep {
		return
	}
	f.bound[r.ID] = addr
	if _, known := f.told[addr]; known {
		return
	}
	if len(f.told) >= int(f.sets[filter.Known4].Size) {
		f.unlisted++
		return
	}
	f.told[addr], f.fresh[addr] = time.Time{}, struct{}{}
}

func (f *feed) run(ctx context.Context) {
	tick := time.NewTicker(feedEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.flush(time.Now())
		}
	}
}

// batch is what one transaction tells.
type batch struct {
	known, banned [2][]nft.Element // of IPv4 and of IPv6
}

// flush tells the kernel what it does not know. What it does not take waits for the next time.
func (f *feed) flush(now time.Time) {
	b := f.take(now)
	known4, known6 := f.sets[filter.Known4], f.sets[filter.Known6]
	banned4, banned6 := f.sets[filter.Banned4], f.sets[filter.Banned6]
	for _, part := range []struct {
		set      ruleset.Set
		elements []nft.Element
		keep     func(nft.Element)
	}{
		{banned4, b.banned[0], f.banAgain(now)},
		{banned6, b.banned[1], f.banAgain(now)},
		{known4, b.known[0], f.knowAgain},
		{known6, b.known[1], f.knowAgain},
	} {
		if len(part.elements) == 0 {
			continue
		}
		err := f.kernel.Update(part.set, part.elements, nil)
		f.report(err)
		if err != nil {
			for _, e := range part.elements {
				part.keep(e)
			}
		}
	}
}

// take gathers what is new, or about to run out.
func (f *feed) take(now time.Time) (b batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for addr, until := range f.bans {
		if len(b.banned[0])+len(b.banned[1]) >= feedBatch {
			break
		}
		delete(f.bans, addr)
		if until.After(now) {
			b.banned[familyOf(addr)] = append(b.banned[familyOf(addr)], nft.Element{Addr: addr, Timeout: until.Sub(now)})
		}
	}
	if now.Sub(f.looked) >= lookAtAll {
		f.looked = now
		f.ageLocked(now)
	}
	for addr := range f.fresh {
		if len(b.known[0])+len(b.known[1]) >= feedBatch {
			break
		}
		delete(f.fresh, addr)
		f.told[addr] = now
		b.known[familyOf(addr)] = append(b.known[familyOf(addr)], nft.Element{Addr: addr, Timeout: f.sets[filter.Known4].Timeout})
	}
	return b
}

// ageLocked finds addresses whose time in the set is about to run out: those that are still registered
// are told anew, the kernel forgets the others by itself.
func (f *feed) ageLocked(now time.Time) {
	live := f.liveLocked()
	for addr, at := range f.told {
		switch {
		case now.Sub(at) < refresh:
		case live[addr]:
			f.fresh[addr] = struct{}{}
		default:
			delete(f.told, addr)
			delete(f.fresh, addr)
		}
	}
}

func (f *feed) liveLocked() map[netip.Addr]bool {
	live := make(map[netip.Addr]bool, len(f.bound))
	for _, addr := range f.bound {
		live[addr] = true
	}
	return live
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func (f *feed) knowAgain(e nft.Element) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fresh[e.Addr] = struct{}{}
}

func (f *feed) banAgain(now time.Time) func(nft.Element) {
	return func(e nft.Element) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.bans[e.Addr] = now.Add(e.Timeout)
	}
}

// report tells once that the sets cannot be fed, and once that they can again.
func (f *feed) report(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if failing := err != nil; failing != f.failing {
		f.failing = failing
		if failing {
			f.log.Warn("the packet filter is not told of registered and banned sources", "err", err)
		} else {
			f.log.Info("the packet filter is told of registered and banned sources again")
		}
	}
}

// known returns how many addresses the kernel was told of, and how many found no place.
func (f *feed) known() (listed, unlisted int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.told), f.unlisted
}

// followSwitch listens to switchd's events, again and again until ctx ends.
func (g *Guard) followSwitch(ctx context.Context) {
	pause := retryFirst
	for ctx.Err() == nil {
		first := true
		_ = g.cfg.Switch.Events(ctx, func(ev ctl.SwitchEvent) error { // it is away, or will be: ask again
			if first {
				g.feed.begin()
				first, pause = false, retryFirst
			}
			g.feed.event(&ev)
			return nil
		})
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, retryLast)
	}
}
