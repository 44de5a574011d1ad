package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
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

// Loop serves its streams' sockets. It is run by one goroutine, which lends itself to others while it
// waits for packets: between two of them nobody else touches a stream, and a verb wakes no thread.
type Loop struct {
	log   *slog.Logger
	epoll int
	bell  int // eventfd that wakes the loop
	clock clock

	mu      sync.Mutex // guards what follows; the loop's goroutine gives it away only while it waits
	closed  bool
	waiting []chan struct{} // who waits for a turn

	burst  *udpio.Burst
	ears   []ear              // by descriptor
	heard  int                // ears that have an end
	ready  [burstSize]*end    // who the burst's datagrams are from
	outs   [burstSize]*Stream // who they are for; nil for what is no media
	at     int                // the datagram that is handled next
	drafts drafts             // what Send has queued
	totals Totals
	pace   pace

	// What a wait finds is of the goroutine that runs the loop, also while it is lent.
	events [burstSize]unix.EpollEvent
}

// New returns a loop that has no streams yet. Unless ring is false it uses io_uring where it can. Its
// streams may be used before it runs; packets wait until then.
func New(ring bool, log *slog.Logger) (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("media loop: %w", err)
	}
	l := &Loop{log: log, epoll: epoll, clock: newClock()}
	if l.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("media loop: %w", err), unix.Close(epoll))
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(l.bell)}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, l.bell, &event); err != nil {
		return nil, errors.Join(fmt.Errorf("media loop: %w", err), unix.Close(l.bell), unix.Close(l.epoll))
	}
	l.burst = udpio.NewBurst(burstSize, packetSize, ring)
	if used, err := l.burst.Ring(); !used && ring {
		log.Info("media loop runs without io_uring", "err", err)
	}
	return l, nil
}

// Run serves until ctx ends. The loop cannot be used after.
func (l *Loop) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, l.wake)
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for ctx.Err() == nil {
		served := l.waiting
		l.waiting = nil
		n, err := l.waitLocked(len(served) == 0)
		for pass := 0; err == nil && n > 0 && pass < maxPasses; pass++ {
			l.turn(l.events[:n])
			n, err = l.poll(0)
		}
		serve(served)
		if err != nil {
			return errors.Join(fmt.Errorf("media loop: %w", err), l.closeLocked())
		}
	}
	return l.closeLocked()
}

func serve(waiting []chan struct{}) {
	for _, ch := range waiting {
		close(ch)
	}
}

func (l *Loop) closeLocked() error {
	l.closed = true
	serve(l.waiting)
	l.waiting = nil
	return errors.Join(l.burst.Close(), unix.Close(l.bell), unix.Close(l.epoll))
}

// ErrClosed says that the loop does not run any more.
var ErrClosed = errors.New("the media loop has ended")

// Do borrows the loop between packets: f may use it and its streams. now is the loop's time. f must be
// short: no packet moves meanwhile.
func (l *Loop) Do(f func(now int64)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	f(l.clock.now())
	l.flush() // what f has sent
	return nil
}

// Turn wakes the loop and waits until it has relayed what had come. It tells whether the loop lives:
// one that hangs takes no turn.
func (l *Loop) Turn() error {
	turn := make(chan struct{})
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.waiting = append(l.waiting, turn)
	l.ringLocked()
	l.mu.Unlock()
	<-turn
	return nil
}

// wake ends the loop's wait.
func (l *Loop) wake() {
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

// Totals returns the counts. It is called inside Do.
func (l *Loop) Totals() Totals {
	t := l.totals
	t.Streams = l.heard / 2
	return t
}

// turn receives one packet from each socket that has one, and passes them on.
func (l *Loop) turn(events []unix.EpollEvent) {
	n := 0
	for i := range events {
		fd := int(events[i].Fd)
		if fd == l.bell {
			l.silence()
			continue
		}
		e := l.ears[fd].end
		if e == nil {
			l.deafen(fd) // or it would come up for ever
			continue
		}
		l.ready[n] = e
		l.burst.AddReceive(fd)
		n++
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
	if queued == 0 {
		return
	}
	refused := l.burst.Send()
	l.drafts.used = 0
	if refused == 0 {
		return
	}
	for i := range queued {
		if of := l.outs[i]; of != nil && l.burst.Sent(i) != nil {
			of.state.Out--
			of.state.Unsent++
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
