package sound

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/g722"
	"github.com/coraltele/sanchar/pkg/rtp/tone"
	"github.com/coraltele/sanchar/pkg/rtp/wav"
)

// sine is a second of a tone.
func sine(hz float64) []int16 {
	out := make([]int16, Rate)
	for i := range out {
		out[i] = int16(8000 * math.Sin(2*math.Pi*hz*float64(i)/Rate))
	}
	return out
}

// power measures one frequency.
func power(samples []int16, hz float64) float64 {
	var re, im float64
	for i, v := range samples {
		a := 2 * math.Pi * hz * float64(i) / Rate
		re, im = re+float64(v)*math.Cos(a), im+float64(v)*math.Sin(a)
	}
	return 2 * math.Hypot(re, im) / float64(len(samples))
}

func put(t *testing.T, dir, name string, samples []int16) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(name) == ".g722" {
		codes := make([]byte, len(samples)/2)
		g722.NewEncoder().Encode(codes, samples)
		if err := os.WriteFile(path, codes, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := wav.NewWriter(f, wav.Format{Encoding: wav.L16, Rate: Rate, Channels: 1})
	if err == nil {
		err = w.Samples(samples)
	}
	if err == nil {
		err = w.Finish(f)
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
}

// library has texts of 300 (en) and 600 Hz (hi), and the admin's own welcome of 900 Hz.
func library(t *testing.T) *Library {
	t.Helper()
	own, box := t.TempDir(), t.TempDir()
	put(t, box, "en/welcome.g722", sine(1200))
	put(t, box, "en/goodbye.g722", sine(300))
	put(t, box, "hi/goodbye.g722", sine(600))
	put(t, box, "music/default.g722", sine(440))
	put(t, own, "en/welcome.wav", sine(900))
	return NewLibrary(own, box)
}

func play(t *testing.T, l *Library, in ctl.MediaPlay) *Player {
	t.Helper()
	p, err := l.NewPlayer(&in, tone.India)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// listen reads at most so long.
func listen(p *Player, d time.Duration) (all []int16) {
	frame := make([]int16, Rate/50)
	for range d / (20 * time.Millisecond) {
		if !p.Read(frame) {
			return all
		}
		all = append(all, frame...)
	}
	return all
}

func TestLanguages(t *testing.T) {
	t.Parallel()
	l := library(t)
	for _, c := range []struct {
		language, prompt string
		hz               float64
	}{
		{"en", "goodbye", 300},
		{"hi", "goodbye", 600},
		{"hi", "welcome", 900}, // not in Hindi; the admin's own goes before the box's
		{"", "welcome", 900},
		{"../hi", "goodbye", 300},
	} {
		p := play(t, l, ctl.MediaPlay{Language: c.language, Sounds: []ctl.MediaSound{{Prompt: c.prompt}}})
		if got := listen(p, time.Minute); len(got) != Rate || power(got, c.hz) < 7000 {
			t.Errorf("%+v: %d samples, %.0f of %.0f Hz", c, len(got), power(got, c.hz), c.hz)
		}
	}
	if !l.Whole() || NewLibrary(t.TempDir()).Whole() {
		t.Error("it does not know what is missing")
	}
}

func TestSoundsFollowEachOther(t *testing.T) {
	t.Parallel()
	p := play(t, library(t), ctl.MediaPlay{Sounds: []ctl.MediaSound{
		{Prompt: "goodbye"}, {Silence: 500}, {Tone: "beep"}, {Music: "default", Loop: true},
	}})
	got := listen(p, 10*time.Second)
	if len(got) != 10*Rate {
		t.Fatalf("%d samples", len(got))
	}
	for _, c := range []struct {
		from, to float64 // seconds
		hz       float64
		want     bool
	}{{0, 1, 300, true}, {1, 1.5, 300, false}, {1, 1.5, 1400, false}, {1.5, 1.75, 1400, true}, {1.8, 9.9, 440, true}} {
		if part := got[int(c.from*Rate):int(c.to*Rate)]; (power(part, c.hz) > 3000) != c.want {
			t.Errorf("%v: %.0f", c, power(part, c.hz))
		}
	}
}

func TestTonesEndAfterARound(t *testing.T) {
	t.Parallel()
	l := library(t)
	if got := listen(play(t, l, ctl.MediaPlay{Sounds: []ctl.MediaSound{{Tone: "busy"}}}), time.Minute); len(got) != 3*Rate/2 {
		t.Errorf("busy has %d samples", len(got))
	}
	if got := listen(play(t, l, ctl.MediaPlay{Sounds: []ctl.MediaSound{{Tone: "ringback", Loop: true}}}), time.Minute); len(got) != 60*Rate {
		t.Errorf("ringback has %d samples", len(got))
	}
	if got := listen(play(t, l, ctl.MediaPlay{Sounds: []ctl.MediaSound{{Loop: true}}}), time.Minute); len(got) != 60*Rate || power(got, 0) != 0 {
		t.Errorf("silence has %d samples", len(got))
	}
}

func TestVolume(t *testing.T) {
	t.Parallel()
	l := library(t)
	for volume, want := range map[int]float64{0: 8000, -6: 4000, 6: 16000} {
		p := play(t, l, ctl.MediaPlay{Volume: volume, Sounds: []ctl.MediaSound{{Prompt: "goodbye"}}})
		if got := power(listen(p, time.Minute), 300); math.Abs(got/want-1) > 0.05 {
			t.Errorf("%d dB: %.0f", volume, got)
		}
	}
	p := play(t, l, ctl.MediaPlay{Volume: 30, Sounds: []ctl.MediaSound{{Prompt: "goodbye"}}})
	for i, v := range listen(p, time.Minute)[100:5000] { // it is clipped and does not wrap
		if s := math.Sin(2 * math.Pi * 300 * float64(i+100-22) / Rate); math.Abs(s) > 0.5 && (s > 0) != (v > 0) {
			t.Fatalf("sample %d is %d", i, v)
		}
	}
}

func TestSkip(t *testing.T) {
	t.Parallel()
	p := play(t, library(t), ctl.MediaPlay{Sounds: []ctl.MediaSound{{Prompt: "goodbye"}, {Tone: "beep"}}})
	p.Skip(time.Second)
	if got := listen(p, time.Minute); len(got) > Rate/2 || power(got, 1400) < 3000 {
		t.Errorf("%d samples are left", len(got))
	}
	p.Skip(time.Hour)
}

func TestWhatCannotBePlayed(t *testing.T) {
	t.Parallel()
	l := library(t)
	for name, c := range map[string]struct {
		play ctl.MediaPlay
		kind problem.Kind
	}{
		"no such prompt":  {ctl.MediaPlay{Sounds: []ctl.MediaSound{{Prompt: "none"}}}, problem.Missing},
		"a path":          {ctl.MediaPlay{Sounds: []ctl.MediaSound{{Prompt: "../en/goodbye"}}}, problem.Missing},
		"no such music":   {ctl.MediaPlay{Sounds: []ctl.MediaSound{{Music: "none"}}}, problem.Missing},
		"no such tone":    {ctl.MediaPlay{Sounds: []ctl.MediaSound{{Tone: "none"}}}, problem.Invalid},
		"nothing":         {ctl.MediaPlay{Sounds: []ctl.MediaSound{{}}}, problem.Invalid},
		"too many sounds": {ctl.MediaPlay{Sounds: make([]ctl.MediaSound, maxSounds+1)}, problem.Invalid},
		"too loud":        {ctl.MediaPlay{Volume: maxVolume + 1}, problem.Invalid},
	} {
		if _, err := l.NewPlayer(&c.play, tone.ITU); !problem.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheLibraryForgetsWhatIsOld(t *testing.T) {
	t.Parallel()
	l := NewLibrary()
	for _, key := range []string{"a", "b", "a", "c"} {
		l.keep(key, make([]int16, maxKept/2))
		l.mu.Lock()
		l.touchLocked(key)
		l.mu.Unlock()
	}
	if l.kept["b"] != nil || l.kept["a"] == nil || l.kept["c"] == nil || l.size != maxKept {
		t.Errorf("kept %d sounds of %d samples", len(l.kept), l.size)
	}
}

func BenchmarkRead(b *testing.B) {
	p := &Player{gain: 200, parts: []part{&clipPart{clip: make([]int16, Rate), loop: true}}}
	frame := make([]int16, Rate/50)
	b.ReportAllocs()
	for b.Loop() {
		p.Read(frame)
	}
}
