package inbox

import (
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// maxSought bounds the messages of an inbox that are looked at for one that its Call-ID does not name
// alone: within a call several share it.
const maxSought = 256

// TakenFor notes that a program has a message in the place of a device of its recipient: it waits no
// more, except for devices that he has. recordID is of its record; callID finds it. To note it again
// changes nothing.
func (t *Tx) TakenFor(recordID, callID, sender, user, userName string, by record.Device, now time.Time) {
	i := t.recorded(recordID, callID, sender, user)
	if i == nil || i.RecipientID != user {
		return // its time was over
	}
	if del := i.delivery(userName, by); del.Sent.IsZero() {
		i.reach(del, record.MessageSent, now)
		i.Taken = true
		t.save(i)
	}
	e, ok := t.entry(user, i.Seq)
	switch {
	case !ok || e.Copy:
	case len(t.Devices(user)) == 0:
		t.leave(user, &e)
	case !e.Taken:
		t.store.use.waits(user, &e, -1)
		e.Taken = true
		t.put(entries, entryKey(user, i.Seq), e.pack())
	}
}

// recorded finds a message by its record.
func (t *Tx) recorded(id, callID, sender, user string) (found *Item) {
	if i := t.named(callID, sender); i != nil && i.hasRecord(id) {
		return i
	}
	sought := 0
	t.eachEntry(user, 0, func(e Entry) bool {
		sought++
		if i := t.Item(e.Seq); i != nil && i.hasRecord(id) {
			found = i
		}
		return found == nil && sought < maxSought
	})
	return found
}

func (i *Item) hasRecord(id string) bool {
	return i.Rec.ID == id || slices.ContainsFunc(i.Notices, func(n Notice) bool { return n.RecordID == id })
}
