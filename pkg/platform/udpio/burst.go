package udpio

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Burst receives one datagram from each of many sockets and sends one by each of many others, in
// two system calls where the kernel has io_uring, and else in one for each datagram. One goroutine
// uses it at a time.
//
//	for each readable socket: b.AddReceive(fd)
//	b.Receive()
//	for i := range …: b.Received(i); b.AddSend(fd, …)
//	b.Send()
type Burst struct {
	rx, tx flight
	bufs   []byte
	size   int
	ring   *uring // nil: a system call for each
	broken error  // why the ring was given up

	rxDone, txDone func(user int, result int32) // kept: closures for each call would be allocations
}

// flight is one direction's messages.
type flight struct {
	msgs   []unix.Msghdr
	iovs   []unix.Iovec
	names  []Sockaddr
	fds    []int
	result []int32 // bytes, or an error number below zero
	n      int
}

// NewBurst returns a burst of up to n datagrams of up to size bytes, n a power of two. With ring it
// uses io_uring if it can.
func NewBurst(n, size int, ring bool) *Burst {
	b := &Burst{rx: newFlight(n), tx: newFlight(n), bufs: make([]byte, n*size), size: size}
	for i := range n {
		b.rx.iovs[i].Base = &b.bufs[i*size]
		b.rx.iovs[i].SetLen(size)
		b.rx.msgs[i].Name = (*byte)(unsafe.Pointer(&b.rx.names[i]))
	}
	b.rxDone = func(user int, result int32) { b.rx.result[user] = result }
	b.txDone = func(user int, result int32) { b.tx.result[user] = result }
	if ring {
		b.ring, b.broken = newUring(n)
	}
	return b
}

func newFlight(n int) flight {
	f := flight{
		msgs: make([]unix.Msghdr, n), iovs: make([]unix.Iovec, n), names: make([]Sockaddr, n),
		fds: make([]int, n), result: make([]int32, n),
	}
	for i := range n {
		f.msgs[i].Iov = &f.iovs[i]
		f.msgs[i].SetIovlen(1)
	}
	return f
}

// Len returns how many datagrams each direction has room for.
func (b *Burst) Len() int { return len(b.rx.fds) }

// Ring reports whether io_uring is in use, and if it was asked for and is not, why.
func (b *Burst) Ring() (bool, error) { return b.ring != nil, b.broken }

// AddReceive asks for one datagram of the non-blocking socket fd.
func (b *Burst) AddReceive(fd int) {
	b.rx.fds[b.rx.n] = fd
	h := &b.rx.msgs[b.rx.n]
	h.Namelen, h.Flags = sockaddrSize, 0
	b.rx.n++
}

// Receive does what AddReceive asked for. Received tells the outcome until the next AddReceive.
func (b *Burst) Receive() {
	b.fly(&b.rx, uringOpRecvMsg, unix.SYS_RECVMSG, b.rxDone)
}

// Received returns the datagram of the i-th socket asked; ok is false when there was none, an error
// of an earlier datagram instead, or one too long for the buffer.
func (b *Burst) Received(i int) (packet []byte, from *Sockaddr, ok bool) {
	n := int(b.rx.result[i])
	if n < 0 || b.rx.msgs[i].Flags&unix.MSG_TRUNC != 0 {
		return nil, nil, false
	}
	return b.bufs[i*b.size : i*b.size+n : (i+1)*b.size], &b.rx.names[i], true
}

// AddSend queues payload, which must stay until Send, for the non-blocking socket fd: to to, or to
// the connected peer if to is nil. It returns the datagram's index for Sent.
func (b *Burst) AddSend(fd int, payload []byte, to *Sockaddr) (index int) {
	i := b.tx.n
	b.tx.fds[i] = fd
	h := &b.tx.msgs[i]
	b.tx.iovs[i].Base = unsafe.SliceData(payload)
	b.tx.iovs[i].SetLen(len(payload))
	h.Name, h.Namelen = nil, 0
	if to != nil {
		b.tx.names[i] = *to
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.tx.names[i])), to.size()
	}
	b.tx.n++
	return i
}

// Room tells how many datagrams can still be queued.
func (b *Burst) Room() int { return len(b.tx.fds) - b.tx.n }

// Send sends what AddSend queued and returns how many the kernel refused. Sent tells which, until
// the next AddSend.
func (b *Burst) Send() (refused int) {
	n := b.tx.n
	b.fly(&b.tx, uringOpSendMsg, unix.SYS_SENDMSG, b.txDone)
	for _, res := range b.tx.result[:n] {
		if res < 0 {
			refused++
		}
	}
	return refused
}

// Sent returns the error of the i-th datagram queued, or nil.
func (b *Burst) Sent(i int) error {
	if res := b.tx.result[i]; res < 0 {
		return unix.Errno(-res)
	}
	return nil
}

// fly does all that f holds and empties it.
func (b *Burst) fly(f *flight, opcode uint8, trap uintptr, done func(int, int32)) {
	n := f.n
	f.n = 0
	// One message gains nothing from the ring.
	if b.ring != nil && n > 1 {
		for i := range n {
			f.result[i] = -int32(unix.EAGAIN)
			b.ring.add(opcode, f.fds[i], &f.msgs[i], i)
		}
		if err := b.ring.run(done); err == nil {
			return
		} else {
			b.broken = errors.Join(err, b.ring.close())
			b.ring = nil
			return // what was not done is told as EAGAIN: it waits, or is lost as on a full socket
		}
	}
	for i := range n {
		f.result[i] = message(trap, f.fds[i], &f.msgs[i])
	}
}

// message is recvmsg or sendmsg. An interrupted call is made again.
func message(trap uintptr, fd int, h *unix.Msghdr) int32 {
	for {
		n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(h)), unix.MSG_DONTWAIT)
		switch errno {
		case 0:
			return int32(n)
		case unix.EINTR:
		default:
			return -int32(errno)
		}
	}
}

// Close releases the ring. It must not be used after.
func (b *Burst) Close() error {
	if b.ring == nil {
		return nil
	}
	err := b.ring.close()
	b.ring = nil
	return err
}
