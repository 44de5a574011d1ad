package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/records"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/record"
)

// What is searched.
const (
	searchMessages = 1_000_000
	searchBatch    = 500
	searchUsers    = 2000
	searchFriends  = 20     // whom each of them writes to
	searchWords    = 60_000 // words that people use, the frequent ones most of the time
	searchRuns     = 200    // of each question
	searchLimit    = 50     // records of a page
)

// measureSearch stores a month of a million messages and searches it, beside SQLite.
func measureSearch(ctx context.Context, o options) ([]table, error) {
	n := searchMessages
	if o.quick {
		n /= 100
	}
	dir, err := os.MkdirTemp("", "sanchar-search-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b := &searchBench{n: n, words: vocabulary(), rng: rand.New(rand.NewPCG(1, 2))}
	ours, err := b.ours(ctx, filepath.Join(dir, "records"))
	if err != nil {
		return nil, err
	}
	theirs, err := b.sqlite(ctx, dir)
	if err != nil {
		return nil, err
	}
	return []table{b.storing(ours, theirs), b.asking(ours, theirs)}, nil
}

// searchBench is the corpus: it is made twice from the same seed.
type searchBench struct {
	n      int
	words  []string
	rng    *rand.Rand
	rare   string // Call-ID of one message
	sample time.Time
	last   record.Envelope
}

// kept is how one side did.
type kept struct {
	size, content int64 // bytes of the file, and of the text of what is kept
	took          time.Duration
	longest       time.Duration   // of the commits
	single        []time.Duration // commits of one message each
	asked         map[string][]time.Duration
	found         map[string]int
}

// question is what is searched for.
type question struct {
	name  string
	query record.Query
	sql   string
}

// vocabulary has words as they are written in three languages.
func vocabulary() []string {
	rng := rand.New(rand.NewPCG(3, 4))
	latin, devanagari := []rune("etaoinshrdlucmfwypvbgkjqxz"), []rune("कखगचजटडतदनपबमयरलवसहािीुेो")
	words := make([]string, searchWords)
	for i := range words {
		letters := latin
		if i%4 == 3 {
			letters = devanagari
		}
		var w strings.Builder
		for range 2 + rng.IntN(8) {
			w.WriteRune(letters[rng.IntN(len(letters))])
		}
		words[i] = w.String() + strconv.Itoa(i)
	}
	return words
}

// text writes a message of 4 to 20 words, frequent ones as people use them (Zipf).
func (b *searchBench) text(zipf *rand.Zipf) string {
	words := make([]string, 4+b.rng.IntN(17))
	for i := range words {
		words[i] = b.words[zipf.Uint64()]
	}
	return strings.Join(words, " ")
}

// each makes the corpus, message by message.
func (b *searchBench) each(use func(m record.Message) error) error {
	b.rng = rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(b.rng, 1.1, 8, searchWords-1)
	at := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	statuses := []string{record.MessageDisplayed, record.MessageDisplayed, record.MessageDelivered, record.MessageSent, record.MessageFailed}
	for i := range b.n {
		at = at.Add(2500 * time.Millisecond)
		from := b.rng.IntN(searchUsers)
		to := (from + 1 + b.rng.IntN(searchFriends)) % searchUsers
		text := b.text(zipf)
		id := ids.Record(at)
		m := record.Message{
			ID: id, Type: record.MessageContent, MessageID: ids.Random(10), CallID: ids.CallID(), Thread: thread(from, to),
			Sender: searchParty(from), Recipient: searchParty(to), At: at, ContentType: "text/plain;charset=UTF-8",
			Content: []byte(text), Text: text, Status: statuses[b.rng.IntN(len(statuses))],
			From: record.Device{Instance: "urn:uuid:" + ids.Random(10), UserAgent: "LinphoneAndroid/5.2.5", Transport: "tls"},
			Deliveries: []record.Delivery{{
				User: searchParty(to).User, Device: record.Device{Instance: "urn:uuid:" + ids.Random(10)}, Status: record.MessageDelivered, Sent: at, Delivered: at,
			}},
		}
		if i == b.n/2 {
			b.rare, b.sample = m.CallID, at
		}
		if err := use(m); err != nil {
			return err
		}
	}
	return nil
}

func searchParty(n int) record.Party {
	return record.Party{AoR: fmt.Sprintf("sip:user%d@pbx.example", n), User: fmt.Sprintf("user%d", n), Number: strconv.Itoa(10000 + n), Name: fmt.Sprintf("User Number %d", n)}
}

func thread(a, b int) string { return fmt.Sprintf("user%d user%d", min(a, b), max(a, b)) }

// questions are what both are asked. The n-th of each kind takes other words.
func (b *searchBench) questions(n int) []question {
	w := func(rank int) string { return b.words[rank+n%5] }
	day := b.sample.Truncate(24 * time.Hour)
	matching := func(words string) string {
		return "SELECT m.id FROM f JOIN m ON m.rowid = f.rowid WHERE f MATCH '" + words + "'"
	}
	begin := func(word string) string { return string([]rune(word)[:3]) }
	newest := fmt.Sprintf(" ORDER BY f.rowid DESC LIMIT %d;", searchLimit)
	plain := strings.ReplaceAll(newest, "f.rowid", "m.rowid")
	user := fmt.Sprintf("user%d", 17+n)
	all := []question{
		{"1 word, in one of 10", record.Query{Words: w(0)}, matching(`"`+w(0)+`"`) + newest},
		{"1 word, rare", record.Query{Words: w(50000)}, matching(`"`+w(50000)+`"`) + newest},
		{"2 words, frequent", record.Query{Words: w(3) + " " + w(40)}, matching(`"`+w(3)+`" "`+w(40)+`"`) + newest},
		{"3 words, that seldom meet", record.Query{Words: w(10) + " " + w(100) + " " + w(700)}, matching(`"`+w(10)+`" "`+w(100)+`" "`+w(700)+`"`) + newest},
		{"2 words, the last begun", record.Query{Words: w(3) + " " + begin(w(200)) + "*"}, matching(`"`+w(3)+`" "`+begin(w(200))+`"*`) + newest},
		{
			"word and user",
			record.Query{Words: w(5), Match: map[record.Field]string{record.FieldUser: user}},
			matching(`"`+w(5)+`"`) + fmt.Sprintf(" AND (m.sender = '%s' OR m.recipient = '%s')", user, user) + newest,
		},
		{
			"word, status and a day",
			record.Query{Words: w(8), From: day, To: day.Add(24 * time.Hour), Match: map[record.Field]string{record.FieldStatus: record.MessageFailed}},
			matching(`"`+w(8)+`"`) + fmt.Sprintf(" AND m.status = 'failed' AND m.at >= %d AND m.at < %d", day.UnixMilli(), day.Add(24*time.Hour).UnixMilli()) + newest,
		},
		{
			"user, no word",
			record.Query{Match: map[record.Field]string{record.FieldUser: user}},
			fmt.Sprintf("SELECT m.id FROM m WHERE m.sender = '%s' OR m.recipient = '%s'", user, user) + plain,
		},
		{"Call-ID", record.Query{Match: map[record.Field]string{record.FieldCallID: b.rare}}, "SELECT m.id FROM m WHERE m.call_id = '" + b.rare + "'" + plain},
	}
	for i := range all {
		all[i].query.Kind, all[i].query.Content, all[i].query.Limit = record.KindMessage, true, searchLimit
	}
	return all
}

// ours measures the box's archive.
func (b *searchBench) ours(ctx context.Context, dir string) (k kept, err error) {
	a, err := records.New(records.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return k, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() { cancel(); err = errors.Join(err, <-done) }()
	if err := b.store(ctx, a, &k); err != nil {
		return k, err
	}
	k.size = sizeOf(dir)
	k.asked, k.found = map[string][]time.Duration{}, map[string]int{}
	for n := range searchRuns {
		for _, q := range b.questions(n) {
			begin := time.Now()
			page, err := a.Find(ctx, q.query)
			k.asked[q.name] = append(k.asked[q.name], time.Since(begin))
			if err != nil {
				return k, err
			}
			k.found[q.name] += len(page.Records)
		}
	}
	return k, b.storeSingle(ctx, a, &k)
}

func (b *searchBench) store(ctx context.Context, a *records.Archive, k *kept) error {
	var batch []record.Envelope
	flush := func() error {
		begin := time.Now()
		_, err := a.Store(ctx, batch)
		took := time.Since(begin)
		k.took, k.longest = k.took+took, max(k.longest, took)
		batch = batch[:0]
		return err
	}
	var last record.Envelope // its copies are stored later
	err := b.each(func(m record.Message) error {
		data, err := json.Marshal(m)
		if err != nil {
			return err
		}
		last = record.Envelope{ID: m.ID, Kind: record.KindMessage, Version: record.Version, Data: data}
		batch = append(batch, last)
		k.content += int64(len(data))
		if len(batch) == searchBatch {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	b.last = last
	return nil
}

// storeSingle commits messages one by one.
func (b *searchBench) storeSingle(ctx context.Context, a *records.Archive, k *kept) error {
	at, _ := ids.RecordTime(b.last.ID)
	for i := range searchRuns {
		b.last.ID = ids.Record(at.Add(time.Duration(i+1) * time.Millisecond))
		begin := time.Now()
		if _, err := a.Store(ctx, []record.Envelope{b.last}); err != nil {
			return err
		}
		k.single = append(k.single, time.Since(begin))
	}
	return nil
}

func sizeOf(dir string) (size int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if st, err := e.Info(); err == nil {
			size += st.Size()
		}
	}
	return size
}

func (b *searchBench) storing(ours, theirs kept) table {
	t := table{
		title: "Storing messages",
		note: fmt.Sprintf("%d messages of 4 to 20 words, %d a commit, synced. SQLite: a table with an index for each field, FTS5 beside it; WAL, synchronous=FULL; "+
			"its time includes reading the statements.", b.n, searchBatch),
		head: []string{"", "messages/s", "longest commit, ms", "bytes a message", "of them the record", "1 message a commit, p50 ms", "p99 ms"},
	}
	line := func(name string, k kept) []string {
		cells := []string{name, fmt.Sprintf("%.0f", float64(b.n)/k.took.Seconds()), "–", fmt.Sprint(k.size / int64(b.n)), fmt.Sprint(ours.content / int64(b.n)), "–", "–"}
		if k.single != nil {
			cells[2], cells[5], cells[6] = millis(k.longest), millis(quantile(k.single, 0.5)), millis(quantile(k.single, 0.99))
		}
		return cells
	}
	t.rows = [][]string{line("archive", ours), line("SQLite", theirs)}
	return t
}

func (b *searchBench) asking(ours, theirs kept) table {
	t := table{
		title: "Searching messages",
		note: fmt.Sprintf("The newest %d of %d messages that have all that is asked for, with what they say; %d times each. Aim: under 100 ms. "+
			"SQLite's clock has milliseconds; it returns ids only.", searchLimit, b.n, searchRuns),
		head: []string{"question", "found", "p50 ms", "p99 ms", "SQLite found", "p50 ms", "p99 ms"},
	}
	for _, q := range b.questions(0) {
		row := []string{q.name}
		for _, k := range []kept{ours, theirs} {
			row = append(row, fmt.Sprintf("%.1f", float64(k.found[q.name])/searchRuns), fine(quantile(k.asked[q.name], 0.5)), fine(quantile(k.asked[q.name], 0.99)))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func fine(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }

func quantile(all []time.Duration, part float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}
