package inbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"syscall"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/record"
)

// Outcome says what became of a message that was put.
type Outcome struct {
	Code   int // of a refusal; 0 when it is kept, now or since it came before
	Reason string
	Item   *Item // that is kept; the earlier one, if it came before
	Again  bool  // it came before
}

// Refusals.
const (
	codeInboxFull  = 480 // RFC 3261 §21.4.18: the callee cannot be reached now
	codeSenderFull = 403 // RFC 3261 §21.4.4: authorisation does not help; the text says what does
	codeBoxFull    = 503 // RFC 3261 §21.5.4
)

// Room reports, as an error, that the disk is so full that nothing more may be taken. low says that it
// nearly is. What is free within the file counts: the file never gets shorter.
func (s *Store) Room() (low bool, err error) {
	free, err := fsx.Free(s.dir)
	if err != nil {
		return true, err
	}
	free += uint64(s.spare())
	if free < reserve {
		return true, fmt.Errorf("%d bytes free: %w", free, syscall.ENOSPC)
	}
	return free < 2*reserve, nil
}

// used returns the bytes of the file that hold something.
func (s *Store) used(t *Tx) int64 {
	return t.tx.Size() - s.spare()
}

// spare returns the bytes of the file that hold nothing.
func (s *Store) spare() int64 {
	return int64(s.db.Stats().FreePageN) * s.page
}

// Put takes a message for its recipient, and a copy for the sender's devices other than the one of
// this key, which is "" where it is not known: then there is no copy, since it could be an echo.
func (t *Tx) Put(i *Item, w *Wire, from string) Outcome {
	if seq, ok := t.before(i, w); ok {
		return Outcome{Item: t.Item(seq), Again: true}
	}
	i.Size = len(w.Head) + len(w.Body)
	if out := t.refuse(i); out.Code != 0 {
		return out
	}
	seq, err := t.bucket(messages).NextSequence()
	t.note(err)
	i.Seq = seq
	t.put(wires, number(seq), w.pack())
	t.put(seen, seenKey(i), number(seq))
	for _, name := range []string{i.Rec.MessageID, i.Rec.CallID, i.CallID} {
		if name != "" {
			t.put(names, joined(name, i.SenderID), number(seq))
		}
	}
	t.put(due, dueKey(i.Delete, seq), nil)
	if !i.Rec.Expires.IsZero() && i.Rec.Expires.Before(i.Delete) {
		t.put(due, dueKey(i.Rec.Expires, seq), nil)
	}
	t.enter(i, i.RecipientID, Entry{Seq: seq, Size: i.Size, Sender: i.SenderID, Only: i.Only})
	if t.copied(i, from) {
		t.enter(i, i.SenderID, Entry{Seq: seq, Size: i.Size, Sender: i.SenderID, Copy: true, Except: from})
	}
	t.save(i)
	return Outcome{Item: i}
}

// doubtful is how long after a start a sender may not have heard what a predecessor answered
// (RFC 3261 §17.1.2.2: Timer F).
const doubtful = 32 * time.Second

// before finds a request that has come before: the same one again, or the same message by its
// Message-ID, which a phone that heard no answer sends again with another Call-ID. One that failed may
// be tried anew. A request whose answer a crash has swallowed may also come with a new CSeq, since it
// was challenged anew.
func (t *Tx) before(i *Item, w *Wire) (seq uint64, ok bool) {
	if v := t.bucket(seen).Get(seenKey(i)); v != nil {
		return binary.BigEndian.Uint64(v), true
	}
	opened := t.store.opened
	if old := t.named(i.Rec.CallID, i.SenderID); old != nil && old.Rec.At.Before(opened) && old.Rec.At.After(opened.Add(-doubtful)) &&
		i.Rec.At.Before(opened.Add(doubtful)) && old.Tag == i.Tag && old.CSeq < i.CSeq && old.RecipientID == i.RecipientID && bytes.Equal(t.Wire(old.Seq).Body, w.Body) {
		return old.Seq, true
	}
	if i.Rec.MessageID == "" {
		return 0, false
	}
	if old := t.named(i.Rec.MessageID, i.SenderID); old != nil && old.RecipientID == i.RecipientID && old.Rec.MessageID == i.Rec.MessageID &&
		old.Rec.Status != record.MessageFailed {
		return old.Seq, true
	}
	return 0, false
}

