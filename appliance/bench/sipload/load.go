// Package sipload makes SIP load in a closed loop: so many operations are under way at any time, and
// the next begins when one is done. It plays callers and callees, checks every message that comes,
// and costs so little that the server is what is measured.
package sipload

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"
)

// Op is one kind of operation.
type Op uint8

// The operations.
const (
	Register Op = iota // REGISTER, 401, REGISTER with digest, 200: a phone whose nonce is of the past
	Refresh            // REGISTER with the nonce of before, 200
	Restart            // as Register, with a new Call-ID: a phone that was switched on
	Call               // INVITE, 407, ACK, INVITE, 100, 180, 200, ACK, BYE, 200
	Hold               // a call up to the ACK; it stays
	HangUp             // the end of a call that Hold has left
)

// String returns the name for people.
func (o Op) String() string {
	return [...]string{"register", "refresh", "restart", "call", "hold", "hang up"}[o]
}

// Config says what to load.
type Config struct {
	Server      netip.AddrPort
	Phones      netip.Addr // where the users are
	TCP         bool       // a connection per user; else one datagram socket for all
	Domain      string
	First       int // users are Name(First) and so on; of calls one of two calls the next
	Users       int
	Outstanding int  // operations under way
	Relayed     bool // media must go through the server: who sees the other's own port fails
}

// Name returns the name of a user.
func Name(i int) string { return fmt.Sprintf("u%06d", i) }

// Password is that of every user.
const Password = "measured-in-closed-loop"

// Counts are what was seen since New. They grow only.
type Counts struct {
	Done          uint64 // operations
	Retransmitted uint64 // messages that we sent again
	Repeated      uint64 // messages that came again
	Stale         uint64 // nonces that the server did not know any more
}

// Work is what a Run does.
type Work struct {
	Op    Op
	Limit int // operations at most; 0 is no limit
	Rate  int // operations begun in a second; 0 is as many as are answered
	Users int // the first so many users; 0 is all
}

// Load is a generator. One Run runs at a time. After an error it is of no further use.
type Load struct {
	cfg    Config
	phones []byte // their address, and the end of the line
	road   road
	users  []user
	slots  []slot
	free   []int32 // slots without an operation
	held   []int32 // slots whose call stays
	m      message
	buf    []byte // scratch of a message that is built

	op      Op
	rate    int
	among   int  // users
	stop    bool // begin nothing more
	limit   int  // operations to begin
	allowed int  // operations that may have begun by now
	begun   int
	active  int // operations under way
	next    int // user or pair that is to begin
	serial  uint32
	now     time.Time
	checked time.Time // when retransmissions were last looked for
	err     error

	done, retransmitted, repeated, stale atomic.Uint64
}

// New returns a generator with its sockets open.
func New(cfg Config) (*Load, error) {
	l := &Load{cfg: cfg, phones: append(cfg.Phones.AppendTo(nil), "\r\n"...), users: make([]user, cfg.Users)}
	open := openUDP
	if cfg.TCP {
		open = openTCP
	}
	var err error
	if l.road, err = open(cfg); err != nil {
		return nil, fmt.Errorf("open sockets towards %s: %w", cfg.Server, err)
	}
	for i := range l.users {
		l.users[i].init(cfg, i, l.road.local(i))
	}
	return l, nil
}

// Close closes the sockets.
func (l *Load) Close() error { return l.road.close() }

// Counts returns what was seen so far. It may be called at any time.
func (l *Load) Counts() Counts {
	return Counts{l.done.Load(), l.retransmitted.Load(), l.repeated.Load(), l.stale.Load()}
}

// Waits of the loop.
const (
	tick     = 50 * time.Millisecond  // how long it waits at most, and how often it looks for what is late
	firstTry = 500 * time.Millisecond // RFC 3261 §17.1.1.1: T1
	lastTry  = 6                      // doublings: 32 s as RFC 3261 §17.1.1.2 has it
)

