package mp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/rtp/opus"
)

// file is a file in memory.
type file struct{ b []byte }

func (f *file) Write(p []byte) (int, error) { f.b = append(f.b, p...); return len(p), nil }

func (f *file) WriteAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > int64(len(f.b)) {
		return 0, errors.New("beyond the end")
	}
	return copy(f.b[at:], p), nil
}

// vp8Key is a picture of 16 by 16 that is one colour: frame tag, start code, size and a partition.
func vp8Key() []byte {
	first := make([]byte, 24)
	tag := uint32(len(first))<<5 | 1<<4
	b := []byte{byte(tag), byte(tag >> 8), byte(tag >> 16), 0x9d, 0x01, 0x2a, 16, 0, 16, 0}
	return append(append(b, first...), make([]byte, 16)...)
}

func sound(t testing.TB) []byte {
	t.Helper()
	e, err := opus.NewEncoder(opus.Config{Rate: 16000})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, opus.MaxPacket)
	n, err := e.Encode(p, make([]int16, e.Frame()))
	if err != nil {
		t.Fatal(err)
	}
	return p[:n]
}

func both() []Track {
	return []Track{{Codec: Opus, PreSkip: 312}, {Codec: VP8, Width: 16, Height: 16, Config: []byte{1, 0, 0, 0, 0, 0, 0x82, 2, 2, 2, 0, 0}}}
}

const (
	frames  = 250 // of sound, 5 s
	every   = 10  // of them there is a picture
	missing = 100 // frames of sound before the first picture
)

