package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/fsx"
)

// The file of States is a row of slots, each of whose size never changes. A slot: its size in units
// (4 bytes), length of the payload (4; 0 for a free slot), CRC-32C of all that follows (4), length of
// the key (4), number (8), payload: key and state. Of two slots of one key the higher number counts.
const (
	slotUnit = 512 // bytes; states of one call differ by some hundred
	slotHead = 4 + 4 + 4 + 4 + 8
	slotWide = 3 // a free slot may be larger than needed by so many units

	// growBytes is by how much the file grows: room on disk is taken before it is written to, since
	// memory that stands for a full disk cannot refuse.
	growBytes = 256 << 10
	// shrinkBytes is how large a file stays when nothing is left in it.
	shrinkBytes = 1 << 20
)

// States keeps the latest state of each of many things in a file that is mapped into memory: to keep
// one costs a copy and no system call. What is kept survives the process. On a disk the kernel writes
// it in its own time, and a copy may wait for that; a folder in memory never waits.
// The methods may be called from any goroutine.
type States struct {
	path string

	mu     sync.Mutex // guards what follows
	file   *os.File
	data   []byte // the file; nil after Close
	end    int64  // of the slots
	number uint64 // of the latest state
	live   map[string]slot
	free   map[int64][]int64 // places of free slots by units
}

// slot is a place in the file.
type slot struct{ at, units int64 }

// OpenStates opens or makes the file at path. Read gives what an earlier process left there.
func OpenStates(path string) (*States, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &States{path: path, file: f, live: map[string]slot{}, free: map[int64][]int64{}}
	if err = s.load(); err == nil {
		err = fsx.SyncDir(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open states %s: %w", path, errors.Join(err, s.Close()))
	}
	return s, nil
}

// load finds what is kept, up to the first slot that makes no sense.
func (s *States) load() error {
	data, err := io.ReadAll(s.file)
	if err != nil {
		return err
	}
	numbers := map[string]uint64{}
	for {
		at := slot{s.end, 0}
		rest := data[s.end:]
		if len(rest) < slotHead {
			break
		}
		at.units = int64(binary.LittleEndian.Uint32(rest))
		if at.units == 0 || at.units*slotUnit > int64(len(rest)) {
			break
		}
		s.end += at.units * slotUnit
		key, _, number, ok := readSlot(rest[:at.units*slotUnit])
		if !ok || number <= numbers[key] {
			s.free[at.units] = append(s.free[at.units], at.at)
			continue
		}
		if old, twice := s.live[key]; twice {
			s.free[old.units] = append(s.free[old.units], old.at)
		}
		s.live[key], numbers[key] = at, number
		s.number = max(s.number, number)
	}
	if len(s.live) == 0 {
		s.end, s.free = 0, map[int64][]int64{}
	}
	if err := s.file.Truncate(s.end); err != nil { // what follows reads as zeros
		return err
	}
	return s.growLocked(s.end)
}

// readSlot returns what a slot holds; ok is false for a free or a damaged one.
func readSlot(b []byte) (key string, state []byte, number uint64, ok bool) {
	n, keyLen := int64(binary.LittleEndian.Uint32(b[4:])), int64(binary.LittleEndian.Uint32(b[12:]))
	if n == 0 || n > int64(len(b))-slotHead || keyLen > n || crc32.Checksum(b[12:slotHead+n], castagnoli) != binary.LittleEndian.Uint32(b[8:]) {
		return "", nil, 0, false
	}
	payload := b[slotHead : slotHead+n]
	return string(payload[:keyLen]), payload[keyLen:], binary.LittleEndian.Uint64(b[16:]), true
}

// growLocked makes room up to end.
func (s *States) growLocked(end int64) error {
	size := (end/growBytes + 1) * growBytes
	if err := unix.Fallocate(int(s.file.Fd()), 0, 0, size); err != nil {
		return fmt.Errorf("make room for %d bytes: %w", size, err)
	}
	data, err := s.mapped(size)
	if err != nil {
		return err
	}
	old := s.data
	s.data = data
	return unmap(old)
}

func (s *States) mapped(size int64) ([]byte, error) {
	data, err := unix.Mmap(int(s.file.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", size, err)
	}
	return data, nil
}

func unmap(data []byte) error {
	if data == nil {
		return nil
	}
	return unix.Munmap(data)
}

// Read calls each for every state that is kept. The bytes are valid during the call.
func (s *States) Read(each func(key string, state []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, at := range s.live {
		if _, state, _, ok := readSlot(s.bytes(at)); ok {
			each(key, state)
		}
	}
}

func (s *States) bytes(at slot) []byte { return s.data[at.at : at.at+at.units*slotUnit] }

// Put keeps a state in place of the one that key had. The old one stays until the new one is whole.
func (s *States) Put(key string, state []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil {
		return ErrClosed
	}
	n := len(key) + len(state)
	if n > MaxFrame || key == "" {
		return fmt.Errorf("state of %d bytes: not between 1 and %d", n, MaxFrame)
	}
	at, err := s.takeLocked(int64(slotHead+n+slotUnit-1) / slotUnit)
	if err != nil {
		return fmt.Errorf("keep a state in %s: %w", s.path, err)
	}
	s.number++
	b := s.bytes(at)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(key)))
	binary.LittleEndian.PutUint64(b[16:], s.number)
	copy(b[slotHead:], key)
	copy(b[slotHead+len(key):], state)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:slotHead+n], castagnoli))
	binary.LittleEndian.PutUint32(b[4:], uint32(n))
	s.freeLocked(key)
	s.live[key] = at
	return nil
}

// takeLocked returns a free slot of at least so many units.
func (s *States) takeLocked(units int64) (slot, error) {
	for u := units; u <= units+slotWide; u++ {
		if list := s.free[u]; len(list) > 0 {
			at := list[len(list)-1] // the one freed last: its memory is warm
			s.free[u] = list[:len(list)-1]
			return slot{at, u}, nil
		}
	}
	end := s.end + units*slotUnit
	if end > int64(len(s.data)) {
		if err := s.growLocked(end); err != nil {
			return slot{}, err
		}
	}
	at := slot{s.end, units}
	binary.LittleEndian.PutUint32(s.bytes(at), uint32(units))
	s.end = end
	return at, nil
}

// freeLocked gives back the slot of key, if it has one.
func (s *States) freeLocked(key string) {
	at, ok := s.live[key]
	if !ok {
		return
	}
	binary.LittleEndian.PutUint32(s.data[at.at+4:], 0)
	s.free[at.units] = append(s.free[at.units], at.at)
	delete(s.live, key)
}

// Drop forgets key.
func (s *States) Drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil {
		return
	}
	s.freeLocked(key)
	if len(s.live) == 0 && s.end > shrinkBytes {
		s.shrinkLocked()
	}
}

// shrinkLocked gives disk and memory back when nothing is kept. After a failure all stays as it is.
func (s *States) shrinkLocked() {
	small, err := s.mapped(growBytes)
	if err != nil {
		return
	}
	old := s.data
	if s.file.Truncate(growBytes) != nil {
		old, small = small, old
	} else {
		clear(small)
		s.end, s.free = 0, map[int64][]int64{}
	}
	s.data = small
	_ = unmap(old) // of addresses that Mmap gave: it cannot fail
}

// Close brings what is kept to disk.
func (s *States) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.data
	s.data = nil
	return errors.Join(unmap(data), s.file.Sync(), s.file.Close())
}
