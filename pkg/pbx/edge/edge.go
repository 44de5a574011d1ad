// Package edge is where SIP comes in and goes out. It owns the sockets; it answers by itself, and
// keeps nothing of, all that does not need a transaction; what passes it is checked and, outside
// of dialogs, from a user who proved it.
package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// Config says where the edge listens.
type Config struct {
	Bind    []netip.Addr // addresses to listen at; unspecified ones are all of their family
	Port    uint16       // of UDP and TCP
	TLSPort uint16
	TLS     *tls.Config
	Limits  bool   // per source; off for tests that load from one address
	Product string // in Server and User-Agent

	Owns func(netip.Addr) bool // is an address one of the box's, as netd last told
}

// Handlers take what passes the edge. They are called by the goroutine that reads the flow, so
// that a flow's order is kept; they must not block.
type Handlers struct {
	// Register answers a REGISTER of in.Account with Reply or later with Outgoing.
	Register func(in *Inbound)
	// Call takes an INVITE of in.Account, a request within a dialog, an ACK or a CANCEL. It
	// returns false for one that belongs to no call; otherwise in is its own, to Release.
	Call func(in *Inbound) bool
	// Message takes a MESSAGE of in.Account outside of dialogs. It returns true if it answers later;
	// then in is its own, to Release.
	Message func(in *Inbound) bool
	// Response takes a response, as Call does.
	Response func(in *Inbound) bool
	// Failed hears of credentials that were wrong.
	Failed func(in *Inbound, v account.Verdict)
	// Banned hears of a source that guessed too often, if not nil: an address, or a network of IPv6.
	Banned func(source netip.Prefix, until time.Time)
}

// Inbound is a message and the way it came.
type Inbound struct {
	checked.Message
	Flow    Flow
	Account *account.Account // of a request outside of dialogs
	Device  string           // of the account, when it has a secret of its own

	reader *reader // while the reading goroutine handles it: replies may wait for the batch
}

// Counters count what the edge did with what came. They grow only.
type Counters struct {
	Received   atomic.Uint64
	Junk       atomic.Uint64 // not SIP
	Limited    atomic.Uint64 // over a limit of its source
	Refused    atomic.Uint64 // answered 4xx or 5xx by the edge itself
	Challenged atomic.Uint64
	Unmatched  atomic.Uint64 // of no call
	SendFailed atomic.Uint64
}

// Edge is the SIP edge.
type Edge struct {
	Counters Counters

	strict   bool // of tests: a fault ends the process
	cfg      Config
	log      *slog.Logger
	notify   *notify.Notifier
	guard    *account.Guard
	domain   func() string
	handlers Handlers
	limit    *limiter
	slow     *slowRoad

	sockets   []*socket
	listeners []*listener
	conns     connTable
	poller    *poller
	inbounds  sync.Pool
	wait      sync.WaitGroup
}

// Deps are what the edge works with.
type Deps struct {
	Log    *slog.Logger
	Notify *notify.Notifier
	Guard  *account.Guard
	Domain func() string // of the accounts; "" before set-up
}

// New returns an edge that does not listen yet.
func New(cfg Config, deps Deps) *Edge {
	e := &Edge{cfg: cfg, log: slogx.Part(deps.Log, "edge"), notify: deps.Notify, guard: deps.Guard, domain: deps.Domain}
	e.limit = newLimiter(cfg.Limits)
	e.conns.init(cfg.Limits)
	e.inbounds.New = func() any { return new(Inbound) }
	e.slow = newSlowRoad(e)
	return e
}

// Handle sets the handlers, before Run.
func (e *Edge) Handle(h Handlers) { e.handlers = h }

// Listen opens the sockets, or takes them back from fds, what the supervisor kept, by name. What it
// opens it leaves with the supervisor.
func (e *Edge) Listen(ctx context.Context, fds map[string][]int) (err error) {
	if e.poller, err = newPoller(e); err != nil {
		return err
	}
	for _, addr := range e.cfg.Bind {
		if err := e.listenUDP(addr, fds); err != nil {
			return err
		}
		if err := e.listenStream(ctx, TCP, netip.AddrPortFrom(addr, e.cfg.Port), fds); err != nil {
			return err
		}
		if err := e.listenStream(ctx, TLS, netip.AddrPortFrom(addr, e.cfg.TLSPort), fds); err != nil {
			return err
		}
	}
	return nil
}

// Listening are the open ports.
func (e *Edge) Listening() (all []Listening) {
	for _, s := range e.sockets {
		all = append(all, Listening{UDP, s.local})
	}
	for _, l := range e.listeners {
		all = append(all, Listening{l.transport, l.local})
	}
	return all
}

