package develop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/rtp/g711"
	"github.com/coraltele/sanchar/pkg/rtp/g722"
	"github.com/coraltele/sanchar/pkg/rtp/oggopus"
	"github.com/coraltele/sanchar/pkg/rtp/opus"
	"github.com/coraltele/sanchar/pkg/rtp/wav"
)

// scene writes reels.
type scene struct {
	t     testing.TB
	dir   string
	key   *seal.Key
	about reel.About
	parts []string
	block []byte
}

func newScene(t testing.TB, format string) *scene {
	t.Helper()
	s := &scene{t: t, dir: t.TempDir(), about: reel.About{
		ID: "one", Session: "call", Format: format, Wall: time.Unix(1.7e9, 0).UTC(), Labels: map[string]string{"call": "7"},
	}}
	var err error
	if s.key, err = seal.Load(filepath.Join(s.dir, "key"), false, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

var owner = seal.Owner(nil, "reel", "one")

func (s *scene) json(e reel.Entry, v any) {
	s.t.Helper()
	var err error
	if s.block, err = reel.AppendJSON(s.block, e, v); err != nil {
		s.t.Fatal(err)
	}
}

// begin begins a part at a time, with a track for each of the formats on channels 0, 1 and so on.
func (s *scene) begin(at time.Duration, formats ...reel.Format) {
	s.t.Helper()
	about := s.about
	about.Wall = about.Wall.Add(at)
	s.json(reel.Entry{Kind: reel.KindAbout, Time: int64(at + boot)}, about)
	for i, f := range formats {
		s.json(reel.Entry{Kind: reel.KindTrack, Track: uint8(i), Time: int64(at + boot)}, reel.Track{
			Leg: fmt.Sprint("leg", i), Channel: uint8(i % 2), Kind: "audio", Formats: []reel.Format{f},
		})
	}
}

// boot is the clock of the relay when a scene begins.
const boot = 1000 * time.Hour

func (s *scene) note(kind reel.Kind, at time.Duration) {
	s.block = reel.Append(s.block, reel.Entry{Kind: kind, Time: int64(at + boot)})
}

// cut ends a part.
func (s *scene) cut() {
	s.t.Helper()
	name := filepath.Join(s.dir, fmt.Sprintf("%03d.reel", len(s.parts)))
	f, err := os.Create(name)
	if err != nil {
		s.t.Fatal(err)
	}
	w, err := reel.NewSealer(f, s.key, owner)
	if err == nil {
		_, err = w.Write(s.block)
	}
	if err != nil || f.Close() != nil {
		s.t.Fatal(err)
	}
	s.parts, s.block = append(s.parts, name), nil
}

func (s *scene) film() *Film { return &Film{Parts: s.parts, Key: s.key, Owner: owner} }

func (s *scene) develop() (file []byte, head headOf) {
	s.t.Helper()
	var b memory
	h, err := Develop(s.film(), &b, func() {})
	if err != nil {
		s.t.Fatal(err)
	}
	return b, headOf{h.ContentType, h.Start, h.End, h.Duration, h.Broken, h.Peaks}
}

type headOf struct {
	contentType string
	start, end  time.Time
	duration    time.Duration
	broken      bool
	peaks       [2][]byte
}

// Formats of the parties.
var (
	pcmu  = reel.Format{PayloadType: 0, Encoding: "PCMU", ClockRate: 8000}
	g722f = reel.Format{PayloadType: 9, Encoding: "G722", ClockRate: 8000}
	full  = reel.Format{PayloadType: 96, Encoding: "opus", ClockRate: 48000, Channels: 2}
)

// talker is a party that says a tone.
type talker struct {
	f      reel.Format
	hz     float64
	encode func(pcm []int16) []byte
	rate   int
	n      int
	seq    uint16
	stamp  uint32
}

func newTalker(t testing.TB, f reel.Format, hz float64) *talker {
	t.Helper()
	k := &talker{f: f, hz: hz, rate: 8000, seq: 65500, stamp: 1<<32 - 3000}
	out := make([]byte, 4000)
	switch f.Encoding {
	case "PCMU":
		k.encode = func(pcm []int16) []byte { return out[:g711.EncodeMu(out, pcm)] }
	case "G722":
		e := g722.NewEncoder()
		k.rate, k.encode = 16000, func(pcm []int16) []byte { return out[:e.Encode(out, pcm)] }
	default:
		e, err := opus.NewEncoder(opus.Config{Rate: 16000})
		if err != nil {
			t.Fatal(err)
		}
		k.rate, k.encode = 16000, func(pcm []int16) []byte {
			n, err := e.Encode(out, pcm)
			if err != nil {
				t.Fatal(err)
			}
			return out[:n]
		}
	}
	return k
}

// packet returns the next 20 ms.
func (k *talker) packet() []byte {
	pcm := make([]int16, k.rate/50)
	for i := range pcm {
		pcm[i] = int16(10000 * math.Sin(2*math.Pi*k.hz*float64(k.n*len(pcm)+i)/float64(k.rate)))
	}
	p := make([]byte, 12)
	p[0], p[1] = 0x80, k.f.PayloadType
	binary.BigEndian.PutUint16(p[2:], k.seq)
	binary.BigEndian.PutUint32(p[4:], k.stamp)
	p[11] = k.f.PayloadType + 1
	k.n++
	k.seq++
	k.stamp += k.f.ClockRate / 50
	return append(p, k.encode(pcm)...)
}

// say lets talkers say something from a time on, for so long.
func (s *scene) say(from, length time.Duration, talkers ...*talker) {
	for at := from; at < from+length; at += slotTime {
		for i, k := range talkers {
			if k != nil {
				s.block = reel.Append(s.block, reel.Entry{Kind: reel.KindPacket, Track: uint8(i), Time: int64(at + boot), Data: k.packet()})
			}
		}
	}
}

// sound returns the channels of a file and their rate.
func sound(t testing.TB, contentType string, file []byte) (channels [2][]int16, rate int) {
	t.Helper()
	if contentType == "audio/wav" {
		return wavSound(t, file)
	}
	r, err := oggopus.NewReader(bytes.NewReader(file))
	if err != nil || !r.Head().Split {
		t.Fatal(err)
	}
	var decoders [2]*opus.Decoder
	for i := range decoders {
		if decoders[i], err = opus.NewDecoder(16000); err != nil {
			t.Fatal(err)
		}
	}
	pcm := make([]int16, 16000)
	for {
		p, err := r.Next()
		if err == io.EOF {
			return channels, 16000
		}
		left, right, ok := oggopus.Cut(p)
		if err != nil || !ok {
			t.Fatalf("%d bytes are no packet of two, %v", len(p), err)
		}
		for i, one := range [][]byte{left, right} {
			n := 320
			if len(one) > 1 {
				n, err = decoders[i].Decode(pcm, one)
			} else {
				err = decoders[i].Conceal(pcm[:n])
			}
			if err != nil || n != 320 {
				t.Fatalf("channel %d: %d samples, %v", i, n, err)
			}
			channels[i] = append(channels[i], pcm[:n]...)
		}
	}
}

func wavSound(t testing.TB, file []byte) (channels [2][]int16, rate int) {
	t.Helper()
	r, err := wav.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]int16, 1000)
	for {
		n, err := r.Samples(buf)
		for i := range n / 2 {
			channels[0], channels[1] = append(channels[0], buf[2*i]), append(channels[1], buf[2*i+1])
		}
		if err == io.EOF {
			return channels, r.Format().Rate
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// loud is how loud a tone is in a part of a sound, from and to in seconds.
func loud(pcm []int16, rate int, hz, from, to float64) float64 {
	pcm = pcm[int(from*float64(rate)):min(int(to*float64(rate)), len(pcm))]
	var re, im float64
	for i, v := range pcm {
		a := 2 * math.Pi * hz * float64(i) / float64(rate)
		re, im = re+float64(v)*math.Cos(a), im+float64(v)*math.Sin(a)
	}
	return 2 * math.Hypot(re, im) / float64(len(pcm))
}

// hears checks which of both tones a channel has in a part of the file.
func hears(t *testing.T, pcm []int16, rate int, from, to, want float64, not ...float64) {
	t.Helper()
	if want != 0 && loud(pcm, rate, want, from, to) < 8000 {
		t.Errorf("%.2f to %.2f s: %.0f Hz is at %.0f", from, to, want, loud(pcm, rate, want, from, to))
	}
	for _, hz := range not {
		if got := loud(pcm, rate, hz, from, to); got > 200 {
			t.Errorf("%.2f to %.2f s: %.0f Hz is at %.0f", from, to, hz, got)
		}
	}
}

func TestEachPartyIsOnItsChannel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format      string
		left, right reel.Format
		rate        int
	}{
		{FormatOpus, pcmu, full, 16000},
		{FormatOpus, full, full, 16000},
		{FormatOpus, pcmu, pcmu, 16000},
		{FormatOpus, g722f, full, 16000},
		{FormatWAV, pcmu, pcmu, 8000},
		{FormatWAV, pcmu, g722f, 16000},
		{FormatWAV, full, pcmu, 16000},
	} {
		t.Run(fmt.Sprint(c.format, c.left.Encoding, c.right.Encoding), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, c.format)
			s.begin(0, c.left, c.right)
			a, b := newTalker(t, c.left, 600), newTalker(t, c.right, 900)
			s.say(0, time.Second, a, nil)
			s.say(time.Second, 2*time.Second, a, b)
			s.cut()
			file, head := s.develop()
			pcm, rate := sound(t, head.contentType, file)
			if rate != c.rate || head.duration.Round(time.Second) != 3*time.Second || len(pcm[0])/rate < 2 || head.broken {
				t.Errorf("rate %d, %d samples, head %+v", rate, len(pcm[0]), head)
			}
			hears(t, pcm[0], rate, 0.1, 0.9, 600, 900)
			hears(t, pcm[1], rate, 0.1, 0.9, 0, 600, 900)
			hears(t, pcm[0], rate, 1.2, 2.9, 600, 900)
			hears(t, pcm[1], rate, 1.2, 2.9, 900, 600)
		})
	}
}

