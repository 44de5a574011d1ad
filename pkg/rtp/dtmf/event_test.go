package dtmf

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestPayloadBits(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]Payload{
		"010a0320": {Event: 1, Volume: 10, Duration: 800},
		"0b8a0640": {Event: Pound, End: true, Volume: 10, Duration: 1600},
		"0fbfffff": {Event: D, End: true, Volume: 63, Duration: 65535},
		"00000000": {},
	} {
		raw, _ := hex.DecodeString(wire)
		if got, ok := Parse(raw); !ok || got != want {
			t.Errorf("%s is %+v, %v", wire, got, ok)
		}
		var p [PayloadSize]byte
		if want.Put(p[:]); hex.EncodeToString(p[:]) != wire {
			t.Errorf("%+v is written as %x", want, p)
		}
	}
	if e, ok := Parse([]byte{1, 0x40 | 10, 0, 1}); !ok || e.Volume != 10 || e.End {
		t.Errorf("the R bit is not ignored: %+v", e)
	}
	for _, bad := range []string{"", "01", "010a03", "010a0320ff"} {
		raw, _ := hex.DecodeString(bad)
		if e, ok := Parse(raw); ok {
			t.Errorf("%q is %+v", bad, e)
		}
	}
}

func TestSigns(t *testing.T) {
	t.Parallel()
	for e := range Event(Events) {
		if got, ok := ParseEvent(e.String()[0]); !ok || got != e {
			t.Errorf("%v is %v, %v", e, got, ok)
		}
	}
	if e, ok := ParseEvent('b'); !ok || e != B {
		t.Errorf("b is %v, %v", e, ok)
	}
	if _, ok := ParseEvent('x'); ok || Event(16).String() != "?" {
		t.Error("there are more keys than sixteen")
	}
}

// heard collects what a receiver or detector reports.
type heard struct{ presses []Press }

func (h *heard) report(p Press) { h.presses = append(h.presses, p) }

func (h *heard) String() (s string) {
	for _, p := range h.presses {
		if p.Ended {
			s += fmt.Sprintf("%v:%d ", p.Event, p.Duration.Milliseconds())
		}
	}
	return s
}

// packets runs a sender until its key is up.
func packets(t *testing.T, s *Sender, e Event, timestamp uint32, length time.Duration) (all []Packet) {
	t.Helper()
	if !s.Press(e, timestamp, length) {
		t.Fatal("the sender is busy")
	}
	for {
		p, ok := s.Next()
		if !ok {
			return all
		}
		all = append(all, p)
	}
}

func TestSeriesOfAPress(t *testing.T) {
	t.Parallel()
	for _, clock := range []uint32{8000, 16000, 48000} {
		ms := clock / 1000
		got := packets(t, NewSender(clock, 20*time.Millisecond), 5, 1000, 70*time.Millisecond)
		want := []Packet{
			{true, 1000, Payload{5, false, 10, uint16(20 * ms)}},
			{false, 1000, Payload{5, false, 10, uint16(40 * ms)}},
			{false, 1000, Payload{5, false, 10, uint16(60 * ms)}},
			{false, 1000, Payload{5, true, 10, uint16(70 * ms)}},
			{false, 1000, Payload{5, true, 10, uint16(70 * ms)}},
			{false, 1000, Payload{5, true, 10, uint16(70 * ms)}},
		}
		if !slices.Equal(got, want) {
			t.Errorf("at %d: %+v", clock, got)
		}
	}
}

func TestPressUntilRelease(t *testing.T) {
	t.Parallel()
	s := NewSender(8000, 20*time.Millisecond)
	s.Press(Star, 0, 0)
	s.Next()
	s.Release() // too early: the press goes on to the shortest that is known
	if s.Press(1, 0, 0) {
		t.Error("two keys at once")
	}
	var last Packet
	for p, ok := s.Next(); ok; p, ok = s.Next() {
		last = p
	}
	if last.Payload.Duration != 320 || !last.Payload.End || s.Active() {
		t.Errorf("ends with %+v, active %v", last, s.Active())
	}
	if s.Press(Events, 0, 0) {
		t.Error("a key that there is not")
	}
}

// A press beyond what a duration tells is cut into segments, and is one press to the receiver
// (RFC 4733 §2.5.1.3).
func TestLongPress(t *testing.T) {
	t.Parallel()
	for _, clock := range []uint32{8000, 48000} {
		h := &heard{}
		r := NewReceiver(clock, h.report)
		markers := 0
		for i, p := range packets(t, NewSender(clock, 20*time.Millisecond), 7, 0xFFFFF000, 20*time.Second) {
			if p.Marker {
				markers++
			}
			r.Packet(p.Timestamp, wire(p.Payload), time.Duration(i)*20*time.Millisecond)
		}
		if h.String() != "7:20000 " || len(h.presses) != 2 || markers != 1 {
			t.Errorf("at %d: %v, %d reports, %d markers", clock, h, len(h.presses), markers)
		}
	}
}

func wire(e Payload) []byte {
	p := make([]byte, PayloadSize)
	e.Put(p)
	return p
}

