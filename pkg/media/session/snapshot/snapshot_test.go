package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

const layout = 7

func create(t *testing.T) *Area {
	t.Helper()
	a, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// reopen looks at the area as a new process would. The old mapping stays, which does not matter.
func reopen(t *testing.T, a *Area) (*Area, []Saved) {
	t.Helper()
	fd, err := unix.Dup(a.FD())
	if err != nil {
		t.Fatal(err)
	}
	b, saved, err := Open(fd, layout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b, saved
}

func write(t *testing.T, a *Area, old Record, fixed, state string) Record {
	t.Helper()
	r, err := a.Write(old, []byte(fixed), []byte(state), layout)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// texts lists what was found, sorted.
func texts(saved []Saved) (out []string) {
	for _, s := range saved {
		out = append(out, fmt.Sprintf("%s=%s", s.Fixed, s.State))
	}
	slices.Sort(out)
	return out
}

func TestRecordsAreFoundAsLastWritten(t *testing.T) {
	t.Parallel()
	a := create(t)
	x, y, z := write(t, a, Record{}, "x", "0000"), write(t, a, Record{}, "y", "0000"), write(t, a, Record{}, "z", "0000")
	for _, s := range []string{"0001", "0002", "0003"} {
		a.Update(&x, []byte(s))
	}
	a.Free(y)
	z = write(t, a, z, "a longer z", "000000zz")
	a.Update(&z, []byte("111111zz"))
	b, saved := reopen(t, a)
	if got := texts(saved); !slices.Equal(got, []string{"a longer z=111111zz", "x=0003"}) {
		t.Fatalf("found %v", got)
	}
	// The new process goes on where the old one was.
	for _, s := range saved {
		if string(s.Fixed) == "x" {
			b.Update(&s.Record, []byte("0004"))
		} else {
			b.Free(s.Record)
		}
	}
	write(t, b, Record{}, "new", "s")
	_, saved = reopen(t, b)
	if got := texts(saved); !slices.Equal(got, []string{"new=s", "x=0004"}) {
		t.Fatalf("found %v", got)
	}
}

func TestTornStateFallsBackToTheOneBefore(t *testing.T) {
	t.Parallel()
	a := create(t)
	r := write(t, a, Record{}, "x", "first")
	a.Update(&r, []byte("later"))
	a.copyOf(r, int(r.turn&1))[copyHead] ^= 1 // dies while it writes the copy of this turn
	_, saved := reopen(t, a)
	if got := texts(saved); !slices.Equal(got, []string{"x=first"}) {
		t.Fatalf("found %v", got)
	}
	a.copyOf(r, 0)[copySum]++
	a.copyOf(r, 1)[copySum]++
	_, saved = reopen(t, a)
	if len(saved) != 1 || saved[0].State != nil {
		t.Fatalf("found %v", texts(saved))
	}
}

func TestReplacedRecordCountsByGeneration(t *testing.T) {
	t.Parallel()
	a := create(t)
	old := write(t, a, Record{}, "old", "s")
	write(t, a, Record{}, "new", "s") // as if it died before it freed the old one
	_, saved := reopen(t, a)
	if len(saved) != 2 {
		t.Fatalf("found %v", texts(saved))
	}
	for _, s := range saved {
		if (s.Generation == 2) != (string(s.Fixed) == "new") {
			t.Errorf("%s is of generation %d", s.Fixed, s.Generation)
		}
	}
	_ = old
}

func TestOtherLayoutGivesNoState(t *testing.T) {
	t.Parallel()
	a := create(t)
	if _, err := a.Write(Record{}, []byte("x"), []byte("state"), layout+1); err != nil {
		t.Fatal(err)
	}
	if _, saved := reopen(t, a); len(saved) != 1 || saved[0].State != nil || string(saved[0].Fixed) != "x" {
		t.Fatalf("found %v", texts(saved))
	}
}

func TestDamagedHeadIsFree(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(h []byte){
		"magic":  func(h []byte) { h[headMagic]++ },
		"order":  func(h []byte) { binary.NativeEndian.PutUint32(h[headOrder:], 99) },
		"fixed":  func(h []byte) { binary.NativeEndian.PutUint32(h[headFixed:], 1<<31) },
		"state":  func(h []byte) { binary.NativeEndian.PutUint32(h[headState:], 1<<20) },
		"text":   func(h []byte) { h[headSize]++ },
		"number": func(h []byte) { h[headGeneration]++ },
	} {
		a := create(t)
		r := write(t, a, Record{}, "x", "s")
		write(t, a, Record{}, "y", "s")
		damage(a.mem[r.at-1:])
		b, saved := reopen(t, a)
		if got := texts(saved); !slices.Equal(got, []string{"y=s"}) {
			t.Errorf("%s: found %v", name, got)
		}
		for i := range 1000 { // its place is used again, and the others are left alone
			write(t, b, Record{}, fmt.Sprint("n", i), "s")
		}
		if _, saved = reopen(t, b); len(saved) != 1001 {
			t.Errorf("%s: %d records", name, len(saved))
		}
	}
}

func TestFullAreaSaysSo(t *testing.T) {
	t.Parallel()
	a := create(t)
	big := make([]byte, 600<<10)
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		_, err = a.Write(Record{}, big, nil, layout)
	}
	if !errors.Is(err, ErrFull) || n != maxSize/grow+1 {
		t.Errorf("after %d records: %v", n, err)
	}
	if _, err := create(t).Write(Record{}, make([]byte, 1<<21), nil, layout); !errors.Is(err, ErrFull) {
		t.Errorf("a record of 2 MB: %v", err)
	}
}

func TestForeignDescriptor(t *testing.T) {
	t.Parallel()
	if _, _, err := Open(-1, layout); err == nil {
		t.Error("no descriptor was opened")
	}
	fd, err := unix.MemfdCreate("odd", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 1000); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(fd, layout); err == nil {
		t.Error("1000 bytes are an area")
	}
}

// Random operations against a map.
func TestAgainstAModel(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	a := create(t)
	type entry struct {
		r     Record
		fixed string
		state []byte
	}
	model := map[int]*entry{}
	for range 5000 {
		id := rnd.IntN(60)
		e := model[id]
		switch {
		case e == nil || rnd.IntN(3) == 0:
			if e == nil {
				e = &entry{}
			}
			e.fixed = fmt.Sprint(id, ":", string(bytes.Repeat([]byte{'f'}, rnd.IntN(5000))))
			e.state = bytes.Repeat([]byte{byte(rnd.IntN(256))}, rnd.IntN(3000))
			e.r = write(t, a, e.r, e.fixed, string(e.state))
			model[id] = e
		case rnd.IntN(2) == 0:
			e.state = bytes.Repeat([]byte{byte(rnd.IntN(256))}, len(e.state))
			a.Update(&e.r, e.state)
		default:
			a.Free(e.r)
			delete(model, id)
		}
	}
	_, saved := reopen(t, a)
	var want []string
	for _, e := range model {
		want = append(want, fmt.Sprintf("%s=%s", e.fixed, e.state))
	}
	slices.Sort(want)
	if got := texts(saved); !slices.Equal(got, want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	if a.size > 8<<20 {
		t.Errorf("the area grew to %d bytes", a.size)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte{})
	a, err := Create()
	if err != nil {
		f.Fatal(err)
	}
	if _, err := a.Write(Record{}, []byte("fixed"), []byte("state"), layout); err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(a.mem[:unit]))
	f.Fuzz(func(t *testing.T, b []byte) {
		fd, err := unix.MemfdCreate("fuzz", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		b = append(b, make([]byte, (unit-len(b)%unit)%unit)...)
		if _, err := unix.Write(fd, b[:min(len(b), maxSize)]); err != nil {
			t.Fatal(err)
		}
		dup, err := unix.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		area, saved, err := Open(dup, layout)
		if err != nil {
			t.Fatal(err)
		}
		defer area.Close()
		for _, s := range saved {
			area.Update(&s.Record, make([]byte, s.Record.state))
			area.Free(s.Record)
		}
	})
}
