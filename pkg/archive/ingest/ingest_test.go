package ingest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/archive/records"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/outbox"
	"github.com/coraltele/sanchar/pkg/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func call(status string) record.Envelope {
	id := ids.Record(time.Now())
	data, err := json.Marshal(record.Call{ID: id, Status: status})
	if err != nil {
		panic(err)
	}
	return record.Envelope{ID: id, Kind: record.KindCall, Version: record.Version, Data: data}
}

// serve runs an archive behind a socket until stop is called.
func serve(t testing.TB, dir, socket string) (*records.Archive, func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	a, err := records.New(records.Config{Dir: dir, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	Handle(mux, a)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := ctl.Serve(ctx, socket, mux, log); err != nil {
			t.Error(err)
		}
	})
	return a, func() { cancel(); wg.Wait() }
}

// await asks until the socket answers.
func await(t *testing.T, client ctl.Admin) {
	t.Helper()
	for range 1000 {
		if _, err := client.Store(t.Context(), ctl.Batch{}); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the socket does not answer")
}

func TestABatchIsAcknowledgedAndIdempotent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	_, stop := serve(t, filepath.Join(dir, "records"), socket)
	defer stop()
	client := ctl.NewAdmin(socket)
	await(t, client)
	batch := ctl.Batch{Records: []record.Envelope{call(record.CallBusy), call(record.CallAnswered)}}
	for i, want := range []int{2, 0} {
		if ack, err := client.Store(t.Context(), batch); err != nil || ack.Stored != want {
			t.Fatalf("store %d: %+v, %v; want %d", i, ack, err, want)
		}
	}
	batch.Records[1].ID = "nonsense"
	_, err := client.Store(t.Context(), batch)
	if p := problem.Of(err); p.Code != record.CodeRefused || len(p.Faults) != 1 || p.Faults[0].Path != "records[1].id" {
		t.Fatalf("a record that can never be stored: %v", err)
	}
}

// An archive that is away while records are made gets them all when it is back.
func TestAnAbsenceLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	client := ctl.NewAdmin(socket)
	out, err := outbox.Open(outbox.Config{Dir: filepath.Join(dir, "out"), Log: slog.New(slog.DiscardHandler), Send: func(ctx context.Context, recs []record.Envelope) error {
		_, err := client.Store(ctx, ctl.Batch{Records: recs})
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = out.Run(ctx) })
	want := map[string]bool{}
	for round := range 3 {
		for range 100 {
			e := call(strconv.Itoa(round))
			want[e.ID] = true
			out.Put(e, nil)
		}
		a, stop := serve(t, filepath.Join(dir, "records"), socket)
		for len(found(t, a)) < len(want) || out.Waiting() > 0 {
			time.Sleep(10 * time.Millisecond)
		}
		stop()
	}
	cancel()
	wg.Wait()
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if st := out.Stats(); st.Lost+st.Refused != 0 || st.Waiting != 0 {
		t.Fatalf("%+v", st)
	}
}

func found(t *testing.T, a *records.Archive) []record.Envelope {
	t.Helper()
	page, err := a.Find(t.Context(), record.Query{Kind: record.KindCall, Limit: records.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	return page.Records
}
