package inbox

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// Next is what a device is to get next.
type Next struct {
	Item  *Item
	Wire  *Wire
	Copy  bool   // the user sent it himself
	Known bool   // the device was seen before
	Pass  uint64 // the device has come so far, since what is before is not for it
}

// Next returns the first message in a user's inbox that a device has not got. Its Item is nil when
// there is none.
func (t *Tx) Next(user, key string) (n Next) {
	d, ok := t.Device(user, key)
	if !ok {
		return n
	}
	n.Pass, n.Known = d.Cursor, true
	t.eachEntry(user, d.Cursor+1, func(e Entry) bool {
		if !e.isFor(&d) {
			n.Pass = e.Seq
			return true
		}
		n.Item, n.Copy = t.Item(e.Seq), e.Copy
		return false
	})
	if n.Item != nil {
		n.Wire = t.Wire(n.Item.Seq)
	}
	return n
}

// Pass notes that a device has come so far without getting anything.
func (t *Tx) Pass(user, key string, seq uint64, now time.Time) {
	if d, ok := t.Device(user, key); ok && d.Cursor < seq {
		d.Cursor = seq
		t.putDevice(user, &d)
		t.tidy(user, now)
	}
}

// Result is what a device said of a message.
type Result struct {
	Taken  bool // it has it; else it never will
	Code   int
	Reason string
	Tries  int
	At     time.Time
}

// Settle notes a device's last word on a message, and lets it come to the next one.
func (t *Tx) Settle(user, name, key string, seq uint64, r Result) {
	d, ok := t.Device(user, key)
	if !ok || d.Cursor >= seq {
		return // it was settled before, or is forgotten
	}
	d.Cursor, d.Seen = seq, r.At
	t.putDevice(user, &d)
	i := t.Item(seq)
	if i == nil {
		return
	}
	del := i.delivery(name, d.Record())
	del.Code, del.Reason, del.Tries = r.Code, r.Reason, r.Tries
	if r.Taken {
		i.reach(del, record.MessageSent, r.At)
		i.Taken = i.Taken || user == i.RecipientID
	} else {
		i.reach(del, record.MessageFailed, r.At)
	}
	t.save(i)
	if e, ok := t.entry(user, seq); ok && r.Taken && !e.Taken {
		if !e.Copy {
			t.store.use.waits(user, &e, -1)
		}
		e.Taken = true
		t.put(entries, entryKey(user, seq), e.pack())
	}
	t.tidy(user, r.At)
}

func (t *Tx) entry(user string, seq uint64) (e Entry, ok bool) {
	v := t.bucket(entries).Get(entryKey(user, seq))
	if v == nil {
		return e, false
	}
	t.note(e.unpack(v))
	e.Seq = seq
	return e, t.err == nil
}

// tidy takes out of an inbox what all devices of the user have come past. What none of them took has
// failed: each refused it.
func (t *Tx) tidy(user string, now time.Time) {
	all := t.Devices(user)
	if len(all) == 0 {
		return
	}
	first := all[0].Cursor
	for _, d := range all[1:] {
		first = min(first, d.Cursor)
	}
	var done []Entry
	t.eachEntry(user, 0, func(e Entry) bool {
		if e.Seq <= first && (e.Only == "" || e.Taken || known(all, e.Only)) {
			done = append(done, e)
		}
		return e.Seq <= first
	})
	for i := range done {
		t.leave(user, &done[i])
		if !done[i].Taken && !done[i].Copy {
			t.fail(done[i].Seq, now)
		}
	}
}

// known reports whether a device of this instance was seen: a message for one that was not waits.
func known(all []Device, instance string) bool {
	for i := range all {
		if all[i].Instance == instance {
			return true
		}
	}
	return false
}

// leave takes a message out of an inbox.
func (t *Tx) leave(user string, e *Entry) {
	t.drop(entries, entryKey(user, e.Seq))
	t.store.use.length(user, -1)
	if !e.Taken && !e.Copy {
		t.store.use.waits(user, e, -1)
	}
	if i := t.Item(e.Seq); i != nil {
		i.Inboxes--
		t.putJSON(messages, number(i.Seq), i) // its record says nothing of that
	}
}

// fail notes that a message reached nobody.
func (t *Tx) fail(seq uint64, now time.Time) {
	i := t.Item(seq)
	if i == nil || i.Taken || i.Rec.Status == record.MessageFailed {
		return
	}
	i.change(record.MessageFailed, record.Device{}, now)
	t.save(i)
	t.Failed = append(t.Failed, i)
}

// eachEntry calls yield for the messages in an inbox from a number on, in order, until it returns
// false. yield changes nothing but by evict's last call.
func (t *Tx) eachEntry(user string, from uint64, yield func(Entry) bool) {
	prefix := place(user)
	c := t.bucket(entries).Cursor()
	for k, v := c.Seek(entryKey(user, from)); bytes.HasPrefix(k, prefix) && t.err == nil; k, v = c.Next() {
		e := Entry{}
		if err := e.unpack(v); err != nil {
			t.note(err)
			return
		}
		e.Seq = binary.BigEndian.Uint64(k[len(prefix):])
		if !yield(e) {
			return
		}
	}
}

// Users returns the users whose inboxes are not empty.
func (t *Tx) Users() (all []string) {
	c := t.bucket(entries).Cursor()
	for k, _ := c.First(); k != nil; {
		user, _, _ := bytes.Cut(k, []byte{0})
		all = append(all, string(user))
		k, _ = c.Seek(append(bytes.Clone(user), 1))
	}
	return all
}

// Answered notes what a device said of a message that is not kept.
func (i *Item) Answered(name string, d record.Device, r Result) {
	del := i.delivery(name, d)
	del.Code, del.Reason, del.Tries = r.Code, r.Reason, r.Tries
	state := record.MessageFailed
	if r.Taken {
		state = record.MessageSent
	}
	i.reach(del, state, r.At)
}
