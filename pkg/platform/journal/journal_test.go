package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if child() {
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, path string) (*Log, []string) {
	t.Helper()
	var got []string
	l, err := Open(path, Options{}, func(p []byte) error {
		got = append(got, string(p))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, got
}

func commit(l *Log, payload string) error {
	res := make(chan error, 1)
	l.Commit([]byte(payload), WaiterFunc(func(err error) { res <- err }))
	return <-res
}

func TestFramesComeBackInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "j")
	l, _ := open(t, path)
	want := []string{"one", "two", "three", "four"}
	for i, p := range want {
		if i%2 == 1 {
			l.Later([]byte(p))
		} else if err := commit(l, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := commit(l, "late"); !errors.Is(err, ErrClosed) {
		t.Fatalf("append after close: %v", err)
	}
	l, got := open(t, path)
	defer l.Close()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// A crash can cut the file anywhere, and a bad sector can change any byte: all whole frames before
// the damage come back, and what is appended afterwards is not lost behind it.
func TestEveryTornEndIsCutOff(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	l, _ := open(t, whole)
	for i := range 3 {
		if err := commit(l, fmt.Sprintf("payload-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	frame := len(data) / 3
	for cut := range data {
		for _, flip := range []bool{false, true} {
			torn := append([]byte(nil), data...)
			if flip {
				torn[cut] ^= 0x40
			} else {
				torn = torn[:cut]
			}
			path := filepath.Join(dir, "torn")
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			l, got := open(t, path)
			if len(got) != cut/frame {
				t.Fatalf("cut at %d flip=%v: %d frames came back, want %d", cut, flip, len(got), cut/frame)
			}
			if err := commit(l, "after"); err != nil {
				t.Fatal(err)
			}
			l.Close()
			l, got = open(t, path)
			if got[len(got)-1] != "after" {
				t.Fatalf("cut at %d flip=%v: the frame appended after the damage is lost", cut, flip)
			}
			l.Close()
		}
	}
}

func TestConcurrentCommitsShareBatchesAndAllCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	batches := 0
	l, err := Open(path, Options{AfterBatch: func(error) { batches++ }}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	const n = 500
	for i := range n {
		wg.Go(func() {
			if err := commit(l, fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	l.Close()
	if batches >= n {
		t.Errorf("%d batches for %d commits: nothing was grouped", batches, n)
	}
	l, got := open(t, path)
	defer l.Close()
	if len(got) != n {
		t.Fatalf("%d of %d frames came back", len(got), n)
	}
}

// Frames that nobody waits for go with the next batch, or by themselves when they have waited long
// enough; their fate is told with the batch's.
func TestLaterComesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		batches := make(chan time.Duration, 10)
		start := time.Now()
		l, err := Open(filepath.Join(t.TempDir(), "j"), Options{AfterBatch: func(err error) {
			if err != nil {
				t.Error(err)
			}
			batches <- time.Since(start)
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.Later([]byte("a"))
		l.Later([]byte("b"))
		time.Sleep(2 * LaterTime)
		l.Later([]byte("c"))
		if err := commit(l, "d"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * LaterTime)
		if first, second := <-batches, <-batches; first != LaterTime || second != 2*LaterTime || len(batches) > 0 {
			t.Errorf("batches at %v, %v and %d more", first, second, len(batches))
		}
		l.Later([]byte("e"))
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, n := l.Size(); n != 5 {
			t.Errorf("%d frames after the close, want 5", n)
		}
	})
}

func TestABatchLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches, told atomic.Int32
		l, err := Open(filepath.Join(t.TempDir(), "j"), Options{Linger: time.Second, AfterBatch: func(error) { batches.Add(1) }}, nil)
		if err != nil {
			t.Fatal(err)
		}
		tell := WaiterFunc(func(error) { told.Add(1) })
		for range 5 {
			l.Commit([]byte("x"), tell)
			time.Sleep(100 * time.Millisecond)
		}
		if n := told.Load(); n != 0 {
			t.Errorf("%d told before the batch has lingered", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if told.Load() != 5 || batches.Load() != 1 {
			t.Errorf("%d told in %d batches, want 5 in 1", told.Load(), batches.Load())
		}
		start := time.Now()
		l.Commit([]byte("last"), tell)
		if err := l.Close(); err != nil || told.Load() != 6 || time.Since(start) > 0 {
			t.Errorf("close: %v, %d told, after %v", err, told.Load(), time.Since(start))
		}
	})
}

func TestRewriteKeepsLaterFrames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	l, _ := open(t, path)
	for i := range 100 {
		if err := commit(l, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Rewrite(func(emit func([]byte)) { emit([]byte("live")) }); err != nil {
		t.Fatal(err)
	}
	if err := commit(l, "later"); err != nil {
		t.Fatal(err)
	}
	if _, n := l.Size(); n != 2 {
		t.Fatalf("%d frames in the file, want 2", n)
	}
	l.Close()
	l, got := open(t, path)
	defer l.Close()
	if !reflect.DeepEqual(got, []string{"live", "later"}) {
		t.Fatalf("got %q", got)
	}
}

func TestAFullDiskIsToldAndCured(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	l, _ := open(t, path)
	defer l.Close()
	if err := commit(l, "kept"); err != nil {
		t.Fatal(err)
	}
	ro, err := os.Open(path) // writing to a read-only descriptor fails as a full disk does
	if err != nil {
		t.Fatal(err)
	}
	l.io.Lock()
	rw := l.file
	l.file = ro
	l.io.Unlock()
	if err := commit(l, "refused"); err == nil {
		t.Fatal("no error from a file that takes no bytes")
	}
	if err := commit(l, "still refused"); err == nil {
		t.Fatal("a damaged journal took a frame")
	}
	if err := l.Rewrite(func(emit func([]byte)) { emit([]byte("kept")) }); err != nil {
		t.Fatal(err)
	}
	if err := commit(l, "again"); err != nil {
		t.Fatalf("after the cure: %v", err)
	}
	rw.Close()
}

func TestSizesAreBounded(t *testing.T) {
	l, _ := open(t, filepath.Join(t.TempDir(), "j"))
	defer l.Close()
	if err := commit(l, ""); err == nil {
		t.Error("an empty frame was taken")
	}
	if err := commit(l, string(make([]byte, MaxFrame+1))); err == nil {
		t.Error("a frame over the limit was taken")
	}
}

func FuzzReplay(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, []byte("a")), []byte("bc")))
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(path, Options{}, func([]byte) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkCommit(b *testing.B) {
	l, err := Open(filepath.Join(b.TempDir(), "j"), Options{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	payload := make([]byte, 300)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		res := make(chan error, 1)
		w := WaiterFunc(func(err error) { res <- err })
		for pb.Next() {
			l.Commit(payload, w)
			<-res
		}
	})
}
