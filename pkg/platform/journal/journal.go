// Package journal keeps checked frames in files. A Log is appended to, and what it has committed
// survives the power; States hold the latest state of each of many things, and survive the process.
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
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/fsx"
)

// A frame on disk: length of the payload, CRC-32C of the payload, payload.
const headerBytes = 8

// MaxFrame bounds one payload, so that a damaged length cannot ask for all memory at replay.
const MaxFrame = 4 << 20

// ErrClosed is the answer to an append that comes after Close.
var ErrClosed = errors.New("journal is closed")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Waiter hears of its frame's fate once the frame's batch was synced, or could not be.
type Waiter interface {
	Committed(err error)
}

// WaiterFunc makes a Waiter of a function.
type WaiterFunc func(err error)

// Committed calls f.
func (f WaiterFunc) Committed(err error) { f(err) }

// LaterTime is how long a frame may wait that nobody waits for.
const LaterTime = time.Second

// Options say how a journal behaves. The zero value is usable.
type Options struct {
	// AfterBatch is called when all waiters of a batch have been told, with the batch's fate.
	AfterBatch func(err error)
	// Linger is how long a batch waits for more to come with it: each sync costs more than what it syncs.
	Linger time.Duration
}

// Log is an open journal. Its methods may be called from any goroutine.
type Log struct {
	path string
	opt  Options
	done chan struct{} // closed when the committer has ended
	stop chan struct{} // closed by Close: nothing lingers any more

	mu      sync.Mutex // guards what follows
	wake    sync.Cond  // the committer waits for waiters, due, closed
	pending []byte     // frames that the next batch writes
	frames  int        // how many
	waiters []Waiter   // of some of those frames, in order
	later   *time.Timer
	due     bool // frames that nobody waits for have waited long enough
	closed  bool

	io   sync.Mutex // guards the file; never taken with mu held
	file *os.File
	size int64 // bytes of whole frames
	live int   // frames in the file
	bad  error // the file's end is unknown; cured by Rewrite
}

// Open opens or makes the journal at path and calls replay for each whole frame in it. A torn end,
// as a crash leaves it, is cut off: nobody was told that it was kept.
func Open(path string, opt Options, replay func(payload []byte) error) (*Log, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Log{path: path, opt: opt, file: f, done: make(chan struct{}), stop: make(chan struct{})}
	l.wake.L = &l.mu
	l.later = time.AfterFunc(LaterTime, l.setDue)
	l.later.Stop()
	if l.size, l.live, err = readFrames(f, replay); err == nil {
		err = l.cutTo(l.size)
	}
	if err == nil {
		err = fsx.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", path, err), f.Close())
	}
	go l.commitLoop()
	return l, nil
}

// readFrames returns where the last whole frame ends. Only replay's error is an error.
func readFrames(f *os.File, replay func([]byte) error) (end int64, frames int, err error) {
	data, err := io.ReadAll(f)
	if err != nil {
		return 0, 0, err
	}
	for {
		payload, next, ok := frameAt(data, end)
		if !ok {
			return end, frames, nil
		}
		if err := replay(payload); err != nil {
			return end, frames, fmt.Errorf("frame at byte %d: %w", end, err)
		}
		end = next
		frames++
	}
}

func frameAt(data []byte, at int64) (payload []byte, next int64, ok bool) {
	rest := data[at:]
	if len(rest) < headerBytes {
		return nil, 0, false
	}
	n := int64(binary.LittleEndian.Uint32(rest))
	if n == 0 || n > MaxFrame || int64(len(rest)) < headerBytes+n {
		return nil, 0, false
	}
	payload = rest[headerBytes : headerBytes+n]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(rest[4:]) {
		return nil, 0, false
	}
	return payload, at + headerBytes + n, true
}

func appendFrame(dst, payload []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(payload, castagnoli))
	return append(dst, payload...)
}

func checkSize(payload []byte) error {
	if len(payload) == 0 || len(payload) > MaxFrame {
		return fmt.Errorf("frame of %d bytes: not between 1 and %d", len(payload), MaxFrame)
	}
	return nil
}