func TestAPauseIsSilence(t *testing.T) {
	t.Parallel()
	s := newScene(t, FormatOpus)
	s.begin(0, pcmu, full)
	a, b := newTalker(t, pcmu, 600), newTalker(t, full, 900)
	s.say(0, time.Second, a, b)
	s.note(reel.KindPause, time.Second)
	for range 100 { // they talk on, and nobody keeps it
		a.packet()
		b.packet()
	}
	s.note(reel.KindResume, 3*time.Second)
	s.say(3*time.Second, time.Second, a, b)
	s.cut()
	file, head := s.develop()
	pcm, rate := sound(t, head.contentType, file)
	if head.duration.Round(time.Second) != 2*time.Second || head.end.Sub(head.start).Round(time.Second) != 4*time.Second {
		t.Errorf("head %+v", head)
	}
	for i, hz := range []float64{600, 900} {
		hears(t, pcm[i], rate, 0.1, 0.9, hz)
		hears(t, pcm[i], rate, 1.2, 2.9, 0, 600, 900)
		hears(t, pcm[i], rate, 3.1, 3.8, hz)
	}
	if p := head.peaks[0]; len(p) != int(4*time.Second/slotTime) && len(p) != int(4*time.Second/slotTime)-1 || p[25] < 60 || p[100] > 3 {
		t.Errorf("%d bars: %d in speech, %d in the pause", len(p), p[25], p[100])
	}
}

