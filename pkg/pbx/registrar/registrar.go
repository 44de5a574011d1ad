// Package registrar knows where each user's devices are. Bindings are kept on disk before a device
// is told that they are, and outlive a restart; a refresh of one follows within a second.
package registrar

import (
	"container/heap"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/journal"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/aor"
)

// Limits of registrations.
const (
	minExpires     = 60               // seconds; less would be a load without use
	maxExpires     = 86_400           // seconds; Linphone on Android asks for a year
	defaultExpires = 3_600            // seconds; RFC 3261 §10.2.1.1
	maxBindings    = 32               // of one user
	knownFor       = time.Hour        // how long a device's address is served under a flood
	progressEvery  = 15 * time.Minute // how often a long stay's record is brought up to date
)

// When the journal is rewritten: it holds mostly what is no more, and is worth the work.
const (
	compactBytes = 4 << 20
	compactRatio = 4
	compactEvery = time.Minute
)

// Event tells of a binding. Gone is "" for one that is there.
type Event struct {
	Binding Binding // a copy
	New     bool    // it was not there before, or moved to another address
	Gone    string  // why it is gone: one of record.Reg*
	Asleep  bool    // of one that is gone: its device can be woken
	Lost    bool    // of one that was asleep: it cannot be woken any more
}

// Deps are what the registrar works with.
type Deps struct {
	Log    *slog.Logger
	Edge   *edge.Edge
	Domain func() string
	Watch  func(Event)               // told of each change; must not block
	Record func(record.Registration) // told of each stay that starts, goes on or ends; must not block
	Clock  func() time.Time
}

// Registrar holds the bindings.
type Registrar struct {
	deps    Deps
	log     *slog.Logger
	journal *journal.Log
	out     *edge.Outgoing // used by the journal's committer only
	wake    chan struct{}  // the earliest expiry has changed
	failing atomic.Bool    // the journal can't be written

	mu     sync.Mutex // guards what follows; held for microseconds
	byUser map[string][]*Binding
	byID   map[string]*Binding
	asleep sleepers
	expiry expiryQueue
	frame  []byte // scratch
}

// Open reads the bindings kept in dir. Bindings that expired meanwhile end.
func Open(dir string, deps Deps) (*Registrar, error) {
	r := &Registrar{
		deps: deps, log: slogx.Part(deps.Log, "registrar"), wake: make(chan struct{}, 1), out: deps.Edge.NewOutgoing(),
		byUser: map[string][]*Binding{}, byID: map[string]*Binding{}, asleep: sleepers{},
	}
	var err error
	kept := replayed{byID: r.byID, asleep: map[string]*Binding{}}
	r.journal, err = journal.Open(filepath.Join(dir, "bindings.log"), journal.Options{AfterBatch: r.afterBatch}, kept.frame)
	if err != nil {
		return nil, fmt.Errorf("open bindings: %w", err)
	}
	kept.makeGood(deps.Clock())
	for _, b := range r.byID {
		b.due = b.Expires
		if b.Transport == edge.UDP { // a connection comes back when the device registers
			b.flow, _ = deps.Edge.FlowTo(b.Transport, b.Local.Addr(), b.Remote)
		}
		r.byUser[b.UserID] = append(r.byUser[b.UserID], b)
		heap.Push(&r.expiry, b)
		deps.Edge.Known(b.Remote.Addr(), deps.Clock().Add(knownFor))
	}
	for _, b := range kept.asleep {
		r.asleep.add(b)
	}
	r.asleep.wakeless(deps.Clock())
	for _, rec := range kept.untold() {
		deps.Record(rec)
	}
	return r, nil
}

// Run ends bindings when their time is over and keeps the journal short, until ctx ends.
func (r *Registrar) Run(ctx context.Context) error {
	compact := time.NewTicker(compactEvery)
	defer compact.Stop()
	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		timer := time.NewTimer(r.untilNextExpiry())
		select {
		case <-ctx.Done():
			timer.Stop()
			return r.close()
		case <-timer.C:
			r.expire()
		case <-r.wake:
		case <-compact.C:
			r.forgetSleepers()
			r.compact()
		case <-progress.C:
			r.tellProgress()
		}
		timer.Stop()
	}
}

// idleCheck is how long the expiry waits when there is no binding.
const idleCheck = time.Hour

