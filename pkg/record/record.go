// Package record is what the enterprise keeps of the past: typed records with a version each, as
// daemons write them and the archive stores them.
package record

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Kind names a sort of record; each has its own partitions and retention.
type Kind string

// The kinds.
const (
	KindCall         Kind = "call"
	KindRegistration Kind = "registration"
	KindAuthFailure  Kind = "auth"
	KindAudit        Kind = "audit"
)

// Version is the version of the types below. A reader takes this and all older ones.
const Version = 1

// Envelope carries a record from the daemon that made it to the archive. A record that comes
// again with the same id replaces the first: what grows (a registration) is sent as it grows.
type Envelope struct {
	ID      string          `json:"id"` // of ids.Record: sorts by the time that the record is filed under
	Kind    Kind            `json:"kind"`
	Version int             `json:"version"`
	Data    json.RawMessage `json:"data"`
}

// Statuses of a call.
const (
	CallAnswered  = "answered"
	CallBusy      = "busy"
	CallDeclined  = "declined"
	CallCancelled = "cancelled" // by the caller
	CallNoAnswer  = "no answer"
	CallOffline   = "offline" // nobody was registered
	CallFailed    = "failed"
)

// Sides that can end a call.
const (
	ByCaller = "caller"
	ByCallee = "callee"
	ByBox    = "box"
	ByAdmin  = "admin"
)

// Party is one side of a call.
type Party struct {
	AoR    string `json:"aor,omitempty"`
	User   string `json:"user,omitempty"` // name of the account
	Number string `json:"number,omitempty"`
	Name   string `json:"name,omitempty"`
}

// Call is one call with all its legs: what a user would call one call.
type Call struct {
	ID       string        `json:"id"`
	CallID   string        `json:"call_id"` // SIP Call-ID of the caller's leg
	Caller   Party         `json:"caller"`
	Dialed   string        `json:"dialed"` // as the caller wrote it
	Callee   Party         `json:"callee"` // who answered, or who was called
	Start    time.Time     `json:"start"`
	Ring     time.Time     `json:"ring,omitzero"`
	Answer   time.Time     `json:"answer,omitzero"`
	End      time.Time     `json:"end"`
	Duration time.Duration `json:"duration"` // answer to end
	Status   string        `json:"status"`
	Code     int           `json:"code"`  // final SIP status towards the caller
	Cause    string        `json:"cause"` // in words, for instance "callee hung up"
	EndedBy  string        `json:"ended_by"`
	Admin    string        `json:"admin,omitempty"` // who hung up from the page
	Codecs   []string      `json:"codecs,omitempty"`
	MOS      float64       `json:"mos,omitzero"` // the worst leg's
	Legs     []Leg         `json:"legs"`
	// Recordings are ids of what was recorded of it.
	Recordings []string `json:"recordings,omitempty"`
	Faults     []Fault  `json:"faults,omitempty"`   // of its media, while it was up
	Referred   string   `json:"referred,omitempty"` // id of the call that this one came from, by transfer

	Protection string `json:"protection,omitempty"` // the weakest of the legs that were answered: Protection*
	Direct     bool   `json:"direct,omitempty"`     // media went past the box
	EndToEnd   bool   `json:"end_to_end,omitempty"` // the parties keyed for themselves: it could not be recorded
	Transcoded bool   `json:"transcoded,omitempty"`
}

// Fault is something that was wrong with the media of a call.
type Fault struct {
	At    time.Time `json:"at"`
	Role  string    `json:"role,omitempty"` // of the leg, in a call's faults
	Cause string    `json:"cause"`          // "one-way", "silent", "insecure", ...
	Text  string    `json:"text,omitempty"` // in words
	Cure  string    `json:"cure,omitempty"` // what the box did that helped; empty: nothing did
}

// How a leg's media was protected, weakest first.
const (
	ProtectionNone    = "none"
	ProtectionThrough = "through" // by keys of the parties' own
	ProtectionSDES    = "sdes"
	ProtectionDTLS    = "dtls"
)

// Roles of a leg.
const (
	RoleCaller = "caller"
	RoleCallee = "callee"
	RoleTarget = "target" // of a transfer
)

