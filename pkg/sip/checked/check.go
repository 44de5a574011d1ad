package checked

import (
	"strings"

	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/wire"
)

// Limits of a message.
const (
	defaultMaxForwards = 70      // RFC 3261 §8.1.1.6
	maxHops            = 70      // no request with more can have had Max-Forwards left
	maxContacts        = 16      // of a REGISTER; apps send one or two
	maxCredentials     = 4       // one realm is ours, with two algorithms
	maxAsserted        = 4       // a sip and a tel URI of each kind
	maxTag             = 256     // texts that we store for a dialog
	maxCallID          = 512     // longreq of RFC 4475 has 147
	maxCSeq            = 1 << 31 // RFC 3261 §8.1.1.5
)

const typeSDP = "application/sdp"

// Refusal says how a message is refused. Code 0 means silence: it cannot be answered, or an
// answer would be wrong.
type Refusal struct {
	Code   int
	Reason string
	Header string // further header lines, each with its end
}

// silence is the refusal of what must not be answered.
func silence() *Refusal { return &Refusal{} }

func refuse(code int, reason string) *Refusal { return &Refusal{Code: code, Reason: reason} }

func bad(what string) *Refusal { return refuse(400, "Bad Request: "+what) }

// Check validates the message that Read took in. It returns nil when all is well.
func (m *Message) Check() *Refusal {
	if m.IsResponse() {
		if !m.checkResponse() {
			return silence()
		}
		return nil
	}
	if r := m.checkRequest(); r != nil {
		if m.Method == ACK || m.wire.Count(wire.Via) == 0 {
			return silence() // RFC 3261 §17.1.1.3: an ACK is never answered; without Via there is no way back
		}
		return r
	}
	return nil
}

// checkRequest looks in the order of RFC 3261 §8.2, but first at what an answer needs.
func (m *Message) checkRequest() *Refusal {
	viasFine := m.checkVias()
	startFault := m.startLine()
	m.Method = method(m.Name)
	if !viasFine {
		m.readIdentity() // for what it is worth: the answer repeats what can be read
		return bad("Via")
	}
	if startFault != nil && startFault.Code == 505 {
		m.readIdentity()
		return startFault
	}
	if what := m.readIdentity(); what != "" {
		return bad(what)
	}
	if startFault != nil {
		return startFault
	}
	if m.wire.Malformed() {
		return bad("a header line without a name")
	}
	if what := m.readFields(); what != "" {
		return bad(what)
	}
	return m.checkMeaning()
}

// startLine reads "Method SP Request-URI SP SIP-Version" (RFC 3261 §7.1): single spaces, no
// brackets, nothing behind.
func (m *Message) startLine() *Refusal {
	line := m.wire.Start()
	name, rest, ok := strings.Cut(line, " ")
	target, version, ok2 := strings.Cut(rest, " ")
	m.Name, m.Target = name, target
	if !ok || !ok2 || !wire.IsToken(name) {
		return bad("start line")
	}
	if len(version) < 7 || !strings.EqualFold(version[:4], "SIP/") {
		return bad("start line")
	}
	if version[4:] != "2.0" {
		if wire.IsToken(version[4:]) {
			return refuse(505, "Version Not Supported")
		}
		return bad("start line")
	}
	u, err := aor.Parse(target)
	if err != nil {
		return bad("Request-URI")
	}
	m.URI = u
	switch {
	case u.Scheme == aor.Unknown:
		return refuse(416, "Unsupported URI Scheme") // RFC 3261 §8.2.2.1
	case u.Headers != "":
		return bad("Request-URI with headers") // RFC 3261 §19.1.1 table 1
	}
	return nil
}

// readIdentity reads the fields that tell one request from another, each of which stands exactly
// once (RFC 3261 §8.1.1). It returns the name of the first that is wrong.
func (m *Message) readIdentity() (wrong string) {
	note := func(ok bool, name string) {
		if !ok && wrong == "" {
			wrong = name
		}
	}
	callID, ok := m.single(wire.CallID)
	m.CallID = callID
	note(ok && callID != "" && len(callID) <= maxCallID && printable(callID), "Call-ID")
	cseq, ok := m.single(wire.CSeq)
	note(ok && m.readCSeq(cseq), "CSeq")
	m.FromText, ok = m.single(wire.From)
	note(ok && readParty(m.FromText, &m.From, &m.FromTag), "From")
	m.ToText, ok = m.single(wire.To)
	note(ok && readParty(m.ToText, &m.To, &m.ToTag), "To")
	return wrong
}