func TestEachPressIsReportedOnce(t *testing.T) {
	t.Parallel()
	type in struct {
		at        time.Duration
		timestamp uint32
		e         Payload
	}
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		in   []in
		want string
	}{
		"whole":                  {[]in{{0, 100, Payload{1, false, 10, 160}}, {20 * ms, 100, Payload{1, true, 10, 320}}, {40 * ms, 100, Payload{1, true, 10, 320}}}, "1:40 "},
		"only its last packet":   {[]in{{0, 100, Payload{1, true, 10, 800}}}, "1:100 "},
		"out of order":           {[]in{{0, 100, Payload{1, false, 10, 320}}, {5 * ms, 100, Payload{1, false, 10, 160}}, {9 * ms, 100, Payload{1, true, 10, 480}}}, "1:60 "},
		"ends lost, next key":    {[]in{{0, 100, Payload{1, false, 10, 320}}, {90 * ms, 900, Payload{2, true, 10, 320}}}, "1:40 2:40 "},
		"ends lost, same key":    {[]in{{0, 100, Payload{1, false, 10, 320}}, {90 * ms, 900, Payload{1, true, 10, 320}}}, "1:40 1:40 "},
		"ends lost, nothing":     {[]in{{0, 100, Payload{1, false, 10, 320}}}, "1:40 "},
		"late copy of the first": {[]in{{0, 100, Payload{1, true, 10, 320}}, {90 * ms, 900, Payload{2, true, 10, 320}}, {91 * ms, 100, Payload{1, true, 10, 320}}}, "1:40 2:40 "},
		"no key":                 {[]in{{0, 100, Payload{16, true, 10, 320}}}, ""},
		"a sender started anew":  {[]in{{0, 90000, Payload{1, true, 10, 320}}, {time.Second, 100, Payload{2, true, 10, 320}}}, "1:40 2:40 "},
		"timestamps that stand":  {[]in{{0, 100, Payload{1, true, 10, 320}}, {time.Second, 100, Payload{2, true, 10, 320}}}, "1:40 2:40 "},
	} {
		h := &heard{}
		r := NewReceiver(8000, h.report)
		for _, p := range c.in {
			r.Packet(p.timestamp, wire(p.e), p.at)
			r.Idle(p.at)
		}
		last := c.in[len(c.in)-1].at
		r.Idle(last + Patience - 1)
		r.Idle(last + Patience)
		if h.String() != c.want || len(h.presses)%2 != 0 {
			t.Errorf("%s: %v, want %v", name, h, c.want)
		}
	}
}

func TestEventsInOnePacket(t *testing.T) {
	t.Parallel()
	h := &heard{}
	p := append(wire(Payload{1, true, 10, 400}), wire(Payload{2, true, 10, 800})...)
	r := NewReceiver(8000, h.report)
	r.Packet(0, p, 0)
	r.Packet(0, p, 0)
	if h.String() != "1:50 2:100 " {
		t.Error(h)
	}
}

func TestResetEndsAPress(t *testing.T) {
	t.Parallel()
	h := &heard{}
	r := NewReceiver(8000, h.report)
	r.Packet(5000, wire(Payload{1, false, 10, 400}), 0)
	r.Reset()
	r.Packet(4000, wire(Payload{2, true, 10, 400}), 0)
	if h.String() != "1:50 2:50 " {
		t.Error(h)
	}
}

// One packet in three is lost and they come in any order within 60 ms: all keys are there, in order.
func TestKeysCrossABadNetwork(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		h, want := &heard{}, ""
		r, s := NewReceiver(8000, h.report), NewSender(8000, 20*time.Millisecond)
		now := time.Duration(0)
		for key := range Event(Events) {
			series := packets(t, s, key, uint32(key)*1600, 100*time.Millisecond)
			kept := slices.DeleteFunc(series, func(Packet) bool { return random.IntN(3) == 0 })
			for i := 0; i+1 < len(kept); i += 2 {
				if random.IntN(2) == 0 {
					kept[i], kept[i+1] = kept[i+1], kept[i]
				}
			}
			if len(kept) > 0 {
				want += key.String()
			}
			for _, p := range kept {
				now += 20 * time.Millisecond
				r.Packet(p.Timestamp, wire(p.Payload), now)
			}
		}
		r.Idle(now + Patience)
		got := ""
		for _, p := range h.presses {
			if p.Ended {
				got += p.Event.String()
			}
		}
		if got != want || len(h.presses) != 2*len(want) {
			t.Fatalf("round %d: %s, want %s", round, got, want)
		}
	}
}

func FuzzReceiver(f *testing.F) {
	f.Add(uint32(0), []byte{1, 10, 3, 32}, uint32(160), []byte{1, 0x8a, 6, 64})
	f.Add(uint32(0xFFFFFFFF), []byte{255, 255, 255, 255, 1, 2, 3, 4}, uint32(0), []byte{})
	f.Fuzz(func(t *testing.T, ts1 uint32, p1 []byte, ts2 uint32, p2 []byte) {
		open := 0
		r := NewReceiver(8000, func(p Press) {
			if open++; p.Ended {
				open -= 2
			}
			if open < 0 || open > 1 || p.Duration < 0 || p.Event >= Events {
				t.Errorf("%+v", p)
			}
		})
		r.Packet(ts1, p1, 0)
		r.Packet(ts2, p2, time.Millisecond)
		r.Packet(ts1, p1, 2*time.Millisecond)
		if r.Idle(time.Second); open != 0 {
			t.Error("a key stays down")
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	r, p := NewReceiver(8000, func(Press) {}), wire(Payload{1, false, 10, 160})
	b.ReportAllocs()
	for b.Loop() {
		r.Packet(1, p, 0)
	}
}
