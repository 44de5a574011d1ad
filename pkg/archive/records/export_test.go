package records

import (
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/record"
)

func TestExports(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	var batch []record.Envelope
	for i := range exportPage + 7 {
		batch = append(batch, callAt(base().Add(time.Duration(i)*time.Second), "100", "200", record.CallAnswered))
	}
	id := ids.Record(base().Add(24 * time.Hour))
	batch = append(batch, envelope(record.KindCall, id, record.Call{
		ID: id, Start: base(), Dialed: "+911234", Caller: record.Party{Name: `=cmd|' /C calc'!A0`}, Duration: 1500 * time.Millisecond, MOS: 4.2,
	}))
	keep(t, a, batch...)
	q := record.Query{Kind: record.KindCall}
	var table, lines strings.Builder
	if err := a.ExportCSV(t.Context(), &table, q); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(table.String())).ReadAll()
	if err != nil || len(rows) != len(batch)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	cell := func(row []string, name string) string { return row[slices.Index(rows[0], name)] }
	for name, want := range map[string]string{
		"id": id, "caller_name": `'=cmd|' /C calc'!A0`, "dialed": "'+911234", "duration_s": "1.500", "mos": "4.20", "start": "2026-10-30T22:00:00.000Z",
	} {
		if got := cell(rows[1], name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if err := a.ExportJSON(t.Context(), &lines, q); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(lines.String(), "\n"); n != len(batch) {
		t.Errorf("%d lines of JSON", n)
	}
	var call record.Call
	if err := json.Unmarshal([]byte(strings.SplitN(lines.String(), "\n", 2)[0]), &call); err != nil || call.ID != id {
		t.Errorf("first line: %+v, %v", call, err)
	}
	for _, kind := range record.Kinds() {
		var out strings.Builder
		keep(t, a, envelope(kind, ids.Record(base()), struct{}{}))
		if err := a.ExportCSV(t.Context(), &out, record.Query{Kind: kind}); err != nil {
			t.Fatal(err)
		}
		if _, err := csv.NewReader(strings.NewReader(out.String())).ReadAll(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
