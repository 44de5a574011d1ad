package records

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/record"
)

const (
	benchRecords = 1_000_000
	benchBatch   = 500
	benchUsers   = 2000
)

// realCall has the size and the variety of a call of an enterprise of 2,000 users.
func realCall(rng *rand.Rand, at time.Time) record.Envelope {
	party := func() record.Party {
		n := rng.IntN(benchUsers)
		return record.Party{AoR: fmt.Sprintf("sip:user%d@pbx.example", n), User: fmt.Sprintf("user%d", n), Number: fmt.Sprint(10000 + n), Name: fmt.Sprintf("User Number %d", n)}
	}
	id := ids.Record(at)
	caller, callee := party(), party()
	c := record.Call{
		ID: id, CallID: ids.CallID(), Caller: caller, Callee: callee, Dialed: callee.Number, Start: at, Ring: at, Answer: at, End: at,
		Duration: time.Minute, Status: []string{record.CallAnswered, record.CallBusy, record.CallNoAnswer}[rng.IntN(3)], Code: 200,
		Cause: "callee hung up", EndedBy: record.ByCallee, Codecs: []string{"PCMU"}, MOS: 4.3,
		Legs: []record.Leg{{
			Role: record.RoleCallee, Party: callee, CallID: ids.CallID(), Remote: netip.MustParseAddrPort("192.0.2.7:5060"),
			Transport: "udp", UserAgent: "Phone 1.2.3", Start: at, End: at, Code: 200,
		}},
	}
	return envelope(record.KindCall, id, c)
}

// BenchmarkMillion measures inserting a month of a million calls, then what the page asks for.
func BenchmarkMillion(b *testing.B) {
	if testing.Short() {
		b.Skip("a million records take a while")
	}
	a, stop := startStop(b, Config{Dir: b.TempDir()})
	rng := rand.New(rand.NewPCG(1, 2))
	at := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	var sample record.Envelope
	begin := time.Now()
	var inserting time.Duration
	n := benchRecords
	for done := 0; done < n; done += benchBatch {
		batch := make([]record.Envelope, benchBatch)
		for i := range batch {
			at = at.Add(2500 * time.Millisecond)
			batch[i] = realCall(rng, at)
		}
		t0 := time.Now()
		keep(b, a, batch...)
		inserting += time.Since(t0)
		if done == n/2 {
			sample = batch[0]
		}
	}
	path := a.list(record.KindCall)[0].path
	st, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("built in %v: %.0f records/s stored, %d bytes each", time.Since(begin), float64(n)/inserting.Seconds(), st.Size()/int64(n))
	var call record.Call
	if err := json.Unmarshal(sample.Data, &call); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		p := a.list(record.KindCall)[0]
		for b.Loop() {
			if err := p.closeIdle(0); err != nil {
				b.Fatal(err)
			}
			if _, err := p.acquire(); err != nil {
				b.Fatal(err)
			}
			p.release()
		}
	})
	for name, q := range map[string]record.Query{
		"newest":       {},
		"call-id":      {Match: map[record.Field]string{record.FieldCallID: call.CallID}},
		"user":         {Match: map[record.Field]string{record.FieldUser: call.Caller.User}},
		"user+status":  {Match: map[record.Field]string{record.FieldUser: call.Caller.User, record.FieldStatus: "busy"}},
		"user+number":  {Match: map[record.Field]string{record.FieldUser: call.Caller.User, record.FieldNumber: call.Callee.Number}},
		"a day ago":    {From: call.Start.Add(-time.Hour), To: call.Start},
		"text, common": {Text: "hung up"},
		"text, absent": {Text: "zzzz"},
	} {
		q.Kind = record.KindCall
		b.Run(name, func(b *testing.B) {
			found := 0
			for b.Loop() {
				page, err := a.Find(b.Context(), q)
				if err != nil {
					b.Fatal(err)
				}
				found = len(page.Records)
			}
			b.ReportMetric(float64(found), "found")
		})
	}
	b.Run("insert one", func(b *testing.B) {
		for b.Loop() {
			at = at.Add(time.Millisecond)
			keep(b, a, realCall(rng, at))
		}
	})
	b.Run("insert 500", func(b *testing.B) {
		for b.Loop() {
			batch := make([]record.Envelope, benchBatch)
			for i := range batch {
				at = at.Add(time.Millisecond)
				batch[i] = realCall(rng, at)
			}
			keep(b, a, batch...)
		}
	})
	stop()
}
