package develop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/rtp/header"
)

// senders are what parties send, by the name of the test.
type sender struct {
	name, encoding string
	send           func(*testing.T) (stream, string)
	codec          string // as ffprobe calls it
	contentType    string
}

func senders() []sender {
	return []sender{
		{"VP8", "VP8", libvpx("libvpx"), "vp8", typeWebM},
		{"VP9", "VP9", libvpx("libvpx-vp9"), "vp9", typeWebM},
		{"AV1", "AV1", libaom, "av1", typeWebM},
		{"H264 in fragments", "H264", x264("320x240"), "h264", typeMP4},
		{"H264 of many slices", "h264", x264("320x240", "-rtpflags", "h264_mode0", "-x264-params", "slice-max-size=1100"), "h264", typeMP4},
		{"H264 that tells its sets in SDP only", "H264", x264("320x240", "-flags", "+global_header"), "h264", typeMP4},
		{"H264 high", "H264", x264("322x242", "-preset", "medium", "-profile:v", "high"), "h264", typeMP4},
	}
}

func TestVideoIsPlayedByAnother(t *testing.T) {
	t.Parallel()
	for _, c := range senders() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			packets, params := c.send(t)
			file, contentType := newScene(t, FormatOpus).movie(seconds*time.Second, video(c.encoding, params, packets))
			if contentType != c.contentType {
				t.Errorf("it is %s", contentType)
			}
			if got := watch(t, file, c.codec); got != fmt.Sprint(whole, " ", whole) {
				t.Errorf("%s of %d pictures were shown", got, whole)
			}
		})
	}
}

// A picture of which a packet is lost, and all behind it up to the next that stands alone, are left out.
func TestVideoWithLoss(t *testing.T) {
	t.Parallel()
	for _, c := range senders() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			packets, params := c.send(t)
			const lost = 20 // the picture; each fifteenth stands alone
			at := slices.IndexFunc(packets, func(p header.Packet) bool { return when(p) >= lost*time.Second/rateOfFilm })
			file, _ := newScene(t, FormatOpus).movie(seconds*time.Second, video(c.encoding, params, slices.Delete(packets, at, at+1)))
			if got, want := watch(t, file, c.codec), whole-10; got != fmt.Sprint(want, " ", want) {
				t.Errorf("%s pictures were shown, not %d", got, want)
			}
		})
	}
}

// A party's pictures stop for a while, soon behind one of which a packet is lost.
func TestVideoThatRests(t *testing.T) {
	t.Parallel()
	for _, c := range []sender{senders()[0], senders()[3]} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			packets, params := c.send(t)
			from := slices.IndexFunc(packets, func(p header.Packet) bool { return when(p) >= 14*time.Second/rateOfFilm })
			rests := slices.IndexFunc(packets, func(p header.Packet) bool { return when(p) >= 18*time.Second/rateOfFilm })
			packets[rests:].restamp(0, 40*90000)
			file, _ := newScene(t, FormatOpus).movie((40+seconds)*time.Second, video(c.encoding, params, slices.Delete(packets, from, from+1)))
			if got, want := watch(t, file, c.codec), whole-1; got != fmt.Sprint(want, " ", want) {
				t.Errorf("%s pictures were shown, not %d", got, want)
			}
		})
	}
}

// Pictures of both parties are in one file, of whatever codecs.
func TestVideoOfBothParties(t *testing.T) {
	t.Parallel()
	all := senders()
	for _, c := range [][2]sender{{all[3], all[4]}, {all[3], all[0]}, {all[1], all[6]}, {all[2], all[3]}, {all[0], all[2]}} {
		t.Run(c[0].name+" and "+c[1].name, func(t *testing.T) {
			t.Parallel()
			first, params := c[0].send(t)
			second, others := c[1].send(t)
			second.restamp(0, 90000) // it comes later
			file, _ := newScene(t, FormatOpus).movie((seconds+1)*time.Second, video(c[0].encoding, params, first), video(c[1].encoding, others, second))
			if got := watch(t, file, c[0].codec, c[1].codec); got != fmt.Sprint(whole, " ", whole, " ", whole, " ", whole) {
				t.Errorf("%s of %d and %d pictures were shown", got, whole, whole)
			}
		})
	}
}

