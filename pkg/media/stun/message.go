// Package stun reads and writes STUN messages in place (RFC 8489). It knows nothing of what they are for.
package stun

import (
	"crypto/hmac"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"net/netip"
)

// Type is a message's method and class (RFC 8489 §5).
type Type uint16

// Classes, to be joined with a method.
const (
	Request    Type = 0x0000
	Indication Type = 0x0010
	Success    Type = 0x0100
	Error      Type = 0x0110

	classMask Type = 0x0110
)

// Binding is the method of connectivity checks and of asking for one's own address.
const Binding Type = 0x0001

// Methods of TURN (RFC 8656 §17).
const (
	Allocate         Type = 0x0003
	Refresh          Type = 0x0004
	Send             Type = 0x0006
	Data             Type = 0x0007
	CreatePermission Type = 0x0008
	ChannelBind      Type = 0x0009
)

// Class is what the message is: one of the classes.
func (t Type) Class() Type { return t & classMask }

// Method is what the message is about.
func (t Type) Method() Type { return t &^ classMask }

// Attributes (RFC 8489 §18.3, RFC 8445 §16.1).
const (
	AttrMappedAddress    = 0x0001
	AttrUsername         = 0x0006
	AttrIntegrity        = 0x0008
	AttrErrorCode        = 0x0009
	AttrUnknown          = 0x000a
	AttrChannelNumber    = 0x000c // RFC 8656 §18, as the next ones
	AttrLifetime         = 0x000d
	AttrXORPeerAddress   = 0x0012
	AttrData             = 0x0013
	AttrRealm            = 0x0014
	AttrNonce            = 0x0015
	AttrXORRelayed       = 0x0016
	AttrFamily           = 0x0017
	AttrEvenPort         = 0x0018
	AttrTransport        = 0x0019
	AttrXORMappedAddress = 0x0020
	AttrPriority         = 0x0024
	AttrUseCandidate     = 0x0025
	AttrSoftware         = 0x8022
	AttrFingerprint      = 0x8028
	AttrControlled       = 0x8029
	AttrControlling      = 0x802a
)

const (
	cookie          = 0x2112a442
	headSize        = 20
	attrHead        = 4
	integritySize   = 20 // HMAC-SHA1
	fingerprintSize = 4
	fingerprintXOR  = 0x5354554e
	maxAttributes   = 32 // a check has eight; more would only cost time
)

// TransactionID joins a response to its request.
type TransactionID [12]byte

// Message is a whole STUN message. Its methods may be used when Parse says so.
type Message []byte

// Parse returns p as a message if it is one: cookie, length and attributes fit (RFC 8489 §6.3).
func Parse(p []byte) (Message, bool) {
	if len(p) < headSize || p[0]>>6 != 0 || binary.BigEndian.Uint32(p[4:]) != cookie ||
		int(binary.BigEndian.Uint16(p[2:])) != len(p)-headSize || len(p)%4 != 0 {
		return nil, false
	}
	at, n := headSize, 0
	for at < len(p) {
		if n++; n > maxAttributes || len(p)-at < attrHead {
			return nil, false
		}
		at += attrHead + padded(int(binary.BigEndian.Uint16(p[at+2:])))
	}
	return Message(p), at == len(p)
}

func padded(n int) int { return (n + 3) &^ 3 }

// Type is the message's method and class.
func (m Message) Type() Type { return Type(binary.BigEndian.Uint16(m)) }

// ID is the transaction's.
func (m Message) ID() TransactionID { return TransactionID(m[8:headSize]) }

// each calls do for every attribute with its offset, until do says that it is enough.
func (m Message) each(do func(typ uint16, at int, value []byte) (more bool)) {
	for at := headSize; at < len(m); {
		size := int(binary.BigEndian.Uint16(m[at+2:]))
		value := m[at+attrHead : at+attrHead+size]
		if !do(binary.BigEndian.Uint16(m[at:]), at, value) {
			return
		}
		at += attrHead + padded(size)
	}
}

