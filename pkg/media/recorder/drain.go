package recorder

import (
	"context"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/media/reel"
)

const (
	// drainTime is how often the rings are emptied: a quarter of what they hold at the worst.
	drainTime = 100 * time.Millisecond
	// drainAtOnce packets are taken before a verb gets its turn.
	drainAtOnce = 512
)

// Run records until ctx ends; what came until then is on disk when it returns.
func (d *Deck) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	wg.Go(func() { d.writeAll(writing) })
	tick := time.NewTicker(drainTime)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			d.drain()
		}
	}
	d.drain()
	stop()
	wg.Wait()
	return nil
}

// drain moves what the rings hold to the blocks of the recordings.
func (d *Deck) drain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.recordings) == 0 && len(d.tapes) == 0 {
		return
	}
	var stopping []*Recording
	for _, r := range d.recordings {
		if r.stopping && !r.over {
			stopping = append(stopping, r) // their last packets are in the rings by now
		}
	}
	for loop, t := range d.tapes {
		d.drainTapeLocked(t)
		if t.users == 0 {
			delete(d.tapes, loop)
		}
	}
	for _, r := range stopping {
		r.over = true
	}
}

func (d *Deck) drainTapeLocked(t *tape) {
	for n := 1; ; n++ {
		e, ok := t.ring.Next()
		if !ok {
			break
		}
		d.takeLocked(e.Tag, reel.Entry{Kind: reel.KindPacket, Time: e.Time, Data: e.Packet})
		t.ring.Free(e)
		if n%drainAtOnce == 0 {
			d.mu.Unlock()
			d.mu.Lock()
		}
	}
	lost := t.ring.Lost()
	d.stats.Lost += lost - t.lost
	t.lost = lost
}

// takeLocked puts a packet into its recording.
func (d *Deck) takeLocked(tag uint32, e reel.Entry) {
	t, ok := d.tracks[tag]
	switch {
	case !ok || t.recording.failed != nil: // of a recording that has ended
	case d.pending > maxPending:
		d.stats.Lost++
	default:
		e.Track = t.number
		t.recording.addLocked(e)
		d.stats.Packets++
	}
}
