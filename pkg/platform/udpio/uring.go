package udpio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uring is the little of io_uring(7) that a Burst needs: many sendmsg and recvmsg calls handed over
// in one system call. Every one of them is non-blocking, so all are done when it returns; nothing is
// ever left in flight.
type uring struct {
	fd     int
	shared []byte // rings of both queues
	sqMem  []byte // submission entries
	sqes   []sqe
	cqes   []cqe

	sqTail, cqHead, cqTail *uint32
	mask, cqMask           uint32
	tail, submitted        uint32
}

// sqe is struct io_uring_sqe.
type sqe struct {
	opcode, flags uint8
	priority      uint16
	fd            int32
	offset, addr  uint64
	size          uint32
	opFlags       uint32
	user          uint64
	_             [3]uint64
}

// cqe is struct io_uring_cqe.
type cqe struct {
	user   uint64
	result int32
	flags  uint32
}

// Numbers of linux/io_uring.h that package unix does not have.
const (
	uringOpSendMsg   = 9
	uringOpRecvMsg   = 10
	uringOffSQEs     = 0x10000000
	uringGetEvents   = 1
	uringFeatSingle  = 1 // both rings in one mapping
	uringParamsSize  = 120
	uringSQOffsetsAt = 40
	uringCQOffsetsAt = 80
)

// newUring sets up a ring of n entries, a power of two. It fails where the kernel has no io_uring,
// or where the administrator or a filter forbids it.
func newUring(n int) (*uring, error) {
	var params [uringParamsSize]byte
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(n), uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("set up io_uring: %w", errno)
	}
	r := &uring{fd: int(fd)}
	if err := r.mapRings(params[:]); err != nil {
		return nil, errors.Join(fmt.Errorf("set up io_uring: %w", err), r.close())
	}
	return r, nil
}

// mapRings maps what the kernel describes in struct io_uring_params.
func (r *uring) mapRings(params []byte) error {
	field := func(at int) uint32 { return binary.NativeEndian.Uint32(params[at:]) }
	sqEntries, cqEntries := field(0), field(4)
	if field(20)&uringFeatSingle == 0 {
		return errors.New("the kernel is older than 5.4")
	}
	sqArray, cqesAt := field(uringSQOffsetsAt+24), field(uringCQOffsetsAt+20)
	size := max(sqArray+sqEntries*4, cqesAt+cqEntries*uint32(unsafe.Sizeof(cqe{})))
	var err error
	const flags, prot = unix.MAP_SHARED | unix.MAP_POPULATE, unix.PROT_READ | unix.PROT_WRITE
	if r.shared, err = unix.Mmap(r.fd, 0, int(size), prot, flags); err != nil {
		return err
	}
	if r.sqMem, err = unix.Mmap(r.fd, uringOffSQEs, int(sqEntries)*int(unsafe.Sizeof(sqe{})), prot, flags); err != nil {
		return err
	}
	word := func(at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.shared[at])) }
	r.sqTail = word(field(uringSQOffsetsAt + 4))
	r.cqHead, r.cqTail = word(field(uringCQOffsetsAt)), word(field(uringCQOffsetsAt+4))
	r.mask, r.cqMask = sqEntries-1, cqEntries-1
	r.sqes = unsafe.Slice((*sqe)(unsafe.Pointer(&r.sqMem[0])), sqEntries)
	r.cqes = unsafe.Slice((*cqe)(unsafe.Pointer(&r.shared[cqesAt])), cqEntries)
	for i, order := 0, unsafe.Slice(word(sqArray), sqEntries); i < len(order); i++ {
		order[i] = uint32(i) // entries are submitted in their order
	}
	return nil
}

// add queues one operation on the message h, named user. The caller adds no more than the ring has
// entries before run.
func (r *uring) add(opcode uint8, fd int, h *unix.Msghdr, user int) {
	r.sqes[r.tail&r.mask] = sqe{
		opcode: opcode, fd: int32(fd), addr: uint64(uintptr(unsafe.Pointer(h))), size: 1,
		opFlags: unix.MSG_DONTWAIT, user: uint64(user),
	}
	r.tail++
}

// run does all that was queued and calls done with each one's name and result: bytes, or an error
// number below zero.
func (r *uring) run(done func(user int, result int32)) error {
	atomic.StoreUint32(r.sqTail, r.tail)
	for total := r.tail - r.submitted; total > 0; {
		n, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(total), uintptr(total), uringGetEvents, 0, 0)
		if errno != 0 && errno != unix.EINTR && errno != unix.EAGAIN && errno != unix.EBUSY {
			return fmt.Errorf("run io_uring: %w", errno)
		}
		if errno == 0 {
			r.submitted += uint32(n)
			total -= uint32(n)
		}
		r.reap(done)
	}
	return nil
}

func (r *uring) reap(done func(user int, result int32)) {
	head := *r.cqHead // only we move it
	for tail := atomic.LoadUint32(r.cqTail); head != tail; head++ {
		c := &r.cqes[head&r.cqMask]
		done(int(c.user), c.result)
	}
	atomic.StoreUint32(r.cqHead, head)
}

func (r *uring) close() error {
	var errs []error
	for _, m := range [][]byte{r.shared, r.sqMem} {
		if m != nil {
			errs = append(errs, unix.Munmap(m))
		}
	}
	return errors.Join(append(errs, unix.Close(r.fd))...)
}
