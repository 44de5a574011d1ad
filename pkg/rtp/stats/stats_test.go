package stats

import (
	"math"
	"testing"
	"time"
)

// feed counts packets with these sequence numbers, 20 ms apart, of one source.
func feed(r *Receiver, seqs ...uint16) {
	for _, seq := range seqs {
		r.Packet(1, seq)
	}
}

func TestLoss(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		seqs          []uint16
		packets, lost uint64
	}{
		{"in order", []uint16{5, 6, 7}, 3, 0},
		{"one missing", []uint16{5, 7}, 2, 1},
		{"missing and late", []uint16{5, 7, 6}, 3, 0},
		{"wrap", []uint16{65534, 65535, 0, 2}, 4, 1},
		{"late over the wrap", []uint16{65534, 0, 65535}, 3, 0},
		{"duplicate hides nothing below zero", []uint16{5, 5, 5}, 3, 0},
		{"jump seen once is noise", []uint16{5, 30000, 6}, 2, 0},
		{"jump seen twice is a new run", []uint16{5, 7, 30000, 30001, 30003}, 5, 2},
		{"gap at the limit", []uint16{0, maxDropout - 1}, 2, maxDropout - 2},
		{"older than misorder is noise", []uint16{1000, 1000 - maxMisorder - 1, 1001}, 2, 0},
		{"just within misorder", []uint16{1000, 1000 - maxMisorder}, 2, 0},
	} {
		var r Receiver
		feed(&r, c.seqs...)
		if r.Packets != c.packets || r.Lost() != c.lost {
			t.Errorf("%s: %d packets, %d lost; want %d, %d", c.name, r.Packets, r.Lost(), c.packets, c.lost)
		}
	}
}

func TestLossIsKeptWhenTheSourceChanges(t *testing.T) {
	t.Parallel()
	var r Receiver
	feed(&r, 1, 4)
	r.Packet(2, 60000)
	r.Packet(2, 60002)
	if r.Lost() != 3 || r.Packets != 4 || r.SSRC != 2 {
		t.Errorf("lost %d, packets %d, source %d", r.Lost(), r.Packets, r.SSRC)
	}
}

func TestBreakHidesWhatNobodySaw(t *testing.T) {
	t.Parallel()
	var r Receiver
	r.Break()
	feed(&r, 1, 3)
	r.Break()
	feed(&r, 50, 52)
	if r.Lost() != 2 || r.Packets != 4 {
		t.Errorf("lost %d, packets %d", r.Lost(), r.Packets)
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	const rate, frame = 8000, 160
	for _, c := range []struct {
		name   string
		offset func(i int) time.Duration // of the arrival of packet i
		want   time.Duration
	}{
		{"even", func(int) time.Duration { return 0 }, 0},
		// A constant difference d of neighbours makes the estimate converge to d.
		{"every other 4 ms late", func(i int) time.Duration { return time.Duration(i%2) * 4 * time.Millisecond }, 4 * time.Millisecond},
		{"late by a constant", func(int) time.Duration { return 300 * time.Millisecond }, 0},
	} {
		var r Receiver
		start := int64(100 * time.Hour) // where ticks have long wrapped
		for i := range 1000 {
			arrival := start + int64(time.Duration(i)*20*time.Millisecond+c.offset(i))
			r.Time(uint32(i)*frame, rate, arrival)
		}
		now := Ticks(r.Jitter/16, rate)
		if d := now - c.want; d.Abs() > 200*time.Microsecond {
			t.Errorf("%s: jitter %v, want %v", c.name, now, c.want)
		}
		if d := r.MeanJitter() - c.want; d.Abs() > 300*time.Microsecond {
			t.Errorf("%s: mean %v, want %v", c.name, r.MeanJitter(), c.want)
		}
	}
}

func TestNewTimeLineIsNoJitter(t *testing.T) {
	t.Parallel()
	var r Receiver
	r.Time(0, 8000, 0)
	r.Time(160, 8000, 20e6)
	r.Time(5_000_000, 8000, 40e6) // after a hold
	r.Time(5_000_160, 8000, 60e6)
	r.Time(0, 48000, 80e6) // another codec
	r.Time(960, 48000, 100e6)
	r.Time(960, 0, 900e6) // a format that has no clock
	if r.Jitter != 0 || r.MeanJitter() != 0 {
		t.Errorf("jitter %d, mean %v", r.Jitter, r.MeanJitter())
	}
}

func TestMOS(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		codec             string
		loss              float64
		jitter, roundTrip time.Duration
		low, high         float64
	}{
		{"PCMU", 0, 0, 0, 4.35, 4.45},
		{"opus", 0, 0, 0, 4.35, 4.45},
		{"g729", 0, 0, 0, 3.9, 4.2},
		{"PCMA", 0.01, 5 * ms, 40 * ms, 4.2, 4.4},
		{"PCMA", 0.05, 20 * ms, 100 * ms, 3.4, 4},
		{"PCMA", 0, 0, 800 * ms, 2.5, 3.5},
		{"PCMA", 1, 0, 0, 1, 1.3},
		{"PCMA", 7, time.Hour, time.Hour, 1, 1}, // nonsense stays on the scale
		{"PCMA", math.Inf(-1), 0, 0, 4.35, 4.45},
	} {
		if got := MOS(c.codec, c.loss, c.jitter, c.roundTrip); got < c.low || got > c.high {
			t.Errorf("%+v: %.2f", c, got)
		}
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	var r Receiver
	var i uint32
	if n := testing.AllocsPerRun(100, func() {
		i++
		r.Packet(1, uint16(i))
		r.Time(i*160, 8000, int64(i)*20e6)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReceiver(b *testing.B) {
	var r Receiver
	var i uint32
	b.ReportAllocs()
	for b.Loop() {
		i++
		r.Packet(1, uint16(i))
		r.Time(i*160, 8000, int64(i)*20e6)
	}
}
