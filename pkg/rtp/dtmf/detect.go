package dtmf

import (
	"math"
	"time"
)

// What a detector knows and refuses, after ITU-T Q.24 annex A (the strictest of the columns of the table
// where they differ).
const (
	// MinLevel is the weakest tone that is known, in dBm0. The table has tones of -25 and more known,
	// and of -29 and less refused.
	MinLevel = -27
	// MaxTwist and MaxReverseTwist are by how many dB the column may be louder than the row, and
	// the row than the column.
	MaxTwist        = 4
	MaxReverseTwist = 8
	// MaxOffset is by how much a frequency may be off: 1.5 % is known, 3.5 % refused.
	MaxOffset = 0.025
)

const (
	// slack widens the limits of twist for noise and for what the block does to tones off the middle.
	slack = 2.5
	// share is how much of a block's power both tones must have as the filters see them: tones 1.5 % off
	// have more, those 3.5 % off less. purity is how much when it is known by how much they are off:
	// speech has less, and so has a tone that does not fill the block.
	share  = 0.65
	purity = 0.87
	// sure is the purity, as a mean of two blocks, of a press. Less is a press when a third block agrees.
	sure = 0.93
	// lone is by how much a tone must be above the others of its group, as a ratio of powers (6 dB).
	lone = 4
	// harmonic is how much power a tone may have at its double, as a share of its own: voices have more.
	harmonic = 0.25
	// steady is by how much a tone's power may change between its first two blocks (2.5 dB).
	steady = 1.8

	// blockSeconds is the length of a block, 102 samples at 8 kHz: 40 ms always hold two, and tones of a
	// group are a whole turn apart in it.
	blockSeconds = 0.01275
	resolution   = 1 / blockSeconds // in hertz, of the filters
	misses       = 3                // blocks that end a press: a break of 10 ms touches two, a pause of 40 ms three
)

// Detector finds the tones of keys in samples. It is for one goroutine and does not allocate.
type Detector struct {
	report func(Press)
	block  []float32
	filled int
	tones  [8]resonator // rows, then columns
	double [8]resonator
	level  float64 // power of the weakest tone

	last    spot // of the block before
	agreed  int  // blocks that followed on the one before them
	pressed bool
	event   Event
	blocks  int // since the press began
	missed  int // without it, in a row
}

// spot is what a block was found to hold.
type spot struct {
	ok               bool
	event            Event
	row, col         float64 // phases
	low, high, total float64 // powers: of row, column and all
}

// resonator is Goertzel's filter of one frequency.
type resonator struct {
	hz       float64
	cos, sin float64
	turn     float64 // by which the phase moves on in a block
}

// NewDetector returns a detector of samples at a rate of 8000 or more, which calls report from within
// Samples.
func NewDetector(rate int, report func(Press)) *Detector {
	d := &Detector{report: report, block: make([]float32, int(math.Round(blockSeconds*float64(rate))))}
	for i := range 4 {
		d.tones[i], d.tones[4+i] = newResonator(rows[i], rate, len(d.block)), newResonator(columns[i], rate, len(d.block))
	}
	for i, tone := range d.tones {
		d.double[i] = newResonator(2*tone.hz, rate, len(d.block))
	}
	d.level = math.Pow(peak(MinLevel), 2) / 2
	return d
}

func newResonator(hz float64, rate, block int) resonator {
	w := 2 * math.Pi * hz / float64(rate)
	return resonator{hz: hz, cos: math.Cos(w), sin: math.Sin(w), turn: w * float64(block)}
}

// run returns the real and imaginary part of the block at the frequency.
func (r resonator) run(block []float32) (re, im float64) {
	var s1, s2 float64
	k := 2 * r.cos
	for _, x := range block {
		s1, s2 = float64(x)+k*s1-s2, s1
	}
	return s1*r.cos - s2, s1 * r.sin
}

// power is that of a sine that makes re and im.
func (d *Detector) power(re, im float64) float64 {
	n := float64(len(d.block))
	return 2 * (re*re + im*im) / (n * n)
}

// Samples takes samples in. It keeps no part of the slice.
func (d *Detector) Samples(samples []int16) {
	for _, s := range samples {
		d.block[d.filled] = float32(s)
		if d.filled++; d.filled == len(d.block) {
			d.filled = 0
			d.judge(d.look())
		}
	}
}

