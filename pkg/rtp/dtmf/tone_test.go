package dtmf

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/rtp/g711"
)

// pair makes two sines in samples, each at a level in dBm0 and off its frequency by a share.
type pair struct {
	event            Event
	rowOff, colOff   float64
	rowDBm, colDBm   float64
	on, off          time.Duration
	breakAt, breakBy time.Duration
}

func (p pair) samples(rate int, lead int) []int16 {
	row, column := p.event.at()
	n := func(d time.Duration) int { return int(math.Round(d.Seconds() * float64(rate))) }
	out := make([]int16, lead+n(p.on)+n(p.off))
	for i := range n(p.on) {
		if at := n(p.breakAt); i >= at && i < at+n(p.breakBy) {
			continue
		}
		w := 2 * math.Pi * float64(i) / float64(rate)
		out[lead+i] = int16(peak(p.rowDBm)*math.Sin(w*rows[row]*(1+p.rowOff)) + peak(p.colDBm)*math.Sin(w*columns[column]*(1+p.colOff)))
	}
	return out
}

func detect(rate int, samples []int16) *heard {
	h := &heard{}
	d := NewDetector(rate, h.report)
	for len(samples) > 0 {
		n := min(len(samples), rate/50)
		d.Samples(samples[:n])
		samples = samples[n:]
	}
	d.Samples(make([]int16, rate/10))
	d.Finish()
	return h
}

func keysOf(h *heard) (s string) {
	for _, p := range h.presses {
		if p.Ended {
			s += p.Event.String()
		}
	}
	return s
}

const ms = time.Millisecond

// What ITU-T Q.24 wants known is known and what it wants refused is refused, whatever the key, and
// wherever a block begins.
func TestLimitsOfQ24(t *testing.T) {
	t.Parallel()
	plain := pair{rowDBm: -12, colDBm: -10, on: 40 * ms, off: 40 * ms}
	with := func(change func(*pair)) pair { p := plain; change(&p); return p }
	for name, c := range map[string]struct {
		p     pair
		known bool
	}{
		"plain":                 {plain, true},
		"1.5 % up":              {with(func(p *pair) { p.rowOff, p.colOff = .015, .015 }), true},
		"1.5 % down":            {with(func(p *pair) { p.rowOff, p.colOff = -.015, -.015 }), true},
		"1.5 % apart":           {with(func(p *pair) { p.rowOff, p.colOff, p.on = -.015, .015, 65*ms }), true},
		"row 3.5 % up":          {with(func(p *pair) { p.rowOff, p.on = .035, 100*ms }), false},
		"row 3.5 % down":        {with(func(p *pair) { p.rowOff, p.on = -.035, 100*ms }), false},
		"column 3.5 % up":       {with(func(p *pair) { p.colOff, p.on = .035, 100*ms }), false},
		"column 3.5 % down":     {with(func(p *pair) { p.colOff, p.on = -.035, 100*ms }), false},
		"weak":                  {with(func(p *pair) { p.rowDBm, p.colDBm = -25, -25 }), true},
		"too weak":              {with(func(p *pair) { p.rowDBm, p.colDBm = -29.5, -29.5 }), false},
		"loud":                  {with(func(p *pair) { p.rowDBm, p.colDBm = -3, -3 }), true},
		"column 4 dB louder":    {with(func(p *pair) { p.rowDBm, p.colDBm = -14, -10 }), true},
		"row 8 dB louder":       {with(func(p *pair) { p.rowDBm, p.colDBm = -6, -14 }), true},
		"column 9 dB louder":    {with(func(p *pair) { p.rowDBm, p.colDBm, p.on = -15, -6, 100*ms }), false},
		"row 13 dB louder":      {with(func(p *pair) { p.rowDBm, p.colDBm, p.on = -4, -17, 100*ms }), false},
		"21 ms":                 {with(func(p *pair) { p.on = 21 * ms }), false},
		"10 ms break in a tone": {with(func(p *pair) { p.on, p.breakAt, p.breakBy = 100*ms, 45*ms, 10*ms }), true},
	} {
		for e := range Event(Events) {
			for lead := 0; lead < 102; lead += 6 {
				c.p.event = e
				want := ""
				if c.known {
					want = e.String()
				}
				if got := keysOf(detect(8000, c.p.samples(8000, lead))); got != want {
					t.Errorf("%s: key %v at %d: %q", name, e, lead, got)
				}
			}
		}
	}
}