// A sender of H.264 begins to send pictures of another size: players are told when it happens.
func TestVideoChangesItsSize(t *testing.T) {
	t.Parallel()
	small, params := sent(t, "320x240")
	large, _ := sent(t, "640x480", "-profile:v", "main")
	large.restamp(0, seconds*90000)
	both := append(small, large...)
	both.renumber(7)
	file, _ := newScene(t, FormatOpus).movie(2*seconds*time.Second, video("H264", params, both))
	if got := watch(t, file, "h264"); got != fmt.Sprint(2*whole, " ", 2*whole) {
		t.Errorf("%s of %d pictures were shown", got, 2*whole)
	}
	out, err := exec.Command("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "frame=width", "-of", "csv=p=0", write(t, file)).CombinedOutput()
	if err != nil || strings.Count(string(out), "320") != whole || strings.Count(string(out), "640") != whole {
		t.Errorf("%v: %s", err, out)
	}
}

// A party that is told of several codecs may send another from some time on.
func TestVideoChangesItsCodec(t *testing.T) {
	t.Parallel()
	first, params := sent(t, "320x240")
	second, _ := libvpx("libvpx")(t)
	second.restamp(0, seconds*90000)
	for _, p := range second {
		p[1] = p[1]&0x80 | videoType + 1
	}
	both := append(first, second...)
	both.renumber(7)
	v := video("H264", params, both)
	v.formats = append(v.formats, reel.Format{PayloadType: videoType + 1, Encoding: "VP8", ClockRate: 90000})
	file, contentType := newScene(t, FormatOpus).movie(2*seconds*time.Second, v)
	if got := watch(t, file, "h264", "vp8"); contentType != typeMP4 || got != fmt.Sprint(whole, " ", whole, " ", whole, " ", whole) {
		t.Errorf("%s: %s of %d pictures were shown", contentType, got, whole)
	}
}

// write writes a file to be looked at by others.
func write(t *testing.T, file []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "recording")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// watch lets another program say what it finds in a file: how many pictures are in each track and how many
// were decoded. All of it is played without a complaint.
func watch(t *testing.T, file []byte, codecs ...string) string {
	t.Helper()
	name := write(t, file)
	out, err := exec.Command("ffprobe", "-v", "error", "-count_frames", "-count_packets", "-show_entries",
		"stream=codec_name,nb_read_frames,nb_read_packets,channels:format=duration", "-of", "default=nw=1", name).CombinedOutput()
	text := string(out)
	if err != nil || !strings.Contains(text, "codec_name=opus\nchannels=2") || strings.Contains(text, "duration=N/A") {
		t.Fatalf("%v: %s", err, text)
	}
	var counts, found []string
	pictures := false
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case key == "codec_name":
			if pictures = value != "opus"; pictures {
				found = append(found, value)
			}
		case pictures && strings.HasPrefix(key, "nb_read"):
			counts = append(counts, value)
		}
	}
	if !slices.Equal(found, codecs) {
		t.Errorf("pictures of %q, not of %q", found, codecs)
	}
	if out, err := exec.Command("ffmpeg", "-v", "warning", "-xerror", "-i", name, "-map", "0", "-f", "null", "-").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	return strings.Join(counts, " ")
}

// Whatever a party sent as video, nothing fails.
func FuzzPictures(f *testing.F) {
	for i, payload := range []string{
		"\x10\x00\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00",
		"\x0a\x82\x49\x83\x42\x00\x13\xf0\x0e\xf6\x00",
		"\x18\x00\x0b\x67\x42\xc0\x1f\xda\x05\x07\xe8\x40\x00\x00\x00\x04\x68\xce\x3c\x80\x00\x02\x65\x88",
		"\x7c\x85\x88\x84\x00",
		"\x18\x0a\x0b\x00\x00\x00\x04\x3c\xff\xbc\xff\xff\x98\x04\x10",
	} {
		f.Add([]byte("\x80"+string(rune(0x61+i))+"\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02"+payload), i%2 == 0)
	}
	f.Fuzz(func(_ *testing.T, p []byte, again bool) {
		v := newPictures(&reel.Track{Formats: []reel.Format{
			{PayloadType: 97, Encoding: "VP8"},
			{PayloadType: 98, Encoding: "VP9"},
			{PayloadType: 99, Encoding: "H264", Params: "sprop-parameter-sets=Z0LAH9oFB+hAAAA=,aM48gA=="},
			{PayloadType: 100, Encoding: "H264"},
			{PayloadType: 101, Encoding: "AV1"},
		}})
		for i := range 5 {
			if len(p) < 16 {
				break
			}
			v.put(p, time.Duration(i))
			if again {
				p[3]++
			}
		}
		v.flush()
		v.again().flush()
	})
}