// find returns the first attribute of a type and its offset. Behind MESSAGE-INTEGRITY only FINGERPRINT
// counts: anybody may have put the others there (RFC 8489 §14.5).
func (m Message) find(typ uint16) (value []byte, at int) {
	for at := headSize; at < len(m); {
		this, size := binary.BigEndian.Uint16(m[at:]), int(binary.BigEndian.Uint16(m[at+2:]))
		if this == typ {
			return m[at+attrHead : at+attrHead+size], at
		}
		if this == AttrIntegrity && typ != AttrFingerprint {
			return nil, -1
		}
		at += attrHead + padded(size)
	}
	return nil, -1
}

// Attr returns the value of an attribute.
func (m Message) Attr(typ uint16) (value []byte, ok bool) {
	value, at := m.find(typ)
	return value, at >= 0
}

// Unknown returns the attributes that must be understood (RFC 8489 §14) and are not among those known.
func (m Message) Unknown(known func(typ uint16) bool) (types []uint16) {
	m.each(func(typ uint16, _ int, _ []byte) bool {
		if typ < 0x8000 && !known(typ) {
			types = append(types, typ)
		}
		return typ != AttrIntegrity
	})
	return types
}

// Authentic reports whether MESSAGE-INTEGRITY is there and right by a HMAC-SHA1 with the key, which is
// reset and used. It writes to the message, and leaves it as it was.
func (m Message) Authentic(mac hash.Hash) bool {
	value, at := m.find(AttrIntegrity)
	if at < 0 || len(value) != integritySize {
		return false
	}
	length := binary.BigEndian.Uint16(m[2:])
	binary.BigEndian.PutUint16(m[2:], uint16(at+attrHead+integritySize-headSize)) // RFC 8489 §14.5
	mac.Reset()
	mac.Write(m[:at])
	binary.BigEndian.PutUint16(m[2:], length)
	var sum [64]byte
	return hmac.Equal(mac.Sum(sum[:0]), value)
}

// Marked reports whether FINGERPRINT, if it is there, is last and right (RFC 8489 §14.7).
func (m Message) Marked() bool {
	value, at := m.find(AttrFingerprint)
	if at < 0 {
		return true
	}
	return len(value) == fingerprintSize && at+attrHead+fingerprintSize == len(m) &&
		binary.BigEndian.Uint32(value) == crc32.ChecksumIEEE(m[:at])^fingerprintXOR
}

// XORAddress reads an attribute that holds a disguised address (RFC 8489 §14.2).
func (m Message) XORAddress(typ uint16) (a netip.AddrPort, ok bool) {
	v, ok := m.Attr(typ)
	if !ok {
		return a, false
	}
	return m.reveal(v)
}

// XORAddresses reads all attributes of a type that hold disguised addresses, max at most.
func (m Message) XORAddresses(typ uint16, max int) (list []netip.AddrPort) {
	m.each(func(this uint16, _ int, v []byte) bool {
		if this == typ && len(list) < max {
			if a, ok := m.reveal(v); ok {
				list = append(list, a)
			}
		}
		return this != AttrIntegrity
	})
	return list
}

func (m Message) reveal(v []byte) (a netip.AddrPort, ok bool) {
	if len(v) < 4 {
		return a, false
	}
	port := binary.BigEndian.Uint16(v[2:]) ^ cookie>>16
	switch {
	case v[1] == 1 && len(v) == 8:
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(v[4:])^cookie)
		return netip.AddrPortFrom(netip.AddrFrom4(b), port), true
	case v[1] == 2 && len(v) == 20:
		var b [16]byte
		for i := range b {
			b[i] = v[4+i] ^ m[4+i] // the cookie and the transaction's id
		}
		return netip.AddrPortFrom(netip.AddrFrom16(b), port), true
	}
	return a, false
}

// ErrorCode returns the code of an error response, or 0.
func (m Message) ErrorCode() int {
	v, ok := m.Attr(AttrErrorCode)
	if !ok || len(v) < 4 {
		return 0
	}
	return int(v[2]&7)*100 + int(v[3])
}