func TestKeysInARow(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{8000, 16000, 48000} {
		var samples []int16
		want := "1123*#ABCD998870456"
		for i := range len(want) {
			e, _ := ParseEvent(want[i])
			samples = append(samples, pair{event: e, rowDBm: -11, colDBm: -9, on: 40 * ms, off: 40 * ms}.samples(rate, 0)...)
		}
		if got := keysOf(detect(rate, samples)); got != want {
			t.Errorf("at %d: %s", rate, got)
		}
	}
}

// What the box makes, it knows; through G.711, and with noise 20 dB below.
func TestOwnTonesAreKnown(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for _, rate := range []int{8000, 16000, 48000} {
		g, all, want := NewGenerator(rate), []int16{}, ""
		for e := range Event(Events) {
			want += fmt.Sprintf("%v ", e)
			g.Press(e)
			on := make([]int16, rate/10)
			g.Fill(on)
			g.Release()
			off := make([]int16, rate/10)
			g.Fill(off)
			if off[rate/20] != 0 {
				t.Fatal("the tone does not end")
			}
			all = append(append(all, on...), off...)
		}
		for i := range all {
			all[i] += int16(random.NormFloat64() * 10000 * 0.1 / 1.4)
		}
		codes := make([]byte, len(all))
		g711.EncodeMu(codes, all)
		g711.DecodeMu(all, codes)
		h, got := detect(rate, all), ""
		for _, p := range h.presses {
			if p.Ended {
				got += fmt.Sprintf("%v ", p.Event)
				if p.Duration < 75*ms || p.Duration > 125*ms {
					t.Errorf("%v took %v", p.Event, p.Duration)
				}
			}
		}
		if got != want {
			t.Errorf("at %d: %s", rate, got)
		}
	}
}

// A voice is a tone with its multiples that never stands still. Four minutes of such, over pitches of
// men, women and children, and of noise, press no key.
func TestVoicesPressNoKey(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	h := &heard{}
	d := NewDetector(8000, h.report)
	frame := make([]int16, 800)
	for range 4 * 600 {
		pitch, glide := 80+random.Float64()*320, 1+(random.Float64()-.5)*.2
		formants := [3]float64{250 + random.Float64()*600, 850 + random.Float64()*1500, 2000 + random.Float64()*1200}
		for i := range frame {
			x := float64(i) / 8000
			w := 2 * math.Pi * pitch * (x + (glide-1)*x*x*5)
			v := random.NormFloat64() * 150
			for k := 1.0; k*pitch < 3600; k++ {
				a := 0.05
				for _, f := range formants {
					a += 1 / (1 + math.Pow((k*pitch-f)/90, 2))
				}
				v += 4000 * a * math.Sin(k*w+k*k)
			}
			frame[i] = int16(min(max(v, -32768), 32767))
		}
		d.Samples(frame)
	}
	if len(h.presses) > 0 {
		t.Errorf("%d presses: %v", len(h.presses), keysOf(h))
	}
}

func TestDetectorDoesNotAllocate(t *testing.T) {
	d, g, samples := NewDetector(8000, func(Press) {}), NewGenerator(8000), make([]int16, 160)
	g.Press(5)
	if n := testing.AllocsPerRun(100, func() { g.Fill(samples); d.Samples(samples) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDetectFrame(b *testing.B) {
	d, g, samples := NewDetector(8000, func(Press) {}), NewGenerator(8000), make([]int16, 160)
	g.Press(5)
	g.Fill(samples)
	b.ReportAllocs()
	for b.Loop() {
		d.Samples(samples)
	}
}
