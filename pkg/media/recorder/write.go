package recorder

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/media/reel"
)

const (
	// writeTime is how often what came is written and synced: a crash loses so much, the time of a drain
	// and that of the sync.
	writeTime = time.Second
	// syncEach files at most are synced one by one. More are synced by one call for the whole disk, which
	// costs what is dirty of all programs, but the disk's own journal is then written once.
	syncEach = 32
)

// writeAll writes every second until ctx ends, and then once more.
func (d *Deck) writeAll(ctx context.Context) {
	tick := time.NewTicker(writeTime)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			d.write()
		}
	}
	d.write()
}

// write writes what has come since it was last called, syncs it, and closes what is over.
func (d *Deck) write() {
	open, over := d.takeBlocks()
	if len(open)+len(over) == 0 {
		d.look(nil)
		return
	}
	fault := d.room()
	var dirty []*Recording
	for _, r := range append(open, over...) {
		if len(r.spare) == 0 {
			continue
		}
		if fault == nil {
			fault = d.writePart(r)
		}
		dirty = append(dirty, r)
	}
	if fault == nil {
		fault = d.sync(dirty)
	}
	d.look(fault)
	if fault != nil {
		d.failAll(open, fault)
	}
	for _, r := range over {
		d.close(r)
	}
}

// takeBlocks returns the recordings, each with what it is to write in spare.
func (d *Deck) takeBlocks() (open, over []*Recording) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.recordings {
		r.block, r.spare = r.spare[:0], r.block
		d.pending -= len(r.spare)
		switch {
		case r.over || r.failed != nil:
			over = append(over, r)
		default:
			open = append(open, r)
		}
	}
	return open, over
}

// errFull says that the disk holds no more recordings.
var errFull = errors.New("the disk is full")

// room reports whether there is room for more. A disk that cannot be asked will say so when it is written.
func (d *Deck) room() error {
	if free, err := d.cfg.Free(); err == nil && free < d.cfg.Reserve {
		return errFull
	}
	return nil
}

// writePart appends a recording's block to its part.
func (d *Deck) writePart(r *Recording) error {
	if r.part == nil {
		if err := d.openPart(r); err != nil {
			return fmt.Errorf("open recording %s: %w", r.about.ID, err)
		}
	}
	if _, err := r.sealer.Write(r.spare); err != nil {
		return fmt.Errorf("write recording %s: %w", r.about.ID, err)
	}
	return nil
}

// openPart makes the file of a recording for this process.
func (d *Deck) openPart(r *Recording) error {
	dir := filepath.Join(d.cfg.Dir, openDir, r.about.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	parts, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, partName(len(parts))), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	s, err := reel.NewSealer(f, d.cfg.Key, Owner(r.about.ID))
	if err == nil {
		err = errors.Join(fsx.SyncDir(dir), fsx.SyncDir(filepath.Dir(dir)))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.part, r.sealer = f, s
	return nil
}

// sync makes what was written last through a power cut.
func (d *Deck) sync(dirty []*Recording) error {
	if len(dirty) > syncEach {
		return os.NewSyscallError("syncfs", unix.Syncfs(int(dirty[0].part.Fd())))
	}
	for _, r := range dirty {
		if err := unix.Fdatasync(int(r.part.Fd())); err != nil {
			return fmt.Errorf("sync recording %s: %w", r.about.ID, err)
		}
	}
	return nil
}

// look keeps what is wrong with the disk, until a recording could be tried again.
func (d *Deck) look(fault error) {
	if fault == nil {
		d.mu.Lock()
		failing := d.stats.Failing
		d.mu.Unlock()
		if failing == nil {
			return
		}
		fault = d.room() // nothing is written while it fails: ask
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Failing = fault
}

// failAll ends the recordings that go on: calls do, too, but nobody must think that they are recorded.
func (d *Deck) failAll(open []*Recording, fault error) {
	d.cfg.Log.Error("recordings ended by a fault of the disk", "recordings", len(open), "err", fault)
	for _, r := range open {
		d.mu.Lock()
		r.failed = fault
		d.stats.Failed++
		d.mu.Unlock()
		d.cfg.Tell(r.about.Session, r.about.ID, fault)
	}
}

// close ends a recording that is over.
func (d *Deck) close(r *Recording) {
	var err error
	if r.part != nil {
		err = r.part.Close()
	}
	kept, shelveErr := d.shelve(r.about.ID)
	if err = errors.Join(err, shelveErr); err != nil {
		d.cfg.Log.Error("recording could not be closed", "recording", r.about.ID, "err", err)
	}
	d.mu.Lock()
	d.pending -= len(r.block)
	delete(d.recordings, r.about.ID)
	maps.DeleteFunc(d.tracks, func(_ uint32, t track) bool { return t.recording == r })
	d.mu.Unlock()
	if kept {
		d.cfg.Closed(r.about.ID)
	}
}
