package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// Sizes of a loop.
const (
	// burstSize is how many sockets are served at once: what arrives in a tick at 1,250 calls.
	burstSize = 256
	// packetSize is the longest packet that is relayed: an Ethernet frame's and room for tunnels. What is
	// longer was fragmented, which media does not do (RFC 8085 §3.2).
	packetSize = 2048
	// maxPasses bounds how often the sockets are asked for more before others get their turn.
	maxPasses = 16
)

// Totals count over all streams of a loop, from its start.
type Totals struct {
	Relayed, Strangers, Unsent uint64
	Streams                    int
	Faults                     int // streams that were ended because of a fault of ours
}

// Loop serves its streams' sockets. It is run by one goroutine, which alone touches them.
type Loop struct {
	log   *slog.Logger
	epoll int
	bell  int // eventfd that wakes the loop
	clock clock

	mu     sync.Mutex // guards what follows
	posts  []post
	closed bool

	posted atomic.Bool // there are posts

	// What follows is the loop's own.
	burst  *udpio.Burst
	events [burstSize]unix.EpollEvent
	ends   []*end // by slot; nil if free
	free   []int
	ready  [burstSize]*end    // who the burst's datagrams are from
	outs   [burstSize]*Stream // who they are for
	at     int                // the datagram that is handled next
	totals Totals
	pace   pace
}

// post is something to be done in the loop.
type post struct {
	do   func(now int64)
	done chan struct{}
}

// New returns a loop that has no streams yet. Unless ring is false it uses io_uring where it can.
func New(ring bool, log *slog.Logger) (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("media loop: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("media loop: %w", err), unix.Close(epoll))
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: bellSlot}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, bell, &event); err != nil {
		return nil, errors.Join(fmt.Errorf("media loop: %w", err), unix.Close(bell), unix.Close(epoll))
	}
	l := &Loop{log: log, epoll: epoll, bell: bell, burst: udpio.NewBurst(burstSize, packetSize, ring), clock: newClock()}
	if used, err := l.burst.Ring(); !used && ring {
		log.Info("media loop runs without io_uring", "err", err)
	}
	return l, nil
}

// bellSlot stands for the bell in epoll's events.
const bellSlot = -1

// Run serves until ctx ends. The loop cannot be used after.
func (l *Loop) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, l.ring)
	defer stop()
	for ctx.Err() == nil {
		l.runPosts(false)
		n, err := l.wait()
		if err != nil {
			l.runPosts(true)
			return errors.Join(fmt.Errorf("media loop: %w", err), l.close())
		}
		for pass := 0; n > 0 && pass < maxPasses; pass++ {
			l.turn(l.events[:n])
			if n, err = l.poll(0); err != nil {
				break // and told by wait
			}
		}
	}
	l.runPosts(true)
	return l.close()
}

func (l *Loop) close() error {
	return errors.Join(l.burst.Close(), unix.Close(l.bell), unix.Close(l.epoll))
}

// ErrClosed says that the loop does not run any more.
var ErrClosed = errors.New("the media loop has ended")

// Do runs f inside the loop, between packets, and waits for it. now is the loop's time. f must be
// short: no packet moves meanwhile.
func (l *Loop) Do(f func(now int64)) error {
	p := post{do: f, done: make(chan struct{})}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.posts = append(l.posts, p)
	l.posted.Store(true)
	l.ringLocked()
	l.mu.Unlock()
	<-p.done
	return nil
}

// ring wakes the loop.
func (l *Loop) ring() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ringLocked()
}

// ringLocked holds the lock so that the bell is not rung after it was closed.
func (l *Loop) ringLocked() {
	if l.closed {
		return
	}
	one := uint64(1)
	_, _ = unix.Write(l.bell, unsafe.Slice((*byte)(unsafe.Pointer(&one)), 8)) // full: it rings already
}

// runPosts does what was posted. With last, it refuses all that comes later.
func (l *Loop) runPosts(last bool) {
	if !l.posted.Load() && !last {
		return
	}
	l.mu.Lock()
	posts := l.posts
	l.posts, l.closed = nil, l.closed || last
	l.posted.Store(false)
	l.mu.Unlock()
	for _, p := range posts {
		p.do(l.clock.now())
		close(p.done)
	}
}

// Totals returns the counts. It is called inside Do.
func (l *Loop) Totals() Totals {
	t := l.totals
	t.Streams = (len(l.ends) - len(l.free)) / 2
	return t
}

// turn receives one packet from each socket that has one, and passes them on.
func (l *Loop) turn(events []unix.EpollEvent) {
	n := 0
	for i := range events {
		slot := events[i].Fd
		if slot == bellSlot {
			l.silence()
			continue
		}
		if e := l.ends[slot]; e != nil {
			l.ready[n] = e
			l.burst.AddReceive(e.fd)
			n++
		}
	}
	l.burst.Receive()
	now := l.clock.now()
	for l.at = 0; l.at < n; {
		l.relay(n, now)
	}
	l.flush()
	l.pace.count(n, now)
}

// relay handles the datagrams of a turn from the next one on, up to the first that makes us fail.
func (l *Loop) relay(n int, now int64) {
	defer l.survive()
	for l.at < n {
		i := l.at
		l.at++
		if p, from, ok := l.burst.Received(i); ok {
			l.packet(l.ready[i], p, from, now)
		}
	}
}

// flush sends what the turn has queued.
func (l *Loop) flush() {
	queued := l.burst.Len() - l.burst.Room()
	if l.burst.Send() == 0 {
		return
	}
	for i := range queued {
		if l.burst.Sent(i) != nil {
			l.outs[i].state.Out--
			l.outs[i].state.Unsent++
			l.totals.Relayed--
			l.totals.Unsent++
		}
	}
}

// survive ends the stream whose packet made us fail, and only that.
func (l *Loop) survive() {
	fault := recover()
	if fault == nil {
		return
	}
	l.totals.Faults++
	l.log.Error("media stream ended by a fault", "err", fmt.Sprint(fault), "stack", string(debug.Stack()))
	l.ready[l.at-1].stream.Detach()
}

// silence takes what the bell has counted.
func (l *Loop) silence() {
	var count [8]byte
	_, _ = unix.Read(l.bell, count[:]) // empty: somebody took it
}
