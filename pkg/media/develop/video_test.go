package develop

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"github.com/coraltele/sanchar/pkg/media/reel"
)

// frames returns the pictures of a test film, made by another program.
func frames(t *testing.T, encoder string) (all [][]byte) {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("no ffmpeg")
	}
	ivf, err := exec.Command(ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=15", "-t", "4", "-c:v", encoder,
		"-g", "15", "-deadline", "realtime", "-f", "ivf", "-").Output()
	if err != nil || len(ivf) < 32 {
		t.Skipf("ffmpeg does not encode %s: %v", encoder, err)
	}
	for b := ivf[32:]; len(b) > 12; {
		n := int(binary.LittleEndian.Uint32(b))
		all = append(all, b[12:12+n])
		b = b[12+n:]
	}
	return all
}

func TestVideoIsPlayedByAnother(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, encoder, codec string
		payloader            rtp.Payloader
	}{
		{"VP8", "libvpx", "vp8", &codecs.VP8Payloader{EnablePictureID: true}},
		{"VP9", "libvpx-vp9", "vp9", &codecs.VP9Payloader{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pictures := frames(t, c.encoder)
			s := newScene(t, FormatOpus)
			s.begin(0, pcmu, full)
			s.json(reel.Entry{Kind: reel.KindTrack, Track: 2, Time: int64(boot)}, reel.Track{
				Leg: "leg0", Kind: "video", Formats: []reel.Format{{PayloadType: 97, Encoding: c.name, ClockRate: 90000}},
			})
			a, b := newTalker(t, pcmu, 600), newTalker(t, full, 900)
			var seq uint16
			const lost = 20 // a picture of which a packet is lost: those behind it up to the next whole one are left out
			for i, p := range pictures {
				at := time.Duration(i) * time.Second / 15
				payloads := c.payloader.Payload(1000, p)
				for j, payload := range payloads {
					seq++
					if i == lost && j == 0 {
						continue
					}
					h := rtp.Header{Version: 2, Marker: j == len(payloads)-1, PayloadType: 97, SequenceNumber: seq, Timestamp: uint32(i * 6000), SSRC: 5}
					raw, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
					if err != nil {
						t.Fatal(err)
					}
					s.block = reel.Append(s.block, reel.Entry{Kind: reel.KindPacket, Track: 2, Time: int64(boot + at), Data: raw})
				}
				if i%3 == 0 {
					s.say(at, 200*time.Millisecond, a, b)
				}
			}
			s.cut()
			file, head := s.develop()
			if head.contentType != "video/webm" {
				t.Errorf("head %+v", head)
			}
			watch(t, file, c.codec, len(pictures), lost)
		})
	}
}

// watch lets another program say what it finds in a file.
func watch(t *testing.T, file []byte, codec string, pictures, lost int) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "recording.webm")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ffprobe", "-v", "error", "-count_frames", "-show_entries",
		"stream=codec_name,nb_read_frames,width,channels:format=duration", "-of", "default=nw=1", name).CombinedOutput()
	text := string(out)
	if err != nil || !strings.Contains(text, "codec_name="+codec) || !strings.Contains(text, "codec_name=opus") ||
		!strings.Contains(text, "width=320") || !strings.Contains(text, "channels=2") || strings.Contains(text, "duration=N/A") {
		t.Fatalf("%v: %s", err, text)
	}
	_, behind, _ := strings.Cut(text, "width=320")
	_, behind, _ = strings.Cut(behind, "nb_read_frames=")
	count, _, _ := strings.Cut(behind, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if missing := pictures - n; err != nil || missing < 1 || missing > 15-lost%15 {
		t.Errorf("%d of %d pictures: %s", n, pictures, text)
	}
	if out, err := exec.Command("ffmpeg", "-v", "error", "-i", name, "-f", "null", "-").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// Whatever a party sent as video, nothing fails.
func FuzzPictures(f *testing.F) {
	f.Add([]byte("\x80\xe1\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02\x10\x00\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00"), true)
	f.Add([]byte("\x80\xe2\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02\x0a\x82\x49\x83\x42\x00\x13\xf0\x0e\xf6\x00"), false)
	f.Fuzz(func(_ *testing.T, p []byte, again bool) {
		v := newPictures(&reel.Track{Formats: []reel.Format{{PayloadType: 97, Encoding: "VP8"}, {PayloadType: 98, Encoding: "VP9"}}})
		for i := range 5 {
			if len(p) < 16 {
				return
			}
			v.put(p, time.Duration(i))
			if again {
				p[3]++
			}
		}
	})
}
