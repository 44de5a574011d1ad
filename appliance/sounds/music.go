package main

import (
	"math"

	"github.com/coraltele/sanchar/pkg/media/sound"
)

// The hold music is a slow broken chord over four bars, sixteen times with small changes. It is soft and
// has few partials, so that narrow codecs carry it without growling.
const (
	beat     = sound.Rate / 2 // samples: 120 notes a minute
	rounds   = 8
	level    = 2600 // of a note; four sound at once at most
	fadeTime = 1.1  // seconds in which a note falls to a third
)

// bars are the notes of a round, in half tones from A at 220 Hz.
var bars = [][]int{
	{-9, -2, 3, 7, 3, -2, 3, 7},
	{-12, -5, 0, 3, 7, 3, 0, 3},
	{-4, 3, 8, 12, 8, 3, 8, 12},
	{-2, 5, 10, 14, 10, 5, 2, 5},
}

// compose returns the samples of the music.
func compose() []int16 {
	mix := make([]float64, (rounds*len(bars)*8+4)*beat)
	at := 0
	for round := range rounds {
		for _, bar := range bars {
			for i, note := range bar {
				if (round+i)%4 == 3 { // each round sings its own way
					note += 12
				}
				ring(mix[at:], 220*math.Pow(2, float64(note)/12))
				at += beat
			}
		}
	}
	out := make([]int16, len(mix))
	for i, v := range mix {
		out[i] = int16(min(max(v, -16000), 16000))
	}
	return out
}

// ring adds a note that was struck.
func ring(mix []float64, hz float64) {
	const attack = sound.Rate / 100
	n := min(len(mix), 4*sound.Rate)
	for i := range n {
		t := float64(i) / sound.Rate
		loud := level * math.Exp(-t/fadeTime) * min(1, float64(i)/attack) * min(1, float64(n-i)/attack)
		mix[i] += loud * (math.Sin(2*math.Pi*hz*t) + 0.25*math.Sin(4*math.Pi*hz*t) + 0.08*math.Sin(6*math.Pi*hz*t))
	}
}
