package inbox

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// batch bounds what one transaction ends: the messages that come meanwhile wait for it.
const batch = 200

// later is when a message is looked at again whose record the outbox has not taken yet.
const later = time.Hour

// Due reports whether there is something for Expire to do, or for Shrink, which a disk with little room
// asks for.
func (t *Tx) Due(now time.Time, low bool) bool {
	k, _ := t.bucket(due).Cursor().First()
	return (k != nil && string(k) < string(dueKey(now, 0))) || t.store.used(t) > nearlyFull || low
}

// Expire ends what is due: messages that were not to be delivered later, and those for which no
// receipt is waited for any more. It reports whether more is due.
func (t *Tx) Expire(now time.Time) (more bool) {
	var keys [][]byte
	c := t.bucket(due).Cursor()
	limit := dueKey(now, 0)
	for k, _ := c.First(); k != nil && string(k) < string(limit); k, _ = c.Next() {
		if len(keys) == batch {
			more = true
			break
		}
		keys = append(keys, bytes.Clone(k)) // what the file shows moves when it grows
	}
	for _, k := range keys {
		t.drop(due, k)
		if i := t.Item(binary.BigEndian.Uint64(k[8:])); i != nil {
			t.end(i, now)
		}
	}
	return more
}

// end takes a message out of all inboxes, and out of the file when its time is over.
func (t *Tx) end(i *Item, now time.Time) {
	for _, user := range []string{i.RecipientID, i.SenderID} {
		if e, ok := t.entry(user, i.Seq); ok {
			t.leave(user, &e)
		}
	}
	if !i.Taken && i.Rec.Status == record.MessageStored {
		t.fail(i.Seq, now)
	}
	if i.Delete.After(now) {
		return
	}
	if t.bucket(dirty).Get(number(i.Seq)) != nil {
		t.put(due, dueKey(now.Add(later), i.Seq), nil)
		return
	}
	t.delete(i)
}

func (t *Tx) delete(i *Item) {
	for _, name := range []string{i.Rec.MessageID, i.Rec.CallID, i.CallID} {
		if v := t.bucket(names).Get(joined(name, i.SenderID)); v != nil && binary.BigEndian.Uint64(v) == i.Seq {
			t.drop(names, joined(name, i.SenderID))
		}
	}
	t.drop(seen, seenKey(i))
	t.drop(wires, number(i.Seq))
	t.drop(due, dueKey(i.Delete, i.Seq))
	t.drop(dirty, number(i.Seq))
	t.drop(messages, number(i.Seq))
}

// Shrink deletes the oldest messages that all devices have, when the file or, as low says, the disk is
// nearly full: receipts that come later are not joined to them. It reports whether there may be more.
func (t *Tx) Shrink(low bool) (more bool) {
	switch used := t.store.used(t); {
	case low:
		return t.shrink(used - reserve)
	case used > nearlyFull:
		return t.shrink(nearlyFull)
	}
	return false
}

// shrink reports whether something was deleted. What it frees can be used after the transaction.
func (t *Tx) shrink(limit int64) (some bool) {
	freed := int64(0)
	var gone []*Item
	c := t.bucket(messages).Cursor()
	for k, _ := c.First(); k != nil && len(gone) < batch && t.store.used(t)-freed > limit; k, _ = c.Next() {
		i := t.Item(binary.BigEndian.Uint64(k))
		if i != nil && i.Inboxes == 0 && t.bucket(dirty).Get(k) == nil {
			gone = append(gone, i)
			freed += int64(i.Size)
		}
	}
	for _, i := range gone {
		t.delete(i)
	}
	return len(gone) > 0
}
