package record

import (
	"strings"
	"time"
)

// CodeRefused is the code of the problem by which the archive says that it will never take a
// record, however often it comes: only then may its sender drop it.
const CodeRefused = "record.refused"

// Field names something that records are found by.
type Field string

// The fields. Each kind has some of them.
const (
	FieldUser     Field = "user"     // either party of a call or a message, the account of the others
	FieldNumber   Field = "number"   // of either party, or as dialed
	FieldCallID   Field = "call_id"  // of any leg
	FieldStatus   Field = "status"   // of a call or a message
	FieldAoR      Field = "aor"      // of a registration
	FieldSource   Field = "source"   // IP address that it came from
	FieldInstance Field = "instance" // +sip.instance of the device
	FieldResult   Field = "result"   // of a registration
	FieldReason   Field = "reason"   // of an authentication failure
	FieldWho      Field = "who"      // admin of an audit record
	FieldAct      Field = "act"      // of an audit record

	FieldCall Field = "call" // id of the call's record that a recording is of
	FieldWhy  Field = "why"  // a call was recorded

	FieldSender    Field = "sender"     // account that a message is from
	FieldRecipient Field = "recipient"  // account that a message is to
	FieldMessageID Field = "message_id" // imdn.Message-ID
	FieldThread    Field = "thread"     // who talks
	FieldType      Field = "type"       // of a message
	FieldRefers    Field = "refers"     // Message-ID, or of a notification the record's id, that a message answers, corrects, takes back or tells of
)

// Fields returns the fields that records of this kind can be found by, nil for an unknown kind.
func (k Kind) Fields() []Field {
	switch k {
	case KindCall:
		return []Field{FieldUser, FieldNumber, FieldCallID, FieldStatus}
	case KindRegistration:
		return []Field{FieldUser, FieldAoR, FieldSource, FieldInstance, FieldResult, FieldCallID}
	case KindAuthFailure:
		return []Field{FieldSource, FieldUser, FieldReason}
	case KindAudit:
		return []Field{FieldWho, FieldAct}
	case KindRecording:
		return []Field{FieldUser, FieldNumber, FieldCall, FieldWhy}
	case KindMessage:
		return []Field{
			FieldUser, FieldSender, FieldRecipient, FieldNumber, FieldCallID, FieldMessageID, FieldThread, FieldStatus, FieldType, FieldRefers,
		}
	}
	return nil
}

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{KindCall, KindRegistration, KindAuthFailure, KindAudit, KindMessage, KindRecording}
}

// Query selects records of one kind, newest first. All conditions must hold.
type Query struct {
	Kind  Kind
	From  time.Time        // inclusive; zero: from the oldest
	To    time.Time        // exclusive; zero: to the newest
	Match map[Field]string // equal, without regard to case
	Text  string           // part of any value, without regard to case
	// Words are those that a message has all of, in any order, without regard to case and accents.
	// One that ends in * is the beginning of a word.
	Words string
	// Content asks for what messages say; without it they come bare.
	Content bool
	// Before is the cursor: only records with a lower id. "" starts at the newest.
	Before string
	Limit  int
}

// Page is an answer to a query.
type Page struct {
	Records []Envelope
	// Next is Before of the next page, "" at the end. A page may be short, even empty, and still
	// have a Next: a search pauses after so many records looked at.
	Next string
}

// ThreadQuery selects threads, the one with the latest message first.
type ThreadQuery struct {
	User   string // who talks; "" for all
	Before string // Next of the page before
	Limit  int
}

// ThreadPage is an answer to a ThreadQuery.
type ThreadPage struct {
	Threads []Thread
	Next    string // as in Page
}

// Thread is who talks with whom.
type Thread struct {
	ID     string  `json:"id"`     // Thread of its messages
	Count  int     `json:"count"`  // of its messages, without receipts
	Latest Message `json:"latest"` // without what it says
}

// SafeCell returns a cell of a table that no spreadsheet takes for a formula: much of what is
// exported was sent by strangers.
func SafeCell(c string) string {
	if c != "" && strings.ContainsRune("=+-@\t\r\n", rune(c[0])) {
		return "'" + c
	}
	return c
}
