package sound

import (
	"math"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/tone"
)

// Limits of what is asked to be played.
const (
	maxSounds = 64 // the longest announcement: a number, a time and a text
	maxVolume = 30 // dB either way
)

// Player gives sounds one after another. It is for one goroutine.
type Player struct {
	parts []part
	at    int
	gain  int32 // 256 is as it is
}

// part is one sound.
type part interface {
	// fill makes the next samples and returns how many. Fewer than asked for are the last.
	fill(samples []int16) int
}

// NewPlayer returns a player of sounds. It reads files: not to be called where others wait.
func (l *Library) NewPlayer(in *ctl.MediaPlay, plan tone.Plan) (*Player, error) {
	if len(in.Sounds) > maxSounds {
		return nil, fault("sounds", strconv.Itoa(len(in.Sounds)), "at most 64 sounds", "play the rest when these have ended")
	}
	if in.Volume < -maxVolume || in.Volume > maxVolume {
		return nil, fault("volume", strconv.Itoa(in.Volume), "-30 to 30 dB", "leave it out for the usual loudness")
	}
	p := &Player{gain: int32(math.Round(256 * math.Pow(10, float64(in.Volume)/20)))}
	for i := range in.Sounds {
		one, err := l.part(&in.Sounds[i], in.Language, plan, i)
		if err != nil {
			return nil, err
		}
		p.parts = append(p.parts, one)
	}
	return p, nil
}

func fault(path, value, rule, cure string) error {
	return problem.Fields("media.request", []problem.Fault{{Path: path, Value: value, Rule: rule, Cure: cure}})
}

func (l *Library) part(s *ctl.MediaSound, language string, plan tone.Plan, at int) (part, error) {
	path := "sounds[" + strconv.Itoa(at) + "]"
	switch {
	case s.Prompt != "":
		clip, err := l.Prompt(language, s.Prompt)
		return &clipPart{clip: clip, loop: s.Loop}, err
	case s.Music != "":
		clip, err := l.Music(s.Music)
		return &clipPart{clip: clip, loop: s.Loop}, err
	case s.Tone != "":
		segments, ok := cadence(plan, s.Tone)
		if !ok {
			return nil, fault(path+".tone", s.Tone[:min(len(s.Tone), maxName)], "one of the tones that there are", "use ringback, busy, congestion, unobtainable, waiting, hold, dial, record or beep")
		}
		return newTone(segments, s.Loop), nil
	case s.Silence != 0 || s.Loop:
		return newTone([]tone.Segment{{For: max(time.Duration(s.Silence)*time.Millisecond, time.Millisecond)}}, s.Loop), nil
	}
	return nil, fault(path, "", "a prompt, a tone, music or silence", "name what to play")
}

// Beep is the tone that asks to speak, or tells that the call is recorded: short, so that nobody's words
// are lost in it.
func Beep() []tone.Segment { return []tone.Segment{{Hz: 1400, For: 250 * time.Millisecond}} }

// cadence returns the tone of a name.
func cadence(plan tone.Plan, name string) ([]tone.Segment, bool) {
	kind, ok := map[string]tone.Kind{
		"dial": tone.Dial, "ringback": tone.Ringback, "busy": tone.Busy, "congestion": tone.Congestion,
		"unobtainable": tone.Unobtainable, "waiting": tone.CallWaiting, "hold": tone.Hold, "record": tone.Record,
	}[name]
	switch {
	case name == "beep":
		return Beep(), true
	case !ok:
		return nil, false
	}
	return tone.Cadence(plan, kind), true
}

// Read makes the next frame, with silence where the sounds end within it. It reports false when they had
// ended before.
func (p *Player) Read(frame []int16) bool {
	n := 0
	for n < len(frame) && p.at < len(p.parts) {
		if got := p.parts[p.at].fill(frame[n:]); got < len(frame)-n {
			p.at++
			n += got
		} else {
			n = len(frame)
		}
	}
	clear(frame[n:])
	if p.gain != 256 {
		amplify(frame[:n], p.gain)
	}
	return n > 0
}

// Skip leaves out a time, as a player that begins later does.
func (p *Player) Skip(d time.Duration) {
	frame := make([]int16, Rate/50)
	for ; d > 0 && p.Read(frame); d -= 20 * time.Millisecond { //nolint:revive // Read does the work
	}
}

func amplify(frame []int16, gain int32) {
	for i, v := range frame {
		frame[i] = int16(min(max(int32(v)*gain>>8, math.MinInt16), math.MaxInt16))
	}
}

// clipPart is a sound from a file.
type clipPart struct {
	clip []int16
	at   int
	loop bool
}

func (c *clipPart) fill(samples []int16) (n int) {
	for n < len(samples) {
		got := copy(samples[n:], c.clip[c.at:])
		n += got
		c.at += got
		if c.at < len(c.clip) {
			continue
		}
		if !c.loop || len(c.clip) == 0 {
			return n
		}
		c.at = 0
	}
	return n
}

// tonePart is a round of a cadence, or all of them.
type tonePart struct {
	tone *tone.Generator
	left int // samples; negative: for ever
}

func newTone(segments []tone.Segment, loop bool) *tonePart {
	t := &tonePart{tone: tone.New(segments, Rate), left: -1}
	if !loop {
		t.left = int(tone.Length(segments) * Rate / time.Second)
	}
	return t
}

func (t *tonePart) fill(samples []int16) int {
	if t.left >= 0 {
		samples = samples[:min(len(samples), t.left)]
		t.left -= len(samples)
	}
	t.tone.Fill(samples)
	return len(samples)
}
