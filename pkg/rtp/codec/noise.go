package codec

import "math"

// Noise makes comfort noise, so that a line on which nothing is sent does not seem dead.
type Noise struct {
	level  float64
	random uint32
}

// overload is the level of the loudest code of comfort noise, in dBov (RFC 3389 §3.1).
const overload = 127

// NewNoise returns a source of silence.
func NewNoise() *Noise { return &Noise{random: 1} }

// Payload takes in a packet of comfort noise. Its level counts; its spectrum, which is optional, does
// not (RFC 3389 §3.2). It reports whether it was one.
func (n *Noise) Payload(p []byte) bool {
	if len(p) == 0 || p[0] > overload { // the highest bit is reserved
		return false
	}
	n.level = 32768 * math.Pow(10, -float64(p[0])/20)
	return true
}

// Fill makes samples.
func (n *Noise) Fill(samples []int16) {
	peak := min(n.level*math.Sqrt(3), 32767) // of an even distribution of this mean power
	for i := range samples {
		n.random = n.random*1664525 + 1013904223
		samples[i] = int16(peak * (float64(n.random>>8)/(1<<23) - 1))
	}
}
