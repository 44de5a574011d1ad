// Package ice answers the connectivity checks of a leg's party as a lite agent, and judges checks that
// pass between two parties (RFC 8445). It has no socket and no clock: a check comes in, an answer goes out.
package ice

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // RFC 8445 §7.1: checks are signed so
	"encoding/base64"
	"encoding/binary"
	"hash"
	"net/netip"

	"github.com/coraltele/sanchar/pkg/media/stun"
)

// Credentials are what one side of a leg proves its checks by.
type Credentials struct{ Ufrag, Pwd string }

// Lengths that SDP allows (RFC 8839 §5.4).
const (
	MinUfrag, MaxUfrag = 4, 256
	MinPwd, MaxPwd     = 22, 256
)

// Valid reports whether the credentials are of the lengths that they must have.
func (c Credentials) Valid() bool {
	return len(c.Ufrag) >= MinUfrag && len(c.Ufrag) <= MaxUfrag && len(c.Pwd) >= MinPwd && len(c.Pwd) <= MaxPwd
}

// NewCredentials returns random ones, of 48 and 144 bits (RFC 8445 §5.3 asks for 24 and 128).
func NewCredentials() Credentials {
	var b [6 + 18]byte
	_, _ = rand.Read(b[:])       // never fails: the program would end
	enc := base64.RawStdEncoding // its letters are those of RFC 8839 §5.4
	return Credentials{Ufrag: enc.EncodeToString(b[:6]), Pwd: enc.EncodeToString(b[6:])}
}

// Check is what a message proves. The zero value is nothing.
type Check struct {
	Authentic bool   // the sender knows the secret that was agreed with the party
	Nominated bool   // and chooses this way for media (RFC 8445 §7.3.1.5)
	Priority  uint32 // of the sender's candidate
}

// Agent answers checks. It is lite, thus always controlled (RFC 8445 §6.1.1). One goroutine uses it.
type Agent struct {
	user string // that requests name: ours and the party's fragment
	mac  hash.Hash
	out  [maxAnswer]byte
}

const maxAnswer = 192

// NewAgent returns an agent for a party. While it has not spoken its fragment is not known, and "".
func NewAgent(ours Credentials, theirs string) *Agent {
	return &Agent{user: ours.Ufrag + ":" + theirs, mac: hmac.New(sha1.New, []byte(ours.Pwd))}
}

// named reports whether a request is for us. Before the party's answer only our half is known.
func named(user []byte, want string) bool {
	if want[len(want)-1] == ':' {
		return len(user) >= len(want) && string(user[:len(want)]) == want
	}
	return string(user) == want
}

// Answer judges a check and returns the answer to it, which is valid until the next one; none for what
// is no request of the party. RFC 8489 §9.1.3, not followed: a request that is not authentic gets no
// error response, as strangers shall learn nothing and cost nothing.
func (a *Agent) Answer(m stun.Message, from netip.AddrPort) (answer []byte, c Check) {
	if m.Type() != stun.Binding|stun.Request {
		return nil, Check{}
	}
	user, ok := m.Attr(stun.AttrUsername)
	if !ok || !named(user, a.user) || !m.Marked() || !m.Authentic(a.mac) {
		return nil, Check{}
	}
	if unknown := m.Unknown(known); len(unknown) > 0 {
		return a.refuse(m, 420, "Unknown Attribute", unknown[:min(len(unknown), maxUnknown)]), Check{}
	}
	if _, controlled := m.Attr(stun.AttrControlled); controlled {
		// The party thinks that we control. A lite agent cannot (RFC 8445 §7.3.1.1).
		return a.refuse(m, 487, "Role Conflict", nil), Check{}
	}
	w := stun.New(a.out[:0], stun.Binding|stun.Success, m.ID())
	w.AddXORAddress(stun.AttrXORMappedAddress, from)
	w.Sign(a.mac)
	return w.Mark(), proof(m)
}

// maxUnknown is how many attributes an answer names: it must not be longer than the request.
const maxUnknown = 8

// known are the attributes of a check that we understand (RFC 8445 §7.1).
func known(typ uint16) bool {
	switch typ {
	case stun.AttrUsername, stun.AttrIntegrity, stun.AttrPriority, stun.AttrUseCandidate:
		return true
	}
	return false
}

func (a *Agent) refuse(m stun.Message, code int, reason string, unknown []uint16) []byte {
	w := stun.New(a.out[:0], stun.Binding|stun.Error, m.ID())
	w.AddError(code, reason)
	if len(unknown) > 0 {
		w.AddUnknown(unknown)
	}
	w.Sign(a.mac)
	return w.Mark()
}

func proof(m stun.Message) Check {
	c := Check{Authentic: true}
	_, c.Nominated = m.Attr(stun.AttrUseCandidate)
	if v, ok := m.Attr(stun.AttrPriority); ok && len(v) == 4 {
		c.Priority = binary.BigEndian.Uint32(v)
	}
	return c
}

// Passage judges what passes from one party to another whose ICE is between them. One goroutine uses it.
type Passage struct {
	user           string    // that requests of the party name
	theirs, others hash.Hash // keys of the party and of the other one
}

// NewPassage returns a passage from a party to another one.
func NewPassage(party, other Credentials) *Passage {
	return &Passage{
		user:   other.Ufrag + ":" + party.Ufrag,
		theirs: hmac.New(sha1.New, []byte(party.Pwd)), others: hmac.New(sha1.New, []byte(other.Pwd)),
	}
}

// Judge tells what a message of the party proves. A request is signed by the other's secret, a response
// by the party's own (RFC 8445 §7.2.2). Indications are not signed and prove nothing.
func (p *Passage) Judge(m stun.Message) Check {
	if m.Type().Method() != stun.Binding || !m.Marked() {
		return Check{}
	}
	switch m.Type().Class() {
	case stun.Request:
		if user, ok := m.Attr(stun.AttrUsername); ok && string(user) == p.user && m.Authentic(p.others) {
			return proof(m)
		}
	case stun.Success, stun.Error:
		return Check{Authentic: m.Authentic(p.theirs)}
	}
	return Check{}
}