// look finds what key, if any, the block holds.
func (d *Detector) look() (s spot) {
	var total float64
	for _, x := range d.block {
		total += float64(x) * float64(x)
	}
	if total /= float64(len(d.block)); total < 2*d.level {
		return s
	}
	var power, phase [8]float64
	for i, tone := range d.tones {
		re, im := tone.run(d.block)
		power[i], phase[i] = d.power(re, im), math.Atan2(im, re)
	}
	row, rowAlone := loudest(power[:4])
	col, colAlone := loudest(power[4:])
	low, high := power[row], power[4+col]
	switch twist := 10 * math.Log10(high/low); {
	case low < d.level || high < d.level || !rowAlone || !colAlone:
	case low+high < share*total:
	case twist > MaxTwist+slack || twist < -MaxReverseTwist-slack:
	case d.voiced(row, low, col) || d.voiced(4+col, high, col):
	default:
		event, _ := ParseEvent(keys[4*row+col])
		return spot{true, event, phase[row], phase[4+col], low, high, total}
	}
	return s
}

// loudest returns the place of the most power, and whether it is far above the rest.
func loudest(power []float64) (at int, alone bool) {
	for i, p := range power {
		if p > power[at] {
			at = i
		}
	}
	for i, p := range power {
		if i != at && p*lone > power[at] {
			return at, false
		}
	}
	return at, true
}

// voiced reports whether a tone has as much of its double as a voice has. Where the column is too near
// to that of a row it hides it.
func (d *Detector) voiced(tone int, power float64, column int) bool {
	if math.Abs(d.double[tone].hz-columns[column]) < 2*resolution {
		return false
	}
	return d.power(d.double[tone].run(d.block)) > harmonic*power
}

// judge moves the press on by a block.
func (d *Detector) judge(s spot) {
	before := d.last
	d.last = s
	if d.pressed {
		d.blocks++
		if s.ok && s.event == d.event {
			d.missed = 0
			return
		}
		if d.missed++; d.missed < misses {
			return
		}
		d.pressed = false
		d.tell(true, d.blocks-misses)
	}
	pure, steady := d.follows(before, s)
	if d.agreed++; !steady {
		d.agreed = 0
	}
	if d.agreed > 1 || (steady && pure > sure) {
		d.pressed, d.event, d.blocks, d.missed = true, s.event, d.agreed+1, 0
		d.agreed = 0
		d.tell(false, d.blocks)
	}
}

// follows reports whether two blocks hold one steady key whose frequencies are true, and how pure they
// are in the mean.
func (d *Detector) follows(a, b spot) (pure float64, ok bool) {
	first, second := a.low+a.high, b.low+b.high
	if !a.ok || !b.ok || a.event != b.event || first > steady*second || second > steady*first {
		return 0, false
	}
	row, column := b.event.at()
	lowOff, lowSeen := d.offset(d.tones[row], b.row-a.row)
	highOff, highSeen := d.offset(d.tones[4+column], b.col-a.col)
	pureA, pureB := (a.low/lowSeen+a.high/highSeen)/a.total, (b.low/lowSeen+b.high/highSeen)/b.total
	return (pureA + pureB) / 2, max(lowOff, highOff) <= MaxOffset && min(pureA, pureB) > purity
}

// offset measures by which share a tone is off, by how far its phase has moved in a block, and how much
// of its power the filter sees then. What is so far off that the phase comes round again has failed by
// its power.
func (d *Detector) offset(tone resonator, moved float64) (off, seen float64) {
	turn := math.Remainder(moved-tone.turn, 2*math.Pi)
	if half := turn / 2; half != 0 {
		seen = math.Pow(math.Sin(half)/half, 2)
	} else {
		seen = 1
	}
	return math.Abs(turn) / tone.turn, seen
}

func (d *Detector) tell(ended bool, blocks int) {
	d.report(Press{Event: d.event, Ended: ended, Duration: time.Duration(float64(blocks) * blockSeconds * float64(time.Second))})
}

// Finish ends a press that the samples ended in.
func (d *Detector) Finish() {
	if d.pressed {
		d.pressed = false
		d.tell(true, d.blocks-d.missed)
	}
}
