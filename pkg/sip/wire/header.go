package wire

// ID names a header field that the box knows. Compact forms have the ID of the long one.
type ID uint8

// The header fields.
const (
	Other ID = iota
	Accept
	AcceptEncoding
	Allow
	AllowEvents
	AlertInfo
	Authorization
	CallID
	CallInfo
	Contact
	ContentDisposition
	ContentEncoding
	ContentLength
	ContentType
	CSeq
	Date
	Event
	Expires
	From
	InReplyTo
	MaxForwards
	MinExpires
	MinSE
	Organization
	PAssertedIdentity
	PPreferredIdentity
	Path
	Priority
	Privacy
	ProxyAuthorization
	ProxyRequire
	RAck
	Reason
	RecordRoute
	ReferTo
	ReferredBy
	RemotePartyID
	Replaces
	Require
	RetryAfter
	Route
	RSeq
	Server
	SessionExpires
	SubscriptionState
	Subject
	Supported
	Timestamp
	To
	Unsupported
	UserAgent
	Via
	Warning
	ids // how many there are
)

// identify returns the ID of a field name in any case (RFC 3261 §7.3.1).
func identify(name string) ID {
	if len(name) == 1 {
		return compact(name[0] | 0x20)
	}
	if len(name) > longestName {
		return Other
	}
	var lower [longestName]byte
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	return long(lower[:len(name)])
}

const longestName = len("p-preferred-identity")

// compact knows the one-letter forms of RFC 3261 §7.3.3, RFC 3515 §2.1 (r), RFC 3892 §3 (b),
// RFC 4028 §4 (x) and RFC 6665 §8.2 (o, u).
func compact(c byte) ID {
	switch c {
	case 'b':
		return ReferredBy
	case 'c':
		return ContentType
	case 'e':
		return ContentEncoding
	case 'f':
		return From
	case 'i':
		return CallID
	case 'k':
		return Supported
	case 'l':
		return ContentLength
	case 'm':
		return Contact
	case 'o':
		return Event
	case 'r':
		return ReferTo
	case 's':
		return Subject
	case 't':
		return To
	case 'u':
		return AllowEvents
	case 'v':
		return Via
	case 'x':
		return SessionExpires
	}
	return Other
}

func long(lower []byte) ID {
	switch string(lower) {
	case "accept":
		return Accept
	case "accept-encoding":
		return AcceptEncoding
	case "allow":
		return Allow
	case "allow-events":
		return AllowEvents
	case "alert-info":
		return AlertInfo
	case "authorization":
		return Authorization
	case "call-id":
		return CallID
	case "call-info":
		return CallInfo
	case "contact":
		return Contact
	case "content-disposition":
		return ContentDisposition
	case "content-encoding":
		return ContentEncoding
	case "content-length":
		return ContentLength
	case "content-type":
		return ContentType
	case "cseq":
		return CSeq
	case "date":
		return Date
	case "event":
		return Event
	case "expires":
		return Expires
	case "from":
		return From
	case "in-reply-to":
		return InReplyTo
	case "max-forwards":
		return MaxForwards
	case "min-expires":
		return MinExpires
	case "min-se":
		return MinSE
	case "organization":
		return Organization
	}
	return longP(lower)
}

// longP goes on where long ends: a switch of half the names each keeps both short to read.
func longP(lower []byte) ID {
	switch string(lower) {
	case "p-asserted-identity":
		return PAssertedIdentity
	case "p-preferred-identity":
		return PPreferredIdentity
	case "path":
		return Path
	case "priority":
		return Priority
	case "privacy":
		return Privacy
	case "proxy-authorization":
		return ProxyAuthorization
	case "proxy-require":
		return ProxyRequire
	case "rack":
		return RAck
	case "reason":
		return Reason
	case "record-route":
		return RecordRoute
	case "refer-to":
		return ReferTo
	case "referred-by":
		return ReferredBy
	case "remote-party-id":
		return RemotePartyID
	case "replaces":
		return Replaces
	case "require":
		return Require
	case "retry-after":
		return RetryAfter
	case "route":
		return Route
	case "rseq":
		return RSeq
	case "server":
		return Server
	case "session-expires":
		return SessionExpires
	case "subscription-state":
		return SubscriptionState
	case "subject":
		return Subject
	case "supported":
		return Supported
	case "timestamp":
		return Timestamp
	case "to":
		return To
	case "unsupported":
		return Unsupported
	case "user-agent":
		return UserAgent
	case "via":
		return Via
	case "warning":
		return Warning
	}
	return Other
}
