// Package tap carries copies of packets out of a media loop: one goroutine puts them in, another takes
// them out, and neither waits for the other.
package tap

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"
)

// Each entry has a head: its length (4 bytes), its tag (4), its time (8). Entries are padded to 8 bytes
// so that no head is torn by the end of the ring; an entry that would be gets a filler before it.
const (
	headSize = 16
	filler   = 1<<32 - 1 // as a length: go on at the start of the ring
)

// MaxPacket is the longest packet that a ring takes.
const MaxPacket = 4 << 10

// Ring is a queue of packets in memory of fixed size. Put is called by one goroutine at a time, Next and
// Free by one other. A packet that finds no room is lost, and counted.
type Ring struct {
	buf  []byte
	mask uint64

	// Each side writes its own line of the cache.
	_    [64]byte
	head atomic.Uint64 // where the writer goes on
	seen uint64        // the writer's last look at tail
	lost atomic.Uint64
	_    [64]byte
	tail atomic.Uint64 // where the reader goes on
	_    [64]byte
}

// New returns a ring of size bytes, a power of two of at least four of the longest packets.
func New(size int) (*Ring, error) {
	if size < 4*MaxPacket || bits.OnesCount(uint(size)) != 1 {
		return nil, fmt.Errorf("ring of %d bytes: not a power of two from %d on", size, 4*MaxPacket)
	}
	return &Ring{buf: make([]byte, size), mask: uint64(size - 1)}, nil
}

// Entry is what was put in.
type Entry struct {
	Tag    uint32
	Time   int64
	Packet []byte // of the ring, until Free
}

// Put copies a packet into the ring. It reports false if there was no room.
func (r *Ring) Put(tag uint32, now int64, p []byte) bool {
	need := entrySize(len(p))
	head := r.head.Load()
	at := head & r.mask
	skip := uint64(0)
	if rest := uint64(len(r.buf)) - at; rest < need {
		skip = rest
	}
	if len(p) > MaxPacket || !r.room(head, skip+need) {
		r.lost.Add(1)
		return false
	}
	if skip > 0 {
		binary.NativeEndian.PutUint32(r.buf[at:], filler)
		at = 0
	}
	b := r.buf[at : at+need]
	binary.NativeEndian.PutUint32(b, uint32(len(p)))
	binary.NativeEndian.PutUint32(b[4:], tag)
	binary.NativeEndian.PutUint64(b[8:], uint64(now))
	copy(b[headSize:], p)
	r.head.Store(head + skip + need) // from here on the reader sees it
	return true
}

// room reports whether n bytes fit, and looks at the reader's place only if they seem not to.
func (r *Ring) room(head, n uint64) bool {
	if head+n-r.seen <= uint64(len(r.buf)) {
		return true
	}
	r.seen = r.tail.Load()
	return head+n-r.seen <= uint64(len(r.buf))
}

func entrySize(n int) uint64 { return uint64(headSize+n+7) &^ 7 }

// Next returns the oldest entry, which stays in the ring until Free.
func (r *Ring) Next() (Entry, bool) {
	tail := r.tail.Load()
	if tail == r.head.Load() {
		return Entry{}, false
	}
	at := tail & r.mask
	n := binary.NativeEndian.Uint32(r.buf[at:])
	if n == filler {
		tail += uint64(len(r.buf)) - at
		r.tail.Store(tail)
		at = 0
		n = binary.NativeEndian.Uint32(r.buf)
	}
	b := r.buf[at:]
	return Entry{
		Tag: binary.NativeEndian.Uint32(b[4:]), Time: int64(binary.NativeEndian.Uint64(b[8:])),
		Packet: b[headSize : headSize+n : headSize+n],
	}, true
}

// Free gives the room of the entry that Next returned back.
func (r *Ring) Free(e Entry) { r.tail.Add(entrySize(len(e.Packet))) }

// Lost returns how many packets found no room.
func (r *Ring) Lost() uint64 { return r.lost.Load() }
