// Package snapshot keeps records in shared memory that outlives the process: the supervisor holds the
// descriptor, and a process that starts again finds each record as it was last written, whole.
//
// A record has a fixed part, written once and replaced as a whole record, and a state of fixed size,
// written over and over in two copies: a process that dies while it writes one leaves the other.
package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes of an area.
const (
	// maxSize is what is reserved of the address space. Memory is taken as records need it: about 16 kB
	// for a call, of which the supervisor holds ports for 4,000.
	maxSize  = 192 << 20
	unit     = 1 << 10 // records are of 1, 2, 4 ... units
	maxOrder = 10      // a record of 1 MB is a fault of ours
	grow     = 1 << 20 // the file grows by so much at a time
)

// The head of a record, before the fixed part, at its own offsets.
const (
	headMagic      = 0  // magic when the record is whole, 0 when it is free
	headOrder      = 4  // size of the record: unit << order
	headGeneration = 8  // grows with every Write
	headFixed      = 16 // length of the fixed part
	headState      = 20 // length of the state
	headLayout     = 24 // of the state, as the writer names it
	headSum        = 28 // of the head from headOrder on, without this, and of the fixed part
	headSize       = 32

	magic = 0x53616e43
)

// The head of each copy of the state.
const (
	copyTurn = 0 // grows with every update; 0 when nothing was written
	copySum  = 8
	copyHead = 16
)

// Area is the shared memory. One goroutine uses it at a time.
type Area struct {
	fd         int
	mem        []byte // maxSize, of which size is backed by the file
	size       int
	free       [maxOrder + 1][]int // offsets
	generation uint64
}

// Record is a place in an area. The zero value is none.
type Record struct {
	at     int // offset and 1 added
	order  uint8
	states int // offset of the first copy in the area
	state  int // its length
	turn   uint64
}

// Saved is a record that was found.
type Saved struct {
	Record     Record
	Generation uint64
	Fixed      []byte
	State      []byte // nil if it was written by another layout, or neither copy is whole
}

// Create makes an empty area.
func Create() (*Area, error) {
	fd, err := unix.MemfdCreate("media-sessions", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create snapshot area: %w", err)
	}
	a, err := mapArea(fd, 0)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return a, nil
}

// Open takes an area over from the process before, and returns the records whose fixed part is
// whole. It owns fd from then on, unless it fails.
func Open(fd int, layout uint32) (*Area, []Saved, error) {
	unix.CloseOnExec(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, nil, fmt.Errorf("open snapshot area: %w", err)
	}
	if st.Size > maxSize || st.Size%unit != 0 {
		return nil, nil, fmt.Errorf("open snapshot area: %d bytes: not an area", st.Size)
	}
	a, err := mapArea(fd, int(st.Size))
	if err != nil {
		return nil, nil, err
	}
	return a, a.scan(layout), nil
}

func mapArea(fd, size int) (*Area, error) {
	mem, err := unix.Mmap(fd, 0, maxSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map snapshot area: %w", err)
	}
	return &Area{fd: fd, mem: mem, size: size}, nil
}

// FD returns the descriptor to leave with the supervisor.
func (a *Area) FD() int { return a.fd }

// Close unmaps the area. What is in it stays, as long as somebody holds its descriptor.
func (a *Area) Close() error { return errors.Join(unix.Munmap(a.mem), unix.Close(a.fd)) }

// scan finds the records and what is free between them.
func (a *Area) scan(layout uint32) (found []Saved) {
	for at := 0; at < a.size; {
		r, ok := a.whole(at)
		if !ok { // free, or torn: given back in the smallest pieces
			a.release(at, 0)
			at += unit
			continue
		}
		h := a.mem[at:]
		s := Saved{Record: r, Generation: binary.NativeEndian.Uint64(h[headGeneration:])}
		s.Fixed = h[headSize : headSize+binary.NativeEndian.Uint32(h[headFixed:])]
		s.State, s.Record.turn = a.newest(r)
		if binary.NativeEndian.Uint32(h[headLayout:]) != layout {
			s.State = nil
		}
		a.generation = max(a.generation, s.Generation)
		found = append(found, s)
		at += unit << r.order
	}
	return found
}

// whole reads the head of a record at offset at and checks it.
func (a *Area) whole(at int) (Record, bool) {
	h := a.mem[at:a.size]
	ne := binary.NativeEndian
	fixed, state, order := int(ne.Uint32(h[headFixed:])), int(ne.Uint32(h[headState:])), ne.Uint32(h[headOrder:])
	if ne.Uint32(h[headMagic:]) != magic || order > maxOrder || unit<<order > len(h) ||
		fixed > len(h) || state > len(h) || need(fixed, state) > unit<<order || ne.Uint32(h[headSum:]) != headSumOf(h, fixed) {
		return Record{}, false
	}
	return Record{at: at + 1, order: uint8(order), states: at + headSize + align(fixed), state: state}, true
}

