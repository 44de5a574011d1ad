// Package recorder keeps what parties say while they say it: a sink copies each packet, and every
// second all that came lies encrypted and synced on disk, to be made into sound later.
package recorder

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/media/tap"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// Limits of a deck.
const (
	// ringBytes of a loop hold 0.4 s of 1,000 calls that are all recorded. The memory is taken while a
	// loop records.
	ringBytes = 8 << 20
	// maxPending bytes of all recordings wait for a disk that is slow: 3 s of 1,000 calls.
	maxPending = 64 << 20
	// maxTracks of a recording: a conversation that was transferred many times. Numbers are a byte.
	maxTracks = 255
	// Reserve is what recordings leave free on the disk, for those who keep calls and accounts there.
	Reserve = 512 << 20
)

// Config of a deck.
type Config struct {
	Dir string
	Key *seal.Key // nil: nothing can be recorded
	Log *slog.Logger
	// Tell is called when a recording ends because of a fault. It must not block.
	Tell func(session, id string, why error)
	// Closed is called when a reel is complete, with the id of its recording. It must not block.
	Closed  func(id string)
	Free    func() (uint64, error) // bytes of the disk; nil asks it
	Reserve uint64                 // 0 is the usual one
}

// Deck records. Its methods may be called from any goroutine.
type Deck struct {
	cfg Config

	mu         sync.Mutex // guards what follows, and the blocks of recordings
	tapes      map[any]*tape
	recordings map[string]*Recording
	tracks     map[uint32]track
	nextTag    uint32
	pending    int // bytes
	stats      Stats
}

// Stats tells how a deck is.
type Stats struct {
	Recordings int
	Packets    uint64 // taken since start
	Lost       uint64 // packets that came and are in no recording
	Failed     int    // recordings that ended by a fault, since start
	Failing    error  // the last of these faults, while it lasts
}

// tape is the ring of a loop, while it records.
type tape struct {
	ring  *tap.Ring
	users int    // taps
	lost  uint64 // of the ring, already counted
}

// track is where the packets of a tag go.
type track struct {
	recording *Recording
	number    uint8
}

// New returns a deck that records nothing yet.
func New(cfg Config) (*Deck, error) {
	if cfg.Free == nil {
		cfg.Free = func() (uint64, error) { return fsx.Free(cfg.Dir) }
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = Reserve
	}
	d := &Deck{cfg: cfg, tapes: map[any]*tape{}, recordings: map[string]*Recording{}, tracks: map[uint32]track{}}
	if cfg.Key == nil {
		return d, nil
	}
	if err := makeDirs(cfg.Dir); err != nil {
		return nil, fmt.Errorf("open the spool of recordings: %w", err)
	}
	return d, nil
}

// Stats returns how the deck is.
func (d *Deck) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.stats
	st.Recordings = len(d.recordings)
	return st
}

// errNoKey is why nothing can be recorded.
var errNoKey = errors.New("the key of the box's files cannot be read")

// Start begins a recording, or goes on with one that a process before us began. now is the loop's time.
func (d *Deck) Start(about reel.About, now int64) (*Recording, error) {
	if err := checkID(about.ID); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.cfg.Key == nil:
		return nil, problem.Wrap(errNoKey, problem.Unavailable, "media.record.key", "recordings cannot be kept safe",
			"restore the key file of the media data, then restart")
	case d.stats.Failing != nil:
		return nil, problem.Wrap(d.stats.Failing, problem.Full, "media.record.failing", "recordings cannot be kept", "make room on the disk")
	case d.recordings[about.ID] != nil:
		return nil, problem.New(problem.Conflict, "media.record.known", "the recording "+about.ID+" exists", "choose another id")
	}
	r := &Recording{deck: d, about: about}
	if err := r.addJSONLocked(reel.Entry{Kind: reel.KindAbout, Time: now}, about); err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "media.record.about", "what goes with the recording is too long", "send less")
	}
	d.recordings[about.ID] = r
	return r, nil
}

// maxID is the longest id of a recording: it is the name of a folder.
const maxID = 100

// checkID refuses what is no name of a file.
func checkID(id string) error {
	ok := id != "" && len(id) <= maxID && id[0] != '.'
	for _, c := range []byte(id) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.')
	}
	if ok {
		return nil
	}
	return problem.Fields("media.request", []problem.Fault{{
		Path: "id", Value: id[:min(len(id), maxID)], Rule: fmt.Sprintf("1 to %d letters, digits, '-', '_' and '.'", maxID), Cure: "choose a fresh id",
	}})
}

// tapeLocked returns the ring of a loop for one more tap.
func (d *Deck) tapeLocked(loop any) (*tape, error) {
	t := d.tapes[loop]
	if t == nil {
		ring, err := tap.New(ringBytes)
		if err != nil {
			return nil, err
		}
		t = &tape{ring: ring}
		d.tapes[loop] = t
	}
	t.users++
	return t, nil
}
