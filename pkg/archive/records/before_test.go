package records

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/platform/store"
	"github.com/coraltele/sanchar/pkg/record"
)

// TestTheVersionBeforeReadsWhatALaterOneWrote is the rule that keeps records without copies: a version
// comes back after a trial, so a later one only adds. It adds fields to records and buckets to files, and
// the schema of a file stays 1.
func TestTheVersionBeforeReadsWhatALaterOneWrote(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, stop := startStop(t, Config{Dir: dir})
	old, later := callAt(base(), "100", "200", record.CallAnswered), callAt(base().Add(1), "100", "300", record.CallBusy)
	later.Version = record.Version + 1
	later.Data = added(t, later.Data, "weather", "fair")
	keep(t, a, old, later)
	stop()

	path := filepath.Join(dir, partitionName(record.KindCall, monthOf(base())))
	db, err := store.Open(path, store.Options{Buckets: []string{"a later index"}, KeepFreelist: true}) // refuses another schema than 1
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("a later index")).Put([]byte("x"), []byte("y")) })
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	a, stop = startStop(t, Config{Dir: dir})
	defer stop()
	keep(t, a, callAt(base().Add(2), "100", "400", record.CallAnswered))
	if got := find(t, a, record.Query{Kind: record.KindCall, Match: map[record.Field]string{record.FieldUser: "u100"}}); len(got) != 3 {
		t.Errorf("found %v", got)
	}
	e, err := a.Get(t.Context(), record.KindCall, later.ID)
	if err != nil || e.Version != record.Version+1 {
		t.Fatalf("%+v, %v", e, err)
	}
	var call record.Call
	if err := json.Unmarshal(e.Data, &call); err != nil || call.Callee.Number != "300" {
		t.Errorf("%+v, %v", call, err)
	}
}

// added returns a record with one more field.
func added(t *testing.T, data json.RawMessage, field, value string) json.RawMessage {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	fields[field] = value
	out, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestFilesOfRecordsHaveOneSchema: a migration would copy months of records at each update.
func TestFilesOfRecordsHaveOneSchema(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), partitionName(record.KindCall, monthOf(base())))
	db, err := openPartition(path, record.KindCall)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	first, err := store.Open(path, store.Options{}) // knows schema 1 alone
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
}
