package offload

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// File is the counters of flows in a file of memory, where it is netd that counts: the packet filter has
// no memory that mediad could look into. The file stays with its descriptor.
type File struct {
	counters
	whole []byte
	fd    int
}

// The file begins with a head: who it is of, and whose flows are counted.
const (
	fileMagic   = "sanchar media " + Generation
	headPath    = 24
	headCounted = 32 // when all flows were last counted
	headSize    = 64 // slots begin at a line of the processor's cache
	fileSize    = headSize + mapped
)

// NewFile makes an empty file. Nobody can cut it short: that would end who counts in it.
func NewFile() (*File, error) {
	fd, err := unix.MemfdCreate("sanchar-media", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make the counters of media flows: %w", err)
	}
	err = unix.Ftruncate(fd, int64(fileSize))
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the counters of media flows: %w", err), unix.Close(fd))
	}
	f := &File{fd: fd}
	if err := f.open(); err != nil {
		return nil, err
	}
	copy(f.whole, fileMagic)
	_, _ = rand.Read(f.whole[headPath : headPath+8]) // it never fails
	return f, nil
}

// OpenFile takes a file over by its descriptor. It owns that, also when it fails.
func OpenFile(fd int) (*File, error) {
	f := &File{fd: fd}
	if err := f.open(); err != nil {
		return nil, err
	}
	if string(f.whole[:len(fileMagic)]) != fileMagic {
		return nil, errors.Join(errors.New("open the counters of media flows: not of this generation"), f.Close())
	}
	return f, nil
}

func (f *File) open() error {
	var st unix.Stat_t
	err := unix.Fstat(f.fd, &st)
	if err == nil && st.Size != int64(fileSize) {
		err = fmt.Errorf("%d bytes, not %d", st.Size, fileSize)
	}
	if err == nil {
		f.whole, err = unix.Mmap(f.fd, 0, fileSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open the counters of media flows: %w", err), unix.Close(f.fd))
	}
	f.counters = counters{f.whole[headSize:]}
	return nil
}

// Path names whose flows are counted: a table of one netd.
func (f *File) Path() uint64 { return binary.NativeEndian.Uint64(f.whole[headPath:]) }

// Count adds what passed of a flow: packets of one of its payload types, bytes of RTP, up to now.
func (f *File) Count(slot uint32, at int, packets, bytes uint64, now int64) error {
	if slot >= MaxFlows || at >= carried {
		return fmt.Errorf("media flows have no slot %d or no type %d", slot, at)
	}
	s := f.slot(slot)
	s.Packets[at] += uint32(packets & math.MaxUint32) // it turns over
	s.Bytes += bytes
	s.Highest += uint32(packets & math.MaxUint32)
	s.Last = uint64(now)
	return nil
}

// Counted says that all flows were counted now.
func (f *File) Counted(now int64) {
	binary.NativeEndian.PutUint64(f.whole[headCounted:], uint64(now))
}

func (f *File) counted() int64 {
	return int64(binary.NativeEndian.Uint64(f.whole[headCounted:]))
}

// FD returns the descriptor. It stays the file's.
func (f *File) FD() int { return f.fd }

// Close lets go of the file.
func (f *File) Close() error { return errors.Join(unix.Munmap(f.whole), unix.Close(f.fd)) }
