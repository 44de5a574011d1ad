package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

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