// named returns the message of a sender that a receipt names, nil if it is not known.
func (t *Tx) named(name, sender string) *Item {
	v := t.bucket(names).Get(joined(name, sender))
	if v == nil {
		return nil
	}
	return t.Item(binary.BigEndian.Uint64(v))
}

// refuse says whether a quota is reached. What the box itself says is never refused.
func (t *Tx) refuse(i *Item) (out Outcome) {
	u := t.store.use
	inbox, sender := of(u.inbox, i.RecipientID), of(u.sender, i.SenderID)
	size := int64(i.Size)
	switch {
	case i.OwnWord:
	case t.store.used(t) > maxFile && !t.shrink(nearlyFull):
		out.Code, out.Reason = codeBoxFull, "Too Many Messages Wait"
	case inbox.n >= maxInbox || inbox.bytes+size > maxInboxBytes:
		out.Code, out.Reason = codeInboxFull, "Inbox Full"
	case sender.n >= maxSender || sender.bytes+size > maxSenderBytes:
		out.Code, out.Reason = codeSenderFull, "Too Many of Your Messages Wait"
	}
	return out
}

// copied reports whether a message goes to other devices of its sender as well: what he wrote does,
// what a device says by itself does not.
func (t *Tx) copied(i *Item, from string) bool {
	if from == "" || i.OwnWord || i.Rec.Type != record.MessageContent || i.SenderID == i.RecipientID {
		return false
	}
	for _, d := range t.Devices(i.SenderID) {
		if d.Key != from {
			return true
		}
	}
	return false
}

// enter puts a message into an inbox. The device that sent it passes it at once, if it has come so far.
func (t *Tx) enter(i *Item, user string, e Entry) {
	if t.store.use.entries[user] >= maxEntries {
		t.evict(user)
	}
	if e.Except != "" {
		if d, ok := t.Device(user, e.Except); ok && d.Cursor >= t.last(user) {
			d.Cursor = e.Seq
			t.putDevice(user, &d)
		}
	}
	t.put(entries, entryKey(user, e.Seq), e.pack())
	i.Inboxes++
	t.store.use.length(user, 1)
	if !e.Copy {
		t.store.use.waits(user, &e, 1)
	}
}

// last returns the number of the last message in an inbox, 0 for an empty one.
func (t *Tx) last(user string) uint64 {
	c := t.bucket(entries).Cursor()
	from := place(user)
	k, _ := c.Seek(append([]byte(user), 1))
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	if len(k) != len(from)+8 || string(k[:len(from)]) != string(from) {
		return 0
	}
	return binary.BigEndian.Uint64(k[len(from):])
}

// evict takes the oldest message out of an inbox that is too long, of those that some device of the
// user has: another one, which does not come, does without.
func (t *Tx) evict(user string) {
	t.eachEntry(user, 0, func(e Entry) bool {
		if !e.Taken && !e.Copy {
			return true
		}
		t.leave(user, &e)
		return false
	})
}

// Item reads a message, nil if there is none.
func (t *Tx) Item(seq uint64) *Item {
	i := &Item{Seq: seq}
	if !t.getJSON(messages, number(seq), i) {
		return nil
	}
	return i
}

// Wire reads what devices get of a message.
func (t *Tx) Wire(seq uint64) *Wire {
	w := new(Wire)
	t.note(w.unpack(t.bucket(wires).Get(number(seq))))
	return w
}

// save writes a message and notes that its record is to be written.
func (t *Tx) save(i *Item) {
	t.putJSON(messages, number(i.Seq), i)
	rev, err := t.bucket(dirty).NextSequence()
	t.note(err)
	t.put(dirty, number(i.Seq), number(rev))
}

// At is a time as records have it.
func At(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
