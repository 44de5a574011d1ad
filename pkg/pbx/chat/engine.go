// Package chat carries messages from user to user: what the box has accepted is on disk, and comes to
// each device of the recipient once and in order, now or when the device is there again.
package chat

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/base/mailbox"
	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/pbx/dialplan"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// Wire is the way to the peers: the edge.
type Wire interface {
	Send(f edge.Flow, b []byte) error
	SentBy(f edge.Flow) netip.AddrPort
	Reply(in *edge.Inbound, r *checked.Reply)
	Answer(in *edge.Inbound, r *checked.Reply) *[]byte
	Release(in *edge.Inbound)
}

// Outgoing sends answers together, when what they promise is on disk.
type Outgoing interface {
	Add(f edge.Flow, buf *[]byte)
	Flush()
}

// Devices knows where users are: the registrar.
type Devices interface {
	Lookup(userID string) []registrar.Binding
	Flow(b *registrar.Binding) (edge.Flow, error)
}

// Deps are what the engine works with.
type Deps struct {
	Log     *slog.Logger
	Wire    Wire
	Out     Outgoing
	Devices Devices
	Plan    *dialplan.Plan
	User    func(id string) *account.Account
	Domain  func() string
	Record  func(rec record.Message, kept func(error))
	Wake    func(userID, instance string) // asks a device that cannot be reached to come; nil where nothing can
	Product string
}

// Counters count what the engine did. They grow only.
type Counters struct {
	Accepted atomic.Uint64 // messages for which 202 was sent
	Refused  atomic.Uint64
	Again    atomic.Uint64 // requests that came before
	Sent     atomic.Uint64 // messages that a device took
	Passed   atomic.Uint64 // messages that were passed on without being kept
	Expired  atomic.Uint64 // messages that reached nobody
}

// Engine carries the messages.
type Engine struct {
	Counters Counters

	deps     Deps
	log      *slog.Logger
	dir      string
	store    *inbox.Store // of Run until opened is set; then of all
	opened   atomic.Bool
	ops      *mailbox.Box[op]
	policy   atomic.Pointer[ctl.ChatPolicy]
	queued   atomic.Int64 // messages that wait for the disk
	failing  atomic.Bool
	full     atomic.Bool // the disk is
	low      atomic.Bool // the disk nearly is
	strict   bool        // of tests: a fault ends the process
	written  chan struct{}
	reported [6]uint64       // counters as they were told last; of the sweep
	ctx      context.Context // of Run; recipients end with it
	cancel   context.CancelFunc
	wait     sync.WaitGroup

	mu         sync.Mutex // guards what follows
	recipients map[string]*recipient
	branches   map[string]*recipient // by the branch of a request that waits for its answer
}

// New returns an engine of the messages that are kept in dir. It opens nothing yet.
func New(dir string, deps Deps) *Engine {
	e := &Engine{
		deps: deps, dir: dir, log: slogx.Part(deps.Log, "chat"), ops: mailbox.New[op](), written: make(chan struct{}, 1),
		recipients: map[string]*recipient{}, branches: map[string]*recipient{},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.policy.Store(&ctl.ChatPolicy{KeepDays: defaultKeep})
	return e
}

// Run opens the messages and delivers until ctx ends. What is not delivered then is left to the
// successor. A long file takes a second to open: calls need not wait for it, and messages that come
// meanwhile are answered after it. A file that cannot be opened stops messages, not calls.
func (e *Engine) Run(ctx context.Context) error {
	for err := e.open(); err != nil; err = e.open() {
		if !e.standBy(ctx, err) {
			return nil
		}
	}
	e.failing.Store(false)
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		e.write()
	}()
	e.wait.Go(func() { e.sweep(ctx) })
	e.wait.Go(func() { e.keepRecords(ctx) })
	e.resume()
	<-ctx.Done()
	e.cancel()
	e.wait.Wait()
	e.ops.Close()
	<-writer
	return e.store.Close()
}

func (e *Engine) open() error {
	store, err := inbox.Open(e.dir)
	if err != nil {
		return err
	}
	e.store = store
	if err := e.loadPolicy(); err != nil {
		return errors.Join(err, store.Close())
	}
	e.opened.Store(true)
	return nil
}

// standBy refuses messages for a while, since their file could not be opened. It reports false when
// ctx has ended.
func (e *Engine) standBy(ctx context.Context, why error) bool {
	e.log.Error("messages cannot be opened: none are accepted", "err", why)
	e.failing.Store(true)
	again := time.NewTimer(sweepEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			e.cancel()
			e.wait.Wait()
			return false
		case <-again.C:
			return true
		case <-e.ops.Ready():
		}
		items, _ := e.ops.Take(nil)
		for _, o := range items {
			if o.done != nil {
				o.done(why)
			}
		}
		e.deps.Out.Flush()
	}
}

// resume starts to deliver what a predecessor left, to devices that are there.
func (e *Engine) resume() {
	var users []string
	err := e.store.View(func(t *inbox.Tx) { users = t.Users() })
	if err != nil {
		e.log.Error("messages that wait could not be looked up", "err", err)
	}
	for _, id := range users {
		if len(e.deps.Devices.Lookup(id)) > 0 {
			e.post(id, event{do: func(r *recipient) { r.look() }})
		}
	}
}

// Failing reports whether messages cannot be written to disk: none are accepted.
func (e *Engine) Failing() bool { return e.failing.Load() || e.full.Load() }

// Waiting returns how many messages no device of their recipient has yet.
func (e *Engine) Waiting() int {
	if !e.opened.Load() {
		return 0
	}
	return e.store.Waiting()
}

// Bound tells of a device that has registered: what waits for it goes there.
func (e *Engine) Bound(b registrar.Binding) {
	d := deviceOf(&b)
	d.Seen = inbox.At(time.Now())
	e.ops.Put(op{
		do: func(t *inbox.Tx) { t.Bind(b.UserID, d) },
		done: func(err error) {
			e.post(b.UserID, event{do: func(r *recipient) { r.bound(b, err) }})
		},
	})
}

// Gone tells of a device that has left. What is on its way to it may still be answered.
func (e *Engine) Gone(b registrar.Binding) {
	e.ops.Put(op{do: func(t *inbox.Tx) { t.See(b.UserID, deviceKey(&b), inbox.At(time.Now())) }})
}

// RemoveUser removes what waits for a user who is no more.
func (e *Engine) RemoveUser(id string) {
	e.ops.Put(op{do: func(t *inbox.Tx) { t.RemoveUser(id, inbox.At(time.Now())) }})
}

// Response takes a response. Its branch says whose it is.
func (e *Engine) Response(in *edge.Inbound) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.branches[in.Via.Branch]
	if r == nil {
		return false
	}
	_, open := r.box.Put(event{in: in})
	return open
}

// post hands an event to the actor of a user, which it starts when there is none.
func (e *Engine) post(userID string, ev event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx.Err() != nil {
		return // the successor looks for itself
	}
	r := e.recipients[userID]
	if r == nil {
		r = newRecipient(e, userID)
		e.recipients[userID] = r
		e.wait.Go(r.run)
	}
	r.box.Put(ev)
}

// leave ends an actor that has nothing to do. It reports false when something has come meanwhile.
func (e *Engine) leave(r *recipient) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-r.box.Ready():
		r.more = true
		return false
	default:
	}
	delete(e.recipients, r.userID)
	r.box.Close()
	return true
}

// expect says to whom the answer to a request goes; nil ends that.
func (e *Engine) expect(branch string, r *recipient) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r == nil {
		delete(e.branches, branch)
	} else {
		e.branches[branch] = r
	}
}
