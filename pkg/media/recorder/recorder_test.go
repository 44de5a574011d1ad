package recorder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a deck that runs.
type rig struct {
	*Deck
	t      testing.TB
	cfg    Config
	stop   func()
	closed []string
	told   []string
	free   atomic.Uint64
}

func newRig(t testing.TB, dir string) *rig {
	t.Helper()
	r := &rig{t: t}
	key, err := seal.Load(filepath.Join(dir, "key"), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.free.Store(10 * Reserve)
	r.cfg = Config{
		Dir: dir, Key: key, Log: slog.New(slog.DiscardHandler),
		Tell:   func(session, id string, why error) { r.told = append(r.told, session+" "+id+": "+why.Error()) },
		Closed: func(id string) { r.closed = append(r.closed, id) },
		Free:   func() (uint64, error) { return r.free.Load(), nil },
	}
	if r.Deck, err = New(r.cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	}
}

func (r *rig) start(id string) (*Recording, *Tap) {
	r.t.Helper()
	rec, err := r.Start(reel.About{ID: id, Session: "call", Format: "opus", Wall: time.Unix(1e9, 0)}, 1)
	if err != nil {
		r.t.Fatal(err)
	}
	tap, err := rec.Tap("loop", reel.Track{Leg: "a", Kind: "audio"}, 2)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec, tap
}

func (r *rig) settle() {
	r.t.Helper()
	if err := r.Settle(); err != nil {
		r.t.Error(err)
	}
}

// say lets a tap hear numbered packets.
func say(tap *Tap, from, n int) {
	for i := range n {
		tap.Hear([]byte(fmt.Sprintf("packet %d", from+i)), int64(from+i))
	}
}

// content returns what the parts of a recording in a folder say.
func (r *rig) content(folder, id string) (all []string) {
	r.t.Helper()
	parts, err := filepath.Glob(filepath.Join(r.cfg.Dir, folder, id, "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(parts)
	for _, part := range parts {
		f, err := os.Open(part)
		if err != nil {
			r.t.Fatal(err)
		}
		rd, err := reel.NewReader(f, r.cfg.Key, Owner(id))
		for err == nil {
			var e reel.Entry
			if e, err = rd.Next(); err == nil {
				all = append(all, fmt.Sprintf("%d/%d %s", e.Kind, e.Track, e.Data))
			}
		}
		if err != io.EOF && !errors.Is(err, reel.ErrDamaged) {
			r.t.Errorf("%s: %v", part, err)
		}
		_ = f.Close()
	}
	return all
}

// packets counts the packets of a recording, which must be without a gap.
func (r *rig) packets(folder, id string) (n int) {
	r.t.Helper()
	for _, e := range r.content(folder, id) {
		var at int
		if got, _ := fmt.Sscanf(e, "1/0 packet %d", &at); got == 1 {
			if at != n {
				r.t.Errorf("packet %d where %d should be", at, n)
			}
			n++
		}
	}
	return n
}

func TestARecordingHoldsWhatWasHeard(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		r.run()
		rec, tap := r.start("one")
		say(tap, 0, 500)
		second, err := rec.Tap("loop", reel.Track{Leg: "b", Channel: 1, Kind: "audio"}, 3)
		if err != nil {
			t.Fatal(err)
		}
		second.Hear([]byte("of the other"), 7)
		tap.SetPaused(true)
		rec.Pause(true, 8)
		say(tap, 1000, 5) // nobody may ever hear these
		tap.SetPaused(false)
		rec.Pause(false, 9)
		say(tap, 500, 1)
		rec.Stop()
		tap.Release()
		second.Release()
		time.Sleep(3 * writeTime)
		synctest.Wait()
		if len(r.closed) != 1 || r.closed[0] != "one" || len(r.told) != 0 || r.Stats() != (Stats{Packets: 502}) {
			t.Errorf("closed %q, told %q, %+v", r.closed, r.told, r.Stats())
		}
		if len(r.tapes) != 0 || len(r.Deck.tracks) != 0 || r.pending != 0 {
			t.Errorf("%d tapes, %d tracks, %d bytes are left", len(r.tapes), len(r.Deck.tracks), r.pending)
		}
		r.stop()
	})
	if n := r.packets(ClosedDir, "one"); n != 501 {
		t.Errorf("%d packets", n)
	}
	all := r.content(ClosedDir, "one")
	var about reel.About
	if err := json.Unmarshal([]byte(all[0][len("2/0 "):]), &about); err != nil || about.Session != "call" {
		t.Errorf("begins with %q", all[0])
	}
	for _, want := range []string{"1/1 of the other", "4/0 ", "5/0 "} {
		if !slices.Contains(all, want) {
			t.Errorf("no %q", want)
		}
	}
	if parts, err := Parts(r.cfg.Dir, "one"); err != nil || len(parts) != 1 {
		t.Errorf("parts %q, %v", parts, err)
	}
}

// A process that dies at any moment loses what came in the last second and a tenth; the next one goes on
// in a part of its own, or closes the recording if its call is over.
func TestADeadProcessLosesASecondAtMost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first := newRig(t, dir)
		first.run()
		_, tap := first.start("goes-on")
		_, other := first.start("is-over")
		const every = 10 * time.Millisecond
		for i := range 500 {
			say(tap, i, 1)
			say(other, i, 1)
			time.Sleep(every)
		}
		synctest.Wait()
		least := 500 - int((writeTime+drainTime)/every)
		if n := first.packets(openDir, "goes-on"); n < least { // what a killed process leaves
			t.Errorf("only %d packets are written", n)
		}
		first.stop() // writes the rest: as if it was killed later

		next := newRig(t, dir)
		next.run()
		rec, tap := next.start("goes-on")
		next.settle()
		if len(next.closed) != 1 || next.closed[0] != "is-over" {
			t.Errorf("closed %q", next.closed)
		}
		say(tap, 500, 100)
		tap.Release()
		rec.Stop()
		next.stop()
		if n := next.packets(ClosedDir, "goes-on"); n != 600 {
			t.Errorf("%d packets in both parts", n)
		}
		if n := next.packets(ClosedDir, "is-over"); n != 500 {
			t.Errorf("%d packets of the call that is over", n)
		}
	})
}

