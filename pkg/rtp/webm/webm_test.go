package webm

import (
	"bytes"
	"errors"
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
	return []Track{{Codec: VP8, Width: 16, Height: 16}, {Codec: Opus, Channels: 1, PreSkip: 312}}
}

const frames = 250 // of sound, 5 s; a tenth as many of video

func record(t testing.TB, finish bool) *file {
	t.Helper()
	f, packet := &file{}, sound(t)
	w, err := NewWriter(f, both())
	if err != nil {
		t.Fatal(err)
	}
	for i := range frames {
		at := time.Duration(i) * 20 * time.Millisecond
		if i%10 == 0 {
			if err := w.Frame(0, at, true, vp8Key()); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Frame(1, at, false, packet); err != nil {
			t.Fatal(err)
		}
	}
	if finish {
		if err := w.Finish(f); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// node is an element as the test reads it back.
type node struct {
	id   uint32
	at   int64
	body []byte
}

// children splits elements, whose sizes may be unknown only for the last one that holds others.
func children(t *testing.T, b []byte, base int64) (all []node) {
	t.Helper()
	for at := 0; at < len(b); {
		n := 1
		for mask := byte(0x80); b[at]&mask == 0; mask >>= 1 {
			n++
		}
		var id uint32
		for _, x := range b[at : at+n] {
			id = id<<8 | uint32(x)
		}
		start := at
		at += n
		n = 1
		for mask := byte(0x80); b[at]&mask == 0; mask >>= 1 {
			n++
		}
		size := uint64(b[at]) &^ (1 << (8 - n))
		for _, x := range b[at+1 : at+n] {
			size = size<<8 | uint64(x)
		}
		at += n
		if size == unknownSize || at+int(size) > len(b) {
			t.Fatalf("element %x at %d has %d bytes of %d", id, start, size, len(b)-at)
		}
		all = append(all, node{id, base + int64(start), b[at : at+int(size)]})
		at += int(size)
	}
	return all
}

func TestFinishedFileIsWhole(t *testing.T) {
	t.Parallel()
	f := record(t, true)
	top := children(t, f.b, 0)
	if len(top) != 2 || top[0].id != idEBML || top[1].id != idSegment || !bytes.Contains(top[0].body, []byte("webm")) {
		t.Fatalf("%d elements at the top", len(top))
	}
	behind := int64(len(f.b) - len(top[1].body))
	at, blocks := map[int64]uint32{}, 0
	parts := children(t, top[1].body, behind)
	for _, n := range parts {
		at[n.at-behind] = n.id
		if n.id == idCluster {
			for _, c := range children(t, n.body, 0) {
				if c.id == idBlock {
					blocks++
				}
			}
		}
	}
	if blocks != frames+frames/10 || parts[0].id != idSeekHead || parts[len(parts)-1].id != idCues {
		t.Errorf("%d blocks, first part %x", blocks, parts[0].id)
	}
	for _, seek := range children(t, parts[0].body, 0) {
		s := children(t, seek.body, 0)
		if place := value(s[1].body); at[int64(place)] != uint32(value(s[0].body)) {
			t.Errorf("%x is not at %d", s[0].body, place)
		}
	}
	points := children(t, parts[len(parts)-1].body, 0)
	for i, p := range points {
		c := children(t, p.body, 0)
		if place := children(t, c[1].body, 0); at[int64(value(place[1].body))] != idCluster || value(c[0].body) != uint64(i)*1000 {
			t.Errorf("cue %d leads to %d at %d ms", i, value(place[1].body), value(c[0].body))
		}
	}
	if len(points) != 5 {
		t.Errorf("%d cues", len(points))
	}
}

func value(b []byte) (n uint64) {
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n
}

// ffmpeg is of Debian; where it is missing, the tests above stand alone.
func TestAnotherPlayerReadsIt(t *testing.T) {
	t.Parallel()
	ffprobe, err := exec.LookPath("ffprobe")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	whole, torn := record(t, true).b, record(t, false).b
	for name, b := range map[string][]byte{"finished": whole, "live": torn, "torn": torn[:len(torn)-20]} {
		path := filepath.Join(t.TempDir(), "a.webm")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(ffprobe, "-v", "error", "-count_packets", "-show_entries",
			"stream=codec_name,nb_read_packets:format=duration", "-of", "csv=p=0", path).CombinedOutput()
		got := string(out)
		if err != nil || !strings.Contains(got, "vp8,25") || (!strings.Contains(got, "opus,250") && name != "torn") {
			t.Errorf("%s: %v, %s", name, err, got)
		}
		if name == "finished" && !strings.Contains(got, "4.98") {
			t.Errorf("duration: %s", got)
		}
	}
}

func TestWrongIsNamed(t *testing.T) {
	t.Parallel()
	_, err := NewWriter(io.Discard, []Track{{Codec: "A_MP3"}, {Codec: VP8}, {Codec: Opus, Channels: 3}, {Codec: VP9, Width: 9, Height: 9, Private: make([]byte, 5000)}})
	for _, say := range []string{"track 0", "A_MP3", "track 1", "0 by 0", "3 channels", "5000 bytes"} {
		if err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%v does not say %q", err, say)
		}
	}
	if _, err := NewWriter(io.Discard, nil); err == nil {
		t.Error("no tracks")
	}
	w, err := NewWriter(io.Discard, both())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{w.Frame(2, 0, false, nil), w.Frame(-1, 0, false, nil), w.Frame(0, -1, false, nil)} {
		if err == nil {
			t.Error("a frame of no track or time is written")
		}
	}
	if err := w.Frame(0, time.Minute, true, []byte{1}); err != nil {
		t.Fatal(err)
	}
	if w.Frame(1, time.Second, false, []byte{1}) == nil {
		t.Error("a frame a minute too early is written")
	}
}

func BenchmarkFrame(b *testing.B) {
	w, err := NewWriter(io.Discard, both())
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Frame(0, 0, false, p); err != nil {
			b.Fatal(err)
		}
	}
}
