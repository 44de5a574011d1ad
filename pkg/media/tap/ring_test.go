package tap

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

func newRing(t testing.TB, size int) *Ring {
	t.Helper()
	r, err := New(size)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSizesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1 << 12, 3 << 14} {
		if _, err := New(size); err == nil {
			t.Errorf("a ring of %d bytes", size)
		}
	}
}

func TestWhatIsPutIsTakenInOrder(t *testing.T) {
	t.Parallel()
	r := newRing(t, 1<<14)
	rnd := rand.New(rand.NewPCG(1, 2))
	var want [][]byte
	next := uint32(0) // tag of the oldest entry
	take := func() {
		e, ok := r.Next()
		if !ok {
			t.Fatal("the ring is empty")
		}
		if e.Tag != next || e.Time != int64(next)*3 || !bytes.Equal(e.Packet, want[0]) {
			t.Fatalf("entry %d is of tag %d, time %d, %d bytes", next, e.Tag, e.Time, len(e.Packet))
		}
		want = want[1:]
		next++
		r.Free(e)
	}
	for i := range uint32(20000) { // many turns of the ring
		p := bytes.Repeat([]byte{byte(i)}, rnd.IntN(1500))
		for !r.Put(i, int64(i)*3, p) {
			take()
		}
		want = append(want, p)
	}
	for len(want) > 0 {
		take()
	}
	if _, ok := r.Next(); ok {
		t.Error("something is left")
	}
}

func TestWhatFindsNoRoomIsCounted(t *testing.T) {
	t.Parallel()
	r := newRing(t, 1<<14)
	if r.Put(0, 0, make([]byte, MaxPacket+1)) {
		t.Error("a packet was taken that is too long")
	}
	n := 0
	for r.Put(1, 0, make([]byte, 1000)) {
		n++
	}
	if n != 16 || r.Lost() != 2 {
		t.Errorf("%d packets, %d lost", n, r.Lost())
	}
	e, _ := r.Next()
	r.Free(e)
	if !r.Put(2, 0, make([]byte, 1000)) {
		t.Error("no room after one was taken")
	}
}

func TestTwoGoroutines(t *testing.T) {
	t.Parallel()
	r := newRing(t, 1<<14)
	const packets = 20000
	var wg sync.WaitGroup
	wg.Go(func() {
		p := make([]byte, 200)
		for i := uint32(0); i < packets; {
			binary.NativeEndian.PutUint32(p[100:], i)
			if r.Put(i, 7, p[:100+i%100]) {
				i++
			} else {
				runtime.Gosched()
			}
		}
	})
	for i := uint32(0); i < packets; {
		e, ok := r.Next()
		if !ok {
			runtime.Gosched()
			continue
		}
		if e.Tag != i || len(e.Packet) != int(100+i%100) || (i%100 >= 4 && binary.NativeEndian.Uint32(e.Packet[100:]) != i) {
			t.Fatalf("entry %d: tag %d, %d bytes", i, e.Tag, len(e.Packet))
		}
		r.Free(e)
		i++
	}
	wg.Wait()
}

func BenchmarkPutAndTake(b *testing.B) {
	r := newRing(b, 1<<20)
	p := make([]byte, 172)
	b.ReportAllocs()
	for b.Loop() {
		r.Put(1, 2, p)
		e, _ := r.Next()
		r.Free(e)
	}
}
