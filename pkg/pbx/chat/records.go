package chat

import (
	"context"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/im"
	"github.com/coraltele/sanchar/pkg/sip/mime"
)

// Times and sizes of the writing of records.
const (
	recordEvery = time.Second // a message that is taken, sent and acknowledged within it has one record written
	recordBatch = 100         // messages in memory at once
)

// keepRecords writes the records of messages that have changed, until ctx ends. That a record is to be
// written is on disk with the change itself.
func (e *Engine) keepRecords(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.written:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(recordEvery):
		}
		for from := uint64(0); ctx.Err() == nil; {
			last, more := e.writeRecords(from)
			if !more {
				break
			}
			from = last + 1
		}
	}
}

// writeRecords writes records of a batch and waits until they are on disk. It reports whether there
// may be more behind it.
func (e *Engine) writeRecords(from uint64) (last uint64, more bool) {
	var batch []inbox.Change
	if err := e.store.View(func(t *inbox.Tx) { batch = t.Changed(from, recordBatch) }); err != nil {
		e.log.Error("records of messages are not written", "err", err)
		return 0, false
	}
	var all []record.Message
	for _, c := range batch {
		last = c.Item.Seq
		all = append(all, recordsOf(c.Item, c.Wire)...)
	}
	kept := make(chan error, len(all)) // who tells must not wait
	for _, rec := range all {
		e.deps.Record(rec, func(err error) { kept <- err })
	}
	ok := len(all) > 0
	for range all {
		ok = <-kept == nil && ok
	}
	if ok { // else all of them are written again: the archive knows them by their ids
		e.ops.Put(op{do: func(t *inbox.Tx) {
			for _, c := range batch {
				t.Written(c.Item.Seq, c.Rev)
			}
		}})
	}
	return last, len(batch) == recordBatch
}

// recordsOf makes the record of a message, or those of the receipts in a notification.
func recordsOf(i *inbox.Item, w *inbox.Wire) (all []record.Message) {
	rec := i.Rec
	rec.Content = contentOf(w)
	if len(i.Notices) == 0 {
		return []record.Message{rec}
	}
	for _, n := range i.Notices {
		one := rec
		one.ID, one.About, one.Notice, one.NoticeFrom = n.RecordID, n.About, n.State, n.From
		all = append(all, one)
	}
	return all
}

// A record has at most 256 kB as JSON, where bytes grow by a third and a control character to six bytes.
const (
	maxContent = 72 << 10 // inflated; what is longer is kept as it came
	maxText    = 24 << 10 // words that are searched
)

// searched cuts a text at what a record can hold.
func searched(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "")
}

// contentOf returns the body as the sender wrote it, inflated.
func contentOf(w *inbox.Wire) []byte {
	e, err := mime.ParseEntity(string(w.Head) + "\r\n")
	if err != nil {
		return w.Body
	}
	m, err := im.Read(im.Raw{ContentType: e.Header("Content-Type"), ContentEncoding: e.Header("Content-Encoding"), Body: string(w.Body)})
	if err != nil || len(m.Body) > maxContent {
		return w.Body
	}
	return m.Body
}