// Commit queues payload for the next batch and returns at once; w is told when the batch is on
// disk. All that arrives while one batch is synced makes the next.
func (l *Log) Commit(payload []byte, w Waiter) {
	if err := checkSize(payload); err != nil {
		w.Committed(err)
		return
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		w.Committed(ErrClosed)
		return
	}
	l.pending = appendFrame(l.pending, payload)
	l.frames++
	l.waiters = append(l.waiters, w)
	first := len(l.waiters) == 1
	l.mu.Unlock()
	if first {
		l.wake.Signal()
	}
}

// Later queues payload for the next batch, which comes within LaterTime. Nobody is told of its fate
// but AfterBatch.
func (l *Log) Later(payload []byte) {
	if checkSize(payload) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.frames == 0 {
		l.later.Reset(LaterTime)
	}
	l.pending = appendFrame(l.pending, payload)
	l.frames++
}

func (l *Log) setDue() {
	l.mu.Lock()
	l.due = true
	l.mu.Unlock()
	l.wake.Signal()
}

func (l *Log) commitLoop() {
	defer close(l.done)
	var buf []byte
	var told []Waiter
	for l.awaitBatch() {
		l.mu.Lock()
		n := l.frames
		buf, l.pending = l.pending, buf[:0]
		told, l.waiters = l.waiters, told[:0]
		l.frames, l.due = 0, false
		l.later.Stop()
		l.mu.Unlock()
		if n == 0 {
			continue // what was due went with the batch before
		}

		l.io.Lock()
		err := l.writeLocked(buf, n)
		l.io.Unlock()
		for i, w := range told {
			w.Committed(err)
			told[i] = nil
		}
		if l.opt.AfterBatch != nil {
			l.opt.AfterBatch(err)
		}
	}
}

// awaitBatch waits until there is something to commit. It reports false when there is nothing and
// will be nothing.
func (l *Log) awaitBatch() bool {
	l.mu.Lock()
	for len(l.waiters) == 0 && !l.due && !l.closed {
		l.wake.Wait()
	}
	left := l.frames > 0 || !l.closed
	l.mu.Unlock()
	if left && l.opt.Linger > 0 {
		select {
		case <-time.After(l.opt.Linger):
		case <-l.stop:
		}
	}
	return left
}

// writeLocked appends whole frames. After a failure the file ends where it did before, so that
// later frames are not hidden behind a torn one.
func (l *Log) writeLocked(frames []byte, n int) error {
	if l.bad != nil {
		return fmt.Errorf("journal %s is damaged: %w", l.path, l.bad)
	}
	_, err := l.file.WriteAt(frames, l.size)
	if err == nil {
		err = unix.Fdatasync(int(l.file.Fd()))
	}
	if err != nil {
		if cut := l.cutTo(l.size); cut != nil {
			l.bad = cut
		}
		return fmt.Errorf("append to %s: %w", l.path, err)
	}
	l.size += int64(len(frames))
	l.live += n
	return nil
}

func (l *Log) cutTo(size int64) error { return l.file.Truncate(size) }

// Size returns the bytes and the frames in the file.
func (l *Log) Size() (bytes int64, frames int) {
	l.io.Lock()
	defer l.io.Unlock()
	return l.size, l.live
}

// Rewrite replaces the file by the frames that dump emits, as a whole: a crash leaves the old file
// or the new one. Appends wait for it, so dump must emit at least all that was appended before.
func (l *Log) Rewrite(dump func(emit func(payload []byte))) error {
	l.io.Lock()
	defer l.io.Unlock()
	var buf []byte
	n := 0
	dump(func(payload []byte) {
		if checkSize(payload) == nil {
			buf = appendFrame(buf, payload)
			n++
		}
	})
	if err := fsx.WriteFile(l.path, buf, 0o600); err != nil {
		return fmt.Errorf("rewrite %s: %w", l.path, err)
	}
	f, err := os.OpenFile(l.path, os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", l.path, err)
	}
	old := l.file
	l.file, l.size, l.live, l.bad = f, int64(len(buf)), n, nil
	return old.Close()
}

// Close commits what waits, then closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.later.Stop()
	l.mu.Unlock()
	close(l.stop)
	l.wake.Signal()
	<-l.done
	l.io.Lock()
	defer l.io.Unlock()
	return errors.Join(l.file.Sync(), l.file.Close())
}
