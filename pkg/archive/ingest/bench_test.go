package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/outbox"
	"github.com/coraltele/sanchar/pkg/record"
)

func stay(n int) record.Envelope {
	id := ids.Record(time.Now())
	data, err := json.Marshal(record.Registration{
		ID: id, AoR: fmt.Sprintf("sip:user%d@pbx.example", n), User: fmt.Sprintf("user%d", n), CallID: ids.CallID(),
		Contact: fmt.Sprintf("<sip:user%d@192.0.2.7:5060;transport=udp>", n), Instance: "<urn:uuid:" + ids.Random(16) + ">",
		Source: netip.MustParseAddrPort("192.0.2.7:5060"), Transport: "udp", UserAgent: "Phone 1.2.3", Asked: 600, Expires: 600,
		Features: []string{"gruu"}, Result: record.RegActive, First: time.Now(), Last: time.Now(), Refreshes: 1,
	})
	if err != nil {
		panic(err)
	}
	return record.Envelope{ID: id, Kind: record.KindRegistration, Version: record.Version, Data: data}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRecord is a record's whole way: queue on disk, socket, archive, acknowledgement. Both
// daemons' processor time is counted.
func BenchmarkRecord(b *testing.B) {
	dir := b.TempDir()
	log := slog.New(slog.DiscardHandler)
	_, stop := serve(b, filepath.Join(dir, "records"), filepath.Join(dir, "s"))
	client := ctl.NewAdmin(filepath.Join(dir, "s"))
	out, err := outbox.Open(outbox.Config{Dir: filepath.Join(dir, "out"), Log: log, Send: func(ctx context.Context, recs []record.Envelope) error {
		_, err := client.Store(ctx, ctl.Batch{Records: recs})
		return err
	}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = out.Run(ctx) })
	batch := make([]record.Envelope, b.N)
	for i := range batch {
		batch[i] = stay(i % 2000)
	}
	begin := cpu()
	b.ResetTimer()
	for _, e := range batch {
		out.Put(e, nil)
	}
	for out.Waiting() > 0 {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64((cpu()-begin).Microseconds())/float64(b.N), "cpu-us/record")
	b.ReportMetric(float64(len(batch[0].Data)), "bytes")
	b.StopTimer()
	cancel()
	wg.Wait()
	stop()
	if st := out.Stats(); st.Lost+st.Refused > 0 {
		b.Fatalf("%+v", st)
	}
	_ = out.Close() // the folder goes with it
}
