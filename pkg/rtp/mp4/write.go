package mp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	// chunkTime is how much of a track stands together. As much is held in memory.
	chunkTime = scale
	// maxPending bytes of a track are held in memory.
	maxPending = 4 << 20
	// maxTracks of a file.
	maxTracks = 8
)

// Writer writes a file. It keeps no slice that it was given. It is for one goroutine.
type Writer struct {
	w       io.Writer
	tracks  []*stream
	written int64
	data    int64 // where the samples begin: the head of their box
	begun   uint32
	frames  bool
}

// stream is a track with the tables of its samples.
type stream struct {
	Track
	count       uint32 // of samples
	first, last uint32 // ticks of samples
	step        uint32 // from one to the next, the last time
	sizes       []byte // 4 bytes each
	keys        []byte // numbers of samples that stand alone, 4 bytes each
	steps       runs   // of how long samples last
	chunks      runs   // of samples in a chunk, with the first of it instead of how many follow
	places      []byte // of chunks, 8 bytes each
	number      uint32 // of chunks

	pending []byte
	held    uint32 // samples in it
}

// runs is a table of numbers of which many come in a row.
type runs struct {
	data []byte // count and value, 8 bytes each
	n    uint32
	last uint32
}

// add adds a number.
func (r *runs) add(v uint32) {
	if r.n > 0 && r.last == v {
		at := r.data[len(r.data)-8:]
		binary.BigEndian.PutUint32(at, binary.BigEndian.Uint32(at)+1)
		return
	}
	r.data = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(r.data, 1), v)
	r.n++
	r.last = v
}

// NewWriter writes the start of a file to w, which it does not close.
func NewWriter(w io.Writer, tracks []Track) (*Writer, error) {
	var faults []error
	if len(tracks) == 0 || len(tracks) > maxTracks {
		faults = append(faults, fmt.Errorf("file has %d tracks: it must have 1 to %d", len(tracks), maxTracks))
	}
	out := &Writer{w: w}
	for i, t := range tracks {
		if err := t.validate(); err != nil {
			faults = append(faults, fmt.Errorf("track %d: %w", i, err))
		}
		out.tracks = append(out.tracks, &stream{Track: t})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return out, out.start()
}

// start writes the type of the file, and the head of the box of samples with room for its size.
func (w *Writer) start() error {
	brands := new(fields).text("isom").u32(0x200).text("isomiso2mp41")
	head := box{name: "ftyp", body: brands.data}
	w.data = head.size()
	if err := head.write(counted{w}); err != nil {
		return fmt.Errorf("write mp4: %w", err)
	}
	return w.write(new(fields).u32(1).text("mdat").u64(2 * boxHead).data)
}

// counted writes to a file and counts.
type counted struct{ w *Writer }

func (c counted) Write(b []byte) (int, error) {
	n, err := c.w.w.Write(b)
	c.w.written += int64(n)
	return n, err
}

func (w *Writer) write(b []byte) error {
	if _, err := (counted{w}).Write(b); err != nil {
		return fmt.Errorf("write mp4: %w", err)
	}
	return nil
}

// maxTime is the longest file: its ticks fit 32 bits.
const maxTime = 24 * time.Hour

// Frame writes a frame of a track, counted from 0, that is played at a time since the start, of which the
// file has a day. Key tells that a picture can be decoded by itself. Frames of a track come in the order of
// their times.
func (w *Writer) Frame(track int, at time.Duration, key bool, data []byte) error {
	if track < 0 || track >= len(w.tracks) || at < 0 || at > maxTime {
		return fmt.Errorf("write mp4: frame of track %d at %v: there are %d tracks from 0 on, and %v", track, at, len(w.tracks), maxTime)
	}
	t := w.tracks[track]
	tick := uint32(int64(at) / 1e3 * scale / 1e6)
	if t.count > 0 {
		tick = max(tick, t.last+1)
		t.step = tick - t.last
		t.steps.add(t.step)
	} else {
		t.first = tick
	}
	if !w.frames {
		w.frames, w.begun = true, tick
	}
	if tick >= w.begun+chunkTime || len(t.pending)+len(data) > maxPending {
		if err := w.flush(); err != nil {
			return err
		}
		w.begun = tick
	}
	t.last = tick
	t.count++
	t.held++
	t.sizes = binary.BigEndian.AppendUint32(t.sizes, uint32(len(data)))
	if key && t.video() {
		t.keys = binary.BigEndian.AppendUint32(t.keys, t.count)
	}
	t.pending = append(t.pending, data...)
	return nil
}

// flush writes what is held, a chunk for each track.
func (w *Writer) flush() error {
	for _, t := range w.tracks {
		if t.held == 0 {
			continue
		}
		t.number++
		t.places = binary.BigEndian.AppendUint64(t.places, uint64(w.written))
		t.chunk()
		if err := w.write(t.pending); err != nil {
			return err
		}
		t.pending, t.held = t.pending[:0], 0
	}
	return nil
}

// chunk notes how many samples are in a chunk, if those before had another number (ISO/IEC 14496-12 §8.7.4).
func (t *stream) chunk() {
	if t.chunks.n > 0 && t.chunks.last == t.held {
		return
	}
	t.chunks.n++
	t.chunks.last = t.held
	for _, v := range []uint32{t.number, t.held, 1} { // the only description of samples
		t.chunks.data = binary.BigEndian.AppendUint32(t.chunks.data, v)
	}
}

// Finish writes the index. The file's first byte is at 0 of at.
func (w *Writer) Finish(at io.WriterAt) error {
	if err := w.flush(); err != nil {
		return err
	}
	size := binary.BigEndian.AppendUint64(nil, uint64(w.written-w.data))
	if _, err := at.WriteAt(size, w.data+boxHead); err != nil {
		return fmt.Errorf("finish mp4: %w", err)
	}
	index := w.index()
	if err := index.write(counted{w}); err != nil {
		return fmt.Errorf("finish mp4: %w", err)
	}
	return nil
}
