package ctl

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pipeConn is a connection without the scheduler's part in its system calls. They do not block, and
// hearing of each the scheduler would keep its monitor awake, at the cost of all the rest of a verb.
// It waits in Go's poller. There is one reader and one writer at a time.
type pipeConn struct {
	net.Conn
	raw    syscall.RawConn
	rx, tx transfer
}

// transfer is one system call and what it brought.
type transfer struct {
	try func(fd uintptr) bool // kept: a closure for each call would be an allocation
	buf []byte
	n   int
	err error
}

func newPipeConn(conn net.Conn) (*pipeConn, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a pipe on %T: not a socket", conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &pipeConn{Conn: conn, raw: raw}
	c.rx.try = func(fd uintptr) bool { return c.rx.call(unix.SYS_RECVFROM, fd) }
	c.tx.try = func(fd uintptr) bool { c.tx.call(unix.SYS_SENDTO, fd); return true }
	return c, nil
}

// Read waits for bytes.
func (c *pipeConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.rx.buf = p
	err := c.raw.Read(c.rx.try)
	c.rx.buf = nil
	switch {
	case err != nil:
		return 0, err
	case c.rx.err == nil && c.rx.n == 0:
		return 0, io.EOF
	}
	return c.rx.n, c.rx.err
}

// writeNow writes what the socket takes at once.
func (c *pipeConn) writeNow(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.tx.buf = p
	err := c.raw.Write(c.tx.try)
	c.tx.buf = nil
	if err != nil {
		return 0, err
	}
	return c.tx.n, c.tx.err
}

// Write waits until all is written.
func (c *pipeConn) Write(p []byte) (int, error) {
	n, err := c.writeNow(p)
	if err != nil || n == len(p) {
		return n, err
	}
	m, err := c.Conn.Write(p[n:])
	return n + m, err
}

// call makes the system call. It reports whether there is nothing to wait for.
func (t *transfer) call(trap, fd uintptr) bool {
	t.n, t.err = 0, nil
	for {
		n, _, errno := unix.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(&t.buf[0])), uintptr(len(t.buf)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			t.n = int(n)
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			t.err = errno
			return true
		}
	}
}
