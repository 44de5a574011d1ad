// Package tone makes the tones that tell a caller how his call goes: ringback, busy, congestion and
// others, in the cadences of a country.
package tone

import (
	"fmt"
	"math"
	"time"
)

// Kind is what a tone says.
type Kind uint8

// The kinds (ITU-T E.180 §2 to §13, ITU-T E.182).
const (
	Dial Kind = iota
	Ringback
	Busy
	Congestion
	Unobtainable // no such number
	CallWaiting
	Hold   // beep to a party on hold without music
	Record // beep that tells that the call is recorded

	kinds
)

// Plan is whose tones are made.
type Plan uint8

// The plans.
const (
	ITU   Plan = iota // what ITU-T E.180 recommends to all
	India             // national tones, as the annex of ITU-T E.180 lists them

	plans
)

// ParsePlan reads the name of a plan.
func ParsePlan(name string) (Plan, error) {
	switch name {
	case "", "itu":
		return ITU, nil
	case "india":
		return India, nil
	}
	return 0, fmt.Errorf("tone plan is %q: it must be itu or india", name)
}

// Segment is a part of a cadence: a tone, or silence without one.
type Segment struct {
	Hz       float64
	Modulate float64 // frequency that the tone swells with, 0 for none
	For      time.Duration
}

// forever is a segment that does not end.
const forever = time.Duration(math.MaxInt64)

// Cadence returns the segments of a tone, which follow each other in a circle. They are one slice for
// all: it is read only.
func Cadence(p Plan, k Kind) []Segment {
	if p >= plans || k >= kinds {
		return silence
	}
	return cadences[p][k]
}

// Frequencies in hertz.
const (
	ituHz    = 425  // ITU-T E.180 §3.1
	indiaHz  = 400  // of all Indian tones
	swellHz  = 25   // of the Indian tones written 400*25
	recordHz = 1400 // ITU-T E.180 §12
)

const ms = time.Millisecond

// silence is the cadence of a tone that there is none of.
var silence = []Segment{off(time.Second)}

var cadences = [plans][kinds][]Segment{
	ITU: {
		Dial:         {on(ituHz, forever)},
		Ringback:     {on(ituHz, time.Second), off(4 * time.Second)},
		Busy:         {on(ituHz, 500*ms), off(500 * ms)},
		Congestion:   {on(ituHz, 250*ms), off(250 * ms)},
		Unobtainable: {on(950, 330*ms), on(1400, 330*ms), on(1800, 330*ms), off(time.Second)}, // special information tone
		CallWaiting:  {on(ituHz, 200*ms), off(600 * ms), on(ituHz, 200*ms), off(3 * time.Second)},
		Hold:         {on(ituHz, 150*ms), off(9850 * ms)},
		Record:       {on(recordHz, 400*ms), off(14600 * ms)},
	},
	India: {
		Dial:         {swell(forever)},
		Ringback:     {swell(400 * ms), off(200 * ms), swell(400 * ms), off(2 * time.Second)},
		Busy:         {on(indiaHz, 750*ms), off(750 * ms)},
		Congestion:   {on(indiaHz, 250*ms), off(250 * ms)},
		Unobtainable: {on(indiaHz, 2800*ms), off(200 * ms)},
		CallWaiting:  {on(indiaHz, 200*ms), off(100 * ms), on(indiaHz, 200*ms), off(7500 * ms)},
		Hold:         {on(indiaHz, 150*ms), off(9850 * ms)},
		Record:       {on(recordHz, 400*ms), off(14600 * ms)},
	},
}

func on(hz float64, d time.Duration) Segment { return Segment{Hz: hz, For: d} }
func off(d time.Duration) Segment            { return Segment{For: d} }
func swell(d time.Duration) Segment          { return Segment{Hz: indiaHz, Modulate: swellHz, For: d} }