func (r *Registrar) untilNextExpiry() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.expiry) == 0 {
		return idleCheck
	}
	return max(r.expiry[0].due.Sub(r.deps.Clock()), 0)
}

func (r *Registrar) expire() {
	now := r.deps.Clock()
	var gone []Binding
	r.mu.Lock()
	for len(r.expiry) > 0 && !r.expiry[0].due.After(now) {
		b := r.expiry[0]
		if b.Expires.After(now) { // refreshed since
			b.due = b.Expires
			heap.Fix(&r.expiry, 0)
			continue
		}
		r.dropLocked(b, now, record.RegExpired)
		gone = append(gone, *b)
	}
	r.mu.Unlock()
	r.tellGone(gone, record.RegExpired)
}

// dropLocked removes a binding from memory and, without waiting, from disk: one that comes back
// after a crash expires once more.
func (r *Registrar) dropLocked(b *Binding, now time.Time, why string) {
	delete(r.byID, b.ID)
	list := slices.DeleteFunc(r.byUser[b.UserID], func(x *Binding) bool { return x == b })
	if len(list) == 0 {
		delete(r.byUser, b.UserID)
	} else {
		r.byUser[b.UserID] = list
	}
	heap.Remove(&r.expiry, b.heap)
	if _, wakes := b.Push(); wakes && why == record.RegExpired {
		r.asleep.add(b)
	}
	r.frame = b.appendDrop(r.frame[:0], now, why)
	r.journal.Later(r.frame)
}

// afterBatch sends the answers that waited for the disk, and raises or ends the alarm of one that
// takes no bindings.
func (r *Registrar) afterBatch(err error) {
	r.out.Flush()
	if failed := err != nil; r.failing.Swap(failed) != failed && failed {
		r.log.Error("bindings cannot be kept: they would be lost by a restart", "err", err)
	}
}

// close writes down that nothing is missing.
func (r *Registrar) close() error {
	r.journal.Later([]byte{frameClean})
	return r.journal.Close()
}

// Failing reports whether bindings cannot be written to disk.
func (r *Registrar) Failing() bool { return r.failing.Load() }

func (r *Registrar) tellGone(gone []Binding, why string) {
	now := r.deps.Clock()
	for _, b := range gone {
		_, wakes := b.Push()
		r.deps.Watch(Event{Binding: b, Gone: why, Asleep: wakes && why == record.RegExpired})
		r.deps.Record(b.record(why, now))
	}
}

func (b *Binding) record(result string, end time.Time) record.Registration {
	rec := record.Registration{
		ID: b.RecordID, AoR: b.AoR, User: b.User, Contact: b.Contact, Instance: b.Instance, Source: b.Remote, Transport: b.Transport.Param(),
		UserAgent: b.UserAgent, CallID: b.CallID, Asked: b.Asked, Expires: b.Granted, Features: b.features(), Result: result,
		First: b.First, Last: b.Refreshed, Refreshes: b.Refreshes,
	}
	if result != record.RegActive {
		rec.End = end
	}
	return rec
}

// tellProgress brings the records of stays up to date that were refreshed since.
func (r *Registrar) tellProgress() {
	since := r.deps.Clock().Add(-progressEvery)
	for _, b := range r.snapshot() {
		if b.Refreshes > 0 && b.Refreshed.After(since) {
			r.deps.Record(b.record(record.RegActive, time.Time{}))
		}
	}
}

func (r *Registrar) snapshot() []Binding {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Binding, 0, len(r.byID))
	for _, b := range r.byID {
		all = append(all, *b)
	}
	return all
}

func (r *Registrar) compact() {
	size, frames := r.journal.Size()
	if size < compactBytes || frames < compactRatio*(r.Len()+2*len(r.sleeping())) {
		return
	}
	r.rewrite()
}

// rewrite writes down what there is and nothing else.
func (r *Registrar) rewrite() {
	err := r.journal.Rewrite(func(emit func([]byte)) {
		var frame []byte
		for _, b := range r.snapshot() {
			frame = b.appendSet(frame[:0])
			emit(frame)
		}
		for _, b := range r.sleeping() {
			frame = b.appendSet(frame[:0])
			emit(frame)
			frame = b.appendDrop(frame[:0], b.Expires, record.RegExpired)
			emit(frame)
		}
	})
	if err != nil {
		r.log.Warn("bindings stay in a long file", "err", err)
	}
}

