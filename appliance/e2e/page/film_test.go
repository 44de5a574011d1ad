package page

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/rtp/av1"
	"github.com/coraltele/sanchar/pkg/rtp/avc"
	"github.com/coraltele/sanchar/pkg/rtp/mp4"
	"github.com/coraltele/sanchar/pkg/rtp/oggopus"
	"github.com/coraltele/sanchar/pkg/rtp/opus"
	"github.com/coraltele/sanchar/pkg/rtp/webm"
)

const (
	filmRate   = 10 // pictures a second
	filmLength = 4  // seconds
)

// filmed returns the pictures of a test film that another program has encoded.
func filmed(t *testing.T, format string, more ...string) []byte {
	t.Helper()
	args := []string{"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc=size=320x240:rate=%d", filmRate), "-t", fmt.Sprint(filmLength), "-g", "10", "-pix_fmt", "yuv420p"}
	out, err := exec.Command("ffmpeg", append(append(args, more...), "-f", format, "-")...).Output()
	if err != nil || len(out) == 0 {
		t.Fatalf("ffmpeg makes no film: %v", err)
	}
	return out
}

// movie is a file as the box makes it.
type movie interface {
	Frame(track int, at time.Duration, key bool, data []byte) error
	Finish(at io.WriterAt) error
}

// fill writes a film into a movie, with silence beside it, and returns the file.
func fill(t *testing.T, f *os.File, w movie, pictures [][]byte, key func([]byte) bool) []byte {
	t.Helper()
	e, err := opus.NewEncoder(opus.Config{Rate: 16000})
	if err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, opus.MaxPacket)
	n, err := e.Encode(packet, make([]int16, e.Frame()))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; err == nil && i < filmLength*50; i++ {
		at := time.Duration(i) * 20 * time.Millisecond
		if i%(50/filmRate) == 0 {
			p := pictures[i/(50/filmRate)]
			err = w.Frame(1, at, key(p), p)
		}
		if err == nil {
			err = w.Frame(0, at, true, oggopus.Join(nil, packet[:n], packet[:n]))
		}
	}
	if err == nil {
		err = w.Finish(f)
	}
	data, readErr := os.ReadFile(f.Name())
	if err != nil || readErr != nil {
		t.Fatal(err, readErr)
	}
	return data
}

func filmFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "film"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// mp4Film is a recording of H.264.
func mp4Film(t *testing.T) []byte {
	t.Helper()
	var sets avc.Sets
	var config []byte
	var pictures [][]byte
	stream := filmed(t, "h264", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-x264-params", "aud=1:sliced-threads=0")
	for unit := range bytes.SplitSeq(bytes.ReplaceAll(stream, []byte{0, 0, 0, 1}, []byte{0, 0, 1}), []byte{0, 0, 1}) {
		switch avc.KindOf(unit) {
		case avc.SPS, avc.PPS:
			sets.Put(unit)
		case avc.IDR, avc.Slice:
			if config == nil {
				config = sets.Config(unit)
			}
			pictures = append(pictures, avc.Append(nil, unit))
		}
	}
	f := filmFile(t)
	w, err := mp4.NewWriter(f, []mp4.Track{{Codec: mp4.Opus, PreSkip: 312, Split: true}, {Codec: mp4.AVC, Width: 320, Height: 240, Config: config}})
	if err != nil {
		t.Fatal(err)
	}
	return fill(t, f, w, pictures, func(p []byte) bool { return avc.KindOf(p[4:]) == avc.IDR })
}

// webmFilm is a recording of AV1.
func webmFilm(t *testing.T) []byte {
	t.Helper()
	var pictures [][]byte
	for b := filmed(t, "ivf", "-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-lag-in-frames", "0")[32:]; len(b) > 12; {
		n := 12 + int(binary.LittleEndian.Uint32(b))
		pictures = append(pictures, b[12+2:n]) // without the delimiter
		b = b[n:]
	}
	header := av1.Key(pictures[0])
	s, err := av1.ParseSequence(header)
	if err != nil {
		t.Fatal(err)
	}
	f := filmFile(t)
	w, err := webm.NewWriter(f, []webm.Track{
		{Codec: webm.Opus, Channels: 2, PreSkip: 312, Split: true},
		{Codec: webm.AV1, Width: s.Width, Height: s.Height, Private: s.Config(header)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return fill(t, f, w, pictures, func(p []byte) bool { return av1.Key(p) != nil })
}

// TestRecordingIsSeen is an owner who watches recordings with pictures, from the beginning and from the middle.
func TestRecordingIsSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		contentType, suffix string
		film                func(*testing.T) []byte
	}{{"video/mp4", "*.mp4", mp4Film}, {"video/webm", "*.webm", webmFilm}} {
		t.Run(c.contentType, func(t *testing.T) {
			t.Parallel()
			film := c.film(t)
			b := startBox(t)
			b.setUp()
			call := callRecord(time.Hour)
			b.store(record.KindCall, call.ID, call)
			b.taken(call, filmLength, c.contentType, film)
			v := signedIn(t, b, looks()[0], "/logs/calls?id="+call.ID)
			v.see(v.text("recording.title"), "0:04")
			v.press(v.text("sound.play"))
			v.see(v.text("sound.reason"))
			v.fill(v.text("reading.reason"), "complaint 7")
			v.press(v.text("reading.begin"))
			const video = "document.querySelector('video')"
			v.await(video+".videoWidth === 320 && "+video+".currentTime > 0.5", "a picture that moves")
			v.await("("+video+".currentTime = 3, true)", "the player")
			v.await(video+".ended && "+video+".getVideoPlaybackQuality().totalVideoFrames > 10", "its end")
			v.await(fmt.Sprintf("Math.abs(%s.duration - %d) < 0.1", video, filmLength), "its length")
			v.check("recording-seen")
			v.press(v.text("sound.save"))
			if saved := v.download(c.suffix); saved != string(film) {
				t.Errorf("saved %d bytes of %d", len(saved), len(film))
			}
		})
	}
}
