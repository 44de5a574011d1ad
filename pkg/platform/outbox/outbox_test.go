package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/journal"
	"github.com/coraltele/sanchar/pkg/record"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// archive takes records and may be told to fail.
type archive struct {
	mu   sync.Mutex
	got  []record.Envelope
	fail func(batch []record.Envelope) error
}

func (a *archive) send(_ context.Context, batch []record.Envelope) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		if err := a.fail(batch); err != nil {
			return err
		}
	}
	for _, e := range batch {
		e.Data = slices.Clone(e.Data)
		a.got = append(a.got, e)
	}
	return nil
}

func (a *archive) ids() (ids []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.got {
		ids = append(ids, e.ID)
	}
	return ids
}

func rec(id string, n int) record.Envelope {
	return record.Envelope{ID: id, Kind: record.KindCall, Version: 1, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}
}

func put(o *Outbox, env record.Envelope) error {
	res := make(chan error, 1)
	o.Put(env, journal.WaiterFunc(func(err error) { res <- err }))
	return <-res
}

func open(t *testing.T, cfg Config) *Outbox {
	t.Helper()
	cfg.Log = quiet()
	o, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// run delivers until cond holds.
func run(t *testing.T, o *Outbox, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := o.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	for !cond() && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Error("what was waited for did not come")
	}
	cancel()
	<-done
}

