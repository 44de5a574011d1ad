package webm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

const (
	// scale is the unit of all times: a millisecond.
	scale = time.Millisecond
	// minCluster and maxCluster bound the sound and pictures that stand together: a key frame begins a
	// new one after the first, anything after the second.
	minCluster = time.Second
	maxCluster = 5 * time.Second
	// maxPrivate bounds what a decoder needs to know, so that sizes fit two bytes.
	maxPrivate = 4096
)

// Lengths of what Finish writes over.
const (
	seekSize     = 4 + 2 + 3*(2+2+2+2+4+2+2+8) // SeekHead of three places
	durationSize = 2 + 2 + 8
)

// Writer writes a file. It keeps no slice that it was given. It is for one goroutine.
type Writer struct {
	w       io.Writer
	tracks  []Track
	written int64
	scratch []byte

	segment  int64 // where its size is; all places count from behind it
	info     int64
	duration int64
	list     int64 // of tracks
	clusters []cluster
	end      time.Duration
}

// cluster is one that was written.
type cluster struct {
	at    int64 // in the file
	start time.Duration
	key   bool // it begins with a picture that stands alone, or there is only sound
}

// NewWriter writes the start of a file to w, which it does not close.
func NewWriter(w io.Writer, tracks []Track) (*Writer, error) {
	var faults []error
	if len(tracks) == 0 || len(tracks) > 8 {
		faults = append(faults, fmt.Errorf("file has %d tracks: it must have 1 to 8", len(tracks)))
	}
	for i, t := range tracks {
		if err := t.validate(); err != nil {
			faults = append(faults, fmt.Errorf("track %d: %w", i, err))
		}
		if len(t.Private) > maxPrivate {
			faults = append(faults, fmt.Errorf("track %d: private data has %d bytes: it may have %d", i, len(t.Private), maxPrivate))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	out := &Writer{w: w, tracks: tracks}
	return out, out.start()
}

func (w *Writer) start() error {
	b := appendID(head(), idSegment)
	w.segment = int64(len(b))
	b = binary.BigEndian.AppendUint64(b, unknownSize|1<<56)
	b = void(b, seekSize)
	w.info = int64(len(b))
	info := text(text(number(nil, idScale, uint64(scale)), idMuxer, "sanchar"), idWriter, "sanchar")
	b = element(b, idInfo, void(info, durationSize))
	w.duration = int64(len(b)) - durationSize
	w.list = int64(len(b))
	var entries []byte
	for i, t := range w.tracks {
		entries = element(entries, idTrack, t.entry(i+1))
	}
	if len(entries) >= 1<<14-1 {
		return fmt.Errorf("tracks have %d bytes of private data and the like: they may have %d", len(entries), 1<<14-2)
	}
	return w.write(element(b, idTracks, entries))
}

// void fills a place of this size, of 3 bytes and more.
func void(b []byte, size int) []byte { return element(b, idVoid, make([]byte, size-3)) }

func (w *Writer) write(b []byte) error {
	n, err := w.w.Write(b)
	if w.written += int64(n); err != nil {
		return fmt.Errorf("write webm: %w", err)
	}
	return nil
}

// Frame writes a frame of a track, counted from 0, that is played at a time since the start. Key tells
// that a picture can be decoded by itself. Frames of all tracks come about in the order of their times:
// one that is too early for its cluster by more than half a minute is refused.
func (w *Writer) Frame(track int, at time.Duration, key bool, data []byte) error {
	if track < 0 || track >= len(w.tracks) || at < 0 {
		return fmt.Errorf("write webm: frame of track %d at %v: there are %d tracks, from 0 on", track, at, len(w.tracks))
	}
	b := w.scratch[:0]
	if w.turn(track, at, key) {
		b = w.begin(b, track, at, key)
	}
	offset := (at - w.clusters[len(w.clusters)-1].start) / scale
	if offset < math.MinInt16 {
		return fmt.Errorf("write webm: frame at %v is too early for the cluster at %v", at, w.clusters[len(w.clusters)-1].start)
	}
	b = appendID(b, idBlock)
	b = appendSize(b, uint64(4+len(data)))
	b = append(b, byte(track+1)|0x80)
	b = binary.BigEndian.AppendUint16(b, uint16(int16(offset)))
	flags := byte(0)
	if key || !w.tracks[track].Codec.video() {
		flags = 0x80 // RFC 9559 §10.2
	}
	b = append(append(b, flags), data...)
	w.scratch = b
	w.end = max(w.end, at)
	return w.write(b)
}

// turn reports whether a frame begins a new cluster.
func (w *Writer) turn(track int, at time.Duration, key bool) bool {
	if len(w.clusters) == 0 {
		return true
	}
	age := at - w.clusters[len(w.clusters)-1].start
	return age >= maxCluster || (age >= minCluster && key && w.tracks[track].Codec.video())
}

func (w *Writer) begin(b []byte, track int, at time.Duration, key bool) []byte {
	at = at.Truncate(scale)
	w.clusters = append(w.clusters, cluster{w.written, at, key && w.tracks[track].Codec.video() || w.soundOnly()})
	b = binary.BigEndian.AppendUint64(appendID(b, idCluster), unknownSize|1<<56)
	return number(b, idTimestamp, uint64(at/scale))
}

func (w *Writer) soundOnly() bool {
	for _, t := range w.tracks {
		if t.Codec.video() {
			return false
		}
	}
	return true
}

// Finish writes cues at the end, and lengths, duration and places at the start. The file's first byte is
// at 0 of at.
func (w *Writer) Finish(at io.WriterAt) error {
	behind, cues := w.segment+8, w.written
	if err := w.write(w.cues(behind)); err != nil {
		return err
	}
	patches := []patch{
		{w.segment, appendSize(nil, uint64(w.written-behind))},
		{behind, w.seekHead(behind, cues)},
		{w.duration, float(nil, idDuration, float64(w.end/scale))},
	}
	for i, c := range w.clusters {
		next := cues
		if i+1 < len(w.clusters) {
			next = w.clusters[i+1].at
		}
		patches = append(patches, patch{c.at + 4, appendSize(nil, uint64(next-c.at-4-8))})
	}
	for _, p := range patches {
		if _, err := at.WriteAt(p.with, p.at); err != nil {
			return fmt.Errorf("finish webm: %w", err)
		}
	}
	return nil
}

// patch is what is written over a place in the file.
type patch struct {
	at   int64
	with []byte
}

// cues lists where players can begin (RFC 9559 §5.1.5): all clusters that begin with a key frame.
func (w *Writer) cues(behind int64) []byte {
	var points []byte
	for _, c := range w.clusters {
		if c.key {
			place := number(number(nil, idCueTrack, 1), idAt, uint64(c.at-behind))
			points = element(points, idCue, element(number(nil, idCueTime, uint64(c.start/scale)), idCuePlace, place))
		}
	}
	return append(appendSize(appendID(nil, idCues), uint64(len(points))), points...)
}

// seekHead tells where the parts are, in as many bytes as were left for it.
func (w *Writer) seekHead(behind, cues int64) []byte {
	var seeks []byte
	for _, part := range []struct {
		id uint32
		at int64
	}{{idInfo, w.info}, {idTracks, w.list}, {idCues, cues}} {
		seek := element(nil, idSeekID, appendID(nil, part.id))
		seeks = element(seeks, idSeek, number(seek, idSeekPosition, uint64(part.at-behind)))
	}
	return element(nil, idSeekHead, seeks)
}
