// Package plc conceals what was lost of speech: it goes on with the last period of the voice and fades it
// out, as ITU-T G.711 appendix I does, for codecs that cannot do so themselves.
package plc

import "time"

// Bounds of what is taken for a voice's period: 66 to 400 Hz.
const (
	minPeriod = 2500 * time.Microsecond
	maxPeriod = 15 * time.Millisecond
)

const (
	// loudFor is how long a gap is filled at full level, and fadeFor how long it fades then: sounds rarely
	// last longer, and what goes on hums.
	loudFor = 10 * time.Millisecond
	fadeFor = 50 * time.Millisecond
	// blendFor is how long what comes back is mixed with what was made up.
	blendFor = 4 * time.Millisecond
)

// Concealer fills gaps in a stream of samples. It keeps no slice that it was given, and does not allocate. It
// is for one goroutine.
type Concealer struct {
	rate    int
	history []int16 // the newest samples, oldest first
	cycle   []int16 // the period that is repeated
	period  int     // its length
	at      int     // the next sample of it
	made    int     // samples of this gap, 0 for no gap
}

// New returns a concealer at a rate of samples a second.
func New(rate int) *Concealer {
	longest := samples(maxPeriod, rate)
	return &Concealer{rate: rate, history: make([]int16, 3*longest), cycle: make([]int16, longest)}
}

func samples(d time.Duration, rate int) int { return int(int64(d) * int64(rate) / int64(time.Second)) }

// Good takes in samples that came. The first ones behind a gap are changed in place, so that they
// follow on what was made up.
func (c *Concealer) Good(frame []int16) {
	if c.made > 0 {
		n := min(samples(blendFor, c.rate), len(frame))
		for i := range n {
			frame[i] = int16((int(c.next())*(n-i) + int(frame[i])*i) / n)
		}
		c.made = 0
	}
	c.remember(frame)
}

// Conceal fills frame with what might have been.
func (c *Concealer) Conceal(frame []int16) {
	if c.made == 0 {
		c.start()
	}
	for i := range frame {
		frame[i] = c.next()
	}
	c.remember(frame)
}

func (c *Concealer) remember(frame []int16) {
	if over := len(frame) - len(c.history); over > 0 {
		frame = frame[over:]
	}
	copy(c.history, c.history[len(frame):])
	copy(c.history[len(c.history)-len(frame):], frame)
}

// next makes a sample.
func (c *Concealer) next() int16 {
	loud, fade := samples(loudFor, c.rate), samples(fadeFor, c.rate)
	left := fade - max(0, c.made-loud)
	c.made++
	if left <= 0 {
		return 0
	}
	s := c.cycle[c.at]
	if c.at++; c.at == c.period {
		c.at = 0
	}
	return int16(int(s) * left / fade)
}

// start finds the period, and mixes its end with what came before its start, so that it joins itself.
func (c *Concealer) start() {
	c.period, c.at = c.findPeriod(), 0
	end := len(c.history)
	copy(c.cycle, c.history[end-c.period:])
	blend := c.period / 4
	for i := range blend {
		at := c.period - blend + i
		before := int(c.history[end-2*c.period+at])
		c.cycle[at] = int16((int(c.cycle[at])*(blend-i) + before*i) / blend)
	}
}

// findPeriod returns the shift at which the newest samples are most alike to what was before them: the
// greatest normalized correlation over the longest period.
func (c *Concealer) findPeriod() int {
	shortest, longest := samples(minPeriod, c.rate), samples(maxPeriod, c.rate)
	newest := c.history[len(c.history)-longest:]
	best, bestScore := longest, 0.0
	for shift := shortest; shift <= longest; shift++ {
		before := c.history[len(c.history)-longest-shift:][:longest]
		var product, energy int64
		for i, s := range newest {
			product += int64(s) * int64(before[i])
			energy += int64(before[i]) * int64(before[i])
		}
		if product <= 0 || energy == 0 {
			continue
		}
		// The square keeps the order. A much longer shift must be clearly better, or it is a multiple.
		score := float64(product) / float64(energy) * float64(product)
		if near := 2*shift < 3*best; score > bestScore*1.02 || (near && score > bestScore) {
			best, bestScore = shift, score
		}
	}
	return best
}
