package record

import (
	"net/netip"
	"time"
)

// KindMessage are messages and their receipts.
const KindMessage Kind = "message"

// Types of a message.
const (
	MessageContent      = "content"      // what a user wrote or sent
	MessageNotification = "notification" // what a device said of a message: a receipt (RFC 5438)
)

// States of a message, towards a device or a user. Each but failed comes after the one before.
const (
	MessageStored    = "stored"    // the box has it, and sent 202
	MessageSent      = "sent"      // the device answered 2xx
	MessageDelivered = "delivered" // as its receipt says
	MessageDisplayed = "displayed" // as its receipt says
	MessageFailed    = "failed"    // refused, expired, or a receipt says so
)

// Message is one message and what became of it. It is sent again as it grows: with each receipt and
// each device that took it.
type Message struct {
	ID          string     `json:"id"`
	Type        string     `json:"type"`
	MessageID   string     `json:"message_id,omitempty"` // imdn.Message-ID (RFC 5438 §6.3)
	CallID      string     `json:"call_id"`              // of the MESSAGE as the sender sent it
	About       string     `json:"about,omitempty"`      // of a notification: the id of the message's record
	Thread      string     `json:"thread"`               // who talks: the users' ids in order, joined by a blank
	Sender      Party      `json:"sender"`
	From        Device     `json:"from"`
	Recipient   Party      `json:"recipient"`
	At          time.Time  `json:"at"`                    // when the box took it
	Composed    time.Time  `json:"composed,omitzero"`     // when the sender says that he wrote it
	ContentType string     `json:"content_type"`          // of the body as it came
	Content     []byte     `json:"content,omitempty"`     // the body as it came, inflated
	Text        string     `json:"text,omitempty"`        // the words in it
	Files       []File     `json:"files,omitempty"`       // that it tells of
	Reply       string     `json:"reply,omitempty"`       // Message-ID of what it answers
	Reaction    bool       `json:"reaction,omitempty"`    // it is no more than a reaction to that
	Replaces    string     `json:"replaces,omitempty"`    // Message-ID of what it corrects
	Retracts    string     `json:"retracts,omitempty"`    // Message-ID of what it takes back
	Ephemeral   int        `json:"ephemeral,omitempty"`   // seconds that clients show it after it was read
	Expires     time.Time  `json:"expires,omitzero"`      // no delivery is tried after that
	Status      string     `json:"status"`                // the best of its devices'
	Deliveries  []Delivery `json:"deliveries,omitempty"`  // one for each device of the recipient, and of the sender's others
	Changes     []Change   `json:"changes,omitempty"`     // of Status, oldest first
	Asked       []string   `json:"asked,omitempty"`       // receipts that the sender wants: "positive-delivery", "display" ...
	Notice      string     `json:"notice,omitempty"`      // of a notification: the state that it tells of
	NoticeFrom  string     `json:"notice_from,omitempty"` // Message-ID or Call-ID that it names
	SentByAPI   bool       `json:"sent_by_api,omitempty"` // it came through a bridge, not from a phone
	Dropped     bool       `json:"dropped,omitempty"`     // the archive did not keep what it says: the site's policy
}

// Bare takes away what the message says, and leaves that it was sent: what those see who may not
// read it.
func (m *Message) Bare() {
	m.Content, m.Text = nil, ""
	bare := make([]File, len(m.Files)) // the old ones may be shared
	for i, f := range m.Files {
		bare[i] = File{ContentType: f.ContentType, Size: f.Size, Until: f.Until}
	}
	if m.Files = bare; len(bare) == 0 {
		m.Files = nil
	}
}

// Device is one device of a user as it was then.
type Device struct {
	Instance  string         `json:"instance,omitempty"` // +sip.instance
	Contact   string         `json:"contact,omitempty"`
	Source    netip.AddrPort `json:"source,omitzero"`
	Transport string         `json:"transport,omitempty"`
	UserAgent string         `json:"user_agent,omitempty"`
}

// Delivery is what became of a message at one device.
type Delivery struct {
	User      string    `json:"user"` // name of the account
	Device    Device    `json:"device"`
	Status    string    `json:"status"`
	Sent      time.Time `json:"sent,omitzero"`
	Delivered time.Time `json:"delivered,omitzero"`
	Displayed time.Time `json:"displayed,omitzero"`
	Failed    time.Time `json:"failed,omitzero"`
	Code      int       `json:"code,omitempty"` // its last answer
	Tries     int       `json:"tries,omitempty"`
	Reason    string    `json:"reason,omitempty"`
}

// Change is one change of a message's state.
type Change struct {
	At     time.Time `json:"at"`
	Status string    `json:"status"`
	Device string    `json:"device,omitempty"` // whose answer or receipt it was: its instance or contact
}

// File is a file that a message tells of.
type File struct {
	Name        string    `json:"name"`
	ContentType string    `json:"content_type"`
	Size        int64     `json:"size"`
	URL         string    `json:"url"`
	Until       time.Time `json:"until,omitzero"`
}
