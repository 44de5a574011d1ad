package inbox

import (
	"net/netip"
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/base/pack"
	"github.com/coraltele/sanchar/pkg/record"
)

// Item is one message and what became of it.
type Item struct {
	Seq         uint64         `json:"-"`
	Rec         record.Message `json:"rec"`    // without Content, which is in the Wire
	SenderID    string         `json:"sender"` // of the account
	RecipientID string         `json:"recipient"`
	From        string         `json:"from"`              // header values towards the recipient
	To          string         `json:"to"`                //
	CallID      string         `json:"call_id"`           // towards the recipient
	Tag         string         `json:"tag"`               // of From, as the sender sent it
	CSeq        uint32         `json:"cseq"`              // as the sender sent it
	Forwards    int            `json:"forwards"`          // Max-Forwards towards the recipient
	Only        string         `json:"only,omitempty"`    // the instance that it is for; "" is every device of the recipient
	Quiet       bool           `json:"quiet,omitempty"`   // it wakes nobody
	OwnWord     bool           `json:"own,omitempty"`     // the box itself sends it
	Taken       bool           `json:"taken,omitempty"`   // a device of the recipient has it
	Inboxes     int            `json:"inboxes,omitempty"` // that it waits in
	Delete      time.Time      `json:"delete"`            // when no receipt is waited for any more
	Notices     []Notice       `json:"notices,omitempty"` // that it brings
	Size        int            `json:"size"`
}

// Notice is one of the receipts in a notification; each has a record of its own.
type Notice struct {
	RecordID string `json:"record"`
	About    string `json:"about,omitempty"` // id of the record of the message, "" if it is not known
	State    string `json:"state"`           // one of record.Message*
	From     string `json:"from"`            // Message-ID or Call-ID that it names
}

// Wire is what a device gets, byte for byte.
type Wire struct {
	Head []byte // header lines that are not the box's own
	Body []byte
}

func (w *Wire) pack() []byte {
	p := pack.Writer{B: make([]byte, 0, len(w.Head)+len(w.Body)+8)}
	p.String(string(w.Head))
	p.String(string(w.Body))
	return p.B
}

func (w *Wire) unpack(b []byte) error {
	r := pack.Reader{B: b}
	w.Head, w.Body = []byte(r.String()), []byte(r.String())
	return r.Err
}

// Entry is a message in the inbox of a user.
type Entry struct {
	Seq    uint64
	Taken  bool // some device of the user has it
	Copy   bool // the user sent it himself
	Size   int
	Sender string
	Only   string // instance of the device that it is for
	Except string // key of the device that sent it
}

func (e *Entry) pack() []byte {
	var p pack.Writer
	p.Bool(e.Taken)
	p.Bool(e.Copy)
	p.Int(e.Size)
	p.String(e.Sender)
	p.String(e.Only)
	p.String(e.Except)
	return p.B
}

func (e *Entry) unpack(b []byte) error {
	r := pack.Reader{B: b}
	e.Taken, e.Copy, e.Size, e.Sender, e.Only, e.Except = r.Bool(), r.Bool(), r.Int(), r.String(), r.String(), r.String()
	return r.Err
}

// isFor reports whether a device is to have it.
func (e *Entry) isFor(d *Device) bool {
	return d.Key != e.Except && (e.Only == "" || e.Only == d.Instance)
}

// Device is a device that a user was seen with, and how far it has come in his inbox.
type Device struct {
	Key       string         `json:"-"`
	Instance  string         `json:"instance,omitempty"`
	Contact   string         `json:"contact"`
	UserAgent string         `json:"user_agent,omitempty"`
	Source    netip.AddrPort `json:"source,omitzero"`
	Transport string         `json:"transport,omitempty"`
	Cursor    uint64         `json:"cursor"` // number of the last message that it has, or that is not for it
	Seen      time.Time      `json:"seen"`
}

// Record returns the device as records have it.
func (d *Device) Record() record.Device {
	return record.Device{Instance: d.Instance, Contact: d.Contact, Source: d.Source, Transport: d.Transport, UserAgent: d.UserAgent}
}

// rank orders states: each but failed comes after the one before.
func rank(state string) int {
	return slices.Index([]string{record.MessageFailed, record.MessageStored, record.MessageSent, record.MessageDelivered, record.MessageDisplayed}, state)
}

// maxDeliveries bounds what is kept of one message: the registrar takes 32 devices of a user, but they
// may be others each day.
const maxDeliveries = 100

// delivery finds or makes the delivery of a message to a device. What is over the bound is not kept.
func (i *Item) delivery(user string, d record.Device) *record.Delivery {
	for n := range i.Rec.Deliveries {
		have := &i.Rec.Deliveries[n]
		if have.User == user && sameDevice(have.Device, d) {
			have.Device = d
			return have
		}
	}
	if len(i.Rec.Deliveries) == maxDeliveries {
		return new(record.Delivery)
	}
	i.Rec.Deliveries = append(i.Rec.Deliveries, record.Delivery{User: user, Device: d, Status: record.MessageStored})
	return &i.Rec.Deliveries[len(i.Rec.Deliveries)-1]
}

func sameDevice(a, b record.Device) bool {
	if a.Instance != "" || b.Instance != "" {
		return a.Instance == b.Instance
	}
	return a.Contact == b.Contact
}

// reach notes that a delivery came to a state, which it never goes back from. A message that came
// through later has not failed.
func (i *Item) reach(d *record.Delivery, state string, at time.Time) {
	when := map[string]*time.Time{
		record.MessageSent: &d.Sent, record.MessageDelivered: &d.Delivered, record.MessageDisplayed: &d.Displayed, record.MessageFailed: &d.Failed,
	}[state]
	if when == nil || !when.IsZero() {
		return // it is no state, or was said before
	}
	*when = at
	if rank(state) > rank(d.Status) || (state == record.MessageFailed && d.Status == record.MessageStored) {
		d.Status = state
	}
	if d.User == i.Rec.Recipient.User && state != record.MessageFailed && (rank(state) > rank(i.Rec.Status)) {
		i.change(state, d.Device, at)
	}
}

// change notes that the message as a whole came to a state.
func (i *Item) change(state string, by record.Device, at time.Time) {
	who := by.Instance
	if who == "" {
		who = by.Contact
	}
	i.Rec.Status = state
	i.Rec.Changes = append(i.Rec.Changes, record.Change{At: at, Status: state, Device: who})
}
