package records

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/coraltele/sanchar/pkg/archive/search"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/record"
)

func messageAt(at time.Time, from, to, text string) record.Message {
	id := ids.Record(at)
	users := []string{from, to}
	slices.Sort(users)
	return record.Message{
		ID: id, Type: record.MessageContent, MessageID: "mid-" + id, CallID: id + "@app", Thread: strings.Join(users, " "),
		Sender: record.Party{User: from, Number: "1" + from, Name: "Mr " + from}, Recipient: record.Party{User: to, Number: "1" + to},
		At: at, ContentType: "text/plain;charset=UTF-8", Content: []byte(text), Text: text, Status: record.MessageStored,
	}
}

func (a *Archive) keepMessage(t testing.TB, m record.Message) {
	t.Helper()
	keep(t, a, envelope(record.KindMessage, m.ID, m))
}

func read1(t testing.TB, e record.Envelope) (m record.Message) {
	t.Helper()
	if err := json.Unmarshal(e.Data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAMessageIsFoundByEverythingItHas(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	m := messageAt(base(), "asha", "vikram", "Die Straße nach Kāśī: नमस्ते 👍")
	m.Files = []record.File{{Name: "invoice_2026.pdf", ContentType: "application/pdf", Size: 7}}
	m.Reply = "mid-of-another"
	a.keepMessage(t, m)
	a.keepMessage(t, messageAt(base().Add(time.Hour), "vikram", "meera", "nothing of it"))
	for field, values := range map[record.Field][]string{
		record.FieldUser:      {"asha", "ASHA"},
		record.FieldSender:    {"asha"},
		record.FieldRecipient: {"vikram"},
		record.FieldNumber:    {"1asha"},
		record.FieldCallID:    {m.CallID},
		record.FieldMessageID: {m.MessageID},
		record.FieldThread:    {"asha vikram"},
		record.FieldRefers:    {"mid-of-another"},
	} {
		for _, v := range values {
			if got := find(t, a, record.Query{Kind: record.KindMessage, Match: map[record.Field]string{field: v}}); !slices.Equal(got, []string{m.ID}) {
				t.Errorf("%s=%s: found %v", field, v, got)
			}
		}
	}
	for words, want := range map[string]int{
		"strasse": 1, "kasi STRASSE": 1, "नमस्ते": 1, "नम*": 1, "नम": 0, "👍": 1, "2026": 1, "inv* pdf": 1, "straße missing": 0, "nothing": 1, "o*": 1,
	} {
		if got := find(t, a, record.Query{Kind: record.KindMessage, Words: words}); len(got) != want {
			t.Errorf("%q: found %v, want %d", words, got, want)
		}
	}
	both := record.Query{Kind: record.KindMessage, Match: map[record.Field]string{record.FieldUser: "vikram", record.FieldStatus: record.MessageStored, record.FieldType: record.MessageContent}}
	if got := find(t, a, both); len(got) != 2 {
		t.Errorf("by user, status and type: %v", got)
	}
}

func TestWhatMessagesSayIsGivenOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	m := messageAt(base(), "asha", "vikram", "the secret")
	m.Files = []record.File{{Name: "secret.pdf", URL: "https://secret/", ContentType: "application/pdf", Size: 7}}
	a.keepMessage(t, m)
	for _, content := range []bool{false, true} {
		page, err := a.Find(t.Context(), record.Query{Kind: record.KindMessage, Content: content})
		if err != nil || len(page.Records) != 1 {
			t.Fatal(page, err)
		}
		if told := strings.Contains(string(page.Records[0].Data), "secret"); told != content {
			t.Errorf("content %v: %s", content, page.Records[0].Data)
		}
		if got := read1(t, page.Records[0]); len(got.Files) != 1 || got.Files[0].Size != 7 || got.Dropped {
			t.Errorf("%+v", got)
		}
	}
	page, err := a.Threads(t.Context(), record.ThreadQuery{})
	if text, _ := json.Marshal(page); err != nil || strings.Contains(string(text), "secret") {
		t.Errorf("%s %v", text, err)
	}
}

func TestAWrongSearchOfMessagesNamesItsFault(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	for path, q := range map[string]record.Query{
		"words": {Kind: record.KindMessage, Words: "... !"},
		"limit": {Kind: record.KindMessage, Limit: MaxLimit + 1},
		"text":  {Kind: record.KindMessage, Text: "x"},
		"who":   {Kind: record.KindMessage, Match: map[record.Field]string{record.FieldWho: "x"}},
	} {
		_, err := a.Find(t.Context(), q)
		if p := problem.Of(err); err == nil || len(p.Faults) != 1 || p.Faults[0].Path != path || p.Faults[0].Rule == "" || p.Faults[0].Cure == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := a.Find(t.Context(), record.Query{Kind: record.KindCall, Words: "x"}); err == nil {
		t.Error("calls have no words")
	}
	if _, err := a.Find(t.Context(), record.Query{Kind: record.KindMessage, Words: strings.Repeat("a ", maxWords+1)}); err == nil {
		t.Error("too many words")
	}
}

// TestMessagesAgreeWithANaiveModel stores, grows, spreads and asks at random; some ids share their
// head.
func TestMessagesAgreeWithANaiveModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		a, stop := startStop(t, Config{Dir: t.TempDir()})
		defer stop()
		model := map[string]record.Message{}
		var known []string
		words := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "ab", "abc", "b", "नम", "नमस्ते"}), 0, 3)
		user := rapid.SampledFrom([]string{"asha", "vikram", "meera"})
		status := rapid.SampledFrom([]string{record.MessageStored, record.MessageDelivered, record.MessageFailed})
		rt.Repeat(map[string]func(*rapid.T){
			"store": func(rt *rapid.T) {
				m := messageAt(drawTime(rt), user.Draw(rt, "from"), user.Draw(rt, "to"), strings.Join(words.Draw(rt, "text"), " "))
				m.Status = status.Draw(rt, "status")
				if len(known) > 0 {
					old := rapid.SampledFrom(known).Draw(rt, "old")
					switch rapid.IntRange(0, 3).Draw(rt, "what") {
					case 0: // it grows
						m.ID, m.Thread = old, model[old].Thread
					case 1: // it shares the head of another
						m.ID = old[:14] + m.ID[14:]
					}
				}
				if _, there := model[m.ID]; !there {
					known = append(known, m.ID)
				}
				model[m.ID] = m
				a.keepMessage(t, m)
			},
			"spread": func(rt *rapid.T) { spread(t, a) },
			"find": func(rt *rapid.T) {
				q := record.Query{Kind: record.KindMessage, Limit: rapid.IntRange(1, 4).Draw(rt, "limit"), Match: map[record.Field]string{}}
				for _, w := range words.Draw(rt, "words") {
					q.Words += w + rapid.SampledFrom([]string{" ", "* "}).Draw(rt, "end")
				}
				if rapid.Bool().Draw(rt, "by user") {
					q.Match[record.FieldUser] = user.Draw(rt, "user")
				}
				if rapid.Bool().Draw(rt, "by status") {
					q.Match[record.FieldStatus] = status.Draw(rt, "status")
				}
				if rapid.Bool().Draw(rt, "from") {
					q.From = drawTime(rt)
				}
				if got, want := find(t, a, q), naiveMessages(model, q); !slices.Equal(got, want) {
					rt.Fatalf("%+v:\n got %v\nwant %v", q, got, want)
				}
			},
			"threads": func(rt *rapid.T) {
				q := record.ThreadQuery{Limit: rapid.IntRange(1, 3).Draw(rt, "limit")}
				if got, want := threadsOf(t, a, q), naiveThreads(model); !slices.Equal(got, want) {
					rt.Fatalf("got %v\nwant %v", got, want)
				}
			},
		})
	})
}

