package sipload

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// road carries messages between the phones and the server.
type road interface {
	// wait sends what was queued, waits for messages for at most d, gives each to take, and sends
	// what that has queued. take returns how many bytes it has used.
	wait(d time.Duration, take func([]byte) int) error
	// send queues a message of a user. It keeps a copy.
	send(user int, b []byte)
	// local is the address of a user's phone.
	local(user int) netip.AddrPort
	close() error
}

// Sizes of the datagram road.
const (
	udpBatch     = 64      // datagrams of one system call
	udpSize      = 8 << 10 // one message
	socketBuffer = 4 << 20 // all that is under way
)

// udpRoad is one socket for all phones.
type udpRoad struct {
	fd     int
	at     netip.AddrPort
	batch  *udpio.Batch
	sender *udpio.Sender
	arena  []byte // what is queued
	err    error
}

func openUDP(cfg Config) (road, error) {
	fd, err := udpio.Open(netip.AddrPortFrom(cfg.Phones, 0), udpio.Options{ReceiveBuffer: socketBuffer, SendBuffer: socketBuffer})
	if err != nil {
		return nil, err
	}
	r := &udpRoad{fd: fd, batch: udpio.NewBatch(udpBatch, udpSize, false), sender: udpio.NewSender(udpBatch), arena: make([]byte, 0, udpBatch*udpSize)}
	to := udpio.SockaddrOf(cfg.Server)
	if err = udpio.Connect(fd, &to); err == nil {
		r.at, err = udpio.Local(fd)
	}
	if err != nil {
		_ = unix.Close(fd) // the other error tells
		return nil, err
	}
	return r, nil
}

func (r *udpRoad) local(int) netip.AddrPort { return r.at }

func (r *udpRoad) send(_ int, b []byte) {
	if cap(r.arena)-len(r.arena) < len(b) {
		r.flush()
	}
	start := len(r.arena)
	r.arena = append(r.arena, b...)
	if !r.sender.Add(r.arena[start:], nil, netip.Addr{}) {
		r.flush()
		r.arena = append(r.arena, b...)
		r.sender.Add(r.arena, nil, netip.Addr{})
	}
}

func (r *udpRoad) flush() {
	for r.sender.Len() > 0 && r.err == nil {
		if _, r.err = r.sender.Flush(r.fd); r.err == nil && r.sender.Len() > 0 {
			r.err = ready(r.fd, unix.POLLOUT, tick)
		}
	}
	r.arena = r.arena[:0]
}

func (r *udpRoad) wait(d time.Duration, take func([]byte) int) error {
	r.flush()
	n, err := r.batch.Recv(r.fd)
	if n == 0 && err == nil {
		if err = ready(r.fd, unix.POLLIN, d); err == nil {
			n, err = r.batch.Recv(r.fd)
		}
	}
	for i := range n {
		take(r.batch.Packet(i))
	}
	r.flush()
	if err == nil {
		err = r.err
	}
	return err
}

// ready waits until a descriptor can be read or written, or the time is over.
func ready(fd int, events int16, d time.Duration) error {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: events}}
	if _, err := unix.Poll(fds[:], int(d/time.Millisecond)); err != nil && err != unix.EINTR {
		return err
	}
	return nil
}

func (r *udpRoad) close() error { return unix.Close(r.fd) }
