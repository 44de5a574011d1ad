package tone

import (
	"math"
	"testing"
	"time"
)

// level returns the amplitude of one frequency in samples.
func level(samples []int16, rate int, hz float64) float64 {
	var re, im float64
	for i, s := range samples {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
		re += float64(s) * cos
		im += float64(s) * sin
	}
	return 2 * math.Hypot(re, im) / float64(len(samples))
}

// sineAmplitude is that of -10 dBm0.
const sineAmplitude = 7217

// Each segment of each tone has its frequency at its level, or nothing, for its time.
func TestCadencesAreHeard(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{8000, 16000, 48000} {
		for p := range plans {
			for k := range kinds {
				segments := Cadence(p, k)
				g := New(segments, rate)
				round := make([]int16, 2*Length(segments)*time.Duration(rate)/time.Second)
				for frame := 0; frame < len(round); frame += 160 {
					g.Fill(round[frame:min(len(round), frame+160)])
				}
				checkRound(t, segments, round, rate)
				checkRound(t, segments, round[len(round)/2:], rate)
			}
		}
	}
}

func checkRound(t *testing.T, segments []Segment, samples []int16, rate int) {
	t.Helper()
	for i, s := range segments {
		n := int(Length([]Segment{s}) * time.Duration(rate) / time.Second)
		part := samples[:n]
		samples = samples[n:]
		want := sineAmplitude * 1.0
		if s.Modulate > 0 {
			want = 0
			if up := level(part, rate, s.Hz+s.Modulate); math.Abs(up-sineAmplitude/2) > 300 {
				t.Errorf("segment %d of %v at %d: %.0f in the upper band", i, segments, rate, up)
			}
		}
		if s.Hz == 0 {
			for _, v := range part {
				if v != 0 {
					t.Fatalf("segment %d of %v at %d is not silent", i, segments, rate)
				}
			}
		} else if got := level(part, rate, s.Hz); math.Abs(got-want) > 0.06*sineAmplitude {
			t.Errorf("segment %d of %v at %d: level %.0f, want %.0f", i, segments, rate, got, want)
		}
	}
}

// ITU-T E.180 bounds cadences: ringback 0.67-1.5 s on and 3-5 s off, busy and congestion alike in
// their halves, a period of busy 0.3-1.1 s, recording 350-500 ms each 15±3 s.
func TestITUTonesKeepTheBounds(t *testing.T) {
	t.Parallel()
	within := func(what string, d, low, high time.Duration) {
		if d < low || d > high {
			t.Errorf("%s takes %v, not %v to %v", what, d, low, high)
		}
	}
	ring := Cadence(ITU, Ringback)
	within("ring", ring[0].For, 670*ms, 1500*ms)
	within("pause", ring[1].For, 3*time.Second, 5*time.Second)
	within("busy", Length(Cadence(ITU, Busy)), 300*ms, 1100*ms)
	within("record beep", Cadence(ITU, Record)[0].For, 350*ms, 500*ms)
	within("record", Length(Cadence(ITU, Record)), 12*time.Second, 18*time.Second)
	if Length(Cadence(ITU, Congestion)) >= Length(Cadence(ITU, Busy)) {
		t.Error("congestion is not faster than busy")
	}
}

func TestEdgesDoNotClick(t *testing.T) {
	t.Parallel()
	samples := make([]int16, 8000*2)
	New(Cadence(ITU, Busy), 8000).Fill(samples)
	for i := 1; i < len(samples); i++ { // the steepest place of the sine itself is 2400
		if d := int(samples[i]) - int(samples[i-1]); d > 2500 || d < -2500 {
			t.Fatalf("a step of %d at %d", d, i)
		}
	}
	if samples[8000/2-1] != 0 {
		t.Errorf("the tone ends at %d", samples[8000/2-1])
	}
}

func TestPlansByName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Plan{"": ITU, "itu": ITU, "india": India} {
		if p, err := ParsePlan(name); p != want || err != nil {
			t.Errorf("%q is %v, %v", name, p, err)
		}
	}
	if _, err := ParsePlan("mars"); err == nil {
		t.Error("mars has tones")
	}
	samples := []int16{1, 1}
	if New(Cadence(plans, kinds), 8000).Fill(samples); samples[0] != 0 || samples[1] != 0 {
		t.Error("an unknown tone is heard")
	}
}

func BenchmarkFrame(b *testing.B) {
	g := New(Cadence(India, Dial), 8000)
	samples := make([]int16, 160)
	b.ReportAllocs()
	for b.Loop() {
		g.Fill(samples)
	}
}
