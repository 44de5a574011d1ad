// Package outbox is the queue on disk that carries records from the daemon that makes them to the
// archive: what it acknowledged arrives at least once, in order, whatever crashes.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/journal"
	"github.com/coraltele/sanchar/pkg/record"
)

// Limits of the queue.
const (
	// maxBytes bounds the queue on disk: about 300,000 records, days without an archive.
	maxBytes = 256 << 20
	// segmentBytes is what a crash may send twice, and how soon disk space comes back.
	segmentBytes = 1 << 20
	// reserve is left on a disk that fills: accounts and settings of the same daemon go on.
	reserve = 16 << 20
	// diskPause is how long an answer about the disk is believed, good or bad.
	diskPause = time.Second
)

// Config says where the queue is and who takes the records.
type Config struct {
	Dir string
	// Send hands a batch to the archive; without error it is kept there. It is called by one
	// goroutine. A problem of code record.CodeRefused lets a single record be dropped; after any
	// other error the batch comes again.
	Send func(ctx context.Context, batch []record.Envelope) error
	Log  *slog.Logger

	// Linger is how long records wait for others to be synced with them.
	Linger time.Duration

	MaxBytes     int64 // of the queue; 0 is the usual bound
	SegmentBytes int64 // of one file; 0 is the usual size
	Reserve      int64 // bytes of the disk left free; 0 is the usual reserve
}

// Outbox is an open queue. Put may be called from any goroutine.
type Outbox struct {
	cfg     Config
	arrived chan struct{} // holds a token when records were committed
	rolling chan struct{} // holds a token when the active segment should be replaced

	mu       sync.Mutex // guards what follows
	closed   bool
	segments []*segment // oldest first; the last one is active
	bytes    int64      // reserved by all segments
	waiting  int        // records committed and not yet delivered
	refused  uint64     // Puts that failed
	lost     uint64     // acknowledged, then found damaged or refused by the archive for ever
	failing  error      // why the last Put failed, until there is room again
	since    time.Time  // of failing
	badDisk  bool       // the disk is why; else it is the bound
	askAt    time.Time  // before it the disk is not asked again
}

// Stats tells how the queue is.
type Stats struct {
	Waiting int       // records that the archive has not taken
	Bytes   int64     // on disk
	Refused uint64    // records that could not be queued, since start
	Lost    uint64    // records found damaged on disk, or that the archive never takes
	Failing error     // why records cannot be queued now; nil when all is well
	Since   time.Time // of Failing
}

