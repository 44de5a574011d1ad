package codec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const ms = time.Millisecond

func newDecoder(t testing.TB, s Spec) Decoder {
	t.Helper()
	d, err := NewDecoder(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newEncoder(t testing.TB, s Spec) Encoder {
	t.Helper()
	e, err := NewEncoder(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func spec(f Format, rate int) Spec { return Spec{Name: f.Name, Clock: f.Clock, Rate: rate} }

// tone is two sines in the band that all encodings carry.
func tone(rate int, n int) []int16 {
	s := make([]int16, n)
	for i := range s {
		w := 2 * math.Pi * float64(i) / float64(rate)
		s[i] = int16(8000*math.Sin(440*w) + 3000*math.Sin(1000*w))
	}
	return s
}

// clean returns how far, in dB, all but both tones is below them: a measure without delay.
func clean(s []int16, rate int) float64 {
	rest, power := make([]float64, len(s)), 0.0
	for i, v := range s {
		rest[i] = float64(v)
		power += rest[i] * rest[i]
	}
	for range 8 { // the tones are nearly, not wholly, independent
		for _, hz := range []float64{440, 1000} {
			var re, im float64
			for i, x := range rest {
				sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
				re, im = re+x*cos, im+x*sin
			}
			re, im = 2*re/float64(len(s)), 2*im/float64(len(s))
			for i := range rest {
				sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
				rest[i] -= re*cos + im*sin
			}
		}
	}
	noise := 0.0
	for _, x := range rest {
		noise += x * x
	}
	return 10 * math.Log10(power/max(noise, 1))
}

// through runs samples through an encoder and a decoder, frame by frame.
func through(t testing.TB, e Encoder, d Decoder, in []int16) (out []int16) {
	t.Helper()
	payload, frame := make([]byte, MaxPayload), make([]int16, MaxSamples(d.Rate()))
	for ; len(in) >= e.Frame(); in = in[e.Frame():] {
		n, err := e.Encode(payload, in[:e.Frame()])
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Ticks(payload[:n]); got != e.Ticks() {
			t.Fatalf("a payload of %d ticks, not %d", got, e.Ticks())
		}
		k, err := d.Decode(frame, payload[:n])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, frame[:k]...)
	}
	return out
}

// Any two legs, over any rate inside: what one says, the other hears, over 24 dB clean. Opus spends
// its bits on a wider band at 48 kHz: what went through it there has less, which no call between two
// encodings needs.
func TestAnyToAny(t *testing.T) {
	t.Parallel()
	for _, from := range Formats() {
		for _, to := range Formats() {
			for _, rate := range rates() {
				source := tone(rate, rate)
				first := through(t, newEncoder(t, spec(from, rate)), newDecoder(t, spec(from, rate)), source)
				second := through(t, newEncoder(t, spec(to, rate)), newDecoder(t, spec(to, rate)), first)
				if len(second) != len(source) {
					t.Errorf("%s to %s at %d: %d samples of %d", from.Name, to.Name, rate, len(second), len(source))
				}
				want := 24.0
				if from.Name == "opus" && rate == 48000 {
					want = 20
				}
				if db := clean(second[rate/2:], rate); db < want {
					t.Errorf("%s to %s at %d: %.1f dB", from.Name, to.Name, rate, db)
				}
			}
		}
	}
}

func TestFramesOfAllLengths(t *testing.T) {
	t.Parallel()
	for _, f := range Formats() {
		for frame := 10 * ms; frame <= 60*ms; frame += 10 * ms {
			s := spec(f, 16000)
			s.Frame = frame
			e, err := NewEncoder(s)
			if f.Name == "opus" && (frame == 30*ms || frame == 50*ms) {
				if err == nil {
					t.Errorf("opus has a frame of %v", frame)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := uint32(frame / ms * time.Duration(f.Clock) / 1000); e.Ticks() != want || e.Frame() != int(frame/ms)*16 {
				t.Errorf("%s, %v: %d ticks, %d samples", f.Name, frame, e.Ticks(), e.Frame())
			}
			if got := through(t, e, newDecoder(t, s), tone(16000, 9600)); len(got) != 9600 {
				t.Errorf("%s, %v: %d samples", f.Name, frame, len(got))
			}
		}
	}
}

func TestOpusDoesAsThePeerAsks(t *testing.T) {
	t.Parallel()
	for fmtp, want := range map[string]opusWishes{
		"":                                {rate: 48000},
		"useinbandfec=1; usedtx=1":        {rate: 48000, copies: true, dtx: true},
		"maxplaybackrate=8000;stereo=0":   {rate: 8000},
		"MaxPlaybackRate=12000":           {rate: 16000},
		"maxplaybackrate=99999;cbr":       {rate: 48000},
		"maxaveragebitrate=9000":          {rate: 48000, bitrate: 9000},
		"maxaveragebitrate=1":             {rate: 48000, bitrate: 6000},
		"maxaveragebitrate=510000":        {rate: 48000, bitrate: 40000},
		"maxaveragebitrate=x;;=;usedtx=0": {rate: 48000},
	} {
		if got := parseOpus(fmtp); got != want {
			t.Errorf("%q: %+v", fmtp, got)
		}
		e := newEncoder(t, Spec{Name: "OPUS", Clock: 48000, Rate: 48000, FMTP: fmtp})
		if _, err := e.Encode(make([]byte, MaxPayload), make([]int16, 960)); err != nil {
			t.Errorf("%q: %v", fmtp, err)
		}
	}
}

func TestWhatCannotBeTranscodedIsSaid(t *testing.T) {
	t.Parallel()
	for _, s := range []Spec{
		{Name: "G729", Clock: 8000, Rate: 8000},
		{Name: "PCMU", Clock: 16000, Rate: 8000},
		{Name: "PCMU", Clock: 8000, Rate: 44100},
	} {
		if _, err := NewDecoder(s); err == nil {
			t.Errorf("%+v is decoded", s)
		}
		if _, err := NewEncoder(s); err == nil {
			t.Errorf("%+v is encoded", s)
		}
	}
	for _, f := range Formats() {
		s := spec(f, 8000)
		s.Frame = 25 * ms
		if _, err := NewEncoder(s); err == nil {
			t.Errorf("%s has frames of 25 ms", f.Name)
		}
		if _, err := newEncoder(t, spec(f, 8000)).Encode(make([]byte, MaxPayload), make([]int16, 159)); err == nil {
			t.Errorf("%s encodes 159 samples", f.Name)
		}
		d := newDecoder(t, spec(f, 8000))
		for _, bad := range [][]byte{nil, make([]byte, 0), append([]byte{0xff, 63}, make([]byte, 4000)...)} {
			if n, err := d.Decode(make([]int16, MaxSamples(8000)), bad); err == nil || d.Ticks(bad) != 0 {
				t.Errorf("%s decodes %d bytes to %d samples", f.Name, len(bad), n)
			}
		}
	}
}

// A lossy, jittery line from each format plays on at a steady pace, and sounds like what was said.
func TestPlayoutOverABadLine(t *testing.T) {
	t.Parallel()
	for _, f := range Formats() {
		for _, rate := range rates() {
			random := rand.New(rand.NewPCG(8, 8))
			e, p := newEncoder(t, spec(f, rate)), NewPlayout(newDecoder(t, spec(f, rate)), f.Clock, 0, 0)
			in := tone(rate, 10*rate)
			type packet struct {
				sent    int
				arrival time.Duration
				payload []byte
			}
			var flying []packet
			var out []int16
			frame := make([]int16, rate/50)
			for i := range 500 {
				payload := make([]byte, MaxPayload)
				n, err := e.Encode(payload, in[i*e.Frame():(i+1)*e.Frame()])
				if err != nil {
					t.Fatal(err)
				}
				now := time.Duration(i) * 20 * ms
				if random.IntN(50) != 0 {
					flying = append(flying, packet{i, now + time.Duration(random.IntN(40))*ms, payload[:n]})
				}
				for k := 0; k < len(flying); k++ {
					if a := flying[k]; a.arrival <= now {
						p.Put(uint16(a.sent), uint32(a.sent)*e.Ticks(), a.sent == 0, a.payload, a.arrival)
						flying = append(flying[:k], flying[k+1:]...)
						k--
					}
				}
				p.Read(frame, now)
				out = append(out, frame...)
			}
			if played := p.Stats().Played; played < 465 {
				t.Errorf("%s at %d: %+v", f.Name, rate, p.Stats())
			}
			if want := level(in); level(out[rate/2:]) < .8*want || level(out[rate/2:]) > 1.1*want {
				t.Errorf("%s at %d: level %.0f, want %.0f", f.Name, rate, level(out[rate/2:]), want)
			}
		}
	}
}

func level(s []int16) float64 {
	var sum float64
	for _, x := range s {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum / float64(len(s)))
}

func TestComfortNoise(t *testing.T) {
	t.Parallel()
	p := NewPlayout(newDecoder(t, Spec{Name: "PCMU", Clock: 8000, Rate: 8000}), 8000, 0, 0)
	frame := make([]int16, 8000)
	if p.Read(frame, 0); level(frame) != 0 {
		t.Error("noise before any was asked for")
	}
	p.Noise([]byte{40, 1, 2, 3})
	if p.Read(frame, time.Second); math.Abs(level(frame)-327.68) > 15 {
		t.Errorf("noise of -40 dBov has level %.0f", level(frame))
	}
	n := NewNoise()
	if n.Payload(nil) || n.Payload([]byte{200}) || !n.Payload([]byte{0}) {
		t.Error("payloads are told apart wrongly")
	}
	n.Fill(frame) // the loudest stays in range
}

func TestNothingAllocates(t *testing.T) {
	for _, f := range Formats() {
		e, d := newEncoder(t, spec(f, 16000)), newDecoder(t, spec(f, 16000))
		p := NewPlayout(d, f.Clock, 0, 0)
		in, out, payload, i := tone(16000, 320), make([]int16, 320), make([]byte, MaxPayload), 0
		step := func() {
			n, _ := e.Encode(payload, in)
			p.Put(uint16(i), uint32(i)*e.Ticks(), false, payload[:n], time.Duration(i)*20*ms)
			p.Read(out, time.Duration(i)*20*ms)
			i++
		}
		for range 200 {
			step()
		}
		if n := testing.AllocsPerRun(100, step); n != 0 {
			t.Errorf("%s: %v allocations", f.Name, n)
		}
	}
}

func FuzzPlayout(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, []byte{0x0b, 3, 1, 2, 3})
	f.Add([]byte{}, make([]byte, 961))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, format := range Formats() {
			p, out := NewPlayout(newDecoder(t, spec(format, 8000)), format.Clock, 0, 0), make([]int16, 160)
			for i := range 12 {
				payload := first
				if i%3 == 1 {
					payload = second
				}
				p.Put(uint16(i), uint32(i)*160, i == 0, payload, time.Duration(i)*20*ms)
				p.Noise(second)
				p.Read(out, time.Duration(i)*20*ms)
			}
		}
	})
}

func BenchmarkTranscodeFrame(b *testing.B) {
	for _, from := range Formats() {
		for _, to := range Formats() {
			if from == to {
				continue
			}
			b.Run(fmt.Sprintf("%s-%s", from.Name, to.Name), func(b *testing.B) {
				rate := min(from.SampleRate, to.SampleRate)
				first, d, e := newEncoder(b, spec(from, rate)), newDecoder(b, spec(from, rate)), newEncoder(b, spec(to, rate))
				in, payload, out, pcm := tone(rate, rate/50), make([]byte, MaxPayload), make([]byte, MaxPayload), make([]int16, MaxSamples(rate))
				n, _ := first.Encode(payload, in)
				b.ReportAllocs()
				for b.Loop() {
					k, _ := d.Decode(pcm, payload[:n])
					_, _ = e.Encode(out, pcm[:k])
				}
			})
		}
	}
}