// What the network did to packets is undone: order, doubles, gaps; a new time line is no hole.
func TestPacketsAreWhereTheyWereSpoken(t *testing.T) {
	t.Parallel()
	s := newScene(t, FormatWAV)
	s.begin(0, pcmu)
	a := newTalker(t, pcmu, 600)
	var all [][]byte
	for range 150 {
		all = append(all, a.packet())
	}
	at := func(i int, late time.Duration) {
		s.block = reel.Append(s.block, reel.Entry{Kind: reel.KindPacket, Time: int64(boot + time.Duration(i)*slotTime + late), Data: all[i]})
	}
	for i := 0; i < 150; i += 2 {
		if i == 60 {
			continue // two are lost
		}
		at(i+1, slotTime) // overtaken
		at(i, slotTime+time.Millisecond)
		at(i, slotTime+2*time.Millisecond)
	}
	a.stamp, a.seq = 77, 9 // it has begun anew
	s.say(3*time.Second+500*time.Millisecond, time.Second, a)
	s.cut()
	file, head := s.develop()
	pcm, rate := sound(t, head.contentType, file)
	hears(t, pcm[0], rate, 0.1, 2.9, 600)
	hears(t, pcm[0], rate, 3.1, 3.4, 0, 600)
	hears(t, pcm[0], rate, 3.6, 4.4, 600)
	var power, tone float64
	part := pcm[0][800:8000]
	for _, v := range part {
		power += float64(v) * float64(v)
	}
	tone = loud(part, rate, 600, 0, 0.9)
	if noise := power/float64(len(part)) - tone*tone/2; noise > tone*tone/2/250 {
		t.Errorf("the tone stands %.1f dB over all else", 10*math.Log10(tone*tone/2/noise))
	}
}

// A party that is transferred in speaks on the channel of the one before.
func TestChangeOfLegs(t *testing.T) {
	t.Parallel()
	s := newScene(t, FormatOpus)
	s.begin(0, pcmu, full, pcmu, g722f) // tracks 2 and 3 are on channels 0 and 1
	b, d := newTalker(t, full, 900), newTalker(t, g722f, 1100)
	s.say(0, time.Second, newTalker(t, pcmu, 600), b)
	s.say(time.Second, time.Second, nil, nil, newTalker(t, pcmu, 500), d)
	s.say(2*time.Second, time.Second, nil, b, nil, d)
	s.cut()
	file, head := s.develop()
	pcm, rate := sound(t, head.contentType, file)
	hears(t, pcm[0], rate, 0.1, 0.9, 600)
	hears(t, pcm[1], rate, 1.2, 1.9, 1100, 900)
	hears(t, pcm[0], rate, 1.2, 1.9, 500, 600)
	hears(t, pcm[1], rate, 2.2, 2.9, 1100)
	hears(t, pcm[1], rate, 2.2, 2.9, 900) // two at once are mixed
}

