package ctl

import (
	"errors"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pipeConn can be written without waiting.
type pipeConn struct {
	net.Conn
	raw  syscall.RawConn
	send func(fd uintptr) bool // kept: a closure for each write would be an allocation
	buf  []byte
	sent int
	err  error
}

func newPipeConn(conn net.Conn) (*pipeConn, error) {
	c := &pipeConn{Conn: conn}
	var err error
	c.raw, err = conn.(*net.UnixConn).SyscallConn()
	c.send = func(fd uintptr) bool {
		c.sent, c.err = sendNow(int(fd), c.buf)
		return true
	}
	return c, err
}

// try writes what the socket takes at once. There is one writer at a time.
func (c *pipeConn) try(buf []byte) (int, error) {
	c.buf = buf
	err := c.raw.Write(c.send)
	c.buf = nil
	return c.sent, errors.Join(err, c.err)
}

// sendNow does not tell Go's scheduler, because it does not block.
func sendNow(fd int, buf []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
		return 0, nil
	}
	return 0, errno
}
