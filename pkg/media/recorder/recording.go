package recorder

import (
	"fmt"
	"os"

	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/media/tap"
	"github.com/coraltele/sanchar/pkg/rtp/header"
)

// Recording is one that has begun.
type Recording struct {
	deck  *Deck
	about reel.About

	// Guarded by deck.mu.
	block    []byte // not yet written
	tracks   int
	stopping bool  // no more packets are put in
	over     bool  // the last packet is in block
	failed   error // it ended by itself

	// Of the writer.
	spare  []byte
	part   *os.File
	sealer *reel.Sealer
}

// Tap is the sink of a recording on one stream.
type Tap struct {
	ring   *tap.Ring
	tag    uint32
	paused bool
	tape   *tape
	rec    *Recording
}

// Hear puts a packet into the loop's ring.
func (t *Tap) Hear(p header.Packet, now int64) {
	if !t.paused {
		t.ring.Put(t.tag, now, p)
	}
}

// SetPaused lets the tap hear nothing, or again. It is called inside the loop.
func (t *Tap) SetPaused(paused bool) { t.paused = paused }

// ID returns the recording's id.
func (r *Recording) ID() string { return r.about.ID }

// Tap returns a sink for one more stream, which the loop has.
func (r *Recording) Tap(loop any, info reel.Track, now int64) (*Tap, error) {
	d := r.deck
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.tracks == maxTracks {
		return nil, fmt.Errorf("recording %s: more than %d streams", r.about.ID, maxTracks)
	}
	if err := r.addJSONLocked(reel.Entry{Kind: reel.KindTrack, Track: uint8(r.tracks), Time: now}, info); err != nil {
		return nil, err
	}
	tape, err := d.tapeLocked(loop)
	if err != nil {
		return nil, err
	}
	d.nextTag++
	d.tracks[d.nextTag] = track{recording: r, number: uint8(r.tracks)}
	r.tracks++
	return &Tap{ring: tape.ring, tag: d.nextTag, tape: tape, rec: r}, nil
}

// Release says that no stream has the tap any more. What it heard is kept.
func (t *Tap) Release() {
	d := t.rec.deck
	d.mu.Lock()
	defer d.mu.Unlock()
	t.tape.users--
}

// Pause notes that nothing is recorded from now on, which the taps see to; or that it goes on.
func (r *Recording) Pause(paused bool, now int64) {
	kind := reel.KindResume
	if paused {
		kind = reel.KindPause
	}
	r.deck.mu.Lock()
	defer r.deck.mu.Unlock()
	r.addLocked(reel.Entry{Kind: kind, Time: now})
}

// Stop ends the recording. All its taps have been taken off.
func (r *Recording) Stop() {
	r.deck.mu.Lock()
	defer r.deck.mu.Unlock()
	r.stopping = true
}

// Failed returns why the recording has ended by itself, or nil.
func (r *Recording) Failed() error {
	r.deck.mu.Lock()
	defer r.deck.mu.Unlock()
	return r.failed
}

func (r *Recording) addLocked(e reel.Entry) {
	before := len(r.block)
	r.block = reel.Append(r.block, e)
	r.deck.pending += len(r.block) - before
}

func (r *Recording) addJSONLocked(e reel.Entry, v any) (err error) {
	before := len(r.block)
	r.block, err = reel.AppendJSON(r.block, e, v)
	r.deck.pending += len(r.block) - before
	return err
}
