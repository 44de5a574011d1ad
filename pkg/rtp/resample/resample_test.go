package resample

import (
	"math"
	"slices"
	"strconv"
	"testing"
)

func newResampler(t testing.TB, from, to int) *Resampler {
	t.Helper()
	r, err := New(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sine(rate int, hz, amplitude float64, n int) []int16 {
	s := make([]int16, n)
	for i := range s {
		s[i] = int16(math.Round(amplitude * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
	}
	return s
}

func run(r *Resampler, in []int16, frame int) []int16 {
	out := make([]int16, r.Len(len(in))+len(in)/frame+1)
	n := 0
	for part := range slices.Chunk(in, frame) {
		n += r.Resample(out[n:], part)
	}
	return out[:n]
}

// fit finds the sine of this frequency in samples, and returns its amplitude and how far, in dB, all
// the rest is below it.
func fit(s []int16, rate int, hz float64) (amplitude, snr float64) {
	var cc, ss, cs, xc, xs, xx float64
	for i, v := range s {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
		x := float64(v)
		cc, ss, cs, xc, xs, xx = cc+cos*cos, ss+sin*sin, cs+cos*sin, xc+x*cos, xs+x*sin, xx+x*x
	}
	det := cc*ss - cs*cs
	a, b := (xc*ss-xs*cs)/det, (xs*cc-xc*cs)/det
	power := a*xc + b*xs
	return math.Hypot(a, b), 10 * math.Log10(power/max(xx-power, 1e-9))
}

func pairs() (all [][2]int) {
	for _, from := range rates() {
		for _, to := range rates() {
			all = append(all, [2]int{from, to})
		}
	}
	return all
}

// In the band both rates have, a sine comes out as it went in, and nothing else does.
func TestInBand(t *testing.T) {
	t.Parallel()
	for _, p := range pairs() {
		nyquist := float64(min(p[0], p[1])) / 2
		for _, share := range []float64{.02, .1, .25, .5, .75, .85} {
			hz := share * nyquist
			r := newResampler(t, p[0], p[1])
			out := run(r, sine(p[0], hz, 20000, p[0]), p[0]/50)
			if len(out) != p[1] {
				t.Errorf("%v: %d samples", p, len(out))
			}
			amplitude, snr := fit(out[p[1]/5:], p[1], hz)
			if math.Abs(20*math.Log10(amplitude/20000)) > .1 || snr < 70 {
				t.Errorf("%v at %.0f Hz: amplitude %.0f, %.1f dB", p, hz, amplitude, snr)
			}
		}
	}
}

// What the lower rate cannot have does not come back as something else.
func TestNoAlias(t *testing.T) {
	t.Parallel()
	for _, p := range pairs() {
		if p[0] <= p[1] {
			continue
		}
		for hz := 1.01 * float64(p[1]) / 2; hz < .98*float64(p[0])/2; hz *= 1.17 {
			out := run(newResampler(t, p[0], p[1]), sine(p[0], hz, 20000, p[0]), p[0]/50)
			loud := 0.0
			for _, v := range out[p[1]/5:] {
				loud = max(loud, math.Abs(float64(v)))
			}
			if db := 20 * math.Log10(max(loud, 1)/20000); db > -60 {
				t.Errorf("%v: %.0f Hz leaks with %.1f dB", p, hz, db)
			}
		}
	}
}

func TestLevelStaysExact(t *testing.T) {
	t.Parallel()
	for _, p := range pairs() {
		for _, level := range []int16{0, 1, -1, 32767, -32768} {
			in := slices.Repeat([]int16{level}, p[0]/10)
			out := run(newResampler(t, p[0], p[1]), in, p[0]/100)
			for i, v := range out[p[1]/50:] {
				if v != level {
					t.Fatalf("%v: sample %d of %d is %d", p, i, level, v)
				}
			}
		}
	}
}

// However a stream is cut, the same samples come out.
func TestAnyCutIsTheSame(t *testing.T) {
	t.Parallel()
	for _, p := range pairs() {
		in := sine(p[0], 700, 9000, 4*p[0]/50)
		whole := run(newResampler(t, p[0], p[1]), in, len(in))
		for _, frame := range []int{1, 7, 53, 160, 961} {
			if got := run(newResampler(t, p[0], p[1]), in, frame); !slices.Equal(got, whole) {
				t.Errorf("%v in parts of %d differs", p, frame)
			}
		}
	}
}

func TestOtherRatesAreRefused(t *testing.T) {
	t.Parallel()
	for _, p := range [][2]int{{0, 8000}, {8000, 44100}, {-8000, 8000}} {
		if _, err := New(p[0], p[1]); err == nil {
			t.Errorf("%v is resampled", p)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	r, in, out := newResampler(t, 48000, 8000), make([]int16, 960), make([]int16, 160)
	if n := testing.AllocsPerRun(100, func() { r.Resample(out, in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFrame(b *testing.B) {
	for _, p := range pairs() {
		if p[0] == p[1] {
			continue
		}
		b.Run(strconv.Itoa(p[0])+"-"+strconv.Itoa(p[1]), func(b *testing.B) {
			r, in, out := newResampler(b, p[0], p[1]), sine(p[0], 500, 9000, p[0]/50), make([]int16, p[1]/50)
			b.ReportAllocs()
			for b.Loop() {
				r.Resample(out, in)
			}
		})
	}
}
