package jitter

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// line is a sender, a network and a player at 8 kHz, all in virtual time.
type line struct {
	b       *Buffer
	packets []Packet // by arrival
	quiet   bool
}

// talk makes n packets of 20 ms from a number on, each as late as delay says; below zero it is lost.
func talk(from, n int, delay func(i int) time.Duration) (all []Packet) {
	for i := range n {
		d := delay(i)
		if d < 0 {
			continue
		}
		seq := from + i
		all = append(all, Packet{
			Sequence: uint16(seq), Timestamp: uint32(seq * 160), Marker: i == 0, Ticks: 160,
			Payload: binary.BigEndian.AppendUint32(nil, uint32(seq)), Arrival: time.Duration(i)*20*ms + d,
		})
	}
	slices.SortStableFunc(all, func(a, b Packet) int { return int(a.Arrival - b.Arrival) })
	return all
}

// played is what the player was told in one frame.
type played struct {
	Item
	number int // of the packet
}

// run plays frame by frame for a time.
func (l *line) run(start, length time.Duration) (all []played) {
	for at := start; at < start+length; at += 20 * ms {
		for len(l.packets) > 0 && l.packets[0].Arrival <= at {
			l.b.Put(l.packets[0])
			l.packets = l.packets[1:]
		}
		item := l.b.Get(at, l.quiet)
		p := played{Item: item, number: -1}
		if item.Kind == Play {
			p.number = int(binary.BigEndian.Uint32(item.Payload))
		}
		all = append(all, p)
	}
	return all
}

func numbers(all []played) (n []int) {
	for _, p := range all {
		if p.Kind == Play {
			n = append(n, p.number)
		}
	}
	return n
}

func count(all []played, k Kind) (n int) {
	for _, p := range all {
		if p.Kind == k {
			n++
		}
	}
	return n
}

func consecutive(from, n int) (all []int) {
	for i := range n {
		all = append(all, from+i)
	}
	return all
}

func at8k() *Buffer { return New(Config{Clock: 8000}) }

func TestASteadyStreamPlaysWhole(t *testing.T) {
	t.Parallel()
	for _, from := range []int{0, 65500, 1<<25 - 20} { // sequence numbers and timestamps wrap
		l := line{b: at8k(), packets: talk(from, 100, func(int) time.Duration { return 7 * ms })}
		all := l.run(0, 2100*ms)
		want := consecutive(from, 100)
		if got := numbers(all); !slices.Equal(got, want) || l.b.Target() != DefaultMin {
			t.Errorf("from %d: %d packets, target %v", from, len(got), l.b.Target())
		}
		if all[3].Kind != Play {
			t.Errorf("from %d: it starts after more than 60 ms", from)
		}
	}
}

func TestOrderIsMade(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	l := line{b: at8k(), packets: talk(100, 1000, func(int) time.Duration { return time.Duration(random.IntN(60)) * ms })}
	got := numbers(l.run(0, 21*time.Second))
	if !slices.IsSorted(got) || len(got) < 985 {
		t.Errorf("%d of 1000 packets, in order %v", len(got), slices.IsSorted(got))
	}
	if target := l.b.Target(); target < 50*ms || target > 90*ms {
		t.Errorf("60 ms of jitter make a delay of %v", target)
	}
}

// When the network calms down so does the delay.
func TestDelayFollowsTheNetwork(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 2))
	jitter := func(i int) time.Duration {
		if i > 500 && i < 1000 {
			return time.Duration(random.IntN(120)) * ms
		}
		return time.Duration(random.IntN(4)) * ms
	}
	l := line{b: at8k(), packets: talk(0, 4000, jitter), quiet: true}
	calmStart := l.run(0, 10*time.Second)
	low := l.b.Target()
	l.run(10*time.Second, 10*time.Second)
	high := l.b.Target()
	l.run(20*time.Second, 50*time.Second)
	end := l.run(70*time.Second, 9*time.Second)
	if low > 30*ms || high < 100*ms || high > 160*ms || l.b.Target() > 40*ms {
		t.Errorf("targets %v, %v, %v", low, high, l.b.Target())
	}
	if count(calmStart[10:], Play) != 490 || count(end, Play) != len(end) {
		t.Errorf("calm parts play %d and %d", count(calmStart[10:], Play), count(end, Play))
	}
	if s := l.b.Stats(); s.Skipped == 0 {
		t.Errorf("the delay did not move: %+v", s)
	}
}

