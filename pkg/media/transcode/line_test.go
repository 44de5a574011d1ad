package transcode

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/media/sound"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/dtmf"
	"github.com/coraltele/sanchar/pkg/rtp/header"
	"github.com/coraltele/sanchar/pkg/rtp/tone"
)

// Formats of test phones.
var (
	pcmu  = ctl.MediaFormat{PayloadType: 0, Encoding: "PCMU", ClockRate: 8000}
	pcma  = ctl.MediaFormat{PayloadType: 8, Encoding: "PCMA", ClockRate: 8000}
	wide  = ctl.MediaFormat{PayloadType: 9, Encoding: "G722", ClockRate: 8000}
	full  = ctl.MediaFormat{PayloadType: 96, Encoding: "opus", ClockRate: 48000, Channels: 2}
	keys  = ctl.MediaFormat{PayloadType: 101, Encoding: "telephone-event", ClockRate: 8000}
	keys2 = ctl.MediaFormat{PayloadType: 97, Encoding: "telephone-event", ClockRate: 48000}
	noise = ctl.MediaFormat{PayloadType: 13, Encoding: "CN", ClockRate: 8000}
	g729  = ctl.MediaFormat{PayloadType: 18, Encoding: "G729", ClockRate: 8000}
)

// party keeps what it is sent.
type party struct {
	heard []header.Packet
	sent  uint64
}

func (p *party) Send(packet header.Packet) bool {
	p.heard = append(p.heard, slices.Clone(packet))
	p.sent++
	return true
}

func (p *party) Sent() uint64 { return p.sent }

// rig is a line from one party to another, driven by hand.
type rig struct {
	*Line
	t      testing.TB
	to     party
	now    int64
	events []string
}

func newRig(t testing.TB, takes ...ctl.MediaFormat) *rig {
	t.Helper()
	r := &rig{t: t, now: int64(time.Hour)}
	out, ok := Speech(&ctl.MediaStream{Formats: takes})
	if !ok {
		t.Fatal("no format to speak")
	}
	var err error
	if r.Line, err = NewLine(&r.to, out, Tell{
		Played: func(id string) { r.events = append(r.events, "played "+id) },
		Dialed: func() { r.events = append(r.events, "dialed") },
		Digit:  func(key string) { r.events = append(r.events, "digit "+key) },
		Own:    func(key string) { r.events = append(r.events, "own "+key) },
	}); err != nil {
		t.Fatal(err)
	}
	return r
}

// turn lets the line make a frame.
func (r *rig) turn() bool {
	r.Work(r.now)
	ok := r.Send(r.now)
	r.now += int64(frameTime)
	return ok
}

// listen makes the line listen to a party that sends these formats.
func (r *rig) listen(told ...ctl.MediaFormat) *Ear {
	r.t.Helper()
	ear, err := NewEar(told)
	if err != nil {
		r.t.Fatal(err)
	}
	r.SetEar(ear)
	return ear
}

// sine is a frame of a tone.
func sine(rate, at int, hz float64) []int16 {
	frame := make([]int16, rate/50)
	for i := range frame {
		frame[i] = int16(8000 * math.Sin(2*math.Pi*hz*float64(at*len(frame)+i)/float64(rate)))
	}
	return frame
}

// speaker makes the packets of a phone that sends a tone.
func speaker(t testing.TB, f ctl.MediaFormat, hz float64) func(n int) header.Packet {
	t.Helper()
	m, err := newMouth(Out{Voice: f, Ptime: usualPtime, Keys: -1})
	if err != nil {
		t.Fatal(err)
	}
	return func(n int) (p header.Packet) {
		m.speak(sine(m.way.rate, n, hz))
		m.send(func(q header.Packet) bool { p = slices.Clone(q); return true })
		return p
	}
}