// Leg is one dialog, or one attempt at it.
type Leg struct {
	Role      string         `json:"role"`
	Party     Party          `json:"party"`
	CallID    string         `json:"call_id"`
	Contact   string         `json:"contact,omitempty"`
	Remote    netip.AddrPort `json:"remote,omitzero"`
	Transport string         `json:"transport,omitempty"`
	UserAgent string         `json:"user_agent,omitempty"`
	Start     time.Time      `json:"start"`
	Ring      time.Time      `json:"ring,omitzero"`
	Answer    time.Time      `json:"answer,omitzero"`
	End       time.Time      `json:"end"`
	Code      int            `json:"code"`
	Cause     string         `json:"cause,omitempty"`
	Secured   string         `json:"secured,omitempty"` // how its media was protected: Protection*
	Streams   []Stream       `json:"streams,omitempty"`
}

// Stream is the quality of one stream of a leg.
type Stream struct {
	Kind       string         `json:"kind"`
	Codec      string         `json:"codec,omitempty"`
	Remote     netip.AddrPort `json:"remote,omitzero"`
	PacketsIn  uint64         `json:"packets_in"`
	PacketsOut uint64         `json:"packets_out"`
	LostIn     uint64         `json:"lost_in"`
	LostOut    uint64         `json:"lost_out"`
	JitterIn   time.Duration  `json:"jitter_in"`
	JitterOut  time.Duration  `json:"jitter_out"`
	RoundTrip  time.Duration  `json:"round_trip,omitzero"`
	MOS        float64        `json:"mos,omitzero"`
	Unmeasured uint64         `json:"unmeasured,omitempty"` // packets in that the kernel passed on unseen: LostIn and JitterIn are of the others
	Suite      string         `json:"suite,omitempty"`      // of SRTP
	ZRTP       bool           `json:"zrtp,omitempty"`       // the parties keyed end to end
	Direct     bool           `json:"direct,omitempty"`     // it went past the box
	Transcoded string         `json:"transcoded,omitempty"` // "opus>PCMU": what became of what the party sent
	Refused    uint64         `json:"refused,omitempty"`    // packets that were not authentic
	Faults     []Fault        `json:"faults,omitempty"`
}

// Results of a registration.
const (
	RegActive       = "registered"
	RegUnregistered = "unregistered"
	RegExpired      = "expired"
	RegRemoved      = "removed" // by an admin
	RegMoved        = "moved"   // the device came back from another address, or as another program
)

// Registration is one stay of a device: from its first REGISTER at an address until it leaves or
// is heard of no more. Refreshes count up in the same record.
type Registration struct {
	ID        string         `json:"id"`
	AoR       string         `json:"aor"`
	User      string         `json:"user"`
	Contact   string         `json:"contact"`
	Instance  string         `json:"instance,omitempty"`
	Source    netip.AddrPort `json:"source"`
	Transport string         `json:"transport"`
	UserAgent string         `json:"user_agent,omitempty"`
	CallID    string         `json:"call_id"`
	Asked     int            `json:"asked"`   // seconds
	Expires   int            `json:"expires"` // seconds granted
	Features  []string       `json:"features,omitempty"`
	Result    string         `json:"result"`
	First     time.Time      `json:"first"`
	Last      time.Time      `json:"last"` // refresh
	End       time.Time      `json:"end,omitzero"`
	Refreshes uint64         `json:"refreshes"`
}

// Reasons of an authentication failure. They are for the admin; the peer hears none of them.
const (
	AuthUnknownUser = "unknown user"
	AuthDisabled    = "disabled user"
	AuthWrongSecret = "wrong password"
	AuthIdentity    = "identity of another user"
	AuthBadURI      = "digest for another domain"
	AuthReplay      = "replayed"
	AuthBanned      = "address banned"
)

// AuthFailure counts like failures of one source within a minute.
type AuthFailure struct {
	ID        string     `json:"id"`
	Source    netip.Addr `json:"source"`
	Transport string     `json:"transport"`
	Method    string     `json:"method"`
	Username  string     `json:"username"`
	Claimed   string     `json:"claimed,omitempty"` // AoR in From
	UserAgent string     `json:"user_agent,omitempty"`
	Reason    string     `json:"reason"`
	First     time.Time  `json:"first"`
	Last      time.Time  `json:"last"`
	Count     uint64     `json:"count"`
}

// Audit is one act of an admin.
type Audit struct {
	ID     string     `json:"id"`
	At     time.Time  `json:"at"`
	Who    string     `json:"who"`
	From   netip.Addr `json:"from,omitzero"`
	Act    string     `json:"act"`    // "user.add", "call.hangup", "calls.export"
	Object string     `json:"object"` // what it was done to
	Detail string     `json:"detail,omitempty"`
	OK     bool       `json:"ok"`
}
