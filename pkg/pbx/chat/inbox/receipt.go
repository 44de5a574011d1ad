package inbox

import (
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// Receipt is what a device of a recipient says of a message.
type Receipt struct {
	Names  string // Message-ID or Call-ID of the message
	Sender string // id of the account that sent the message, and gets the receipt
	User   string // id of the account that says so
	Name   string // its name
	Device record.Device
	State  string // one of record.Message*
	Reason string
	At     time.Time
}

// About says which message a receipt is about.
type About struct {
	Record string // id of its record; "" if the message is not known
	Own    bool   // the user speaks of a message that he sent: a device of his got the copy
}

// Receive joins a receipt to its message.
func (t *Tx) Receive(r Receipt) (a About) {
	i := t.named(r.Names, r.Sender)
	if i == nil || (r.User != i.RecipientID && r.User != i.SenderID) {
		return a
	}
	a.Record, a.Own = i.Rec.ID, r.User == i.SenderID && i.SenderID != i.RecipientID
	d := i.delivery(r.Name, r.Device)
	before := *d
	i.reach(d, r.State, r.At)
	if r.State == record.MessageFailed {
		d.Reason = r.Reason
	}
	if before != *d {
		t.save(i)
	}
	return a
}
