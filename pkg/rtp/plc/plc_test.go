package plc

import (
	"math"
	"testing"
)

// voice is a periodic sound with overtones.
func voice(rate int, hz float64, n int) []int16 {
	s := make([]int16, n)
	for i := range s {
		w := 2 * math.Pi * hz * float64(i) / float64(rate)
		s[i] = int16(6000*math.Sin(w) + 3000*math.Sin(2*w+1) + 1500*math.Sin(5*w+2))
	}
	return s
}

func level(s []int16) float64 {
	var sum float64
	for _, x := range s {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum / float64(len(s)))
}

func snr(want, got []int16) float64 {
	var signal, noise float64
	for i := range want {
		signal += float64(want[i]) * float64(want[i])
		noise += math.Pow(float64(want[i])-float64(got[i]), 2)
	}
	return 10 * math.Log10(signal/max(noise, 1))
}

// The first 10 ms of a gap in a voice are the voice.
func TestAVoiceGoesOn(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{8000, 16000} {
		for _, hz := range []float64{80, 100, 125, 160, 200, 250, 400} {
			frame := rate / 50
			in := voice(rate, hz, 10*frame)
			c := New(rate)
			for i := range 8 {
				c.Good(in[i*frame : (i+1)*frame])
			}
			gap := make([]int16, frame)
			c.Conceal(gap)
			if db := snr(in[8*frame:8*frame+frame/2], gap[:frame/2]); db < 15 {
				t.Errorf("%d, %v Hz: %.1f dB", rate, hz, db)
			}
		}
	}
}

func TestAGapFadesToNothing(t *testing.T) {
	t.Parallel()
	c := New(8000)
	c.Good(voice(8000, 150, 1600))
	gap := make([]int16, 160)
	last := math.Inf(1)
	for i := range 4 {
		c.Conceal(gap)
		if now := level(gap); now > last*1.01 {
			t.Errorf("frame %d is louder than the one before", i)
		} else {
			last = now
		}
	}
	if last != 0 {
		t.Errorf("after 60 ms the level is %.0f", last)
	}
}

// Neither end of the gap clicks: no step is greater than the steepest of the voice and a little more.
func TestNoClicks(t *testing.T) {
	t.Parallel()
	in := voice(8000, 137, 1600)
	steepest := 0.0
	for i := 1; i < len(in); i++ {
		steepest = max(steepest, math.Abs(float64(in[i])-float64(in[i-1])))
	}
	c := New(8000)
	out := append([]int16{}, in[:800]...)
	c.Good(out[:800])
	gap := make([]int16, 160)
	for range 3 {
		c.Conceal(gap)
		out = append(out, gap...)
	}
	back := append([]int16{}, in[1280:]...)
	c.Good(back)
	out = append(out, back...)
	for i := 1; i < len(out); i++ {
		if d := math.Abs(float64(out[i]) - float64(out[i-1])); d > 1.4*steepest {
			t.Errorf("a step of %.0f at %d, steepest %.0f", d, i, steepest)
		}
	}
	if db := snr(in[1312:], out[1312:]); db < 100 && level(in[1312:]) > 0 {
		for i := 1312; i < 1600; i++ {
			if in[i] != out[i] {
				t.Fatalf("sample %d behind the blend is changed", i)
			}
		}
	}
}

func TestNothingCameYet(t *testing.T) {
	t.Parallel()
	c, frame := New(16000), []int16{1, 2, 3}
	if c.Conceal(frame); level(frame) != 0 {
		t.Error("noise before the first sample")
	}
	c.Good(make([]int16, 5000)) // more than it keeps
	c.Good(nil)
}

func TestNoAllocation(t *testing.T) {
	c, frame := New(8000), voice(8000, 120, 160)
	if n := testing.AllocsPerRun(100, func() { c.Good(frame); c.Conceal(frame) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkConcealFrame(b *testing.B) {
	c, frame, gap := New(8000), voice(8000, 120, 160), make([]int16, 160)
	b.ReportAllocs()
	for b.Loop() {
		c.Good(frame)
		c.Conceal(gap)
	}
}
