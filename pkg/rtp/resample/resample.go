// Package resample changes the rate of samples between those of the codecs: 8, 16 and 48 kHz.
package resample

import (
	"fmt"
	"math"
	"slices"
)

// The filter: a windowed sinc in as many phases as the rates need.
const (
	// zeroCrossings is how many of the sinc's, on each side, the filter has; its delay is so many samples
	// of the lower rate.
	zeroCrossings = 32
	// cutoff is the middle of the filter's slope, as a share of half the lower rate. With the slope that the
	// window gives, all below 0.85 of that half passes and all above it is 60 dB down.
	cutoff = 0.92
	// beta is the Kaiser window's, for 75 dB.
	beta = 7.4
)

func rates() []int { return []int{8000, 16000, 48000} }

// Resampler changes a stream's rate. It keeps the past that its filter needs, and no slice that it was
// given; it does not allocate. It is for one goroutine.
type Resampler struct {
	up, down int         // out of down samples come up
	phases   [][]float32 // of the filter, each oldest sample first; nil where the rates are equal
	history  []float32   // the past, then what is filtered now
	phase    int         // of the next sample out
	skip     int         // samples in that the next sample out is ahead of
}

// chunk is how many samples are filtered at once: 20 ms at the highest rate.
const chunk = 960

// New returns a resampler from one rate to the other.
func New(from, to int) (*Resampler, error) {
	for _, rate := range []int{from, to} {
		if !slices.Contains(rates(), rate) {
			return nil, fmt.Errorf("resample from %d to %d: a rate must be one of %v", from, to, rates())
		}
	}
	g := gcd(from, to)
	r := &Resampler{up: to / g, down: from / g}
	if r.up != r.down {
		r.phases = design(r.up, r.down)
		r.history = make([]float32, len(r.phases[0])-1+chunk)
	}
	return r, nil
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// design computes the filter at the rate that both divide, and parts it into phases. Each phase is made to
// add up to 1, so that silence, and any level, stays exactly what it is.
func design(up, down int) [][]float32 {
	wide := max(up, down) // samples at the common rate between two zero crossings of the sinc
	half := zeroCrossings * wide
	taps := (2*half + up - 1) / up
	phases := make([][]float32, up)
	for p := range phases {
		phases[p] = make([]float32, taps)
		sum := 0.0
		for i := range taps {
			sum += kernel(float64(p+i*up-half), float64(wide), float64(half))
		}
		for i := range taps {
			phases[p][taps-1-i] = float32(kernel(float64(p+i*up-half), float64(wide), float64(half)) / sum)
		}
	}
	return phases
}

// kernel is the windowed sinc at x samples off its middle.
func kernel(x, wide, half float64) float64 {
	if math.Abs(x) >= half {
		return 0
	}
	window := bessel(beta*math.Sqrt(1-x*x/(half*half))) / bessel(beta)
	if x == 0 {
		return window
	}
	y := math.Pi * cutoff * x / wide
	return window * math.Sin(y) / y
}

// bessel is the modified Bessel function of the first kind and order 0.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-12; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}

// Len returns how many samples Resample writes for n, at most: one fewer where n is no multiple of what
// the rates share.
func (r *Resampler) Len(n int) int { return (n*r.up + r.down - 1) / r.down }

// Resample writes in at the other rate to dst, which has room for Len(len(in)), and returns how many
// samples it wrote.
func (r *Resampler) Resample(dst, in []int16) (n int) {
	if r.phases == nil {
		return copy(dst, in)
	}
	past := len(r.phases[0]) - 1
	for len(in) > 0 {
		part := in[:min(len(in), chunk)]
		in = in[len(part):]
		for i, s := range part {
			r.history[past+i] = float32(s)
		}
		n += r.filter(dst[n:], len(part))
		copy(r.history[:past], r.history[len(part):])
	}
	return n
}

// filter makes what can be made of so many new samples.
func (r *Resampler) filter(dst []int16, fresh int) (n int) {
	at, phase := r.skip, r.phase
	for at < fresh {
		taps := r.phases[phase]
		window := r.history[at : at+len(taps)]
		dst[n] = round(dot(taps, window))
		n++
		phase += r.down
		at += phase / r.up
		phase %= r.up
	}
	r.skip, r.phase = at-fresh, phase
	return n
}

// dot is the sum of products, in four parts that a processor works on side by side.
func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i := range a {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

func round(x float32) int16 {
	if x < 0 {
		x -= 0.5
	} else {
		x += 0.5
	}
	return int16(min(max(x, -32768), 32767))
}
