// Package transcode speaks to parties in what they understand: it makes another party's speech, or the
// box's own sounds, into packets of a party's format, and carries key presses between all ways of telling
// them.
package transcode

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// frameTime is the time of a frame: what a line makes at a turn.
const frameTime = 20 * time.Millisecond

// Out is what is spoken to a party.
type Out struct {
	Voice ctl.MediaFormat
	Ptime time.Duration // of a packet
	Keys  int           // payload type of telephone events of the voice's clock, -1 for none (RFC 4733)
	Clock uint32        // of Keys
}

// way is how a codec of the box goes with RTP.
type way struct {
	rate  int    // of the samples that lines work with
	clock uint32 // of timestamps
}

// wayOf returns how the box speaks a format, if it can.
func wayOf(f *ctl.MediaFormat) (way, bool) {
	switch strings.ToLower(f.Encoding) {
	case "pcmu", "pcma":
		return way{rate: 8000, clock: 8000}, f.ClockRate == 8000 && f.Channels <= 1
	case "g722": // its clock is 8000 by an old mistake (RFC 3551 §4.5.2)
		return way{rate: 16000, clock: 8000}, f.ClockRate == 8000 && f.Channels <= 1
	case "opus": // RFC 7587 §4.1; speech is wideband
		return way{rate: 16000, clock: 48000}, f.ClockRate == 48000
	}
	return way{}, false
}

// isKeys reports whether a format is telephone events, isNoise whether it is comfort noise (RFC 3389).
func isKeys(f *ctl.MediaFormat) bool  { return strings.EqualFold(f.Encoding, "telephone-event") }
func isNoise(f *ctl.MediaFormat) bool { return strings.EqualFold(f.Encoding, "CN") }

// Ptimes that we speak in; another is rounded down to whole frames.
const (
	usualPtime   = 20 * time.Millisecond
	longestPtime = 60 * time.Millisecond
)

// Speech returns how to speak to a party that takes these formats, ok is false if the box can speak none
// of them.
func Speech(said *ctl.MediaStream) (out Out, ok bool) {
	out = Out{Keys: -1, Ptime: usualPtime}
	for i := range said.Formats {
		if _, ok = wayOf(&said.Formats[i]); ok {
			out.Voice = said.Formats[i]
			break
		}
	}
	if !ok {
		return out, false
	}
	if p := time.Duration(said.Ptime) * time.Millisecond; p > frameTime {
		out.Ptime = min(p/frameTime*frameTime, longestPtime)
	}
	for i := range said.Formats { // those of the voice's clock go before (RFC 4733 §2.1)
		f := &said.Formats[i]
		if isKeys(f) && (out.Keys < 0 || f.ClockRate == out.Voice.ClockRate && out.Clock != out.Voice.ClockRate) {
			out.Keys, out.Clock = int(f.PayloadType), f.ClockRate
		}
	}
	return out, true
}

// Plan is how media goes from one party to another.
type Plan struct {
	Transcode bool
	From      string // encodings, if transcoded
	To        string
}

// Told returns what a party sends: what it was told that we take, or else what it takes itself.
func Told(said *ctl.MediaStream) []ctl.MediaFormat {
	if len(said.Told) > 0 {
		return said.Told
	}
	return said.Formats
}

// PlanOf decides how audio goes from a party to another. It is transcoded only if the parties share no
// codec; what they share passes.
func PlanOf(from, to *ctl.MediaStream) Plan {
	told := Told(from)
	var speaks string
	for i := range told {
		f := &told[i]
		if !isKeys(f) && !isNoise(f) && slices.ContainsFunc(to.Formats, func(o ctl.MediaFormat) bool { return equal(f, &o) }) {
			return Plan{}
		}
		if _, ok := wayOf(f); ok && speaks == "" {
			speaks = f.Encoding
		}
	}
	out, hears := Speech(to)
	if speaks == "" || !hears {
		return Plan{}
	}
	return Plan{Transcode: true, From: speaks, To: out.Voice.Encoding}
}

func equal(a, b *ctl.MediaFormat) bool {
	return strings.EqualFold(a.Encoding, b.Encoding) && a.ClockRate == b.ClockRate && max(a.Channels, 1) == max(b.Channels, 1)
}

// TakesKeys reports whether a party takes telephone events.
func TakesKeys(said *ctl.MediaStream) bool {
	return said != nil && slices.ContainsFunc(said.Formats, func(f ctl.MediaFormat) bool { return isKeys(&f) })
}

// errFormat is of a format that the box has no codec for.
func errFormat(f *ctl.MediaFormat) error {
	return fmt.Errorf("no codec for %.40s/%d", f.Encoding, f.ClockRate)
}
