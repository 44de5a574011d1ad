// Package checked turns a raw SIP message into a checked one, or says how it is to be refused.
// Nothing behind it sees a header that was not found well-formed, single where it must be single,
// and within its limits (RFC 3261 §8.2, RFC 4475, RFC 5118).
package checked

import (
	"strings"

	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/digest"
	"github.com/coraltele/sanchar/pkg/sip/wire"
)

// Message is one checked message. It is reused: Read forgets what was there. All texts are parts
// of the buffer that was read, unless Keep was called before Check.
type Message struct {
	wire wire.Message

	Method Method // of a response: of the request that it answers
	Name   string // of the method, as written
	Status int    // 0: this is a request
	Reason string // phrase of the status line

	Target string  // request URI as written
	URI    aor.URI // the same

	From, To       aor.Address
	FromText       string // as written
	ToText         string // as written
	FromTag, ToTag string
	CallID         string
	CSeq           uint32
	Via            Via // topmost
	Hops           int // how many Via there are
	MaxForwards    int // 70 if there is none

	Contacts    []Contact
	AnyContact  bool // "Contact: *"
	Expires     int  // seconds; -1 if there is none
	Supported   Options
	Required    Options
	Allow       Methods // 0 if there is none
	Credentials []digest.Credentials

	RSeq           uint32
	RAck           RAck
	SessionExpires SessionExpires
	MinSE          int
	RetryAfter     int
	ReferTo        aor.Address
	ReferredBy     string
	Replaces       Dialog
	Event          string
	SubState       string
	Asserted       []aor.Address // P-Preferred- and P-Asserted-Identity, Remote-Party-ID
	UserAgent      string
	Subject        string
	ReasonHeader   string
	Priority       string
	Warning        string
	ContentType    string // without parameters, in lower case where it was so
	Encoded        bool   // Content-Encoding other than identity
	Body           string

	unsupported string // option tags of Require that we do not understand
	acceptsSDP  bool   // no Accept header, or one that takes application/sdp
}

// RAck names the provisional response that a PRACK acknowledges (RFC 3262 §7.2).
type RAck struct {
	RSeq, CSeq uint32
	Method     Method
}

// SessionExpires is the header of RFC 4028 §4. Seconds is 0 where there is none.
type SessionExpires struct {
	Seconds   int
	Refresher string // "uac", "uas" or ""
}

// Dialog names a dialog, as Replaces does (RFC 3891 §6.1). CallID is "" where there is none.
type Dialog struct {
	CallID, ToTag, FromTag string
	EarlyOnly              bool
}

// Contact is one contact of a REGISTER, a dialog or a redirection.
type Contact struct {
	aor.Address
	Q        int    // thousandths
	Expires  int    // seconds; -1 if there is none
	Instance string // URN of +sip.instance, "" if there is none
	RegID    int    // RFC 5626 §4.2; 0 if there is none
}

// Read splits the message in buf into lines. An error leaves nothing to answer.
func (m *Message) Read(buf []byte) error {
	*m = Message{
		wire: m.wire, Contacts: m.Contacts[:0], Credentials: m.Credentials[:0], Asserted: m.Asserted[:0],
		Expires: -1, MaxForwards: defaultMaxForwards, acceptsSDP: true,
	}
	return m.wire.Parse(buf)
}

// Keep makes the message independent of the buffer that was read. It comes before Check.
func (m *Message) Keep() { m.wire.Keep() }

// IsResponse reports whether the message is a response. It may be asked before Check.
func (m *Message) IsResponse() bool { return m.wire.IsResponse() }

// ForDialog reports whether a request is one that a call may take: it has credentials or a To tag,
// or is an ACK or a CANCEL, and is no REGISTER. It may be asked before Check.
func (m *Message) ForDialog() bool {
	start := m.wire.Start()
	if strings.HasPrefix(start, "REGISTER ") {
		return false
	}
	to, _ := m.wire.Get(wire.To)
	return m.wire.Count(wire.Authorization)+m.wire.Count(wire.ProxyAuthorization) > 0 || strings.Contains(to, "tag") ||
		strings.HasPrefix(start, "ACK ") || strings.HasPrefix(start, "CANCEL ")
}

// Text returns the whole message, for a trace.
func (m *Message) Text() string { return m.wire.Text() }

// InDialog reports whether a request belongs to a dialog (RFC 3261 §12.2.2).
func (m *Message) InDialog() bool { return m.ToTag != "" }

// Contact returns the first contact's URI, "" if there is none.
func (m *Message) Contact() string {
	if len(m.Contacts) == 0 {
		return ""
	}
	return m.Contacts[0].Spec
}

// HasSDP reports whether the body is a session description.
func (m *Message) HasSDP() bool { return m.Body != "" && m.ContentType == typeSDP }

// AppendRoutes appends the URIs of Record-Route, in the order that a UAC's route set has them
// reversed (RFC 3261 §12.1.2) and a UAS's as they stand (§12.1.1).
func (m *Message) AppendRoutes(dst []string, reverse bool) []string {
	start := len(dst)
	for i := range m.wire.Len() {
		id, list := m.wire.Field(i)
		for id == wire.RecordRoute && list != "" {
			var one string
			one, list = aor.NextAddress(list)
			dst = append(dst, one)
		}
	}
	if reverse {
		for i, j := start, len(dst)-1; i < j; i, j = i+1, j-1 {
			dst[i], dst[j] = dst[j], dst[i]
		}
	}
	return dst
}

// HasPath reports whether a REGISTER came through proxies that want to be on the way back.
func (m *Message) HasPath() bool { return m.wire.Count(wire.Path) > 0 }

// AppendPath appends the Path of a REGISTER as a route set towards the contact (RFC 3327 §5.3).
func (m *Message) AppendPath(dst []string) []string {
	for i := range m.wire.Len() {
		id, list := m.wire.Field(i)
		for id == wire.Path && list != "" {
			var one string
			one, list = aor.NextAddress(list)
			dst = append(dst, one)
		}
	}
	return dst
}

// Passed are headers that a call carries from leg to leg as they came: they inform people and
// say nothing of how the call is routed.
func (m *Message) AppendPassed(dst []byte) []byte {
	for i := range m.wire.Len() {
		switch id, value := m.wire.Field(i); id {
		case wire.Subject, wire.Priority, wire.Organization, wire.Date, wire.InReplyTo, wire.Accept, wire.ContentDisposition:
			dst = append(append(append(append(dst, m.wire.Name(i)...), ": "...), value...), '\r', '\n')
		}
	}
	return dst
}

// Header returns the first line of a field, "" if there is none.
func (m *Message) Header(id wire.ID) string {
	value, _ := m.wire.Get(id)
	return value
}

// AppendEndToEnd appends the header lines of a request that are meant for whoever gets it in the end:
// those that describe the body, those that inform people, and all that the box does not know
// (RFC 3261 §16.6 item 1). What is about the way, the dialog or who may, is the box's own.
func (m *Message) AppendEndToEnd(dst []byte) []byte {
	for i := range m.wire.Len() {
		id, value := m.wire.Field(i)
		name := m.wire.Name(i)
		switch id {
		case wire.ContentType:
			name = "Content-Type" // not the compact form: it is looked for
		case wire.ContentEncoding:
			name = "Content-Encoding"
		case wire.ContentDisposition, wire.Date, wire.Expires, wire.InReplyTo, wire.Organization, wire.Priority, wire.Subject, wire.UserAgent, wire.Other:
		default:
			continue
		}
		dst = append(append(append(append(dst, name...), ": "...), value...), '\r', '\n')
	}
	return dst
}
