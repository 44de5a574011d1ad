package records

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/record"
)

// TestFindAgreesWithANaiveModel stores, replaces and asks at random, and compares each answer with
// a plain list that is filtered.
func TestFindAgreesWithANaiveModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "m")
		if err != nil {
			rt.Fatal(err)
		}
		a, stop := startStop(t, Config{Dir: dir})
		defer stop()
		model := map[string]record.Call{}
		var known []string
		rt.Repeat(map[string]func(*rapid.T){
			"store": func(rt *rapid.T) {
				var batch []record.Envelope
				for range rapid.IntRange(1, 8).Draw(rt, "n") {
					c := drawCall(rt)
					if len(known) > 0 && rapid.IntRange(0, 3).Draw(rt, "replace") == 0 {
						c.ID = rapid.SampledFrom(known).Draw(rt, "id")
					} else {
						known = append(known, c.ID)
					}
					model[c.ID] = c
					batch = append(batch, envelope(record.KindCall, c.ID, c))
				}
				if _, err := a.Store(t.Context(), batch); err != nil {
					rt.Fatal(err)
				}
			},
			"find": func(rt *rapid.T) {
				q := drawQuery(rt)
				got := find(t, a, q)
				if want := naive(model, q); !slices.Equal(got, want) {
					rt.Fatalf("%+v:\n got %v\nwant %v", q, got, want)
				}
			},
		})
	})
}

func drawWord(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"", "a", "b", "A", "ab", "a\x00", "aß", "100", "1000"}).Draw(rt, "word")
}

func drawTime(rt *rapid.T) time.Time {
	return base().Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "hours")) * 6 * time.Hour)
}

func drawCall(rt *rapid.T) record.Call {
	at := drawTime(rt)
	c := record.Call{
		ID: ids.Record(at), Start: at, CallID: drawWord(rt), Dialed: drawWord(rt), Status: drawWord(rt),
		Caller: record.Party{User: drawWord(rt), Number: drawWord(rt)}, Callee: record.Party{User: drawWord(rt)},
	}
	for range rapid.IntRange(0, 2).Draw(rt, "legs") {
		c.Legs = append(c.Legs, record.Leg{CallID: drawWord(rt), Party: record.Party{Number: drawWord(rt)}})
	}
	return c
}

func drawQuery(rt *rapid.T) record.Query {
	q := record.Query{Kind: record.KindCall, Match: map[record.Field]string{}, Limit: rapid.IntRange(1, 5).Draw(rt, "limit")}
	for _, f := range q.Kind.Fields() {
		if w := drawWord(rt); w != "" && rapid.IntRange(0, 2).Draw(rt, "use") == 0 {
			q.Match[f] = w
		}
	}
	q.Text = drawWord(rt)
	if rapid.Bool().Draw(rt, "from") {
		q.From = drawTime(rt)
	}
	if rapid.Bool().Draw(rt, "to") {
		q.To = drawTime(rt)
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		q.From, q.To = q.To, q.From
	}
	return q
}

// naive filters without any index.
func naive(model map[string]record.Call, q record.Query) (found []string) {
	same := func(v string) string { return strings.ToLower(strings.ReplaceAll(v, "\x00", "")) }
	for id, c := range model {
		at, _ := ids.RecordTime(id)
		have := map[record.Field][]string{
			record.FieldUser:   {c.Caller.User, c.Callee.User},
			record.FieldNumber: {c.Caller.Number, c.Callee.Number, c.Dialed},
			record.FieldCallID: {c.CallID},
			record.FieldStatus: {c.Status},
		}
		all := []string{id, c.Caller.User, c.Callee.User, c.Caller.Number, c.Dialed, c.CallID, c.Status}
		for _, l := range c.Legs {
			have[record.FieldNumber] = append(have[record.FieldNumber], l.Party.Number)
			have[record.FieldCallID] = append(have[record.FieldCallID], l.CallID)
			all = append(all, l.CallID, l.Party.Number)
		}
		for range 2 { // values that every call has: times and zeros
			all = append(all, fmt.Sprint(c.Start.Format(time.RFC3339)), "0001-01-01t00:00:00z", "0")
		}
		ok := (q.From.IsZero() || !at.Before(q.From)) && (q.To.IsZero() || at.Before(q.To))
		for f, v := range q.Match {
			ok = ok && slices.ContainsFunc(have[f], func(h string) bool { return same(h) == same(v) })
		}
		if q.Text != "" {
			ok = ok && slices.ContainsFunc(all, func(h string) bool { return strings.Contains(strings.ToLower(h), strings.ToLower(q.Text)) })
		}
		if ok {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	slices.Reverse(found)
	return found
}