// spread empties what waits for the lists, in all partitions.
func spread(t testing.TB, a *Archive) {
	t.Helper()
	for _, p := range a.list(record.KindMessage) {
		db, err := p.acquire()
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(func(tx *bbolt.Tx) error { return search.Open(tx).Spread() }); err != nil {
			t.Fatal(err)
		}
		p.release()
	}
}

func naiveMessages(model map[string]record.Message, q record.Query) (found []string) {
	for id, m := range model {
		at, _ := ids.RecordTime(id)
		ok := q.From.IsZero() || !at.Before(q.From)
		if v := q.Match[record.FieldUser]; v != "" {
			ok = ok && (m.Sender.User == v || m.Recipient.User == v)
		}
		if v := q.Match[record.FieldStatus]; v != "" {
			ok = ok && m.Status == v
		}
		have := strings.Fields(m.Text)
		for _, w := range strings.Fields(q.Words) {
			start, beginning := strings.CutSuffix(w, "*")
			ok = ok && slices.ContainsFunc(have, func(h string) bool { return h == start || beginning && strings.HasPrefix(h, start) })
		}
		if ok {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	slices.Reverse(found)
	return found
}

func threadsOf(t testing.TB, a *Archive, q record.ThreadQuery) (found []string) {
	t.Helper()
	for {
		page, err := a.Threads(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, th := range page.Threads {
			found = append(found, fmt.Sprint(th.ID, th.Count, th.Latest.ID))
		}
		if q.Before = page.Next; q.Before == "" {
			return found
		}
	}
}

func naiveThreads(model map[string]record.Message) (found []string) {
	count, latest := map[string]int{}, map[string]string{}
	for id, m := range model {
		count[m.Thread]++
		latest[m.Thread] = max(latest[m.Thread], id)
	}
	var order []string
	for th := range latest {
		order = append(order, th)
	}
	slices.SortFunc(order, func(x, y string) int { return strings.Compare(latest[y], latest[x]) })
	for _, th := range order {
		found = append(found, fmt.Sprint(th, count[th], latest[th]))
	}
	return found
}

func TestAMessageThatGrowsLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	m := messageAt(base(), "asha", "vikram", "first words")
	by := func(status, words string) int {
		q := record.Query{Kind: record.KindMessage, Words: words, Match: map[record.Field]string{record.FieldStatus: status}}
		return len(find(t, a, q))
	}
	for i, status := range []string{record.MessageStored, record.MessageSent, record.MessageDelivered, record.MessageDisplayed} {
		if i == 2 {
			spread(t, a)
		}
		m.Status = status
		a.keepMessage(t, m)
		a.keepMessage(t, m)
		for _, s := range []string{record.MessageStored, record.MessageSent, record.MessageDelivered, record.MessageDisplayed} {
			if n := by(s, "words"); (n == 1) != (s == status) || n > 1 {
				t.Errorf("at %s: %d are %s", status, n, s)
			}
		}
	}
	spread(t, a)
	checkMessageIndex(t, a.list(record.KindMessage)[0])
	if got := threadsOf(t, a, record.ThreadQuery{User: "ASHA"}); len(got) != 1 || !strings.HasPrefix(got[0], "asha vikram1") {
		t.Errorf("%v", got)
	}
	if got := threadsOf(t, a, record.ThreadQuery{User: "meera"}); got != nil {
		t.Errorf("%v", got)
	}
}

func TestAReceiptIsNoPartOfAThread(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	m := messageAt(base(), "asha", "vikram", "hello")
	r := messageAt(base().Add(time.Minute), "vikram", "asha", "")
	r.Type, r.About, r.Notice = record.MessageNotification, m.ID, record.MessageDelivered
	a.keepMessage(t, m)
	a.keepMessage(t, r)
	if got := threadsOf(t, a, record.ThreadQuery{}); !slices.Equal(got, []string{fmt.Sprint("asha vikram", 1, m.ID)}) {
		t.Errorf("%v", got)
	}
	q := record.Query{Kind: record.KindMessage, Match: map[record.Field]string{record.FieldRefers: m.ID}}
	if got := find(t, a, q); !slices.Equal(got, []string{r.ID}) {
		t.Errorf("receipts of the message: %v", got)
	}
}

// TestThePolicyIsThatOfTheDayTheMessageCame changes it to and fro while messages grow.
func TestThePolicyIsThatOfTheDayTheMessageCame(t *testing.T) {
	t.Parallel()
	var drop atomic.Bool
	a := start(t, Config{Dir: t.TempDir(), Policy: func() record.Policy {
		p := record.DefaultPolicy()
		if drop.Load() {
			p.MessageContent = record.ContentDrop
		}
		return p
	}})
	kept := messageAt(base(), "asha", "vikram", "kept words")
	dropped := messageAt(base().Add(time.Minute), "asha", "vikram", "dropped words")
	a.keepMessage(t, kept)
	drop.Store(true)
	a.keepMessage(t, dropped)
	kept.Status = record.MessageDelivered
	a.keepMessage(t, kept)
	drop.Store(false)
	dropped.Status = record.MessageDelivered
	a.keepMessage(t, dropped)
	if got := find(t, a, record.Query{Kind: record.KindMessage, Words: "words"}); !slices.Equal(got, []string{kept.ID}) {
		t.Errorf("found %v", got)
	}
	for id, want := range map[string]string{kept.ID: "kept words", dropped.ID: ""} {
		e, err := a.Get(t.Context(), record.KindMessage, id)
		if err != nil {
			t.Fatal(err)
		}
		if m := read1(t, e); m.Text != want || string(m.Content) != want || m.Dropped != (want == "") || m.Status != record.MessageDelivered {
			t.Errorf("%+v", m)
		}
	}
}

// checkMessageIndex compares what a partition finds with what its records say.
func checkMessageIndex(t *testing.T, p *partition) {
	t.Helper()
	want := map[string][]string{}
	err := p.view(func(tx *bbolt.Tx) error {
		err := tx.Bucket(recordsBucket).ForEach(func(id, value []byte) error {
			terms, err := oldTerms(record.Envelope{ID: string(id), Kind: p.kind}, value)
			for _, term := range terms {
				want[term] = append(want[term], string(id))
			}
			return err
		})
		if err != nil {
			return err
		}
		for term, records := range want {
			hits, _, err := search.Open(tx).Find(search.Query{Terms: []string{term}})
			if err != nil {
				return err
			}
			list := newMessageHits(hits, tx.Bucket(recordsBucket), lastID)
			var got []string
			for bound := lastID; ; {
				id, agreed, err := list.below(bound)
				if err != nil || id == "" {
					break
				}
				if bound = id; agreed {
					got = append(got, id)
				}
			}
			slices.Reverse(got)
			if !slices.Equal(got, records) {
				t.Errorf("%q: %d records, want %d", term, len(got), len(records))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMessagesAreExported(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	m := messageAt(base(), "asha", "vikram", "=SUM(1) नमस्ते")
	m.Deliveries = []record.Delivery{{User: "vikram", Device: record.Device{Instance: "urn:uuid:1"}, Status: record.MessageFailed, Reason: "refused"}}
	m.Changes = []record.Change{{At: base(), Status: record.MessageStored}}
	a.keepMessage(t, m)
	for _, content := range []bool{true, false} {
		var csv, lines strings.Builder
		q := record.Query{Kind: record.KindMessage, Content: content}
		if err := a.ExportCSV(t.Context(), &csv, q); err != nil {
			t.Fatal(err)
		}
		if err := a.ExportJSON(t.Context(), &lines, q); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(csv.String(), ",'=SUM(1) नमस्ते,") && strings.Contains(lines.String(), "नमस्ते"); got != content {
			t.Errorf("content %v: %s%s", content, &csv, &lines)
		}
		if !strings.Contains(csv.String(), "vikram urn:uuid:1 failed refused") || strings.Count(csv.String(), "\n") != 2 {
			t.Errorf("%s", &csv)
		}
	}
}