// Listening is one open port.
type Listening struct {
	Transport Transport
	Local     netip.AddrPort
}

// Run reads until ctx ends, then closes connections and waits for all that it started.
func (e *Edge) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fail := make(chan error, len(e.sockets)+len(e.listeners)+1)
	for _, s := range e.sockets {
		e.wait.Go(func() { fail <- e.readUDP(s) })
	}
	for _, l := range e.listeners {
		e.wait.Go(func() { fail <- e.accept(l) })
	}
	e.wait.Go(func() { fail <- e.poller.run() })
	e.wait.Go(func() { e.poller.sweep(ctx) })
	e.wait.Go(func() { e.slow.run(ctx) })
	e.wait.Go(func() { e.report(ctx) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-fail:
	}
	cancel()
	e.stop()
	e.wait.Wait()
	return err
}

func (e *Edge) stop() {
	for _, s := range e.sockets {
		_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader; the socket stays for answers until Close
	}
	for _, l := range e.listeners {
		_ = l.Close() // the supervisor's copy lives on
	}
	e.conns.closeAll()
	e.poller.close()
	e.slow.close()
}

// Close closes the sockets, after Run has returned and nobody sends any more.
func (e *Edge) Close() error {
	var errs []error
	if e.poller != nil {
		e.poller.close() // once more if Run has run
	}
	for _, s := range e.sockets {
		errs = append(errs, s.conn.Close())
	}
	return errors.Join(errs...)
}

// reportEvery is how often the edge tells what it dropped, in one line for all.
const reportEvery = time.Minute

func (e *Edge) report(ctx context.Context) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	var last [4]uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c := &e.Counters
		now := [4]uint64{c.Junk.Load(), c.Limited.Load(), c.Refused.Load(), c.SendFailed.Load()}
		if now != last {
			e.log.Info("dropped or refused in the last minute", "junk", now[0]-last[0], "limited", now[1]-last[1],
				"refused", now[2]-last[2], "unsendable", now[3]-last[3])
		}
		last = now
	}
}

// Release gives an Inbound back when nobody uses it any more.
func (e *Edge) Release(in *Inbound) {
	in.Account, in.Device, in.Flow, in.reader = nil, "", Flow{}, nil
	e.inbounds.Put(in)
}

// Known marks an address as one of a registered device until then: it is served under a flood.
func (e *Edge) Known(addr netip.Addr, until time.Time) { e.limit.know(addr, until) }

// SentBy returns the address and port of ours that a peer on this flow can send requests to.
func (e *Edge) SentBy(f Flow) netip.AddrPort {
	port := e.cfg.Port
	if f.Transport == TLS {
		port = e.cfg.TLSPort
	}
	return netip.AddrPortFrom(f.Local.Addr(), port)
}

// Alive reports whether a message can be sent on a flow.
func (e *Edge) Alive(f Flow) bool { return f.Alive() }

// ErrFlow is the error of sending on a flow that is no more.
var ErrFlow = errors.New("the connection to the peer is gone")

// Send sends a message. It does not block: what a peer does not take is dropped, as on a wire.
func (e *Edge) Send(f Flow, b []byte) error {
	var err error
	switch {
	case f.socket != nil:
		err = f.socket.send(f, b)
	case f.conn != nil:
		err = f.conn.send(b)
	default:
		err = ErrFlow
	}
	if err != nil {
		e.Counters.SendFailed.Add(1)
		return fmt.Errorf("send to %s over %s: %w", f.Remote, f.Transport, err)
	}
	if e.log.Enabled(context.Background(), slogx.Trace) {
		e.log.Log(context.Background(), slogx.Trace, "sent", "peer", f.Remote, "transport", f.Transport, "text", string(b))
	}
	return nil
}

// FlowTo returns a flow to an address that the box was told of earlier: through the socket of the
// same family, over a connection that is open, or over one that is made when first used.
func (e *Edge) FlowTo(t Transport, local netip.Addr, remote netip.AddrPort) (Flow, error) {
	if t != UDP {
		return e.flowToStream(t, remote)
	}
	for _, s := range e.sockets {
		if s.local.Addr().Is4() != remote.Addr().Is4() || (local.IsValid() && !s.local.Addr().IsUnspecified() && s.local.Addr() != local) {
			continue
		}
		if !local.IsValid() {
			local = s.localTowards(remote)
		}
		return Flow{Transport: UDP, Local: netip.AddrPortFrom(local, s.local.Port()), Remote: remote, socket: s}, nil
	}
	return Flow{}, fmt.Errorf("flow to %s: %w", remote, ErrFlow)
}