func TestAFullDiskEndsRecordingsAndNoCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		r.run()
		rec, tap := r.start("one")
		say(tap, 0, 50)
		time.Sleep(2 * writeTime)
		r.free.Store(Reserve - 1)
		say(tap, 50, 50)
		time.Sleep(2 * writeTime)
		synctest.Wait()
		if len(r.told) != 1 || r.told[0] != "call one: the disk is full" || !errors.Is(rec.Failed(), errFull) {
			t.Errorf("told %q, failed %v", r.told, rec.Failed())
		}
		say(tap, 100, 50) // the call goes on
		if _, err := r.Start(reel.About{ID: "two"}, 1); !problem.Is(err, problem.Full) {
			t.Errorf("another one: %v", err)
		}
		if st := r.Stats(); st.Failed != 1 || !errors.Is(st.Failing, errFull) {
			t.Errorf("stats %+v", st)
		}
		r.free.Store(2 * Reserve)
		time.Sleep(2 * writeTime)
		synctest.Wait()
		if _, err := r.Start(reel.About{ID: "two"}, 1); err != nil || r.Stats().Failing != nil {
			t.Errorf("when there is room again: %v", err)
		}
		tap.Release()
		r.stop()
		if len(r.closed) != 1 || r.packets(ClosedDir, "one") != 50 {
			t.Errorf("closed %q, %d packets are left", r.closed, r.packets(ClosedDir, "one"))
		}
	})
}

func TestWhatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir())
	for _, id := range []string{"", "..", ".hidden", "a/b", "a b", string(make([]byte, maxID+1))} {
		if _, err := r.Start(reel.About{ID: id}, 1); !problem.Is(err, problem.Invalid) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	if _, err := r.Start(reel.About{ID: "long", Labels: map[string]string{"a": string(make([]byte, reel.MaxData))}}, 1); !problem.Is(err, problem.Invalid) {
		t.Errorf("about too much: %v", err)
	}
	rec, _ := r.start("one")
	if _, err := r.Start(reel.About{ID: "one"}, 1); !problem.Is(err, problem.Conflict) {
		t.Errorf("twice: %v", err)
	}
	for range maxTracks - 1 {
		if _, err := rec.Tap("loop", reel.Track{}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rec.Tap("loop", reel.Track{}, 1); err == nil {
		t.Error("one track too many")
	}
	d, err := New(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Start(reel.About{ID: "one"}, 1); !problem.Is(err, problem.Unavailable) || d.Settle() != nil {
		t.Errorf("without a key: %v", err)
	}
}

// What the sink costs the relay.
func BenchmarkHear(b *testing.B) {
	r := newRig(b, b.TempDir())
	_, tap := r.start("one")
	p := make([]byte, 172)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tap.Hear(p, int64(i))
		if i%1024 == 0 { // the ring is emptied elsewhere
			b.StopTimer()
			r.drain()
			r.takeBlocks()
			b.StartTimer()
		}
	}
}

// A second of 1,000 calls of G.711 that are all recorded: what it costs besides the relay.
func BenchmarkSecondOf1000Calls(b *testing.B) {
	const calls, packets = 1000, 100 // a call and second, both ways
	r := newRig(b, b.TempDir())
	taps := make([]*Tap, calls)
	for i := range taps {
		_, taps[i] = r.start(fmt.Sprint("call-", i))
	}
	p := make([]byte, 172)
	r.drain()
	r.write() // makes the files
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	for b.Loop() {
		for range 10 { // drains
			for _, tap := range taps {
				for range packets / 10 {
					tap.Hear(p, 1)
				}
			}
			r.drain()
		}
		r.write()
	}
	cpu := processorTime(b) - before
	if st := r.Stats(); st.Lost != 0 {
		b.Errorf("%d packets are lost", st.Lost)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/calls/packets, "ns/packet")
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N)/calls/packets, "cpu-ns/packet")
}

// processorTime is what this process has used, also in the kernel.
func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