// decode returns the samples of packets of a format, and checks that they follow each other.
func decode(t testing.TB, f ctl.MediaFormat, rate int, packets []header.Packet) (all []int16) {
	t.Helper()
	d, err := NewDecoder(&f, rate)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range packets {
		if p.PayloadType() != f.PayloadType || !p.Valid(false) {
			t.Fatalf("packet %d is of type %d", i, p.PayloadType())
		}
		if i > 0 && (p.Sequence() != packets[i-1].Sequence()+1 || p.SSRC() != packets[i-1].SSRC() || p.Timestamp() != packets[i-1].Timestamp()+f.ClockRate/50) {
			t.Fatalf("packet %d: number %d after %d, time %d after %d", i, p.Sequence(), packets[i-1].Sequence(), p.Timestamp(), packets[i-1].Timestamp())
		}
		all = append(all, d.Decode(p.Payload())...)
	}
	return all
}

// snr is by how much a tone stands over all else, in dB: the delay of codecs does not matter to it.
func snr(samples []int16, rate int, hz float64) float64 {
	var re, im, power float64
	for i, v := range samples {
		a := 2 * math.Pi * hz * float64(i) / float64(rate)
		re, im, power = re+float64(v)*math.Cos(a), im+float64(v)*math.Sin(a), power+float64(v)*float64(v)
	}
	n := float64(len(samples))
	signal := 2 * (re*re + im*im) / n
	return 10 * math.Log10(signal/max(power-signal, 1e-9))
}

func TestEveryCodecBecomesEveryOther(t *testing.T) {
	t.Parallel()
	all := []ctl.MediaFormat{pcmu, pcma, wide, full}
	for _, from := range all {
		for _, to := range all {
			t.Run(from.Encoding+">"+to.Encoding, func(t *testing.T) {
				t.Parallel()
				const hz = 800.0 // whole periods in a frame
				r := newRig(t, to)
				ear, say := r.listen(from), speaker(t, from, hz)
				for n := range 150 {
					ear.Hear(say(n), r.now-int64(time.Millisecond))
					r.turn()
				}
				w, _ := wayOf(&to)
				pcm := decode(t, to, w.rate, r.to.heard)
				pcm = pcm[w.rate : 3*w.rate-w.rate/2] // past the delay
				if got := snr(pcm, w.rate, hz); got < 24 {
					t.Errorf("SNR is %.1f dB", got)
				} else {
					t.Logf("SNR %.1f dB", got)
				}
			})
		}
	}
}

// keyPackets are those of a key of so many frames, from a phone with this clock.
func keyPackets(f ctl.MediaFormat, key dtmf.Event, at uint32, frames int) (all []header.Packet) {
	s := dtmf.NewSender(f.ClockRate, frameTime)
	s.Press(key, at, time.Duration(frames)*frameTime)
	for seq := uint16(100); ; seq++ {
		e, ok := s.Next()
		if !ok {
			return all
		}
		p := make(header.Packet, header.Size+dtmf.PayloadSize)
		p[0], p[1] = 0x80, f.PayloadType
		if e.Marker {
			p[1] |= 0x80
		}
		binary.BigEndian.PutUint16(p[2:], seq)
		binary.BigEndian.PutUint32(p[4:], e.Timestamp)
		e.Payload.Put(p[header.Size:])
		all = append(all, p)
	}
}

// An event keeps its length in the ticks of another clock, and its three ends.
func TestKeysCrossClocks(t *testing.T) {
	t.Parallel()
	r := newRig(t, full, keys2)
	ear := r.listen(pcmu, keys)
	say := speaker(t, pcmu, 800)
	for n := range 10 {
		ear.Hear(say(n), r.now)
		r.turn()
	}
	r.to.heard = nil
	for _, p := range keyPackets(keys, 5, 4711, 8) {
		ear.Hear(p, r.now)
		r.turn()
	}
	for range 10 {
		r.turn()
	}
	var got []dtmf.Payload
	for i, p := range r.to.heard {
		if p.PayloadType() != keys2.PayloadType {
			if i < 10 {
				t.Errorf("packet %d is speech, in the midst of a key", i)
			}
			continue
		}
		e, _ := dtmf.Parse(p.Payload())
		if got = append(got, e); p.Marker() != (len(got) == 1) || p.Timestamp() != r.to.heard[0].Timestamp() {
			t.Errorf("event %d: marker %v, time %d", len(got), p.Marker(), p.Timestamp())
		}
	}
	if len(got) != 10 || got[0] != (dtmf.Payload{Event: 5, Volume: 10, Duration: 960}) || got[9] != (dtmf.Payload{Event: 5, Volume: 10, End: true, Duration: 8 * 960}) {
		t.Errorf("%d packets: %+v", len(got), got)
	}
	if last := r.to.heard[len(r.to.heard)-1]; last.PayloadType() != full.PayloadType {
		t.Error("speech does not go on behind the key")
	}
}

