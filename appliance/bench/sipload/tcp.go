package sipload

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes of the stream road.
const (
	tcpRead   = 16 << 10 // buffer of a connection
	tcpEvents = 64       // connections of one system call
)

// tcpRoad is a connection for each phone.
type tcpRoad struct {
	epoll  int
	conns  []tcpConn
	dirty  []int // users whose connection has something to send
	events [tcpEvents]unix.EpollEvent
}

type tcpConn struct {
	fd   int
	at   netip.AddrPort
	in   []byte
	have int
	out  []byte
}

func openTCP(cfg Config) (road, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	r := &tcpRoad{epoll: epoll}
	for i := range cfg.Users {
		c, err := dial(cfg)
		if err == nil {
			r.conns = append(r.conns, c)
			err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
		}
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
	}
	return r, nil
}

func dial(cfg Config) (c tcpConn, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return c, err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: cfg.Phones.As4()}); err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(cfg.Server.Port()), Addr: cfg.Server.Addr().As4()})
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	var sa unix.Sockaddr
	if err == nil {
		sa, err = unix.Getsockname(fd)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	four, ok := sa.(*unix.SockaddrInet4)
	if err != nil || !ok {
		_ = unix.Close(fd) // the other error tells
		return c, fmt.Errorf("connect to %s: %w", cfg.Server, err)
	}
	return tcpConn{fd: fd, at: netip.AddrPortFrom(netip.AddrFrom4(four.Addr), uint16(four.Port)), in: make([]byte, tcpRead)}, nil
}

func (r *tcpRoad) local(user int) netip.AddrPort { return r.conns[user].at }

func (r *tcpRoad) send(user int, b []byte) {
	c := &r.conns[user]
	if len(c.out) == 0 {
		r.dirty = append(r.dirty, user)
	}
	c.out = append(c.out, b...)
}

func (r *tcpRoad) flush() error {
	for _, user := range r.dirty {
		c := &r.conns[user]
		for b := c.out; len(b) > 0; {
			n, err := unix.SendmsgN(c.fd, b, nil, nil, unix.MSG_NOSIGNAL)
			if errors.Is(err, unix.EAGAIN) {
				n, err = 0, ready(c.fd, unix.POLLOUT, tick)
			}
			if err != nil {
				return fmt.Errorf("send over TCP: %w", err)
			}
			b = b[n:]
		}
		c.out = c.out[:0]
	}
	r.dirty = r.dirty[:0]
	return nil
}

func (r *tcpRoad) wait(d time.Duration, take func([]byte) int) error {
	if err := r.flush(); err != nil {
		return err
	}
	n, err := unix.EpollWait(r.epoll, r.events[:], int(d/time.Millisecond))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	for i := range max(n, 0) {
		if err := r.conns[r.events[i].Fd].read(take); err != nil {
			return fmt.Errorf("receive over TCP: %w", err)
		}
	}
	return r.flush()
}

// read takes all whole messages that have come.
func (c *tcpConn) read(take func([]byte) int) error {
	n, err := unix.Read(c.fd, c.in[c.have:])
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil
	case err != nil:
		return err
	case n == 0:
		return io.ErrUnexpectedEOF // the server has closed it
	}
	c.have += n
	used := 0
	for used < c.have {
		size := take(c.in[used:c.have])
		if size <= 0 {
			break
		}
		used += size
	}
	c.have = copy(c.in, c.in[used:c.have])
	if c.have == len(c.in) {
		return fmt.Errorf("a message of more than %d bytes", tcpRead)
	}
	return nil
}

func (r *tcpRoad) close() error {
	errs := []error{unix.Close(r.epoll)}
	for i := range r.conns {
		errs = append(errs, unix.Close(r.conns[i].fd))
	}
	return errors.Join(errs...)
}