func TestDelayIsBounded(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 3))
	l := line{b: at8k(), packets: talk(0, 1000, func(int) time.Duration { return time.Duration(random.IntN(900)) * ms })}
	l.run(0, 22*time.Second)
	if l.b.Target() > DefaultMax {
		t.Errorf("target %v", l.b.Target())
	}
}

// A lost packet is one frame to conceal, with the packet behind it at hand, and nothing else moves.
func TestLossIsOneFrame(t *testing.T) {
	t.Parallel()
	l := line{b: at8k(), packets: talk(0, 100, func(i int) time.Duration {
		if i == 50 {
			return -1
		}
		return 0
	})}
	all := l.run(0, 1980*ms)
	at := slices.IndexFunc(all, func(p played) bool { return p.Kind == Missing })
	if count(all, Missing) != 1 || all[at-1].number != 49 || all[at+1].number != 51 {
		t.Fatalf("%d frames are missing", count(all, Missing))
	}
	if next := all[at].Payload; len(next) != 4 || binary.BigEndian.Uint32(next) != 51 {
		t.Errorf("the packet behind is %x", next)
	}
	if s := l.b.Stats(); s.Lost != 1 || s.Late != 0 {
		t.Errorf("%+v", s)
	}
}

// A stall is made up for and then caught up with: what comes late still plays.
func TestStallThenBurst(t *testing.T) {
	t.Parallel()
	l := line{b: at8k(), packets: talk(0, 200, func(i int) time.Duration {
		if i >= 100 && i < 104 {
			return time.Duration(104-i) * 20 * ms
		}
		return 0
	})}
	all := l.run(0, 4100*ms)
	if got := numbers(all); len(got) < 196 || !slices.IsSorted(got) {
		t.Errorf("%d of 200 packets", len(got))
	}
}

// Silence that is not sent keeps its length, within what the delay moves.
func TestSilenceBetweenSpurts(t *testing.T) {
	t.Parallel()
	packets := talk(0, 50, func(int) time.Duration { return 0 })
	for _, p := range talk(0, 50, func(int) time.Duration { return 0 }) {
		p.Sequence, p.Timestamp, p.Arrival = p.Sequence+50, p.Timestamp+50*160+160*100, p.Arrival+3*time.Second
		p.Payload = binary.BigEndian.AppendUint32(nil, uint32(p.Sequence))
		packets = append(packets, p)
	}
	l := line{b: at8k(), packets: packets}
	all := l.run(0, 4100*ms)
	if !slices.Equal(numbers(all), consecutive(0, 100)) {
		t.Errorf("%d of 100 packets", len(numbers(all)))
	}
	first := slices.IndexFunc(all, func(p played) bool { return p.number == 49 })
	second := slices.IndexFunc(all, func(p played) bool { return p.number == 50 })
	if gap := second - first - 1; gap < 99 || gap > 101 {
		t.Errorf("%d frames between the spurts, not 100", gap)
	}
	if n := count(all, Missing); n > 2*giveUp {
		t.Errorf("%d frames are made up", n)
	}
}

// Clocks that differ by 300 parts in a million, either way, cost some frames in ten minutes and no more.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	for _, ppm := range []float64{-300, 300} {
		const n = 30000
		packets := talk(0, n, func(int) time.Duration { return 0 })
		for i := range packets {
			packets[i].Arrival = time.Duration(float64(packets[i].Arrival) * (1 + ppm/1e6))
		}
		l := line{b: at8k(), packets: packets}
		all := l.run(0, 600*time.Second)
		moved := 600 * 300e-6 / .02 // frames by which the clocks part
		lost := n - len(numbers(all))
		if s := l.b.Stats(); float64(lost) > moved+5 || float64(s.Stretched+s.Late) > 3*moved || l.b.Target() > 60*ms {
			t.Errorf("%v ppm: %d packets left out, target %v, %+v", ppm, lost, l.b.Target(), s)
		}
	}
}

