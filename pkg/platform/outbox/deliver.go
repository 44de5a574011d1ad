package outbox

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/journal"
	"github.com/coraltele/sanchar/pkg/record"
)

// Delivery.
const (
	// batchRecords is where the archive's cost of a commit is spread thin (performance: batches of
	// 100 cost 4 us a record, single ones 175).
	batchRecords = 500
	// batchBytes bounds what a batch takes of memory; a single record fits.
	batchBytes = 512 << 10
	// linger lets records that come together go together.
	linger = 100 * time.Millisecond

	firstPause = 100 * time.Millisecond // after a failed batch; doubled at each further failure
	maxPause   = 5 * time.Second        // the archive is back at most this long before it hears of us
)

// cursor is where the delivery stands.
type cursor struct {
	segment *segment
	file    *os.File
	at      int64
}

// Run hands records to the archive until ctx ends. What it has not handed over stays on disk.
func (o *Outbox) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { o.rollLoop(ctx) })
	wg.Go(func() { o.deliverLoop(ctx) })
	wg.Wait()
	return nil
}

func (o *Outbox) deliverLoop(ctx context.Context) {
	cur := new(cursor)
	defer cur.close()
	pause := firstPause
	for {
		more, err := o.deliverBatch(ctx, cur)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			o.cfg.Log.Debug("records wait for the archive", "err", err, "pause", pause)
			if !sleep(ctx, pause) {
				return
			}
			pause = min(2*pause, maxPause)
			continue
		case !more && !o.awaitRecords(ctx):
			return
		}
		pause = firstPause
	}
}

// awaitRecords waits for records, then a moment for more to come with them.
func (o *Outbox) awaitRecords(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-o.arrived:
	}
	return sleep(ctx, linger)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// deliverBatch hands over the next records and reports whether there are more.
func (o *Outbox) deliverBatch(ctx context.Context, cur *cursor) (more bool, err error) {
	for {
		end, sealed, err := o.position(cur)
		switch {
		case err != nil:
			return false, err
		case cur.at < end:
			more, err := o.deliverFrom(ctx, cur, end)
			return more || sealed, err
		case !sealed:
			return false, nil
		}
		if err := o.finish(cur); err != nil {
			return false, err
		}
	}
}

// position opens the oldest segment, if need be, and tells where its committed frames end.
func (o *Outbox) position(cur *cursor) (end int64, sealed bool, err error) {
	o.mu.Lock()
	seg := o.segments[0]
	end, sealed, path := seg.size, seg.sealed, seg.path
	o.mu.Unlock()
	if cur.segment != seg {
		f, err := os.Open(path) // sealed and so renamed just now: found at the next attempt
		if err != nil {
			return 0, false, err
		}
		cur.close()
		*cur = cursor{segment: seg, file: f}
	}
	if !sealed {
		end, _ = seg.log.Size()
	}
	return end, sealed, nil
}

func (o *Outbox) deliverFrom(ctx context.Context, cur *cursor, end int64) (more bool, err error) {
	batch, used, err := readBatch(cur, end)
	switch {
	case err != nil:
		return false, err
	case used == 0:
		o.cfg.Log.Error("the outbox is damaged on disk", "file", cur.file.Name(), "byte", cur.at)
		cur.at = end // without its length no frame behind it can be found
		return true, nil
	}
	whole := make([]record.Envelope, 0, len(batch))
	for _, payload := range batch {
		env, err := decode(payload)
		if err != nil {
			o.lose("a queued record cannot be read", "", err)
			continue
		}
		whole = append(whole, env)
	}
	if len(whole) > 0 {
		if err := o.send(ctx, whole); err != nil {
			return false, err
		}
	}
	cur.at += used
	o.mu.Lock()
	defer o.mu.Unlock()
	cur.segment.delivered += len(batch)
	o.waiting -= len(batch)
	return cur.at < end, nil
}

var errBatchFull = errors.New("batch is full")

// readBatch reads whole frames from the cursor on; used is 0 when the first one is damaged.
func readBatch(cur *cursor, end int64) (batch [][]byte, used int64, err error) {
	data := make([]byte, min(end-cur.at, batchBytes))
	if _, err := cur.file.ReadAt(data, cur.at); err != nil {
		return nil, 0, err
	}
	used, err = journal.Scan(data, func(p []byte) error {
		if len(batch) == batchRecords {
			return errBatchFull
		}
		batch = append(batch, p)
		return nil
	})
	if errors.Is(err, errBatchFull) {
		err = nil
	}
	return batch, used, err
}

// send hands over a batch. One that holds a record which the archive will never take is halved
// until that record stands alone: the others must not wait behind it.
func (o *Outbox) send(ctx context.Context, batch []record.Envelope) error {
	err := o.cfg.Send(ctx, batch)
	var p *problem.Error
	if err == nil || !errors.As(err, &p) || p.Code != record.CodeRefused {
		return err
	}
	if len(batch) == 1 {
		o.lose("the archive refuses a record", batch[0].ID, err)
		return nil
	}
	half := len(batch) / 2
	if err := o.send(ctx, batch[:half]); err != nil {
		return err
	}
	return o.send(ctx, batch[half:])
}

func (o *Outbox) lose(what, id string, err error) {
	o.cfg.Log.Error(what, "record", id, "err", err)
	o.mu.Lock()
	o.lost++
	o.mu.Unlock()
}

// finish removes a segment that was delivered whole. A crash before leaves it to be sent again.
func (o *Outbox) finish(cur *cursor) error {
	seg := cur.segment
	cur.close()
	o.mu.Lock()
	defer o.mu.Unlock()
	if gone := seg.records - seg.delivered; gone > 0 {
		o.lost += uint64(gone)
		o.waiting -= gone
		o.cfg.Log.Error("queued records are lost to damage on disk", "records", gone)
	}
	return o.dropLocked(seg)
}

func (c *cursor) close() {
	if c.file != nil {
		_ = c.file.Close() // it was only read
	}
	*c = cursor{}
}

// rollLoop replaces the active segment when it is long enough, or when its disk failed.
func (o *Outbox) rollLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.rolling:
		}
		for o.rollDue() {
			err := o.roll()
			if err == nil {
				continue
			}
			o.cfg.Log.Debug("the outbox cannot begin a new file", "err", err)
			if !sleep(ctx, diskPause) {
				return
			}
		}
	}
}

func (o *Outbox) rollDue() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.badDisk || o.activeLocked().reserved >= o.cfg.SegmentBytes
}

// roll puts a new segment in the place of the active one. On a disk that failed it waits for room
// first: then records are taken again.
func (o *Outbox) roll() error {
	if err := o.checkDisk(); err != nil {
		return err
	}
	o.mu.Lock()
	old := o.activeLocked()
	o.mu.Unlock()
	next, err := newSegment(&o.cfg, old.seq+1)
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.segments = append(o.segments, next)
	if o.badDisk {
		o.recoveredLocked()
	}
	o.mu.Unlock()
	err = o.seal(old)
	o.mu.Lock()
	defer o.mu.Unlock()
	if old.records == 0 { // an ailing disk must not fill with empty files
		err = errors.Join(err, o.dropLocked(old))
	}
	if err != nil {
		o.cfg.Log.Warn("an outbox file is not closed cleanly", "err", err)
	}
	wake(o.arrived) // the delivery may wait at the old one's end
	return nil
}
