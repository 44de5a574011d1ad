package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/sip/wire"
)

const (
	pollBatch  = 128             // connections that are served in one turn
	sweepEvery = 5 * time.Second // how late a connection may be ended for being silent
)

// poller reads all TCP connections. One goroutine serves those that have something, by calls that
// cannot block and so need no scheduler; an idle connection costs neither a stack nor a buffer.
type poller struct {
	edge   *Edge
	file   *os.File        // of epoll
	idle   syscall.RawConn // of file: Go's poller waits by it
	look   func(uintptr) bool
	epoll  int
	events [pollBatch]unix.EpollEvent
	ready  int
	fault  error
	buf    [maxMessage + readSize]byte
	in     *Inbound

	mu    sync.Mutex // guards what follows
	conns map[int32]*conn
	last  int32
}

// plain is what the poller keeps of a TCP connection.
type plain struct {
	id int32

	// Of the poller's goroutine.
	part    []byte // of a message that is not whole
	framer  wire.Framer
	started time.Time

	until atomic.Int64 // Unix ns: more must come until then
	room  atomic.Int64 // Unix ns: the peer must take more until then; 0 if nothing waits
}

func newPoller(e *Edge) (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(epoll, true) // so that Go takes it into its poller
	}
	if err != nil {
		return nil, fmt.Errorf("poller of connections: %w", err)
	}
	p := &poller{edge: e, file: os.NewFile(uintptr(epoll), "epoll"), epoll: epoll, conns: map[int32]*conn{}}
	p.look = p.lookOnce
	if p.idle, err = p.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("poller of connections: %w", err), p.file.Close())
	}
	return p, nil
}

// run serves until close.
func (p *poller) run() error {
	p.in = p.edge.inbounds.Get().(*Inbound)
	defer func() { p.edge.Release(p.in) }()
	for {
		if err := p.idle.Read(p.look); errors.Is(err, os.ErrClosed) {
			return nil
		} else if err = errors.Join(err, p.fault); err != nil {
			return fmt.Errorf("poller of connections: %w", err)
		}
		for _, ev := range p.events[:p.ready] {
			p.serve(ev)
		}
	}
}

func (p *poller) close() { _ = p.file.Close() }

// lookOnce is what the wait asks each time that it is woken.
func (p *poller) lookOnce(uintptr) (done bool) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])), pollBatch, 0, 0, 0)
	p.ready, p.fault = int(n), nil
	if errno != 0 {
		p.ready = 0
		if errno != unix.EINTR {
			p.fault = errno
		}
	}
	return p.ready > 0 || p.fault != nil
}

func (p *poller) serve(ev unix.EpollEvent) {
	p.mu.Lock()
	c := p.conns[ev.Fd]
	p.mu.Unlock()
	if c == nil {
		return // it has been closed
	}
	ok := true
	if ev.Events&unix.EPOLLOUT != 0 {
		ok = p.write(c)
	}
	if ok && ev.Events&^unix.EPOLLOUT != 0 {
		ok = p.read(c)
	}
	if !ok {
		c.close()
	}
}

// take makes a connection the poller's. What is queued leaves.
func (p *poller) take(c *conn, nc net.Conn) error {
	fd, err := detach(nc)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc = nil
	if c.closed.Load() {
		return errors.Join(ErrFlow, unix.Close(fd))
	}
	p.mu.Lock()
	p.last++
	c.fd, c.plain.id = fd, p.last
	p.conns[c.plain.id] = c
	p.mu.Unlock()
	c.plain.started = time.Now()
	c.plain.until.Store(c.patience(c.plain.started, 0).UnixNano())
	if c.writing = len(c.queue) > 0; c.writing {
		c.plain.room.Store(time.Now().Add(writeTime).UnixNano())
	}
	return p.watchLocked(c, unix.EPOLL_CTL_ADD)
}

// detach takes a socket from package net, so that only one poller is woken for it.
func detach(nc net.Conn) (fd int, err error) {
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err == nil {
		if failed := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); failed != nil {
			err = failed
		}
	}
	if closed := nc.Close(); err == nil && closed != nil {
		err = errors.Join(closed, unix.Close(fd))
	}
	return fd, err
}

// watchLocked tells the kernel what the connection waits for.
func (p *poller) watchLocked(c *conn, op int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: c.plain.id}
	if c.writing {
		ev.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(p.epoll, op, c.fd, &ev)
}

// awaitRoomLocked has the queue sent when the peer takes more.
func (p *poller) awaitRoomLocked(c *conn) error {
	c.writing = true
	c.plain.room.Store(time.Now().Add(writeTime).UnixNano())
	return p.watchLocked(c, unix.EPOLL_CTL_MOD)
}

// dropLocked closes the socket, which leaves the epoll set by that.
func (p *poller) dropLocked(c *conn) {
	p.mu.Lock()
	delete(p.conns, c.plain.id)
	p.mu.Unlock()
	_ = unix.Close(c.fd) // it ends either way
	c.fd = -1
}

// read takes what has come, once, and handles all whole messages. It reports false when the connection
// is over.
func (p *poller) read(c *conn) bool {
	have := copy(p.buf[:], c.plain.part)
	c.mu.Lock()
	n, err := receiveTCP(c.fd, p.buf[have:])
	c.mu.Unlock()
	if err != nil {
		return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)
	}
	if n == 0 {
		return false
	}
	now := time.Now()
	if have == 0 {
		c.plain.started = now
	}
	have += n
	used, ok := c.messages(&p.in, p.buf[:have], &c.plain.framer)
	if !ok {
		return false
	}
	if used > 0 {
		c.plain.started = now
	}
	c.plain.keep(p.buf[used:have])
	c.plain.until.Store(c.patience(c.plain.started, have-used).UnixNano())
	return true
}

// keep keeps the start of a message.
func (s *plain) keep(rest []byte) {
	if len(rest) == 0 {
		s.part = nil // most connections are idle most of the time
		return
	}
	s.part = append(s.part[:0], rest...)
}

// write sends what is queued, as far as the peer takes it. It reports false when the connection is over.
func (p *poller) write(c *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := sendTCP(c.fd, c.queue)
	if err != nil {
		return false
	}
	if n > 0 {
		c.plain.room.Store(time.Now().Add(writeTime).UnixNano())
	}
	c.queue = append(c.queue[:0], c.queue[n:]...)
	if len(c.queue) > 0 {
		return true
	}
	c.queue, c.writing = nil, false
	c.plain.room.Store(0)
	return p.watchLocked(c, unix.EPOLL_CTL_MOD) == nil
}

// sweep ends connections that have been silent, or deaf, for too long, until ctx ends.
func (p *poller) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, c := range p.overdue(now.UnixNano()) {
				c.close()
			}
		}
	}
}

func (p *poller) overdue(now int64) (late []*conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if room := c.plain.room.Load(); c.plain.until.Load() < now || (room != 0 && room < now) {
			late = append(late, c)
		}
	}
	return late
}

// sendTCP returns how many bytes the socket took; 0 when its buffer is full.
func sendTCP(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

func receiveTCP(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