// A process was killed: its part is torn, the next goes on; or the machine was started anew.
func TestTornParts(t *testing.T) {
	t.Parallel()
	s := newScene(t, FormatOpus)
	a := newTalker(t, full, 600)
	s.begin(0, full)
	s.say(0, time.Second, a)
	s.cut()
	raw, err := os.ReadFile(s.parts[0])
	if err != nil || os.WriteFile(s.parts[0], append(raw, "torn"...), 0o600) != nil {
		t.Fatal(err)
	}
	s.begin(1500*time.Millisecond, full)
	s.say(1500*time.Millisecond, time.Second, a)
	s.cut()
	file, head := s.develop()
	pcm, rate := sound(t, head.contentType, file)
	hears(t, pcm[0], rate, 0.1, 0.9, 600)
	hears(t, pcm[0], rate, 1.1, 1.4, 0, 600)
	hears(t, pcm[0], rate, 1.7, 2.4, 600)
	if !head.broken {
		t.Error("it counts as whole")
	}
	if _, err := Develop(&Film{Parts: nil, Key: s.key, Owner: owner}, new(memory), func() {}); !errors.Is(err, ErrEmpty) {
		t.Errorf("nothing: %v", err)
	}
}

// Another program plays what we write.
func TestFFmpegPlaysIt(t *testing.T) {
	t.Parallel()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("no ffmpeg")
	}
	s := newScene(t, FormatOpus)
	s.begin(0, pcmu, full)
	s.say(0, 3*time.Second, newTalker(t, pcmu, 600), newTalker(t, full, 900))
	s.cut()
	file, _ := s.develop()
	cmd := exec.Command(ffmpeg, "-v", "error", "-i", "-", "-f", "s16le", "-ar", "16000", "-")
	cmd.Stdin = bytes.NewReader(file)
	var faults bytes.Buffer
	cmd.Stderr = &faults
	raw, err := cmd.Output()
	if err != nil || faults.Len() > 0 {
		t.Fatalf("%v: %s", err, faults.String())
	}
	var pcm [2][]int16
	for i := 0; i+4 <= len(raw); i += 4 {
		pcm[0] = append(pcm[0], int16(binary.LittleEndian.Uint16(raw[i:])))
		pcm[1] = append(pcm[1], int16(binary.LittleEndian.Uint16(raw[i+2:])))
	}
	if len(pcm[0]) < 47000 {
		t.Fatalf("%d samples", len(pcm[0]))
	}
	hears(t, pcm[0], 16000, 0.5, 2.5, 600, 900)
	hears(t, pcm[1], 16000, 0.5, 2.5, 900, 600)
}

// Whatever a party sent, a file is made of it.
func FuzzDevelop(f *testing.F) {
	f.Add([]byte("\x80\x60\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02\x08\x00\x00"), int64(5))
	f.Add([]byte("\x90\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00"), int64(1e9))
	f.Fuzz(func(t *testing.T, p []byte, step int64) {
		s := newScene(t, FormatOpus)
		s.begin(0, full, pcmu)
		for i := range int64(8) {
			s.block = reel.Append(s.block, reel.Entry{Kind: reel.KindPacket, Track: uint8(i), Time: int64(boot) + i*(step%int64(time.Second)), Data: p})
		}
		s.cut()
		if _, err := Develop(s.film(), new(memory), func() {}); err != nil {
			t.Fatal(err)
		}
	})
}

// How much of a processor the sound of a second of a call takes.
func BenchmarkSecond(b *testing.B) {
	for _, c := range []struct {
		format string
		f      reel.Format
	}{{FormatOpus, pcmu}, {FormatOpus, full}, {FormatWAV, pcmu}} {
		b.Run(c.format+"/"+c.f.Encoding, func(b *testing.B) {
			const seconds = 20
			s := newScene(b, c.format)
			s.begin(0, c.f, c.f)
			s.say(0, seconds*time.Second, newTalker(b, c.f, 600), newTalker(b, c.f, 900))
			s.cut()
			size := 0
			for b.Loop() {
				var out memory
				if _, err := Develop(s.film(), &out, func() {}); err != nil {
					b.Fatal(err)
				}
				size = len(out)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/seconds, "µs/second")
			b.ReportMetric(float64(size)/seconds, "bytes/second")
		})
	}
}

// memory is a file in memory.
type memory []byte

func (m *memory) Write(p []byte) (int, error) { *m = append(*m, p...); return len(p), nil }

func (m *memory) WriteAt(p []byte, at int64) (int, error) { return copy((*m)[at:], p), nil }
