// Package call is the call engine: a back-to-back user agent in which each call is an actor. A call
// owns its legs, which are one dialog each; what it tells a peer is kept before it leaves, so that
// a restarted engine goes on with it.
package call

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/base/pack"
	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/dialplan"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/journal"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// maxCalls bounds the memory of calls: about 15 KB each.
const maxCalls = 10_000

// Wire is the way to the peers: the edge.
type Wire interface {
	Send(f edge.Flow, b []byte) error
	Alive(f edge.Flow) bool
	SentBy(f edge.Flow) netip.AddrPort
	LocalTowards(remote netip.Addr) netip.Addr
	Reply(in *edge.Inbound, r *checked.Reply)
	Release(in *edge.Inbound)
	FlowTo(t edge.Transport, local netip.Addr, remote netip.AddrPort) (edge.Flow, error)
	Authentic(in *edge.Inbound) bool
}

// Devices knows where users are: the registrar.
type Devices interface {
	Lookup(userID string) []registrar.Binding
	Device(userID, instance string) (registrar.Binding, bool)
	Flow(b *registrar.Binding) (edge.Flow, error)
	Asleep(userID string) []registrar.Binding
}

// Relay carries the streams: mediad.
type Relay interface {
	Offer(ctx context.Context, in ctl.MediaOffer) (ctl.MediaOffered, error)
	Answer(ctx context.Context, in ctl.MediaAnswer) error
	Update(ctx context.Context, in ctl.MediaUpdate) (ctl.MediaUpdated, error)
	CloseSession(ctx context.Context, in ctl.MediaClose) (ctl.MediaClosed, error)
	Record(ctx context.Context, in ctl.MediaRecord) error
	Play(ctx context.Context, in ctl.MediaPlay) error
	Sessions(ctx context.Context) ([]ctl.MediaSession, error)
}

// Deps are what the engine works with.
type Deps struct {
	Log     *slog.Logger
	Wire    Wire
	Devices Devices
	Relay   Relay
	Waker   Waker
	Plan    *dialplan.Plan
	User    func(id string) *account.Account
	Rules   func(userID string) ctl.MediaRules // of a party's media
	Domain  func() string
	Policy  func() *ctl.RecordingPolicy             // of what is recorded
	Record  func(rec record.Call, kept func())      // keeps a record and says when it is on disk
	Watch   func(ctl.SwitchEvent)                   // told of each change that a person sees; must not block
	Message func(in *edge.Inbound, from, to string) // takes a MESSAGE within a call, of one user to the other; in is its own, to Release
	Product string
}

// Engine runs the calls.
type Engine struct {
	deps    Deps
	log     *slog.Logger
	plan    *dialplan.Plan
	states  *journal.States
	legs    *table // by our tag
	starts  *table // by Call-ID and From tag of an INVITE that may come again
	wait    sync.WaitGroup
	ctx     context.Context // of Run; calls end with it
	cancel  context.CancelFunc
	count   atomic.Int64
	strict  bool // of tests: a fault ends the process
	failing atomic.Bool
	closed  atomic.Int64 // no new calls until then, in Unix nanoseconds
	packers sync.Pool    // of *pack.Writer
	known   *known

	mu      sync.Mutex // guards what follows
	calls   map[string]*Call
	ringing map[string]map[*Call]struct{} // by the id of the user whose devices ring
}

// Open reads the calls that a predecessor left in dir, which is best in memory: calls do not outlive
// the box, and wait for no disk. They go on with Run.
func Open(dir string, deps Deps) (*Engine, error) {
	e := &Engine{
		deps: deps, log: slogx.Part(deps.Log, "call"), plan: deps.Plan, legs: newTable(), starts: newTable(), calls: map[string]*Call{}, ringing: map[string]map[*Call]struct{}{},
		known: newKnown(),
	}
	e.packers.New = func() any { return new(pack.Writer) }
	e.ctx, e.cancel = context.WithCancel(context.Background())
	var err error
	if e.states, err = journal.OpenStates(filepath.Join(dir, "calls.dat")); err != nil {
		return nil, fmt.Errorf("open calls: %w", err)
	}
	var lost []string
	e.states.Read(func(id string, state []byte) {
		if err := e.restore(id, state); err != nil {
			e.log.Warn("a call could not be taken over", "call", id, "err", err)
			lost = append(lost, id)
		}
	})
	for _, id := range lost {
		e.states.Drop(id)
	}
	return e, nil
}

// Run runs the calls that were taken over and those that come, until ctx ends. Calls that are up
// then are left to the successor.
func (e *Engine) Run(ctx context.Context) error {
	for _, c := range e.snapshot() {
		e.start(c)
		c.post(event{do: c.adopt})
	}
	e.wait.Go(func() { e.dropOrphans(ctx) })
	<-ctx.Done()
	e.cancel()
	e.wait.Wait()
	return e.states.Close()
}

func (e *Engine) start(c *Call) {
	e.count.Add(1)
	e.wait.Go(c.run)
}

func (e *Engine) snapshot() []*Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*Call, 0, len(e.calls))
	for _, c := range e.calls {
		all = append(all, c)
	}
	return all
}

// Failing reports whether calls cannot be written to disk.
func (e *Engine) Failing() bool { return e.failing.Load() }

// Len returns how many calls there are.
func (e *Engine) Len() int { return int(e.count.Load()) }

// startKey names an INVITE outside of dialogs, however often it comes (RFC 3261 §8.2.2.2).
func startKey(m *checked.Message) string { return m.CallID + "\x00" + m.FromTag }

