package udpio

import (
	"errors"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Batch receives up to its size of datagrams in one system call, into buffers that it owns. What it
// returns is valid until the next Recv. One goroutine uses it at a time.
type Batch struct {
	msgs    []unix.Mmsghdr
	iovs    []unix.Iovec
	names   []Sockaddr
	bufs    []byte // all buffers, one after another
	control []byte // room for one packet-info message each; empty when not wanted
	size    int    // of one buffer
	used    int    // messages that the last Recv wrote to
}

// NewBatch returns a batch of n buffers of size bytes. With destinations, it also keeps the local
// address that each datagram was sent to, for sockets opened with PacketInfo.
func NewBatch(n, size int, destinations bool) *Batch {
	b := &Batch{
		msgs: make([]unix.Mmsghdr, n), iovs: make([]unix.Iovec, n), names: make([]Sockaddr, n),
		bufs: make([]byte, n*size), size: size, used: n,
	}
	if destinations {
		b.control = make([]byte, n*controlSize)
	}
	for i := range b.msgs {
		b.iovs[i].Base = &b.bufs[i*size]
		b.iovs[i].SetLen(size)
		h := &b.msgs[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
		if destinations {
			h.Control = &b.control[i*controlSize]
		}
	}
	return b
}

// Len returns how many datagrams one Recv can take.
func (b *Batch) Len() int { return len(b.msgs) }

// Recv takes what waits on the non-blocking socket fd and returns how many datagrams it got: none,
// without an error, when nothing waits. ICMP errors that the kernel keeps for the socket are passed
// over: they speak of a datagram sent earlier.
func (b *Batch) Recv(fd int) (int, error) {
	for range b.used {
		b.used--
		h := &b.msgs[b.used].Hdr
		h.Namelen, h.Flags = sockaddrSize, 0
		if b.control != nil {
			h.SetControllen(controlSize)
		}
	}
	for range maxPending {
		// Raw: with MSG_DONTWAIT it cannot block, so the scheduler need not be told.
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.msgs[0])),
			uintptr(len(b.msgs)), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0:
			b.used = int(n)
			return b.used, nil
		case errno == unix.EAGAIN:
			return 0, nil
		case !passing(errno):
			return 0, errno
		}
	}
	return 0, nil
}

// maxPending bounds how many errors Recv passes over; the kernel keeps one at a time.
const maxPending = 8

// Passing reports whether err says something of one datagram or one moment, so that the socket can
// be used on: an interrupted call, or an ICMP error of a datagram sent before (RFC 1122 §4.1.3.3).
func Passing(err error) bool {
	errno, ok := errors.AsType[unix.Errno](err)
	return ok && passing(errno)
}

func passing(errno unix.Errno) bool {
	switch errno {
	case unix.EINTR, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN,
		unix.ENONET, unix.EPROTO, unix.EMSGSIZE, unix.ENOPROTOOPT, unix.EACCES, unix.EPERM,
		unix.ENOBUFS, unix.ENOMEM:
		return true
	}
	return false
}

// Packet returns datagram i, cut to the buffer's size if it was longer.
func (b *Batch) Packet(i int) []byte {
	return b.bufs[i*b.size : i*b.size+min(int(b.msgs[i].Len), b.size) : (i+1)*b.size]
}

// From returns where datagram i came from.
func (b *Batch) From(i int) *Sockaddr { return &b.names[i] }

// Truncated reports whether datagram i was longer than the buffer.
func (b *Batch) Truncated(i int) bool { return b.msgs[i].Hdr.Flags&unix.MSG_TRUNC != 0 }

// To returns the local address that datagram i was sent to, and the number of the interface that it
// came in by; none if the kernel did not say.
func (b *Batch) To(i int) (to netip.Addr, ifindex int) {
	if b.control == nil {
		return netip.Addr{}, 0
	}
	return parsePacketInfo(b.control[i*controlSize : i*controlSize+int(b.msgs[i].Hdr.Controllen)])
}
