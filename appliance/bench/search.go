package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
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
		from, to := b.rng.IntN(searchUsers), b.rng.IntN(searchUsers)
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
	newest := fmt.Sprintf(" ORDER BY m.rowid DESC LIMIT %d;", searchLimit)
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
			fmt.Sprintf("SELECT m.id FROM m WHERE m.sender = '%s' OR m.recipient = '%s'", user, user) + newest,
		},
		{"Call-ID", record.Query{Match: map[record.Field]string{record.FieldCallID: b.rare}}, "SELECT m.id FROM m WHERE m.call_id = '" + b.rare + "'" + newest},
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
		k.took += time.Since(begin)
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

// sqlite measures SQLite's FTS5 with the same records and an index for each field.
func (b *searchBench) sqlite(ctx context.Context, dir string) (k kept, err error) {
	if _, err := exec.LookPath("sqlite3"); err != nil {
		return k, errors.New("sqlite3 is not installed: apt-get install sqlite3")
	}
	db := filepath.Join(dir, "reference.db")
	load := filepath.Join(dir, "load.sql")
	if err := b.writeSQL(load); err != nil {
		return k, err
	}
	begin := time.Now()
	if _, err := runSQL(ctx, db, ".read "+load+"\n"); err != nil {
		return k, err
	}
	k.took = time.Since(begin)
	if err := os.Remove(load); err != nil {
		return k, err
	}
	if _, err := runSQL(ctx, db, "PRAGMA wal_checkpoint(TRUNCATE);\n"); err != nil {
		return k, err
	}
	st, err := os.Stat(db)
	if err != nil {
		return k, err
	}
	k.size = st.Size()
	return k, b.askSQL(ctx, db, &k)
}

const schemaSQL = `PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
CREATE TABLE m(id TEXT, at INTEGER, sender TEXT, recipient TEXT, sender_number TEXT, recipient_number TEXT, thread TEXT, type TEXT, status TEXT, message_id TEXT, call_id TEXT, data TEXT);
CREATE UNIQUE INDEX m_id ON m(id);
CREATE INDEX m_at ON m(at);
CREATE INDEX m_sender ON m(sender);
CREATE INDEX m_recipient ON m(recipient);
CREATE INDEX m_sender_number ON m(sender_number);
CREATE INDEX m_recipient_number ON m(recipient_number);
CREATE INDEX m_thread ON m(thread);
CREATE INDEX m_status ON m(status);
CREATE INDEX m_message_id ON m(message_id);
CREATE INDEX m_call_id ON m(call_id);
CREATE VIRTUAL TABLE f USING fts5(text, content='', tokenize="unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'");
`

func (b *searchBench) writeSQL(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := w.WriteString(schemaSQL); err != nil {
		return err
	}
	row := 0
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	err = b.each(func(m record.Message) error {
		data, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if row%searchBatch == 0 {
			if row > 0 {
				fmt.Fprintln(w, "COMMIT;")
			}
			fmt.Fprintln(w, "BEGIN;")
		}
		row++
		values := []string{m.ID, m.Sender.User, m.Recipient.User, m.Sender.Number, m.Recipient.Number, m.Thread, m.Type, m.Status, m.MessageID, m.CallID, string(data)}
		for i, v := range values {
			values[i] = quoted(v)
		}
		fmt.Fprintf(w, "INSERT INTO m VALUES(%s,%d,%s);\n", values[0], m.At.UnixMilli(), strings.Join(values[1:], ","))
		_, err = fmt.Fprintf(w, "INSERT INTO f(rowid,text) VALUES(%d,%s);\n", row, quoted(m.Text))
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "COMMIT;")
	return w.Flush()
}

// askSQL asks the questions in one process, whose own clock tells each.
func (b *searchBench) askSQL(ctx context.Context, db string, k *kept) error {
	var script strings.Builder
	var order []string
	script.WriteString(".timer on\n.headers off\n")
	for n := range searchRuns {
		for _, q := range b.questions(n) {
			script.WriteString(q.sql + "\n")
			order = append(order, q.name)
		}
	}
	out, err := runSQL(ctx, db, script.String())
	if err != nil {
		return err
	}
	k.asked, k.found = map[string][]time.Duration{}, map[string]int{}
	next := 0
	for line := range strings.Lines(out) {
		var took float64
		if n, _ := fmt.Sscanf(line, "Run Time: real %f", &took); n == 1 && next < len(order) {
			k.asked[order[next]] = append(k.asked[order[next]], time.Duration(took*float64(time.Second)))
			next++
		} else if next < len(order) {
			k.found[order[next]]++
		}
	}
	if next != len(order) {
		return fmt.Errorf("sqlite3 answered %d of %d questions", next, len(order))
	}
	return nil
}

func runSQL(ctx context.Context, db, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "sqlite3", "-batch", "-bail", db)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("sqlite3: %w", err)
	}
	return string(out), nil
}

func (b *searchBench) storing(ours, theirs kept) table {
	t := table{
		title: "Storing messages",
		note: fmt.Sprintf("%d messages of 4 to 20 words, %d a commit, synced. SQLite: a table with an index for each field, FTS5 beside it; WAL, synchronous=FULL; "+
			"its time includes reading the statements.", b.n, searchBatch),
		head: []string{"", "messages/s", "bytes a message", "of them the record", "1 message a commit, p50 ms", "p99 ms"},
	}
	line := func(name string, k kept) []string {
		cells := []string{name, fmt.Sprintf("%.0f", float64(b.n)/k.took.Seconds()), fmt.Sprint(k.size / int64(b.n)), fmt.Sprint(ours.content / int64(b.n)), "–", "–"}
		if k.single != nil {
			cells[4], cells[5] = millis(quantile(k.single, 0.5)), millis(quantile(k.single, 0.99))
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
