package udpio

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sender collects datagrams and sends them in one system call. It keeps no copy of the payloads:
// they must stay as they are until Flush. One goroutine uses it at a time.
type Sender struct {
	msgs     []unix.Mmsghdr
	iovs     []unix.Iovec
	names    []Sockaddr
	controls [][controlSize]byte
	n, sent  int // messages added; of these, gone
}

// NewSender returns a sender of batches of n.
func NewSender(n int) *Sender {
	s := &Sender{
		msgs: make([]unix.Mmsghdr, n), iovs: make([]unix.Iovec, n), names: make([]Sockaddr, n),
		controls: make([][controlSize]byte, n),
	}
	for i := range s.msgs {
		s.msgs[i].Hdr.Iov = &s.iovs[i]
		s.msgs[i].Hdr.SetIovlen(1)
	}
	return s
}

// Add queues a datagram to to, or to the connected peer if to is nil, from the local address from,
// or from one that the kernel chooses if from is none. It reports false when the batch is full.
func (s *Sender) Add(payload []byte, to *Sockaddr, from netip.Addr) bool {
	if s.n == len(s.msgs) {
		return false
	}
	s.names[s.n] = Sockaddr{}
	if to != nil {
		s.names[s.n] = *to
	}
	s.iovs[s.n].Base = unsafe.SliceData(payload)
	s.iovs[s.n].SetLen(len(payload))
	h := &s.msgs[s.n].Hdr
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&s.names[s.n])), s.names[s.n].size()
	h.Control = &s.controls[s.n][0]
	h.SetControllen(putPacketInfo(&s.controls[s.n], from))
	s.n++
	return true
}

// Len returns how many datagrams wait.
func (s *Sender) Len() int { return s.n - s.sent }

// Flush sends what waits on the non-blocking socket fd. A datagram that the kernel refuses is
// skipped and counted. When the socket's buffer is full the rest goes on waiting and Len says so:
// call it again when fd is writable. After another error the rest is dropped.
func (s *Sender) Flush(fd int) (refused int, err error) {
	for s.sent < s.n {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.msgs[s.sent])),
			uintptr(s.n-s.sent), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0:
			s.sent += int(n)
		case errno == unix.EAGAIN:
			return refused, nil
		case errno == unix.EINTR:
		case refusal(errno):
			refused++
			s.sent++
		default:
			s.n, s.sent = 0, 0
			return refused, errno
		}
	}
	s.n, s.sent = 0, 0
	return refused, nil
}

// Drop forgets what waits.
func (s *Sender) Drop() { s.n, s.sent = 0, 0 }

// refusal tells errors of this datagram from errors of the socket.
func refusal(errno unix.Errno) bool {
	return passing(errno) || errno == unix.EINVAL || errno == unix.EAFNOSUPPORT || errno == unix.EADDRNOTAVAIL ||
		errno == unix.EDESTADDRREQ || errno == unix.ENODEV || errno == unix.ENXIO
}

// Send sends one datagram on the non-blocking socket fd; to and from as in Add. The error is
// unix.EAGAIN when the socket's buffer is full.
func Send(fd int, payload []byte, to *Sockaddr, from netip.Addr) error {
	// All in one function: pointers stored by a helper would move what they point to to the heap.
	var (
		h       unix.Msghdr
		iov     unix.Iovec
		control [controlSize]byte
	)
	iov.Base = unsafe.SliceData(payload)
	iov.SetLen(len(payload))
	h.Iov = &iov
	h.SetIovlen(1)
	if to != nil {
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(to)), to.size()
	}
	h.Control = &control[0]
	h.SetControllen(putPacketInfo(&control, from))
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT)
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}