// Run runs operations of one kind and begins no more when ctx ends. It returns when all that were
// begun are done, or with the first thing that was not as it must be.
func (l *Load) Run(ctx context.Context, w Work) error {
	runtime.LockOSThread() // one thread that waits in the kernel, not a goroutine that is handed around
	defer runtime.UnlockOSThread()
	l.op, l.rate, l.limit, l.begun, l.err, l.next = w.Op, w.Rate, w.Limit, 0, nil, 0
	if l.among = l.cfg.Users; w.Users > 0 {
		l.among = min(w.Users, l.among)
	}
	if w.Limit == 0 {
		l.limit = math.MaxInt
	}
	l.makeSlots()
	for start := time.Now(); ; {
		l.now = time.Now()
		l.stop = ctx.Err() != nil
		pause := l.pace(l.now.Sub(start))
		for l.active < l.cfg.Outstanding && l.begin() {
		}
		if l.err != nil || (l.active == 0 && (l.stop || l.begun == l.limit || l.rate == 0)) {
			return l.err
		}
		if err := l.road.wait(pause, l.take); err != nil {
			return errors.Join(l.err, err)
		}
		if l.now.Sub(l.checked) >= tick {
			l.checked = l.now
			l.tryAgain()
		}
	}
}

// pace says how many operations may have begun by now, and returns how long to wait at most.
func (l *Load) pace(elapsed time.Duration) time.Duration {
	if l.rate == 0 {
		l.allowed = math.MaxInt
		return tick
	}
	gap := time.Second / time.Duration(l.rate)
	l.allowed = 1 + int(elapsed/gap)
	return min(tick, max(time.Duration(l.allowed)*gap-elapsed, time.Millisecond))
}

// makeSlots makes room for all that can be under way or held.
func (l *Load) makeSlots() {
	want := min(l.cfg.Outstanding, l.cfg.Users)
	if l.op == Hold {
		want = l.cfg.Users / 2
	}
	for len(l.slots) < want {
		l.free = append(l.free, int32(len(l.slots)))
		l.slots = append(l.slots, slot{})
	}
}

// begin starts one operation. It reports false when none is to be started.
func (l *Load) begin() bool {
	if l.stop || l.begun >= min(l.limit, l.allowed) || l.err != nil {
		return false
	}
	if l.op == HangUp {
		return l.beginHangUp()
	}
	if len(l.free) == 0 {
		return false
	}
	id := l.free[len(l.free)-1]
	s := &l.slots[id]
	if !l.choose(s) {
		return false
	}
	l.free = l.free[:len(l.free)-1]
	l.begun++
	l.active++
	l.serial++
	s.id, s.serial, s.tries = id, l.serial, 0
	if l.op >= Call {
		l.users[s.user].slot, l.users[s.peer].slot = id, id
		l.beginCall(s)
	} else {
		l.users[s.user].slot = id
		l.beginRegister(s)
	}
	return true
}

// choose finds a user, or a pair of users, who has nothing to do.
func (l *Load) choose(s *slot) bool {
	stride := 1
	if l.op >= Call {
		stride = 2
	}
	for range l.among / stride {
		u := l.next * stride
		l.next++
		if (l.next+1)*stride > l.among {
			l.next = 0
		}
		if l.users[u].slot == idle {
			s.user, s.peer = int32(u), int32(u+stride-1)
			return true
		}
	}
	return false
}

// finish ends an operation and begins the next.
func (l *Load) finish(s *slot) {
	l.users[s.user].slot, l.users[s.peer].slot = idle, idle
	s.step = stepFree
	l.free = append(l.free, s.id)
	l.completed()
}

func (l *Load) completed() {
	l.active--
	l.done.Add(1)
	l.begin()
}

// fail ends the run: a load that goes wrong measures nothing.
func (l *Load) fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf(format, args...)
	}
}

// tryAgain sends again what was not answered in time.
func (l *Load) tryAgain() {
	for i := range l.slots {
		s := &l.slots[i]
		if s.step == stepFree || s.step == stepHeld || l.now.Sub(s.sent) < firstTry<<s.tries {
			continue
		}
		if s.tries++; s.tries > lastTry {
			l.fail("%s of %s stopped at %s: no answer", l.op, l.users[s.user].name, s.step)
			return
		}
		if l.cfg.TCP {
			continue // nothing is lost there, it is only waited for
		}
		l.retransmitted.Add(1)
		l.road.send(int(s.user), s.last)
		if s.callee == calleeAnswered {
			l.road.send(int(s.peer), s.calleeLast)
		}
	}
}