// Open opens the queue in cfg.Dir and takes up what an earlier run left there.
func Open(cfg Config) (*Outbox, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = maxBytes
	}
	if cfg.SegmentBytes == 0 {
		cfg.SegmentBytes = segmentBytes
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = reserve
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	left, err := findSegments(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	o := &Outbox{cfg: cfg, segments: left, arrived: make(chan struct{}, 1), rolling: make(chan struct{}, 1)}
	seq := uint64(1)
	for _, s := range left {
		o.waiting += s.records
		o.bytes += s.reserved
		seq = s.seq + 1
	}
	active, err := newSegment(&cfg, seq)
	if err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	o.segments = append(o.segments, active)
	return o, nil
}

// Put queues a record. w, if not nil, is told when it is on disk, or why it is not: a problem of
// kind Full when the disk or the queue's bound is reached. A record put later with the same id
// replaces this one in the archive.
func (o *Outbox) Put(env record.Envelope, w journal.Waiter) {
	if w == nil {
		w = journal.WaiterFunc(func(error) {}) // who does not wait reads Stats
	}
	if err := o.put(env, w); err != nil {
		w.Committed(err)
	}
}

// put tells w only of what the journal answers.
func (o *Outbox) put(env record.Envelope, w journal.Waiter) error {
	if err := checkEnvelope(env); err != nil {
		return err
	}
	payload := encode(env)
	p := &pending{out: o, waiter: w, bytes: journal.FrameBytes(len(payload))}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.roomLocked(p.bytes); err != nil {
		o.refused++
		return err
	}
	p.segment = o.activeLocked()
	p.segment.reserved += p.bytes
	o.bytes += p.bytes
	if p.segment.reserved >= o.cfg.SegmentBytes {
		wake(o.rolling)
	}
	p.segment.log.Commit(payload, p) // answers later: the payload fits and the log is open
	return nil
}

func (o *Outbox) activeLocked() *segment { return o.segments[len(o.segments)-1] }

func (o *Outbox) roomLocked(n int64) error {
	switch {
	case o.closed:
		return journal.ErrClosed
	case o.badDisk:
		return o.failing
	case o.bytes+n > o.cfg.MaxBytes:
		return o.failLocked(problem.New(problem.Full, "outbox.bound",
			fmt.Sprintf("%d KB of records wait for the archive: no more are taken", o.bytes>>10),
			"see why the archive does not take records"))
	case time.Now().Before(o.askAt):
		return nil
	}
	o.askAt = time.Now().Add(diskPause)
	if err := o.checkDisk(); err != nil {
		return o.failDiskLocked(err)
	}
	return nil
}

func (o *Outbox) checkDisk() error {
	free, err := fsx.Free(o.cfg.Dir)
	if err == nil && free < uint64(o.cfg.Reserve) {
		err = fmt.Errorf("%d bytes free: %w", free, syscall.ENOSPC)
	}
	return err
}

// failDiskLocked refuses records until rollLoop finds the disk well.
func (o *Outbox) failDiskLocked(err error) error {
	o.badDisk = true
	wake(o.rolling)
	if fsx.IsFull(err) {
		return o.failLocked(problem.Wrap(err, problem.Full, "outbox.disk", "the disk is full: records are not kept", "free disk space"))
	}
	return o.failLocked(problem.Wrap(err, problem.Full, "outbox.write", "the disk does not take records", "check the disk"))
}

func (o *Outbox) failLocked(err error) error {
	if o.failing == nil {
		o.since = time.Now()
		o.cfg.Log.Error("records cannot be queued", "err", err)
	}
	o.failing = err
	return err
}

func (o *Outbox) recoveredLocked() {
	if o.failing != nil {
		o.failing, o.badDisk = nil, false
		o.cfg.Log.Info("records can be queued again", "refused", o.refused)
	}
}

// pending is a record on its way to the disk.
type pending struct {
	out     *Outbox
	segment *segment
	waiter  journal.Waiter
	bytes   int64
}

// Committed hears from the journal, in the order of the records.
func (p *pending) Committed(err error) {
	o := p.out
	o.mu.Lock()
	if err == nil {
		p.segment.records++
		o.waiting++
	} else {
		p.segment.reserved -= p.bytes
		o.bytes -= p.bytes
		o.refused++
		err = o.failDiskLocked(err)
	}
	o.mu.Unlock()
	if err == nil {
		wake(o.arrived)
	}
	p.waiter.Committed(err)
}

func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // it is awake already
	}
}

// Waiting returns how many records the archive has not taken yet.
func (o *Outbox) Waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return max(0, o.waiting) // a batch can arrive before the count of its commit
}

// Stats returns how the queue is.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Stats{Waiting: max(0, o.waiting), Bytes: o.bytes, Refused: o.refused, Lost: o.lost, Failing: o.failing, Since: o.since}
}

// Close commits what was put and closes the queue. Run must have ended.
func (o *Outbox) Close() error {
	o.mu.Lock()
	o.closed = true
	active := o.activeLocked()
	o.mu.Unlock()
	err := o.seal(active)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting > 0 {
		return err
	}
	for len(o.segments) > 0 { // all taken: a restart sends nothing twice
		err = errors.Join(err, o.dropLocked(o.segments[0]))
	}
	return err
}

func (o *Outbox) seal(s *segment) error {
	path, size, records, err := s.seal(o.cfg.Dir)
	o.mu.Lock()
	defer o.mu.Unlock()
	s.sealed, s.path, s.size, s.records = true, path, size, records
	return err
}

// dropLocked removes a segment whose records are all taken.
func (o *Outbox) dropLocked(s *segment) error {
	if at := slices.Index(o.segments, s); at >= 0 {
		o.segments = slices.Delete(o.segments, at, at+1)
		o.bytes -= s.reserved
	}
	if o.failing != nil && !o.badDisk && o.bytes < o.cfg.MaxBytes {
		o.recoveredLocked()
	}
	return os.Remove(s.path)
}
