package records

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/record"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start runs an archive until the test ends.
func start(t testing.TB, cfg Config) *Archive {
	t.Helper()
	a, stop := startStop(t, cfg)
	t.Cleanup(stop)
	return a
}

func startStop(t testing.TB, cfg Config) (*Archive, func()) {
	t.Helper()
	cfg.Log = quiet()
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return a, func() { cancel(); wg.Wait() }
}

func envelope(kind record.Kind, id string, v any) record.Envelope {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return record.Envelope{ID: id, Kind: kind, Version: record.Version, Data: data}
}

func callAt(at time.Time, caller, callee, status string) record.Envelope {
	id := ids.Record(at)
	return envelope(record.KindCall, id, record.Call{
		ID: id, CallID: id + "@box", Start: at, Status: status, Dialed: "9" + callee,
		Caller: record.Party{User: "u" + caller, Number: caller, Name: "Mr " + caller},
		Callee: record.Party{User: "u" + callee, Number: callee},
		Legs:   []record.Leg{{Role: record.RoleCallee, CallID: id + "-leg@box", Party: record.Party{User: "u" + callee, Number: callee}}},
	})
}

func keep(t testing.TB, a *Archive, batch ...record.Envelope) int {
	t.Helper()
	n, err := a.Store(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func find(t testing.TB, a *Archive, q record.Query) (ids []string) {
	t.Helper()
	for {
		page, err := a.Find(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Records {
			ids = append(ids, e.ID)
		}
		if page.Next == "" {
			return ids
		}
		q.Before = page.Next
	}
}

func base() time.Time { return time.Date(2026, 10, 30, 22, 0, 0, 0, time.UTC) }

func TestACallIsFoundByEverythingItHas(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	call := callAt(base(), "100", "200", record.CallAnswered)
	other := callAt(base().Add(time.Hour), "300", "400", record.CallBusy)
	keep(t, a, call, other)
	for field, values := range map[record.Field][]string{
		record.FieldUser:   {"u100", "U200", " u100 "},
		record.FieldNumber: {"100", "200", "9200"},
		record.FieldCallID: {call.ID + "@box", call.ID + "-leg@box"},
		record.FieldStatus: {"answered"},
	} {
		for _, v := range values {
			got := find(t, a, record.Query{Kind: record.KindCall, Match: map[record.Field]string{field: v}})
			if !slices.Equal(got, []string{call.ID}) {
				t.Errorf("%s=%s: found %v", field, v, got)
			}
		}
	}
	for _, v := range []string{"u10", "u1000", "", "u100\x00"} {
		got := find(t, a, record.Query{Kind: record.KindCall, Match: map[record.Field]string{record.FieldUser: v}})
		if want := v == "u100\x00"; (len(got) == 1) != want {
			t.Errorf("user=%q: found %v", v, got)
		}
	}
	e, err := a.Get(t.Context(), record.KindCall, call.ID)
	if err != nil || string(e.Data) != string(call.Data) {
		t.Errorf("get: %s, %v", e.Data, err)
	}
	for _, id := range []string{"", "x", ids.Record(base()), ids.Record(base().AddDate(1, 0, 0))} {
		if _, err := a.Get(t.Context(), record.KindCall, id); !problem.Is(err, problem.Missing) {
			t.Errorf("get %q: %v", id, err)
		}
	}
}

func TestTheOtherKindsAreFound(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	id := func() string { return ids.Record(base()) }
	reg := envelope(record.KindRegistration, id(), record.Registration{
		User: "bob", AoR: "sip:bob@x", Source: netip.MustParseAddrPort("[::ffff:192.0.2.1]:5060"), Instance: "<urn:uuid:A>", Result: "expired", CallID: "c1",
	})
	auth := envelope(record.KindAuthFailure, id(), record.AuthFailure{Source: netip.MustParseAddr("2001:db8::1"), Username: "Bob\x00by", Reason: "wrong password"})
	audit := envelope(record.KindAudit, id(), record.Audit{Who: "owner", Act: "user.add"})
	keep(t, a, reg, auth, audit)
	for _, c := range []struct {
		kind  record.Kind
		field record.Field
		value string
	}{
		{record.KindRegistration, record.FieldUser, "bob"},
		{record.KindRegistration, record.FieldAoR, "SIP:bob@x"},
		{record.KindRegistration, record.FieldSource, "192.0.2.1"},
		{record.KindRegistration, record.FieldInstance, "<urn:uuid:a>"},
		{record.KindRegistration, record.FieldResult, "expired"},
		{record.KindRegistration, record.FieldCallID, "c1"},
		{record.KindAuthFailure, record.FieldSource, "2001:DB8:0::1"},
		{record.KindAuthFailure, record.FieldUser, "bobby"},
		{record.KindAuthFailure, record.FieldReason, "wrong password"},
		{record.KindAudit, record.FieldWho, "owner"},
		{record.KindAudit, record.FieldAct, "user.add"},
	} {
		if got := find(t, a, record.Query{Kind: c.kind, Match: map[record.Field]string{c.field: c.value}}); len(got) != 1 {
			t.Errorf("%s %s=%s: found %v", c.kind, c.field, c.value, got)
		}
	}
}

func TestEveryFieldHasAByteOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[byte]record.Field{}
	for _, k := range record.Kinds() {
		for _, f := range k.Fields() {
			b := fieldByte(f)
			if other, taken := seen[b]; b == 0 || (taken && other != f) {
				t.Errorf("field %s has byte %q, as %s", f, b, other)
			}
			seen[b] = f
		}
		if header(k) == nil {
			t.Errorf("%s has no export", k)
		}
	}
}

func TestTheSameAgainIsNoWriteAndAReplacedRecordLeavesNoTrace(t *testing.T) {
	t.Parallel()
	told := 0
	a := start(t, Config{Dir: t.TempDir(), Stored: func(b []record.Envelope) { told += len(b) }})
	id := ids.Record(base())
	reg := record.Registration{ID: id, User: "bob", Result: record.RegActive, Refreshes: 1}
	first := envelope(record.KindRegistration, id, reg)
	reg.User, reg.Result, reg.Refreshes = "robert", record.RegExpired, 2
	second := envelope(record.KindRegistration, id, reg)
	for i, c := range []struct {
		env  record.Envelope
		want int
	}{{first, 1}, {first, 0}, {second, 1}, {second, 0}} {
		if n := keep(t, a, c.env); n != c.want {
			t.Errorf("store %d: %d changed, want %d", i, n, c.want)
		}
	}
	if told != 2 {
		t.Errorf("told of %d records, want 2", told)
	}
	for user, want := range map[string]int{"bob": 0, "robert": 1} {
		if got := find(t, a, record.Query{Kind: record.KindRegistration, Match: map[record.Field]string{record.FieldUser: user}}); len(got) != want {
			t.Errorf("user %s: %v", user, got)
		}
	}
	if got := find(t, a, record.Query{Kind: record.KindRegistration}); len(got) != 1 {
		t.Errorf("all: %v", got)
	}
}

func TestPagesStayStableWhileRecordsArrive(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	var want []string
	for i := range 25 {
		e := callAt(base().Add(time.Duration(i)*6*time.Hour), "1", "2", record.CallAnswered) // over two months
		want = append(want, e.ID)
		keep(t, a, e)
	}
	slices.Reverse(want)
	var got []string
	q := record.Query{Kind: record.KindCall, Limit: 4}
	for {
		page, err := a.Find(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Records {
			got = append(got, e.ID)
		}
		keep(t, a, callAt(base().AddDate(0, 0, 20), "1", "2", record.CallBusy))
		if page.Next == "" {
			break
		}
		q.Before = page.Next
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %d records, want %d: %v", len(got), len(want), got)
	}
}

func TestTextIsFoundInValuesOnly(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	id := ids.Record(base())
	keep(t, a, envelope(record.KindCall, id, record.Call{
		ID: id, Cause: `said "no" & <hung up>`, Code: 486, Caller: record.Party{Name: "Zoë Müller"}, Codecs: []string{"opus", "PCMU"},
	}))
	for text, want := range map[string]bool{
		"hung": true, "HUNG UP": true, `"no" &`: true, "<hung": true, "müller": true, "MÜLLER": true, "486": true, "pcmu": true,
		"cause": false, "caller": false, "codecs": false, "u00": false, "nobody": false, "486}": false,
	} {
		if got := find(t, a, record.Query{Kind: record.KindCall, Text: text}); (len(got) == 1) != want {
			t.Errorf("text %q: found %v, want %v", text, got, want)
		}
	}
}

func TestASearchThatFindsLittlePausesAndGoesOn(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	var batch []record.Envelope
	needle := callAt(base(), "needle", "1", record.CallFailed)
	batch = append(batch, needle)
	for i := range 3000 {
		batch = append(batch, callAt(base().Add(time.Duration(i+1)*time.Second), "1", "2", record.CallAnswered))
	}
	keep(t, a, batch...)
	s, err := newLookup(record.Query{Kind: record.KindCall, Text: "needle"})
	if err != nil {
		t.Fatal(err)
	}
	s.budget = 1000
	done, err := s.in(t.Context(), a.list(record.KindCall)[0])
	if err != nil || !done || len(s.found) != 0 || s.at != batch[2001].ID {
		t.Fatalf("done %v, %v, found %d, at %s", done, err, len(s.found), s.at)
	}
	if got := find(t, a, record.Query{Kind: record.KindCall, Text: "needle", Before: s.at}); !slices.Equal(got, []string{needle.ID}) {
		t.Fatalf("the next page: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Find(ctx, record.Query{Kind: record.KindCall, Text: "nowhere"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("a search that nobody waits for: %v", err)
	}
}

func TestWrongRecordsAreRefusedByName(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	good := callAt(base(), "1", "2", record.CallAnswered)
	batch := []record.Envelope{
		good,
		{ID: "no id", Kind: record.KindCall, Data: []byte("{}")},
		{ID: ids.Record(base()), Kind: "chat", Data: []byte("{}")},
		{ID: ids.Record(base()), Kind: record.KindCall, Data: []byte(`{"code":"x"}`)},
		{ID: ids.Record(base()), Kind: record.KindCall, Data: []byte(`{`)},
		{ID: ids.Record(base()), Kind: record.KindCall, Data: make([]byte, maxData+1)},
	}
	_, err := a.Store(t.Context(), batch)
	p := problem.Of(err)
	if p.Kind != problem.Invalid || p.Code != record.CodeRefused || len(p.Faults) != 5 {
		t.Fatalf("%v", err)
	}
	for i, f := range p.Faults {
		if !strings.HasPrefix(f.Path, fmt.Sprintf("records[%d]", i+1)) || f.Rule == "" || f.Cure == "" || f.Value == "" {
			t.Errorf("fault %d: %+v", i, f)
		}
	}
	if got := find(t, a, record.Query{Kind: record.KindCall}); len(got) != 0 {
		t.Errorf("a refused batch left %v", got)
	}
}

func TestWrongQueriesNameEveryFault(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	_, err := a.Find(t.Context(), record.Query{
		Kind: record.KindAudit, Match: map[record.Field]string{record.FieldNumber: "1"}, Limit: MaxLimit + 1, From: base(), To: base().Add(-time.Hour),
	})
	if p := problem.Of(err); p.Kind != problem.Invalid || len(p.Faults) != 3 {
		t.Fatalf("%v", err)
	}
	if _, err := a.Find(t.Context(), record.Query{Kind: "chat"}); !problem.Is(err, problem.Invalid) {
		t.Fatalf("unknown kind: %v", err)
	}
	if err := a.ExportCSV(t.Context(), nil, record.Query{Kind: "chat"}); !problem.Is(err, problem.Invalid) {
		t.Fatalf("export of an unknown kind: %v", err)
	}
}