func TestRecordsArriveInOrderAndTheQueueEmpties(t *testing.T) {
	t.Parallel()
	arch := &archive{}
	dir := t.TempDir()
	o := open(t, Config{Dir: dir, Send: arch.send, SegmentBytes: 2000})
	var want []string
	for i := range 500 {
		id := fmt.Sprintf("r%04d", i)
		want = append(want, id)
		if err := put(o, rec(id, i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := o.Waiting(); n != 500 {
		t.Fatalf("%d wait, want 500", n)
	}
	run(t, o, func() bool { return o.Waiting() == 0 })
	if got := arch.ids(); !slices.Equal(got, want) {
		t.Fatalf("%d records arrived, want %d in order", len(got), len(want))
	}
	if string(arch.got[7].Data) != `{"n":7}` || arch.got[7].Kind != record.KindCall || arch.got[7].Version != 1 {
		t.Fatalf("record changed on the way: %+v", arch.got[7])
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatalf("files left after a clean end: %v", left)
	}
	if err := put(o, rec("late", 1)); !errors.Is(err, journal.ErrClosed) {
		t.Fatalf("put after close: %v", err)
	}
}

func TestAnAbsentArchiveLosesNothing(t *testing.T) {
	t.Parallel()
	arch := &archive{}
	away, tries := true, 0
	arch.fail = func([]record.Envelope) error {
		tries++
		if away {
			return problem.New(problem.Unavailable, "admind.away", "away", "wait")
		}
		return nil
	}
	dir := t.TempDir()
	o := open(t, Config{Dir: dir, Send: arch.send, SegmentBytes: 500})
	for i := range 100 {
		if err := put(o, rec(fmt.Sprint(i), i)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, o, func() bool { arch.mu.Lock(); defer arch.mu.Unlock(); return tries > 1 })
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}

	o = open(t, Config{Dir: dir, Send: arch.send, SegmentBytes: 500})
	if n := o.Waiting(); n != 100 {
		t.Fatalf("after a restart %d wait, want 100", n)
	}
	away = false
	run(t, o, func() bool { return o.Waiting() == 0 })
	o.Close()
	for i, id := range arch.ids() {
		if id != fmt.Sprint(i) {
			t.Fatalf("record %d has id %s", i, id)
		}
	}
}

func TestARecordThatIsRefusedForEverDoesNotHoldTheOthers(t *testing.T) {
	t.Parallel()
	arch := &archive{}
	arch.fail = func(batch []record.Envelope) error {
		for _, e := range batch {
			if e.ID == "bad" {
				return fmt.Errorf("store: %w", problem.New(problem.Invalid, record.CodeRefused, "no", "none"))
			}
		}
		return nil
	}
	o := open(t, Config{Dir: t.TempDir(), Send: arch.send})
	for _, id := range []string{"a", "b", "bad", "c", "d", "bad", "e"} {
		if err := put(o, rec(id, 1)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, o, func() bool { return o.Waiting() == 0 })
	o.Close()
	if got := arch.ids(); !slices.Equal(got, []string{"a", "b", "c", "d", "e"}) {
		t.Fatalf("arrived: %v", got)
	}
	if st := o.Stats(); st.Lost != 2 {
		t.Fatalf("%d counted as lost, want 2", st.Lost)
	}
}

func TestOtherInvalidAnswersDropNothing(t *testing.T) {
	t.Parallel()
	arch := &archive{}
	answers := 0
	arch.fail = func([]record.Envelope) error {
		if answers++; answers < 3 {
			return problem.New(problem.Invalid, "json", "unknown field", "update")
		}
		return nil
	}
	o := open(t, Config{Dir: t.TempDir(), Send: arch.send})
	if err := put(o, rec("a", 1)); err != nil {
		t.Fatal(err)
	}
	run(t, o, func() bool { return o.Waiting() == 0 })
	o.Close()
	if got := arch.ids(); len(got) != 1 || o.Stats().Lost != 0 {
		t.Fatalf("arrived %v, lost %d", got, o.Stats().Lost)
	}
}

func TestTheBoundRefusesAndRecovers(t *testing.T) {
	t.Parallel()
	arch := &archive{}
	o := open(t, Config{Dir: t.TempDir(), Send: arch.send, MaxBytes: 4000, SegmentBytes: 1000})
	taken := 0
	var err error
	for err == nil {
		if err = put(o, rec(fmt.Sprint(taken), taken)); err == nil {
			taken++
		}
	}
	if !problem.Is(err, problem.Full) {
		t.Fatalf("over the bound: %v", err)
	}
	if st := o.Stats(); st.Failing == nil || st.Refused != 1 || st.Since.IsZero() || st.Bytes > 4000 {
		t.Fatalf("%+v", st)
	}
	run(t, o, func() bool { return o.Stats().Failing == nil && o.Waiting() == 0 })
	if err := put(o, rec("again", 1)); err != nil {
		t.Fatalf("after recovery: %v", err)
	}
	run(t, o, func() bool { return o.Waiting() == 0 })
	o.Close()
	if n := len(arch.ids()); n != taken+1 {
		t.Fatalf("%d arrived, %d were taken", n, taken+1)
	}
}

func TestRecordsThatCannotBeOnesAreRefused(t *testing.T) {
	t.Parallel()
	o := open(t, Config{Dir: t.TempDir(), Send: (&archive{}).send})
	defer o.Close()
	long := make([]byte, maxName+1)
	for i := range long {
		long[i] = 'x'
	}
	for name, env := range map[string]record.Envelope{
		"no id": {Kind: "call"}, "no kind": {ID: "a"}, "long id": {ID: string(long), Kind: "call"},
		"long kind": {ID: "a", Kind: record.Kind(long)}, "much data": {ID: "a", Kind: "call", Data: make([]byte, maxData+1)},
		"negative": {ID: "a", Kind: "call", Version: -1},
	} {
		if err := put(o, env); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	o.Put(record.Envelope{}, nil) // nobody waits: it must not panic
}

// Any cut and any changed byte in a file of the queue costs at most the records from there on.
func TestTornAndDamagedFiles(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	o := open(t, Config{Dir: src, Send: (&archive{}).send})
	const records = 4
	for i := range records {
		if err := put(o, rec(fmt.Sprint(i), i)); err != nil {
			t.Fatal(err)
		}
	}
	o.Close()
	files, _ := filepath.Glob(filepath.Join(src, "*"))
	data, err := os.ReadFile(files[0])
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	frame := len(data) / records
	for at := 0; at < len(data); at += 3 {
		for _, sealed := range []bool{true, false} {
			for _, flip := range []bool{true, false} {
				damaged := slices.Clone(data)
				if flip {
					damaged[at] ^= 0x20
				} else {
					damaged = damaged[:at]
				}
				name := filepath.Base(files[0])
				if !sealed {
					name = filepath.Base(segmentPath("", 1))
				}
				got, st := deliverFile(t, name, damaged)
				if want := at / frame; got != want {
					t.Fatalf("at %d sealed=%v flip=%v: %d records arrived, want %d", at, sealed, flip, got, want)
				}
				if wantLost := uint64(records - at/frame); sealed && st.Lost != wantLost {
					t.Fatalf("at %d flip=%v: %d lost, want %d", at, flip, st.Lost, wantLost)
				}
			}
		}
	}
}

func deliverFile(t *testing.T, name string, data []byte) (arrived int, st Stats) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	arch := &archive{}
	o := open(t, Config{Dir: dir, Send: arch.send})
	cur := new(cursor)
	for more := true; more; {
		var err error
		if more, err = o.deliverBatch(t.Context(), cur); err != nil {
			t.Fatal(err)
		}
	}
	cur.close()
	o.Close()
	return len(arch.ids()), o.Stats()
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"notes.txt", "x.seg", "1-x.seg", "lost+found"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := open(t, Config{Dir: dir, Send: (&archive{}).send})
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 4 {
		t.Fatalf("left: %v", left)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(rec("01jd3e", 1)))
	f.Add([]byte{1, 1, 'a', 1, 'b', 0xff})
	f.Add([]byte{1, 0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decode(data)
		if err != nil {
			return
		}
		again, err := decode(encode(e))
		if err != nil || again.ID != e.ID || again.Kind != e.Kind || again.Version != e.Version || string(again.Data) != string(e.Data) {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	f.Add("0000000000000001.seg", []byte("\x03\x00\x00\x00abcdxyz"))
	f.Add("0000000000000001-2.seg", []byte{})
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if _, _, ok := parseName(name); !ok || name != filepath.Base(name) || len(name) > 100 {
			t.Skip()
		}
		deliverFile(t, name, data)
	})
}

func BenchmarkPutAndDeliver(b *testing.B) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(b.Context())
	o, err := Open(Config{Dir: b.TempDir(), Log: quiet(), Send: func(context.Context, []record.Envelope) error { return nil }})
	if err != nil {
		b.Fatal(err)
	}
	wg.Go(func() { _ = o.Run(ctx) })
	env := rec("01jd3e8rttf7gpvfn6sbbnhxj0", 1)
	env.Data = make([]byte, 500)
	b.ReportAllocs()
	const group = 100
	var committed sync.WaitGroup
	for b.Loop() {
		committed.Add(group)
		for range group {
			o.Put(env, journal.WaiterFunc(func(err error) {
				if err != nil {
					b.Error(err)
					b.FailNow()
				}
				committed.Done()
			}))
		}
		committed.Wait()
	}
	cancel()
	wg.Wait()
	o.Close()
}