func TestLongPacketsAndOtherClocks(t *testing.T) {
	t.Parallel()
	b := New(Config{Clock: 48000})
	got, next := 0, time.Duration(0)
	for at := time.Duration(0); at < 6*time.Second; at += 20 * ms {
		if at%(60*ms) == 0 {
			i := int(at / (60 * ms))
			b.Put(Packet{Sequence: uint16(i), Timestamp: uint32(i) * 2880, Ticks: 2880, Payload: []byte{byte(i)}, Arrival: at})
		}
		for next <= at {
			item := b.Get(at, false)
			if item.Kind == Play {
				got++
			} else if item.Kind == Missing {
				t.Errorf("a frame is missing at %v", at)
			}
			next += time.Duration(item.Ticks) * time.Second / 48000
		}
	}
	if got < 98 {
		t.Errorf("%d of 100 packets", got)
	}
}

func TestDoublesAndLateOnes(t *testing.T) {
	t.Parallel()
	packets := talk(0, 50, func(int) time.Duration { return 0 })
	twice := slices.Concat(packets, packets)
	slices.SortStableFunc(twice, func(a, b Packet) int { return int(a.Arrival - b.Arrival) })
	l := line{b: at8k(), packets: twice}
	if got := numbers(l.run(0, 1100*ms)); !slices.Equal(got, consecutive(0, 50)) {
		t.Errorf("%d packets", len(got))
	}
	l.b.Put(Packet{Sequence: 40, Timestamp: 40 * 160, Ticks: 160, Arrival: 1100 * ms})
	if s := l.b.Stats(); s.Doubled+s.Late < 51 {
		t.Errorf("%+v", s)
	}
}

func TestASenderThatStartsAnew(t *testing.T) {
	t.Parallel()
	packets := talk(40000, 50, func(int) time.Duration { return 0 })
	for _, p := range talk(7, 50, func(int) time.Duration { return 0 }) {
		p.Arrival += time.Second
		packets = append(packets, p)
	}
	l := line{b: at8k(), packets: packets}
	if got := numbers(l.run(0, 2100*ms)); len(got) < 95 || got[len(got)-1] != 56 {
		t.Errorf("%d of 100 packets", len(got))
	}
}

func TestPutAndGetDoNotAllocate(t *testing.T) {
	b, i, payload := at8k(), 0, make([]byte, 160)
	step := func() {
		b.Put(Packet{Sequence: uint16(i), Timestamp: uint32(i) * 160, Ticks: 160, Payload: payload, Arrival: time.Duration(i) * 20 * ms})
		b.Get(time.Duration(i)*20*ms, false)
		i++
	}
	for range 200 {
		step()
	}
	if n := testing.AllocsPerRun(200, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever comes, each call says something to play, and no packet is played twice or out of order.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{0, 1, 1, 0, 1, 1, 255, 3, 7, 0, 0, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		b := at8k()
		seq, stamp, now := uint16(65530), uint32(0xFFFFF000), time.Duration(0)
		for len(steps) >= 3 {
			seq += uint16(int8(steps[0]))
			stamp += uint32(int32(int8(steps[1]))) * 80
			now += time.Duration(steps[2]) * ms
			steps = steps[3:]
			b.Put(Packet{Sequence: seq, Timestamp: stamp, Ticks: 160, Payload: []byte{1}, Arrival: now})
			if item := b.Get(now, seq&1 == 0); item.Ticks == 0 || (item.Kind == Play) != (item.Kind != Missing && item.Payload != nil) {
				t.Errorf("%+v", item)
			}
		}
		if d := b.Target(); d < DefaultMin || d > DefaultMax {
			t.Errorf("target %v", d)
		}
	})
}

func BenchmarkPutGet(b *testing.B) {
	buffer, i, payload := at8k(), 0, make([]byte, 160)
	b.ReportAllocs()
	for b.Loop() {
		buffer.Put(Packet{Sequence: uint16(i), Timestamp: uint32(i) * 160, Ticks: 160, Payload: payload, Arrival: time.Duration(i) * 20 * ms})
		buffer.Get(time.Duration(i)*20*ms, false)
		i++
	}
}