func record(t testing.TB) *file {
	t.Helper()
	f, packet := &file{}, sound(t)
	w, err := NewWriter(f, both())
	if err != nil {
		t.Fatal(err)
	}
	for i := range frames {
		at := time.Duration(i) * 20 * time.Millisecond
		if i >= missing && i%every == 0 {
			if err := w.Frame(1, at, i%50 == 0, vp8Key()); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Frame(0, at, true, packet); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// found returns the bodies of boxes by a path of names.
func found(t *testing.T, b []byte, path ...string) (bodies [][]byte) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < boxHead {
			t.Fatalf("%d bytes are no box", len(b))
		}
		size, head := uint64(binary.BigEndian.Uint32(b)), uint64(boxHead)
		if size == 1 {
			size, head = binary.BigEndian.Uint64(b[boxHead:]), 2*boxHead
		}
		if size < head || size > uint64(len(b)) {
			t.Fatalf("box %q has %d bytes of %d", b[4:8], size, len(b))
		}
		if string(b[4:8]) == path[0] {
			if len(path) == 1 {
				bodies = append(bodies, b[head:size])
			} else {
				bodies = append(bodies, found(t, b[head:size], path[1:]...)...)
			}
		}
		b = b[size:]
	}
	return bodies
}

func number(b []byte, at int) int { return int(binary.BigEndian.Uint32(b[at:])) }

// All samples are found by the tables, and are those that were written.
func TestTablesLeadToSamples(t *testing.T) {
	t.Parallel()
	f := record(t)
	traks := found(t, f.b, "moov", "trak")
	if len(traks) != 2 {
		t.Fatalf("%d tracks", len(traks))
	}
	packet := sound(t)
	for i, want := range []struct {
		sample []byte
		count  int
		keys   int
	}{{packet, frames, 0}, {vp8Key(), (frames - missing) / every, 3}} {
		table := func(name string) []byte {
			all := found(t, traks[i], "mdia", "minf", "stbl", name)
			if len(all) != 1 {
				t.Fatalf("track %d has %d of %s", i, len(all), name)
			}
			return all[0]
		}
		sizes, places, chunks, steps := table("stsz"), table("co64"), table("stsc"), table("stts")
		sample, ticks := 0, 0
		for chunk := range number(places, 4) {
			at := int(binary.BigEndian.Uint64(places[8+8*chunk:]))
			run := 0
			for run+1 < number(chunks, 4) && number(chunks, 8+12*(run+1)) <= chunk+1 {
				run++
			}
			for range number(chunks, 8+12*run+4) {
				n := number(sizes, 12+4*sample)
				if !bytes.Equal(f.b[at:at+n], want.sample) {
					t.Fatalf("track %d: sample %d at %d is another", i, sample, at)
				}
				at += n
				sample++
			}
		}
		for run := range number(steps, 4) {
			ticks += number(steps, 8+8*run) * number(steps, 8+8*run+4)
		}
		if length := (frames * 960) - i*missing*960; sample != want.count || number(sizes, 8) != want.count || ticks != length {
			t.Errorf("track %d: %d samples of %d ticks", i, sample, ticks)
		}
		if i == 1 && number(table("stss"), 4) != want.keys {
			t.Errorf("%d pictures stand alone", number(table("stss"), 4))
		}
	}
}

// Players show the pictures from the time on at which they came.
func TestAnotherPlayerDecodesIt(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg")
	}
	name := filepath.Join(t.TempDir(), "a.mp4")
	if err := os.WriteFile(name, record(t).b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ffprobe", "-v", "warning", "-count_frames", "-show_entries", "stream=codec_name,start_time,duration,nb_read_frames", "-of", "csv=p=0", name).CombinedOutput()
	if want := fmt.Sprintf("opus,0.000000,4.993500,%d\nvp8,2.000000,3.000000,%d\n", frames, (frames-missing)/every); err != nil || string(out) != want {
		t.Errorf("%v: %s, not %s", err, out, want)
	}
	if out, err := exec.Command("ffmpeg", "-v", "warning", "-xerror", "-ss", "3", "-i", name, "-f", "null", "-").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestWrongTracksAreRefused(t *testing.T) {
	t.Parallel()
	_, err := NewWriter(io.Discard, []Track{{Codec: "hvc1"}, {Codec: AVC, Width: 70000, Height: 1, Config: []byte{1}}, {Codec: AV1, Width: 2, Height: 2}})
	for _, what := range []string{`track 0: track codec is "hvc1"`, "track 1: video track is 70000 by 1", "track 2: video track of av01 has no configuration"} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v does not say %q", err, what)
		}
	}
	if _, err := NewWriter(io.Discard, nil); err == nil {
		t.Error("a file without tracks")
	}
	w, err := NewWriter(&file{}, both())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		track int
		at    time.Duration
	}{{-1, 0}, {2, 0}, {0, -1}, {0, maxTime + 1}} {
		if w.Frame(c.track, c.at, true, nil) == nil {
			t.Errorf("a frame of track %d at %v", c.track, c.at)
		}
	}
}

// narrow takes so many bytes.
type narrow struct {
	file
	left int
}

var errFull = errors.New("the disk is full")

func (n *narrow) Write(p []byte) (int, error) {
	if n.left -= len(p); n.left < 0 {
		return 0, errFull
	}
	return n.file.Write(p)
}

// Whatever is written last on a disk that fails, it is told.
func TestFaultsOfTheDisk(t *testing.T) {
	t.Parallel()
	whole, packet := record(t), sound(t)
	for left := 0; left < len(whole.b); left += 97 {
		f := &narrow{left: left}
		w, err := NewWriter(f, both())
		for i := 0; err == nil && i < frames; i++ {
			if err = w.Frame(0, time.Duration(i)*20*time.Millisecond, true, packet); err == nil && i >= missing && i%every == 0 {
				err = w.Frame(1, time.Duration(i)*20*time.Millisecond, false, vp8Key())
			}
		}
		if err == nil {
			err = w.Finish(f)
		}
		if left < len(whole.b)-100 && !errors.Is(err, errFull) {
			t.Fatalf("%d bytes: %v", left, err)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	w, err := NewWriter(io.Discard, both())
	if err != nil {
		b.Fatal(err)
	}
	packet, i := sound(b), 0
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Frame(0, time.Duration(i%4000000)*20*time.Millisecond, true, packet); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
