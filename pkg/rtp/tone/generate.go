package tone

import (
	"math"
	"time"
)

// levelDBm0 is how loud tones are at their mean (ITU-T E.180 §3.5: -10 dBm0).
const levelDBm0 = -10

// overloadDBm0 is the level of a sine that just reaches the end of the range (ITU-T G.711 §4).
const overloadDBm0 = 3.14

// rampLength is the time in which a tone comes and goes, so that its edges don't click.
const rampLength = 4 * time.Millisecond

// Generator makes the samples of a cadence. It is for one goroutine, and does not allocate.
type Generator struct {
	rate     int
	segments []Segment
	at       int     // of the segment
	left     int64   // samples that are left of it, -1 for no end
	done     int64   // samples of it that were made
	phase    float64 // of the tone, in radians
	swell    float64 // of the modulation
}

// New returns a generator of the segments, which it reads and does not change, at a rate of samples a
// second. Frequencies from half the rate on are silence.
func New(segments []Segment, rate int) *Generator {
	g := &Generator{rate: rate, segments: segments}
	g.enter(0)
	return g
}

// samplesFor returns how many samples a time takes, at least one, so that every segment moves on.
func (g *Generator) samplesFor(d time.Duration) int64 {
	if d == forever {
		return -1
	}
	return max(1, int64(d)*int64(g.rate)/int64(time.Second))
}

func (g *Generator) enter(at int) {
	g.at, g.done, g.phase, g.swell = at, 0, 0, 0
	g.left = g.samplesFor(g.segments[at].For)
}

// Fill makes the next len(samples) samples.
func (g *Generator) Fill(samples []int16) {
	for len(samples) > 0 {
		n := len(samples)
		if g.left >= 0 {
			n = int(min(int64(n), g.left))
		}
		g.fillSegment(samples[:n])
		samples = samples[n:]
		if g.left == 0 {
			g.enter((g.at + 1) % len(g.segments))
		}
	}
}

func (g *Generator) fillSegment(samples []int16) {
	s := g.segments[g.at]
	if s.Hz <= 0 || 2*s.Hz >= float64(g.rate) {
		clear(samples)
		g.advance(len(samples))
		return
	}
	step, swellStep := 2*math.Pi*s.Hz/float64(g.rate), 2*math.Pi*s.Modulate/float64(g.rate)
	amplitude := 32768 * math.Pow(10, (levelDBm0-overloadDBm0)/20)
	for i := range samples {
		v := amplitude * math.Sin(g.phase) * g.ramp()
		if s.Modulate > 0 {
			v *= math.Cos(g.swell) // 400*25 is the product of both (ITU-T E.180 §1.4)
			g.swell = wrap(g.swell + swellStep)
		}
		samples[i] = int16(v)
		g.phase = wrap(g.phase + step)
		g.advance(1)
	}
}

func wrap(phase float64) float64 {
	if phase >= 2*math.Pi {
		phase -= 2 * math.Pi
	}
	return phase
}

func (g *Generator) advance(n int) {
	g.done += int64(n)
	if g.left > 0 {
		g.left -= int64(n)
	}
}

// ramp is how much of the tone is heard here, near its edges less than all.
func (g *Generator) ramp() float64 {
	near := g.done
	if g.left >= 0 {
		near = min(near, g.left-1)
	}
	return min(1, float64(near)/float64(g.samplesFor(rampLength)))
}

// Length is the time of a whole round of the cadence; of one that does not end, a second.
func Length(segments []Segment) (total time.Duration) {
	for _, s := range segments {
		if s.For == forever {
			return time.Second
		}
		total += s.For
	}
	return total
}