// newest returns the whole copy of the state that was written last.
func (a *Area) newest(r Record) (state []byte, turn uint64) {
	for i := range 2 {
		c := a.copyOf(r, i)
		t := binary.NativeEndian.Uint64(c[copyTurn:])
		if t > turn && binary.NativeEndian.Uint32(c[copySum:]) == sum(c[copyHead:]) {
			state, turn = c[copyHead:], t
		}
	}
	return state, turn
}

// copyOf returns one of the two copies with its head.
func (a *Area) copyOf(r Record, i int) []byte {
	size := copyHead + align(r.state)
	at := r.states + i*size
	return a.mem[at : at+copyHead+r.state]
}

// need is the size of a record with its heads.
func need(fixed, state int) int { return headSize + align(fixed) + 2*(copyHead+align(state)) }

// align keeps what follows on words.
func align(n int) int { return (n + 7) &^ 7 }

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func headSumOf(h []byte, fixed int) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(h[headOrder:headSum], table), table, h[headSize:headSize+fixed])
}

// ErrFull says that an area has no room for a record.
var ErrFull = errors.New("the snapshot area is full")

// Write replaces the record old, which may be none, by one with this fixed part and state. A process
// that dies meanwhile leaves the old one, or both: the one of the higher generation counts.
func (a *Area) Write(old Record, fixed, state []byte, layout uint32) (Record, error) {
	size := need(len(fixed), len(state))
	order := bits.Len(uint(size-1) / unit)
	at, err := a.take(order)
	if err != nil {
		return old, err
	}
	a.generation++
	h := a.mem[at : at+unit<<order]
	clear(h)
	ne := binary.NativeEndian
	ne.PutUint32(h[headOrder:], uint32(order))
	ne.PutUint64(h[headGeneration:], a.generation)
	ne.PutUint32(h[headFixed:], uint32(len(fixed)))
	ne.PutUint32(h[headState:], uint32(len(state)))
	ne.PutUint32(h[headLayout:], layout)
	copy(h[headSize:], fixed)
	ne.PutUint32(h[headSum:], headSumOf(h, len(fixed)))
	r := Record{at: at + 1, order: uint8(order), states: at + headSize + align(len(fixed)), state: len(state)}
	a.Update(&r, state)
	atomic.StoreUint32(a.word(at), magic) // from here on it counts
	a.Free(old)
	return r, nil
}

// Update writes the state of a record, of the size that it was written with.
func (a *Area) Update(r *Record, state []byte) {
	r.turn++
	c := a.copyOf(*r, int(r.turn&1))
	binary.NativeEndian.PutUint64(c[copyTurn:], 0) // torn until it is whole
	copy(c[copyHead:], state)
	binary.NativeEndian.PutUint32(c[copySum:], sum(c[copyHead:]))
	binary.NativeEndian.PutUint64(c[copyTurn:], r.turn)
}

// Free gives the place of a record back.
func (a *Area) Free(r Record) {
	if r.at == 0 {
		return
	}
	atomic.StoreUint32(a.word(r.at-1), 0)
	a.release(r.at-1, int(r.order))
}

func (a *Area) word(at int) *uint32 { return (*uint32)(unsafe.Pointer(&a.mem[at+headMagic])) }

func (a *Area) release(at, order int) { a.free[order] = append(a.free[order], at) }

// take finds room for a record, splits a larger piece, or lets the file grow.
func (a *Area) take(order int) (at int, err error) {
	if order > maxOrder {
		return 0, fmt.Errorf("a record of over %d bytes: %w", unit<<maxOrder, ErrFull)
	}
	for o := order; o <= maxOrder; o++ {
		n := len(a.free[o])
		if n == 0 {
			continue
		}
		at, a.free[o] = a.free[o][n-1], a.free[o][:n-1]
		for ; o > order; o-- {
			a.release(at+unit<<(o-1), o-1)
		}
		return at, nil
	}
	if a.size+grow > len(a.mem) {
		return 0, ErrFull
	}
	if err := unix.Ftruncate(a.fd, int64(a.size+grow)); err != nil {
		return 0, os.NewSyscallError("ftruncate", err)
	}
	a.release(a.size, maxOrder)
	a.size += grow
	return a.take(order)
}
