package admind

import (
	"encoding/csv"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

func envelope(kind record.Kind, id string, v any) record.Envelope {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return record.Envelope{ID: id, Kind: kind, Version: record.Version, Data: data}
}

func pastCall(caller, callee, status string) record.Envelope {
	time.Sleep(time.Millisecond) // ids of one millisecond have no order
	id := ids.Record(time.Now())
	return envelope(record.KindCall, id, record.Call{
		ID: id, CallID: id + "@x", Start: time.Now(), Status: status, Caller: record.Party{User: caller, Number: "1" + caller}, Callee: record.Party{User: callee},
	})
}

// put stores records as an outbox does.
func (b *box) put(batch ...record.Envelope) {
	b.t.Helper()
	if _, err := ctl.NewAdmin(b.cfg.socket("admin")).Store(b.t.Context(), ctl.Batch{Records: batch}); err != nil {
		b.t.Fatal(err)
	}
}

func TestRecordsAreFoundPagedAndExported(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	var batch []record.Envelope
	for _, who := range []string{"asha", "bala", "chand"} {
		batch = append(batch, pastCall(who, "dev", record.CallAnswered), pastCall("dev", who, record.CallBusy))
	}
	rid, aid := ids.Record(time.Now()), ids.Record(time.Now())
	batch = append(batch,
		envelope(record.KindRegistration, rid, record.Registration{ID: rid, User: "asha", Source: netip.MustParseAddrPort("192.0.2.9:5060"), Result: record.RegActive}),
		envelope(record.KindAuthFailure, aid, record.AuthFailure{ID: aid, Username: "=admin", Source: netip.MustParseAddr("203.0.113.1"), Reason: record.AuthUnknownUser}),
	)
	b.put(batch...)
	type page struct {
		Records []map[string]any
		Next    string
	}
	find := func(path string) (p page) {
		t.Helper()
		c.api(200, "GET", path, nil, &p)
		if p.Records == nil {
			t.Errorf("%s: null", path)
		}
		return p
	}
	for path, want := range map[string]int{
		"/records/calls":                                   6,
		"/records/calls?user=asha":                         2,
		"/records/calls?user=ASHA&status=busy":             1,
		"/records/calls?number=1chand":                     1,
		"/records/calls?text=hand":                         2,
		"/records/calls?call_id=" + batch[0].ID + "@x":     1,
		"/records/calls?to=2020-01-01T00:00:00Z":           0,
		"/records/calls?from=2020-01-01T00:00:00Z":         6,
		"/records/registrations?user=asha":                 1,
		"/records/registrations?source=192.0.2.9":          1,
		"/records/registrations?result=expired":            0,
		"/records/auth-failures?source=203.0.113.1":        1,
		"/records/auth-failures?reason=unknown%20user":     1,
		"/records/auth-failures?user=%3Dadmin&text=203.0.": 1,
	} {
		if p := find(path); len(p.Records) != want {
			t.Errorf("%s: %d records, want %d", path, len(p.Records), want)
		}
	}
	p := find("/records/calls?limit=4")
	rest := find("/records/calls?limit=4&before=" + p.Next)
	if len(p.Records) != 4 || len(rest.Records) != 2 || p.Records[0]["id"] != batch[5].ID || rest.Records[1]["id"] != batch[0].ID {
		t.Errorf("pages of %d and %d", len(p.Records), len(rest.Records))
	}
	var one record.Call
	c.api(200, "GET", "/records/calls/"+batch[0].ID, nil, &one)
	if one.Caller.User != "asha" || one.Legs == nil {
		t.Errorf("%+v", one)
	}
	c.api(404, "GET", "/records/calls/"+ids.Record(time.Now()), nil, nil)

	a := c.api(200, "GET", "/records/calls/export.csv?user=asha", nil, nil)
	if rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll(); err != nil || len(rows) != 3 || !strings.Contains(a.header.Get("Content-Disposition"), "calls-") {
		t.Errorf("%v %v %v", rows, err, a.header)
	}
	if a := c.api(200, "GET", "/records/calls/export.json", nil, nil); strings.Count(string(a.body), "\n") != 6 {
		t.Errorf("%s", a.body)
	}
	if a := c.api(200, "GET", "/records/auth-failures/export.csv", nil, nil); !strings.Contains(string(a.body), "'=admin") {
		t.Errorf("%s", a.body)
	}
	audited := find("/records/audit?act=calls.export")
	if len(audited.Records) != 2 || audited.Records[1]["detail"] != "user=asha" || audited.Records[1]["ok"] != true {
		t.Errorf("%+v", audited)
	}
	find("/records/audit?who=" + owner)
	if reads := find("/records/audit?act=audit.read"); len(reads.Records) != 3 || !slices.ContainsFunc(reads.Records, func(r map[string]any) bool { return r["detail"] == "who="+owner }) { // in no order within one millisecond
		t.Errorf("%+v", reads)
	}
}

func TestARecordThatComesAgainReplaces(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	id := ids.Record(time.Now())
	for n := uint64(1); n < 4; n++ {
		b.put(envelope(record.KindRegistration, id, record.Registration{ID: id, User: "asha", Refreshes: n, Result: record.RegActive}))
	}
	var p struct{ Records []record.Registration }
	c.api(200, "GET", "/records/registrations", nil, &p)
	if len(p.Records) != 1 || p.Records[0].Refreshes != 3 {
		t.Errorf("%+v", p)
	}
}