// heardKeys are those that a party that detects tones hears.
func heardKeys(pcm []int16, rate int) (all string) {
	d := dtmf.NewDetector(rate, func(p dtmf.Press) {
		if !p.Ended {
			all += p.Event.String()
		}
	})
	d.Samples(pcm)
	d.Finish()
	return all
}

func TestEventsBecomeTones(t *testing.T) {
	t.Parallel()
	r := newRig(t, pcmu) // takes no events
	ear := r.listen(full, keys2)
	at := uint32(1000)
	for _, key := range []dtmf.Event{1, 9, dtmf.Star, 0} {
		for _, p := range keyPackets(keys2, key, at, 6) {
			ear.Hear(p, r.now)
			r.turn()
		}
		for range 6 {
			r.turn()
		}
		at += 48000
	}
	if got := heardKeys(decode(t, pcmu, 8000, r.to.heard), 8000); got != "19*0" {
		t.Errorf("heard %q", got)
	}
}

func TestTonesBecomeEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t, full, keys2)
	ear := r.listen(pcmu) // its phone has tones only
	m, err := newMouth(Out{Voice: pcmu, Ptime: usualPtime, Keys: -1})
	if err != nil {
		t.Fatal(err)
	}
	g := dtmf.NewGenerator(8000)
	frame := make([]int16, 160)
	for n := range 120 {
		switch n % 30 {
		case 10:
			g.Press(dtmf.Event(n / 30))
		case 16:
			g.Release()
		}
		g.Fill(frame)
		m.speak(frame)
		m.send(func(p header.Packet) bool { ear.Hear(p, r.now); return true })
		r.turn()
	}
	got, ends := "", 0
	for _, p := range r.to.heard {
		if e, ok := dtmf.Parse(p.Payload()); p.PayloadType() == keys2.PayloadType && ok {
			if p.Marker() {
				got += e.Event.String()
			}
			if e.End {
				ends++
			}
		}
	}
	if got != "0123" || ends != 12 || fmt.Sprint(r.events) != "[digit 0 digit 1 digit 2 digit 3]" {
		t.Errorf("told %q with %d ends, %v", got, ends, r.events)
	}
}

// A party that hears a text and has tones only presses a key.
func TestKeysOfWhoHearsASound(t *testing.T) {
	t.Parallel()
	r := newRig(t, pcmu)
	own, err := NewEar([]ctl.MediaFormat{pcmu})
	if err != nil {
		t.Fatal(err)
	}
	r.SetOwn(own)
	r.Play(player(t, ctl.MediaSound{Tone: "busy", Loop: true}), "")
	other := newRig(t, pcmu)
	other.Dial([]dtmf.Event{1}, 100*time.Millisecond)
	for range 40 {
		other.turn()
		own.Hear(other.to.heard[len(other.to.heard)-1], r.now)
		r.turn()
	}
	if fmt.Sprint(r.events) != "[own 1]" {
		t.Errorf("told %v", r.events)
	}
	if got := snr(decode(t, pcmu, 8000, r.to.heard)[800:2400], 8000, 425); got < 20 {
		t.Errorf("what it hears stands %.1f dB over all else", got)
	}
}

func TestDial(t *testing.T) {
	t.Parallel()
	number := []dtmf.Event{0, 9, 8, dtmf.Pound}
	tones := newRig(t, wide)
	tones.Dial(number, 100*time.Millisecond)
	events := newRig(t, pcma, keys)
	events.Dial(number, 100*time.Millisecond)
	for range 60 {
		tones.turn()
		events.turn()
	}
	if got := heardKeys(decode(t, wide, 16000, tones.to.heard), 16000); got != "098#" || fmt.Sprint(tones.events) != "[dialed]" {
		t.Errorf("heard %q, told %v", got, tones.events)
	}
	var got string
	d := dtmf.NewReceiver(8000, func(p dtmf.Press) {
		if p.Ended {
			got += fmt.Sprintf("%v:%d ", p.Event, p.Duration.Milliseconds())
		}
	})
	for i, p := range events.to.heard {
		if i > 0 && p.Sequence() != events.to.heard[i-1].Sequence()+1 {
			t.Errorf("packet %d is out of order", i)
		}
		if p.PayloadType() == keys.PayloadType {
			d.Packet(p.Timestamp(), p.Payload(), 0)
		}
	}
	if got != "0:100 9:100 8:100 #:100 " || fmt.Sprint(events.events) != "[dialed]" {
		t.Errorf("told %q, %v", got, events.events)
	}
}