// single returns a field that stands exactly once.
func (m *Message) single(id wire.ID) (string, bool) {
	v, ok := m.wire.Get(id)
	return v, ok && m.wire.Count(id) == 1
}

// printable keeps control characters and spaces out of what we store and log.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func (m *Message) readCSeq(s string) bool {
	digits, name, ok := strings.Cut(s, " ")
	if !ok {
		if digits, name, ok = strings.Cut(s, "\t"); !ok {
			return false
		}
	}
	n, ok := number(digits, maxCSeq-1)
	if !ok {
		return false
	}
	name = strings.Trim(name, " \t")
	m.CSeq = uint32(n)
	if m.IsResponse() {
		m.Name, m.Method = name, method(name)
		return wire.IsToken(name)
	}
	return name == m.Name || (m.Method == UnknownMethod && wire.IsToken(name)) // RFC 4475 §3.1.2.18: an unknown method is a 501 first
}

func readParty(s string, a *aor.Address, tag *string) bool {
	got, err := aor.ParseAddress(s)
	if err != nil {
		return false
	}
	*a = got
	*tag, _ = got.Param("tag")
	return len(*tag) <= maxTag && printable(*tag)
}

// number reads digits up to limit.
func number(s string, limit uint64) (n uint64, ok bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = n*10 + uint64(s[i]-'0'); n > limit {
			return 0, false
		}
	}
	return n, true
}

// checkMeaning refuses what is well-formed but not for us (RFC 3261 §8.2.1 to §8.2.3).
func (m *Message) checkMeaning() *Refusal {
	switch {
	case m.Method == UnknownMethod:
		return &Refusal{Code: 501, Reason: "Not Implemented", Header: "Allow: " + Handled.String() + "\r\n"}
	case !m.ownScheme():
		return bad("From or To of another scheme")
	case m.unsupported != "" && m.Method != ACK && m.Method != CANCEL: // RFC 3261 §8.2.2.3
		return &Refusal{Code: 420, Reason: "Bad Extension", Header: "Unsupported: " + m.unsupported + "\r\n"}
	case m.MaxForwards == 0 && m.URI.User != "" && !m.InDialog() && m.Method != REGISTER && m.Method != CANCEL && m.Method != ACK:
		return refuse(483, "Too Many Hops") // it would go on to another UA
	case m.Method == INVITE:
		return m.checkOffer()
	}
	return nil
}

// ownScheme: accounts have SIP addresses; a tel URI in From or To is a number of ours at most.
func (m *Message) ownScheme() bool {
	from, to := m.From.URI.Scheme, m.To.URI.Scheme
	if m.Method == REGISTER { // RFC 3261 §10.2: To holds an address of record
		return (from == aor.SIP || from == aor.SIPS) && (to == aor.SIP || to == aor.SIPS)
	}
	return from != aor.Unknown
}

// checkOffer refuses an INVITE whose body or wishes are not SDP (RFC 3261 §8.2.3, §21.4.7).
func (m *Message) checkOffer() *Refusal {
	switch {
	case m.Body != "" && (m.ContentType != typeSDP || m.Encoded):
		return &Refusal{Code: 415, Reason: "Unsupported Media Type", Header: "Accept: application/sdp\r\nAccept-Encoding: identity\r\n"}
	case !m.acceptsSDP:
		return refuse(406, "Not Acceptable")
	}
	return nil
}

// checkResponse reports whether a response is one that a transaction may be looked up for.
func (m *Message) checkResponse() bool {
	version, rest, ok := strings.Cut(m.wire.Start(), " ")
	code, reason, _ := strings.Cut(rest, " ")
	n, isNumber := number(code, 699)
	if !ok || !isNumber || n < 100 || len(code) != 3 || !strings.EqualFold(version, "SIP/2.0") {
		return false
	}
	m.Status, m.Reason = int(n), reason
	// RFC 3261 §18.1.2: a response with more than one Via is not for a user agent.
	return m.checkVias() && m.Hops == 1 && !m.wire.Malformed() && m.readIdentity() == "" && m.readFields() == ""
}
