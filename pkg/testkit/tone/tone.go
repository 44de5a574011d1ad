// Package tone makes WAV files of one tone for test phones to play, and finds tones in what other
// phones recorded.
package tone

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	rate      = 8000  // of the files we write, which every phone plays
	loudness  = 16384 // amplitude of a tone, half of full scale
	headerLen = 44    // of a WAV file as we and the phones write it
)

// Write makes a WAV file of one tone: 8 kHz, 16 bits, one channel.
func Write(path string, hz float64, length time.Duration) error {
	n := int(length.Seconds() * rate)
	var b bytes.Buffer
	b.WriteString("RIFF")
	word := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&b, binary.LittleEndian, v) // a buffer takes all
		}
	}
	word(uint32(headerLen - 8 + 2*n))
	b.WriteString("WAVEfmt ")
	word(uint32(16), uint16(1), uint16(1), uint32(rate), uint32(2*rate), uint16(2), uint16(16))
	b.WriteString("data")
	word(uint32(2 * n))
	for i := range n {
		word(int16(loudness * math.Sin(2*math.Pi*hz*float64(i)/rate)))
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}

// Sound is what a phone has recorded: samples of one channel.
type Sound struct {
	Rate    int
	Samples []int16
}

// Read reads a WAV file that may still be written: its length is that of the file, whatever its
// header says, and without a header, which some phones write last, it has one channel at rate. A
// file that is not there yet is an empty sound.
func Read(path string, rate int) (s Sound, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(data) < headerLen) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	channels := 1
	s.Rate = rate
	if header := data[:headerLen]; string(header[:4]) == "RIFF" {
		channels = int(binary.LittleEndian.Uint16(header[22:]))
		s.Rate = int(binary.LittleEndian.Uint32(header[24:]))
		if binary.LittleEndian.Uint16(header[34:]) != 16 || channels < 1 {
			return s, fmt.Errorf("%s: not a WAV file of 16 bits", path)
		}
	}
	for body := data[headerLen:]; len(body) >= 2*channels; body = body[2*channels:] {
		s.Samples = append(s.Samples, int16(binary.LittleEndian.Uint16(body))) //nolint:gosec // the sign is the top bit
	}
	return s, nil
}

// Length is how long the sound is.
func (s Sound) Length() time.Duration {
	if s.Rate == 0 {
		return 0
	}
	return time.Duration(len(s.Samples)) * time.Second / time.Duration(s.Rate)
}

// From returns what comes after a time.
func (s Sound) From(start time.Duration) Sound {
	skip := int(start.Seconds() * float64(s.Rate))
	return Sound{s.Rate, s.Samples[min(skip, len(s.Samples)):]}
}

// The rule of a clean tone: loud, alone, and for long enough to be no accident.
const (
	Loud    = 8000             // amplitude at least
	Share   = 0.01             // of another tone at most
	Window  = time.Second / 2  // in which both are looked at
	Windows = 3                // that follow each other
	Enough  = Windows * Window // of clean sound
)

// Clean reports whether the sound has the wanted tone loud, without the others, in enough windows
// that follow each other. Windows start anywhere, since a call does.
func (s Sound) Clean(want float64, others ...float64) bool {
	run, size := 0, int(Window.Seconds()*float64(s.Rate))
	for at := 0; size > 0 && at+size <= len(s.Samples); {
		if !windowClean(s.Samples[at:at+size], s.Rate, want, others) {
			run = 0
			at += size / 10
			continue
		}
		if run++; run == Windows {
			return true
		}
		at += size
	}
	return false
}

func windowClean(samples []int16, rate int, want float64, others []float64) bool {
	loud := amplitude(samples, rate, want)
	return loud > Loud && !slices.ContainsFunc(others, func(hz float64) bool {
		return amplitude(samples, rate, hz) > Share*loud
	})
}

// heardIn is how long the pieces are in which Heard looks for a tone.
const heardIn = Window / 5

// Heard returns how much of the sound has a tone.
func (s Sound) Heard(hz float64) (d time.Duration) {
	size := int(heardIn.Seconds() * float64(s.Rate))
	for at := 0; size > 0 && at+size <= len(s.Samples); at += size {
		if amplitude(s.Samples[at:at+size], s.Rate, hz) > Loud {
			d += heardIn
		}
	}
	return d
}

// SNR compares the sound with a pure tone of the phase and loudness that fit it best, and returns the
// ratio of the tone to all the rest in dB: that of the worst window of the best Enough of sound.
func (s Sound) SNR(hz float64) float64 {
	best, size := 0.0, int(Window.Seconds()*float64(s.Rate))
	for at := 0; size > 0 && at+Windows*size <= len(s.Samples); at += size / 10 {
		worst := math.Inf(1)
		for i := range Windows {
			worst = min(worst, snr(s.Samples[at+i*size:at+(i+1)*size], s.Rate, hz))
		}
		best = max(best, worst)
	}
	return best
}

// snr fits a sine to samples, whose windows hold whole periods: sine and cosine do not disturb each other.
func snr(samples []int16, rate int, hz float64) float64 {
	var sin, cos, all float64
	for i, v := range samples {
		x, at := float64(v), 2*math.Pi*hz*float64(i)/float64(rate)
		sin, cos, all = sin+x*math.Sin(at), cos+x*math.Cos(at), all+x*x
	}
	tone := 2 * (sin*sin + cos*cos) / float64(len(samples))
	if all <= tone {
		return 0 // silence, or nothing but the tone, which no codec leaves
	}
	return 10 * math.Log10(tone/(all-tone))
}

// Silent reports whether the sound is long enough and none of the tones is in any of its windows.
func (s Sound) Silent(tones ...float64) bool {
	size := int(Window.Seconds() * float64(s.Rate))
	if size == 0 || len(s.Samples) < Windows*size {
		return false
	}
	for at := 0; at+size <= len(s.Samples); at += size {
		for _, hz := range tones {
			if amplitude(s.Samples[at:at+size], s.Rate, hz) > Share*Loud {
				return false
			}
		}
	}
	return true
}

// Describe tells how loud the tones are, window by window, for a test that failed.
func (s Sound) Describe(tones ...float64) string {
	var b strings.Builder
	size := int(Window.Seconds() * float64(s.Rate))
	fmt.Fprintf(&b, "%s at %d Hz:", s.Length(), s.Rate)
	for at := 0; size > 0 && at+size <= len(s.Samples); at += size {
		for i, hz := range tones {
			fmt.Fprintf(&b, "%c%.0f", " /"[min(i, 1)], amplitude(s.Samples[at:at+size], s.Rate, hz))
		}
	}
	return b.String()
}

// amplitude measures one frequency with Goertzel's algorithm.
func amplitude(samples []int16, rate int, hz float64) float64 {
	w := 2 * math.Pi * hz / float64(rate)
	k, s1, s2 := 2*math.Cos(w), 0.0, 0.0
	for _, v := range samples {
		s1, s2 = float64(v)+k*s1-s2, s1
	}
	power := s1*s1 + s2*s2 - k*s1*s2
	return 2 * math.Sqrt(max(power, 0)) / float64(len(samples))
}