func player(t testing.TB, sounds ...ctl.MediaSound) *sound.Player {
	t.Helper()
	p, err := sound.NewLibrary().NewPlayer(&ctl.MediaPlay{Sounds: sounds}, tone.ITU)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlay(t *testing.T) {
	t.Parallel()
	for _, to := range []ctl.MediaFormat{pcmu, wide, full} {
		r := newRig(t, to)
		ear, say := r.listen(pcmu), speaker(t, pcmu, 800)
		r.Play(player(t, ctl.MediaSound{Tone: "busy", Loop: true}), "")
		for n := range 60 {
			ear.Hear(say(n), r.now)
			r.turn()
			if n == 24 {
				r.Play(player(t, ctl.MediaSound{Tone: "beep"}), "one")
			}
		}
		w, _ := wayOf(&to)
		pcm := decode(t, to, w.rate, r.to.heard)
		if got := snr(pcm[w.rate/10:w.rate/10+w.rate/5], w.rate, 425); got < 20 { // the tone, and nothing of the party
			t.Errorf("%s: busy stands %.1f dB over all else", to.Encoding, got)
		}
		if got := snr(pcm[w.rate:w.rate+w.rate/10], w.rate, 800); got < 20 {
			t.Errorf("%s: the party stands %.1f dB over all else after the sound", to.Encoding, got)
		}
		if fmt.Sprint(r.events) != "[played one]" {
			t.Errorf("told %v", r.events)
		}
	}
}

func TestBeepIsMixed(t *testing.T) {
	t.Parallel()
	r := newRig(t, pcmu)
	ear, say := r.listen(pcmu), speaker(t, pcmu, 800)
	for n := range 50 {
		if n == 25 {
			r.Beep(player(t, ctl.MediaSound{Tone: "beep"}))
		}
		ear.Hear(say(n), r.now)
		r.turn()
	}
	pcm := decode(t, pcmu, 8000, r.to.heard)
	part := pcm[26*160 : 35*160]
	both := snr(part, 8000, 800)
	if alone := snr(pcm[10*160:20*160], 8000, 800); alone < 24 || both > 20 || both < 0 {
		t.Errorf("the party stands at %.1f dB alone and at %.1f dB with the beep", alone, both)
	}
}

// The format changes under a call: numbers go on, and the clock's change is another source.
func TestChangeOfFormat(t *testing.T) {
	t.Parallel()
	r := newRig(t, pcmu)
	ear, say := r.listen(pcma), speaker(t, pcma, 800)
	for n := range 100 {
		switch n {
		case 30:
			out, _ := Speech(&ctl.MediaStream{Formats: []ctl.MediaFormat{wide}})
			if err := r.SetOut(out); err != nil {
				t.Fatal(err)
			}
		case 60:
			out, _ := Speech(&ctl.MediaStream{Formats: []ctl.MediaFormat{full}})
			if err := r.SetOut(out); err != nil {
				t.Fatal(err)
			}
		}
		ear.Hear(say(n), r.now)
		r.turn()
	}
	h := r.to.heard
	for i, p := range h[1:] {
		if p.Sequence() != h[i].Sequence()+1 {
			t.Errorf("packet %d: number %d after %d", i+1, p.Sequence(), h[i].Sequence())
		}
	}
	if h[29].SSRC() != h[31].SSRC() || h[31].Timestamp() != h[30].Timestamp()+160 || h[59].SSRC() == h[61].SSRC() || len(h) != 100 {
		t.Errorf("%d packets; sources %x %x %x", len(h), h[29].SSRC(), h[31].SSRC(), h[61].SSRC())
	}
	if got := snr(decode(t, wide, 16000, h[30:60])[5*320:], 16000, 800); got < 24 {
		t.Errorf("SNR is %.1f dB after the change", got)
	}
}

func TestComfortEndsWhenSomebodySpeaks(t *testing.T) {
	t.Parallel()
	r := newRig(t, pcmu)
	r.SetComfort(true)
	for range 5 {
		if !r.turn() {
			t.Fatal("it ended by itself")
		}
	}
	r.to.sent++ // the other party does
	if r.turn() || !r.Closed() || len(r.to.heard) != 5 {
		t.Errorf("it goes on: %d packets", len(r.to.heard))
	}
}

// A comfort noise packet lasts until speech comes again (RFC 3389 §4).
func TestComfortNoise(t *testing.T) {
	t.Parallel()
	r := newRig(t, wide)
	ear, say := r.listen(pcmu, noise), speaker(t, pcmu, 800)
	var last header.Packet
	for n := range 100 {
		if n < 20 {
			last = say(n)
			ear.Hear(last, r.now)
		}
		if n == 20 {
			p := header.Packet(slices.Clone(last[:header.Size+1]))
			p[1], p[header.Size] = noise.PayloadType, 45
			binary.BigEndian.PutUint16(p[2:], last.Sequence()+1)
			binary.BigEndian.PutUint32(p[4:], last.Timestamp()+160)
			ear.Hear(p, r.now)
		}
		r.turn()
	}
	pcm := decode(t, wide, 16000, r.to.heard)
	var power float64
	for _, v := range pcm[16000:] {
		power += float64(v) * float64(v)
	}
	if level := 10 * math.Log10(power/float64(len(pcm)-16000)/32768/32768); level < -50 || level > -40 {
		t.Errorf("noise of %.1f dBov, not of -45", level)
	}
}

func TestPtime(t *testing.T) {
	t.Parallel()
	for _, f := range []ctl.MediaFormat{pcmu, full} {
		out, _ := Speech(&ctl.MediaStream{Formats: []ctl.MediaFormat{f}, Ptime: 60})
		r := newRig(t, f)
		if err := r.SetOut(out); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			r.turn()
		}
		h := r.to.heard
		if len(h) != 10 || h[1].Timestamp()-h[0].Timestamp() != 3*f.ClockRate/50 {
			t.Errorf("%s: %d packets", f.Encoding, len(h))
		}
	}
}