// Call takes a request for a call. It returns false for one that belongs to none.
func (e *Engine) Call(in *edge.Inbound) bool {
	if in.ToTag != "" {
		return e.deliver(e.legs.get(in.ToTag), in)
	}
	if in.Method != checked.INVITE {
		return e.deliver(e.starts.get(startKey(&in.Message)), in)
	}
	if e.deliver(e.starts.get(startKey(&in.Message)), in) {
		return true
	}
	if e.Len() >= maxCalls || e.ctx.Err() != nil || time.Now().UnixNano() < e.closed.Load() {
		e.deps.Wire.Reply(in, &checked.Reply{Code: 503, Reason: "Too Many Calls", Header: "Retry-After: 10\r\n"})
		e.deps.Wire.Release(in)
		return true
	}
	c := newCall(e, in)
	if there := e.starts.put(c.startKey, c); there != nil {
		return e.deliver(there, in)
	}
	e.mu.Lock()
	e.calls[c.id] = c
	e.mu.Unlock()
	e.start(c)
	c.post(event{in: in})
	return true
}

// Refuse refuses new calls until then; those that are up go on.
func (e *Engine) Refuse(until time.Time) { e.closed.Store(until.UnixNano()) }

// Response takes a response. Its branch says whose it is.
func (e *Engine) Response(in *edge.Inbound) bool {
	id, ok := legOf(in.Via.Branch)
	return ok && e.deliver(e.legs.get(id), in)
}

func (e *Engine) deliver(c *Call, in *edge.Inbound) bool {
	return c != nil && c.post(event{in: in})
}

// Bound tells of a device that has registered: calls that ring its user ring it too.
func (e *Engine) Bound(b registrar.Binding) {
	e.mu.Lock()
	var calls []*Call
	for c := range e.ringing[b.UserID] {
		calls = append(calls, c)
	}
	e.mu.Unlock()
	for _, c := range calls {
		c.post(event{do: func() { c.lateDevice(b) }})
	}
}

// Media tells of what mediad saw.
func (e *Engine) Media(ev ctl.MediaEvent) {
	e.mu.Lock()
	c := e.calls[ev.Session]
	e.mu.Unlock()
	if c != nil {
		c.post(event{do: func() { c.mediaEvent(ev) }})
	}
}

// HangUp ends a call for an admin. It returns false if there is no such call.
func (e *Engine) HangUp(id, admin string) bool {
	e.mu.Lock()
	c := e.calls[id]
	e.mu.Unlock()
	return c != nil && c.post(event{do: func() {
		c.rec.Admin = admin
		c.end(ending{by: record.ByAdmin, cause: "ended by " + admin, code: 487})
	}})
}

// EndUser ends all calls of a user who may not call any more.
func (e *Engine) EndUser(userID string) {
	for _, c := range e.snapshot() {
		c.post(event{do: func() { c.endUser(userID) }})
	}
}

// List returns all live calls.
func (e *Engine) List() []ctl.LiveCall {
	calls := []ctl.LiveCall{}
	for _, c := range e.snapshot() {
		if v := c.view.Load(); v != nil {
			calls = append(calls, *v)
		}
	}
	return calls
}

// ring notes that a call rings a user's devices, or no more.
func (e *Engine) ring(c *Call, userID string, on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !on {
		delete(e.ringing[userID], c)
		if len(e.ringing[userID]) == 0 {
			delete(e.ringing, userID)
		}
		return
	}
	if e.ringing[userID] == nil {
		e.ringing[userID] = map[*Call]struct{}{}
	}
	e.ringing[userID][c] = struct{}{}
}

// forget takes a call that is over out of all tables.
func (e *Engine) forget(c *Call) {
	e.mu.Lock()
	delete(e.calls, c.id)
	e.mu.Unlock()
	e.starts.remove(c.startKey, c)
	e.count.Add(-1)
}

// orphanCheck is how long after the start mediad is asked for sessions that no call knows.
const orphanCheck = 10 * time.Second

// dropOrphans closes sessions of calls that ended while the engine was away.
func (e *Engine) dropOrphans(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(orphanCheck):
	}
	before := time.Now().Add(-orphanCheck)
	sessions, err := e.deps.Relay.Sessions(ctx)
	if err != nil {
		return // mediad is away: it starts empty, or with what it held
	}
	for _, s := range sessions {
		e.mu.Lock()
		_, known := e.calls[s.ID]
		e.mu.Unlock()
		if !known && s.Started.Before(before) {
			if _, err := e.deps.Relay.CloseSession(ctx, ctl.MediaClose{Session: s.ID}); err != nil {
				e.log.Debug("session was gone already", "call", s.ID, "err", err)
			}
		}
	}
}

// errNoDevice is the error of a device that is not registered any more.
var errNoDevice = errors.New("the device is not registered")

// resolve returns the way to a device of a user that a dialog was made with, where it is now.
func (e *Engine) resolve(userID, instance string) (registrar.Binding, edge.Flow, error) {
	b, ok := e.deps.Devices.Device(userID, instance)
	if !ok {
		return b, edge.Flow{}, errNoDevice
	}
	f, err := e.deps.Devices.Flow(&b)
	return b, f, err
}

// inRing reports whether an INVITE has come through a call of ours that is still ringing: it would
// ring for ever (RFC 3261 §16.3 item 4).
func (e *Engine) inRing(m *checked.Message) (found bool) {
	m.EachBranch(func(branch string) bool {
		if id, ok := legOf(branch); ok {
			if c := e.legs.get(id); c != nil && !c.up.Load() {
				found = true
			}
		}
		return !found
	})
	return found
}

// own reports whether a URI names a user of the box.
func (e *Engine) own(u *aor.URI) bool {
	return u.Scheme != aor.Tel && (e.plan.Ours(u.Host) || strings.EqualFold(u.Host, e.deps.Domain()))
}