// Len returns how many bindings there are.
func (r *Registrar) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byID)
}

// Lookup returns copies of a user's bindings, the preferred first (RFC 3261 §20.10).
func (r *Registrar) Lookup(userID string) []Binding {
	r.mu.Lock()
	list := make([]Binding, 0, len(r.byUser[userID]))
	for _, b := range r.byUser[userID] {
		list = append(list, *b)
	}
	r.mu.Unlock()
	slices.SortStableFunc(list, func(a, b Binding) int { return b.Q - a.Q })
	return list
}

// Device returns a user's binding by its instance: the newest, if it has several flows.
func (r *Registrar) Device(userID, instance string) (found Binding, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.byUser[userID] {
		if b.Instance == instance && instance != "" && (!ok || b.Refreshed.After(found.Refreshed)) {
			found, ok = *b, true
		}
	}
	return found, ok
}

// List returns all bindings as an admin sees them, and those that sleep.
func (r *Registrar) List() []ctl.Registration {
	all, asleep := r.snapshot(), r.sleeping()
	regs := make([]ctl.Registration, 0, len(all)+len(asleep))
	for i := range all {
		regs = append(regs, all[i].Registration())
	}
	for i := range asleep {
		reg := asleep[i].Registration()
		reg.Asleep = true
		regs = append(regs, reg)
	}
	slices.SortFunc(regs, func(a, b ctl.Registration) int { return a.Registered.Compare(b.Registered) })
	return regs
}

// RemoveUser ends all bindings of a user who may not register any more.
func (r *Registrar) RemoveUser(userID string) { r.remove(userID, func(*Binding) bool { return true }) }

// RemoveDevice ends the bindings that were made with the secret of one device, or with the user's own
// when it is "".
func (r *Registrar) RemoveDevice(userID, device string) {
	r.remove(userID, func(b *Binding) bool { return b.Device == device })
}

func (r *Registrar) remove(userID string, match func(*Binding) bool) {
	now := r.deps.Clock()
	var gone, lost []Binding
	r.mu.Lock()
	for _, b := range slices.Clone(r.asleep[userID]) {
		if match(b) {
			r.loseLocked(b, now, record.RegRemoved)
			lost = append(lost, *b)
		}
	}
	for _, b := range slices.Clone(r.byUser[userID]) {
		if match(b) {
			r.dropLocked(b, now, record.RegRemoved)
			gone = append(gone, *b)
		}
	}
	r.mu.Unlock()
	r.tellGone(gone, record.RegRemoved)
	r.tellLost(lost)
}

// Flow returns the way to a binding now. A phone that closed its connection but listens at its
// contact is connected to; others are unreachable until they register (RFC 5626 §5.3: 430).
func (r *Registrar) Flow(b *Binding) (edge.Flow, error) {
	if b.flow.Alive() {
		return b.flow, nil
	}
	remote := b.Remote
	if b.Transport == edge.TCP {
		if u, err := aor.Parse(b.Contact); err == nil {
			if addr, ok := u.Addr(); ok && addr == remote.Addr() && u.Port != remote.Port() {
				remote = netip.AddrPortFrom(addr, max(u.Port, 1))
				if u.Port == 0 {
					remote = netip.AddrPortFrom(addr, 5060)
				}
				return r.deps.Edge.FlowTo(edge.TCP, b.Local.Addr(), remote)
			}
		}
		return edge.Flow{}, fmt.Errorf("device %s of %s: %w", b.Contact, b.User, edge.ErrFlow)
	}
	return r.deps.Edge.FlowTo(b.Transport, b.Local.Addr(), remote)
}

// expiryQueue is a heap of bindings by the end of their time, as it was when they were put there: a
// refresh costs nothing here.
type expiryQueue []*Binding

func (q expiryQueue) Len() int           { return len(q) }
func (q expiryQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].heap, q[j].heap = i, j
}

// Push is for container/heap.
func (q *expiryQueue) Push(x any) {
	b := x.(*Binding)
	b.heap = len(*q)
	*q = append(*q, b)
}

// Pop is for container/heap.
func (q *expiryQueue) Pop() any {
	old := *q
	b := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return b
}