// Packets of anybody who was proven: whatever is in them, the line goes on.
func FuzzEar(f *testing.F) {
	f.Add([]byte("\x80\x60\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02\x08"), uint8(3))
	f.Add([]byte("\x80\x0d\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02\x08\x00"), uint8(1))
	f.Add([]byte("\xb0\xe5\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02\x08\xff\xff\xff"), uint8(9))
	f.Fuzz(func(t *testing.T, p []byte, frames uint8) {
		r := newRig(t, pcmu, keys)
		ear := r.listen(pcmu, wide, full, keys2, noise)
		for i := range frames % 16 {
			if header.Packet(p).Valid(false) {
				p[3] += i
				ear.Hear(p, r.now)
			}
			r.turn()
		}
	})
}

func BenchmarkLine(b *testing.B) {
	for _, c := range [][2]ctl.MediaFormat{{pcmu, pcma}, {pcmu, wide}, {full, pcmu}, {pcmu, full}} {
		b.Run(c[0].Encoding+">"+c[1].Encoding, func(b *testing.B) {
			r := newRig(b, c[1])
			ear, say := r.listen(c[0]), speaker(b, c[0], 800)
			var packets []header.Packet
			for n := range 1 << 8 {
				packets = append(packets, say(n))
			}
			begin := packets[0].Timestamp()
			step := packets[1].Timestamp() - begin
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				p := packets[n&(1<<8-1)]
				binary.BigEndian.PutUint16(p[2:], uint16(n))
				binary.BigEndian.PutUint32(p[4:], begin+uint32(n)*step)
				ear.Hear(p, r.now)
				r.Work(r.now)
				r.mouth.queue = r.mouth.queue[:0]
				r.now += int64(frameTime)
			}
		})
	}
}
