package checked

import (
	"strings"

	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/digest"
	"github.com/coraltele/sanchar/pkg/sip/gruu"
	"github.com/coraltele/sanchar/pkg/sip/wire"
)

// maxSeconds is the largest delta-seconds (RFC 3261 §20.19).
const maxSeconds = 1<<32 - 1

// readFields reads all fields that readIdentity has not. It returns the name of the first that is
// wrong: malformed, or doubled where it must be single.
func (m *Message) readFields() (wrong string) {
	m.Body = m.wire.Body()
	for i := range m.wire.Len() {
		id, value := m.wire.Field(i)
		if id == wire.Other || id == wire.Via {
			continue
		}
		ok := m.readField(id, value)
		if !ok || (singles[id] && m.wire.Count(id) > 1) {
			return m.wire.Name(i)
		}
	}
	return ""
}

// singles are the fields of which a message may have one only (RFC 3261 §7.3.1), beside those of
// readIdentity.
var singles = [256]bool{
	wire.ContentDisposition: true, wire.ContentLength: true, wire.ContentType: true, wire.Date: true, wire.Event: true, wire.Expires: true,
	wire.MaxForwards: true, wire.MinExpires: true, wire.MinSE: true, wire.Organization: true, wire.Priority: true,
	wire.RAck: true, wire.ReferTo: true, wire.ReferredBy: true, wire.Replaces: true, wire.RetryAfter: true, wire.RSeq: true, wire.Server: true,
	wire.SessionExpires: true, wire.SubscriptionState: true, wire.Subject: true, wire.Timestamp: true, wire.UserAgent: true,
}

// readField is a table in the form of a switch: one line or one function a field.
func (m *Message) readField(id wire.ID, v string) (ok bool) {
	ok = true
	switch id {
	case wire.ContentLength:
		ok = m.readContentLength(v)
	case wire.MaxForwards:
		ok = setNumber(&m.MaxForwards, v, 255) // RFC 3261 §20.22
	case wire.Expires:
		ok = setNumber(&m.Expires, v, maxSeconds)
	case wire.MinSE:
		ok = setNumber(&m.MinSE, cutParams(v), maxSeconds)
	case wire.RetryAfter:
		ok = setNumber(&m.RetryAfter, cutComment(v), maxSeconds)
	case wire.RSeq:
		ok = setSeq(&m.RSeq, v)
	case wire.RAck:
		ok = m.readRAck(v)
	case wire.SessionExpires:
		ok = m.readSessionExpires(v)
	case wire.Contact:
		ok = m.readContacts(v)
	case wire.Route, wire.RecordRoute, wire.Path:
		ok = validAddresses(v)
	case wire.Require:
		ok = m.readOptions(&m.Required, v, true)
	case wire.Supported:
		ok = m.readOptions(&m.Supported, v, false)
	case wire.Allow:
		m.readAllow(v)
	case wire.Accept:
		m.readAccept(v)
	case wire.Authorization, wire.ProxyAuthorization:
		m.readCredentials(v)
	default:
		return m.readText(id, v)
	}
	return ok
}

// readText goes on where readField ends, with fields that only calls use.
func (m *Message) readText(id wire.ID, v string) (ok bool) {
	ok = true
	switch id {
	case wire.ContentType:
		ok = m.readContentType(v)
	case wire.ContentEncoding:
		m.Encoded = m.Encoded || !strings.EqualFold(v, "identity")
	case wire.ReferTo:
		m.ReferTo, ok = address(v)
	case wire.ReferredBy:
		_, ok = address(v)
		m.ReferredBy = v
	case wire.Replaces:
		m.Replaces, ok = ParseReplaces(v)
	case wire.PAssertedIdentity, wire.PPreferredIdentity, wire.RemotePartyID:
		ok = m.readAsserted(v)
	case wire.Event:
		m.Event = cutParams(v)
		ok = wire.IsToken(m.Event)
	case wire.SubscriptionState:
		m.SubState = cutParams(v) // its parameters are often wrong: Linphone writes reason=reason=noresource
		ok = wire.IsToken(m.SubState)
	case wire.UserAgent:
		m.UserAgent = v
	case wire.Subject:
		m.Subject = v
	case wire.Reason:
		m.ReasonHeader = v
	case wire.Priority:
		m.Priority = v
	case wire.Warning:
		m.Warning = v
	}
	return ok
}

func setNumber(to *int, v string, limit uint64) bool {
	n, ok := number(v, limit)
	*to = int(n)
	return ok
}

func setSeq(to *uint32, v string) bool {
	n, ok := number(v, maxSeconds)
	*to = uint32(n)
	return ok && n > 0 // RFC 3262 §7.1
}

func cutParams(v string) string {
	v, _, _ = strings.Cut(v, ";")
	return strings.TrimRight(v, " \t")
}

func cutComment(v string) string {
	if i := strings.IndexAny(v, " \t;("); i >= 0 {
		return v[:i]
	}
	return v
}

// readContentLength cuts the body to its length. A datagram may go on behind it (RFC 3261 §18.3).
func (m *Message) readContentLength(v string) bool {
	n, ok := number(v, maxSeconds)
	if !ok || n > uint64(len(m.Body)) {
		return false
	}
	m.Body = m.Body[:n]
	return true
}

