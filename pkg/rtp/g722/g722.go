// Package g722 is the speech codec ITU-T G.722 at 64 kbit/s: two bands of 8 kHz, each an adaptive
// differential code.
//
// Encoders and decoders keep no slice that they were given, and do not allocate. Each is for one
// goroutine.
package g722

const (
	// Rate is the samples of a second.
	Rate = 16000
	// ClockRate is the RTP ticks of a second. It is half of Rate by an old mistake that has
	// become the rule (RFC 3551 §4.5.2).
	ClockRate = 8000
)

const (
	taps  = 24  // of the filters that part and join the bands
	chunk = 320 // samples that are filtered at once: 20 ms
)

// bands is the state that both sides have.
type bands struct {
	low, high band
	window    [taps - 2 + chunk]int32 // the filter's past, and what goes through it now
}

func newBands() bands {
	return bands{low: band{scale: 32}, high: band{scale: 8}} // ITU-T G.722 table 13
}

// slide keeps the end of what went through the filter as its past.
func (b *bands) slide(n int) { copy(b.window[:taps-2], b.window[n:n+taps-2]) }

// filter runs the samples at x through both halves of the filter.
func filter(x []int32) (even, odd int32) {
	x = x[:taps]
	for i := range taps / 2 {
		even += x[2*i] * firstHalf[i]
		odd += x[2*i+1] * secondHalf[i]
	}
	return even, odd
}

// firstHalf and secondHalf are the coefficients of every other sample: the filter is symmetric, so one is
// the other backwards.
var (
	firstHalf  = halves(false)
	secondHalf = halves(true)
)

func halves(second bool) (h [taps / 2]int32) {
	for i := range h {
		at := 2 * i
		if second {
			at++
		}
		if at >= taps/2 {
			at = taps - 1 - at
		}
		h[i] = mirror[at]
	}
	return h
}

// Encoder makes the codes of samples.
type Encoder struct{ bands }

// NewEncoder returns an encoder at rest.
func NewEncoder() *Encoder { return &Encoder{newBands()} }

// Encode writes to dst, which has at least half as many bytes as there are samples, and returns how
// many it wrote. Of an odd number of samples the last is left out.
func (e *Encoder) Encode(dst []byte, samples []int16) (n int) {
	for len(samples) >= 2 {
		part := samples[:min(len(samples)&^1, chunk)]
		samples = samples[len(part):]
		for i, s := range part {
			e.window[taps-2+i] = int32(s)
		}
		for i := 0; i < len(part); i += 2 {
			even, odd := filter(e.window[i:])
			dst[n] = e.encodeHigh((odd-even)>>14)<<6 | e.encodeLow((odd+even)>>14)
			n++
		}
		e.slide(len(part))
	}
	return n
}

// encodeLow is blocks 1L to 4L.
func (e *Encoder) encodeLow(x int32) byte {
	b := &e.low
	diff := saturate(x - b.predicted)
	size := diff ^ diff>>31 // -(diff+1) below zero
	from, to := 0, len(decisionLow)
	for from < to { // the first level that is above the size
		middle := (from + to) / 2
		if size >= decisionLow[middle]*b.scale>>12 {
			from = middle + 1
		} else {
			to = middle
		}
	}
	code := codeLow(int32(from+1), diff < 0)
	difference := b.scale * levelLow4[code>>2] >> 15
	b.rescale(stepLow[code>>2], lowLimits())
	b.adapt(difference)
	return code
}

// encodeHigh is blocks 1H to 4H.
func (e *Encoder) encodeHigh(x int32) byte {
	b := &e.high
	diff := saturate(x - b.predicted)
	code := byte(3)
	if diff^diff>>31 >= decisionHigh*b.scale>>12 {
		code = 2
	}
	if diff < 0 {
		code -= 2
	}
	difference := b.scale * levelHigh[code] >> 15
	b.rescale(stepHigh[code], highLimits())
	b.adapt(difference)
	return code
}

// Decoder makes samples of codes. Any byte is a code.
type Decoder struct{ bands }

// NewDecoder returns a decoder at rest.
func NewDecoder() *Decoder { return &Decoder{newBands()} }

// Decode writes to dst, which holds at least two samples for each byte, and returns how many it wrote.
func (d *Decoder) Decode(dst []int16, codes []byte) (n int) {
	for len(codes) > 0 {
		part := codes[:min(len(codes), chunk/2)]
		codes = codes[len(part):]
		for i, c := range part {
			low, high := d.decodeLow(c&63), d.decodeHigh(c>>6)
			d.window[taps-2+2*i], d.window[taps-1+2*i] = low+high, low-high
		}
		for i := range part {
			even, odd := filter(d.window[2*i:])
			dst[n], dst[n+1] = int16(saturate(odd>>11)), int16(saturate(even>>11))
			n += 2
		}
		d.slide(2 * len(part))
	}
	return n
}

// limit is LIMIT: a band's samples have 15 bits.
func limit(x int32) int32 { return min(max(x, -16384), 16383) }

func (d *Decoder) decodeLow(code byte) int32 {
	b := &d.low
	x := limit(b.predicted + b.scale*levelLow6[code]>>15)
	difference := b.scale * levelLow4[code>>2] >> 15
	b.rescale(stepLow[code>>2], lowLimits())
	b.adapt(difference)
	return x
}

func (d *Decoder) decodeHigh(code byte) int32 {
	b := &d.high
	difference := b.scale * levelHigh[code&3] >> 15
	x := limit(b.predicted + difference)
	b.rescale(stepHigh[code&3], highLimits())
	b.adapt(difference)
	return x
}