func (m *Message) readRAck(v string) bool {
	parts := strings.Fields(v)
	if len(parts) != 3 {
		return false
	}
	rseq, ok := number(parts[0], maxSeconds)
	cseq, ok2 := number(parts[1], maxCSeq-1)
	m.RAck = RAck{RSeq: uint32(rseq), CSeq: uint32(cseq), Method: method(parts[2])}
	return ok && ok2
}

func (m *Message) readSessionExpires(v string) bool {
	n, ok := number(cutParams(v), maxSeconds)
	_, params, _ := strings.Cut(v, ";")
	refresher, _ := aor.Param(params, "refresher")
	m.SessionExpires = SessionExpires{Seconds: int(n), Refresher: strings.ToLower(refresher)}
	return ok && (refresher == "" || m.SessionExpires.Refresher == "uac" || m.SessionExpires.Refresher == "uas")
}

func (m *Message) readContacts(list string) bool {
	if list == "*" {
		m.AnyContact = true
		return m.wire.Count(wire.Contact) == 1
	}
	for list != "" {
		var one string
		one, list = aor.NextAddress(list)
		c, ok := readContact(one)
		if !ok || len(m.Contacts) == maxContacts {
			return false
		}
		m.Contacts = append(m.Contacts, c)
	}
	return true
}

func readContact(s string) (c Contact, ok bool) {
	a, err := aor.ParseAddress(s)
	if err != nil {
		return c, false
	}
	c = Contact{Address: a, Expires: -1}
	if c.Q, ok = a.Q(); !ok {
		return c, false
	}
	if v, has := a.Param("expires"); has {
		n, ok := number(v, maxSeconds)
		if !ok {
			n = 3600 // RFC 3261 §10.3 item 7: a malformed value counts as 3600
		}
		c.Expires = int(n)
	}
	if v, has := a.Param("+sip.instance"); has {
		c.Instance = gruu.TrimInstance(v)
		if len(c.Instance) > maxTag || !printable(c.Instance) {
			return c, false
		}
	}
	if v, has := a.Param("reg-id"); has {
		n, ok := number(v, 1<<31-1)
		if !ok || n == 0 {
			return c, false
		}
		c.RegID = int(n)
	}
	return c, true
}

func validAddresses(list string) bool {
	for list != "" {
		var one string
		one, list = aor.NextAddress(list)
		if _, ok := address(one); !ok {
			return false
		}
	}
	return true
}

func address(s string) (aor.Address, bool) {
	a, err := aor.ParseAddress(s)
	return a, err == nil
}

func (m *Message) readOptions(set *Options, list string, must bool) bool {
	for rest := list; rest != ""; {
		var one string
		one, rest, _ = strings.Cut(rest, ",")
		one = strings.Trim(one, " \t")
		if one == "" {
			continue
		}
		if !wire.IsToken(one) {
			return false
		}
		o := option(one)
		*set |= o
		if must && o&Understood == 0 {
			if m.unsupported != "" {
				m.unsupported += ", "
			}
			m.unsupported += one
		}
	}
	return true
}

func (m *Message) readAllow(list string) {
	for list != "" {
		var one string
		one, list, _ = strings.Cut(list, ",")
		m.Allow |= 1 << method(strings.Trim(one, " \t"))
	}
	m.Allow &^= 1 << UnknownMethod
}

// readAccept notes whether application/sdp is among the types of all Accept lines.
func (m *Message) readAccept(list string) {
	first := m.wire.Count(wire.Accept) == 1
	takes := false
	for list != "" {
		var one string
		one, list, _ = strings.Cut(list, ",")
		one = cutParams(strings.Trim(one, " \t"))
		takes = takes || strings.EqualFold(one, typeSDP) || one == "*/*" || strings.EqualFold(one, "application/*")
	}
	m.acceptsSDP = takes || !first // with several lines one may take it: the peer says so by its body
}

// readCredentials keeps digest credentials that can be read; others are as good as none
// (RFC 4475 §3.3.7).
func (m *Message) readCredentials(v string) {
	if c, err := digest.ParseCredentials(v); err == nil && len(m.Credentials) < maxCredentials {
		m.Credentials = append(m.Credentials, c)
	}
}

func (m *Message) readContentType(v string) bool {
	m.ContentType = cutParams(v)
	kind, sub, ok := strings.Cut(m.ContentType, "/")
	if strings.EqualFold(m.ContentType, typeSDP) {
		m.ContentType = typeSDP
	}
	return ok && wire.IsToken(strings.TrimRight(kind, " ")) && wire.IsToken(strings.TrimLeft(sub, " "))
}

// ParseReplaces reads a Replaces value (RFC 3891 §6.1), which also stands escaped in Refer-To.
func ParseReplaces(v string) (d Dialog, ok bool) {
	id, params, _ := strings.Cut(v, ";")
	d.CallID = strings.Trim(id, " \t")
	d.ToTag, _ = aor.Param(params, "to-tag")
	d.FromTag, _ = aor.Param(params, "from-tag")
	_, d.EarlyOnly = aor.Param(params, "early-only")
	return d, d.CallID != "" && d.ToTag != "" && d.FromTag != "" && printable(d.CallID)
}

func (m *Message) readAsserted(list string) bool {
	for list != "" {
		var one string
		one, list = aor.NextAddress(list)
		a, ok := address(one)
		if !ok || len(m.Asserted) == maxAsserted {
			return false
		}
		m.Asserted = append(m.Asserted, a)
	}
	return true
}
