package stun

import (
	"encoding/binary"
	"hash"
	"hash/crc32"
	"net/netip"
)

// Builder writes a message. It appends to the memory that it was given.
type Builder struct{ b []byte }

// New begins a message in b, whose content is overwritten.
func New(b []byte, typ Type, id TransactionID) *Builder {
	w := start(b, typ, id)
	return &w
}

func start(b []byte, typ Type, id TransactionID) Builder {
	b = binary.BigEndian.AppendUint16(b[:0], uint16(typ))
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint32(b, cookie)
	return Builder{append(b, id[:]...)}
}

// Add appends an attribute.
func (w *Builder) Add(typ uint16, value []byte) {
	w.head(typ, len(value))
	w.b = append(w.b, value...)
	w.pad()
}

// AddString appends an attribute of text.
func (w *Builder) AddString(typ uint16, value string) {
	w.head(typ, len(value))
	w.b = append(w.b, value...)
	w.pad()
}

// AddUint32 appends an attribute that is a number.
func (w *Builder) AddUint32(typ uint16, v uint32) {
	w.head(typ, 4)
	w.b = binary.BigEndian.AppendUint32(w.b, v)
	w.length()
}

// AddUint64 appends an attribute that is a long number.
func (w *Builder) AddUint64(typ uint16, v uint64) {
	w.head(typ, 8)
	w.b = binary.BigEndian.AppendUint64(w.b, v)
	w.length()
}

// AddXORAddress appends a disguised address, so that no NAT thinks it must help (RFC 8489 §14.2).
func (w *Builder) AddXORAddress(typ uint16, a netip.AddrPort) {
	addr := a.Addr().Unmap()
	port := a.Port() ^ cookie>>16
	if addr.Is4() {
		w.head(typ, 8)
		w.b = append(w.b, 0, 1, byte(port>>8), byte(port))
		four := addr.As4()
		w.b = binary.BigEndian.AppendUint32(w.b, binary.BigEndian.Uint32(four[:])^cookie)
	} else {
		w.head(typ, 20)
		w.b = append(w.b, 0, 2, byte(port>>8), byte(port))
		for i, v := range addr.As16() {
			w.b = append(w.b, v^w.b[4+i])
		}
	}
	w.length()
}

// AddError appends an error's code and its reason (RFC 8489 §14.8).
func (w *Builder) AddError(code int, reason string) {
	w.head(AttrErrorCode, 4+len(reason))
	w.b = append(w.b, 0, 0, byte(code/100), byte(code%100))
	w.b = append(w.b, reason...)
	w.pad()
}

// AddUnknown appends the types of attributes that were not understood.
func (w *Builder) AddUnknown(types []uint16) {
	w.head(AttrUnknown, 2*len(types))
	for _, t := range types {
		w.b = binary.BigEndian.AppendUint16(w.b, t)
	}
	w.pad()
}

// Sign appends MESSAGE-INTEGRITY by a HMAC-SHA1 with the key, which is reset and used.
func (w *Builder) Sign(mac hash.Hash) {
	at := len(w.b)
	binary.BigEndian.PutUint16(w.b[2:], uint16(at+attrHead+integritySize-headSize))
	mac.Reset()
	mac.Write(w.b)
	w.head(AttrIntegrity, integritySize)
	w.b = mac.Sum(w.b)
	w.length()
}

// Mark appends FINGERPRINT and ends the message.
func (w *Builder) Mark() Message {
	at := len(w.b)
	binary.BigEndian.PutUint16(w.b[2:], uint16(at+attrHead+fingerprintSize-headSize))
	sum := crc32.ChecksumIEEE(w.b) ^ fingerprintXOR
	w.AddUint32(AttrFingerprint, sum)
	return Message(w.b)
}

// Message returns the message as it is.
func (w *Builder) Message() Message { return Message(w.b) }

func (w *Builder) head(typ uint16, size int) {
	w.b = binary.BigEndian.AppendUint16(w.b, typ)
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(size))
}

func (w *Builder) pad() {
	for len(w.b)%4 != 0 {
		w.b = append(w.b, 0)
	}
	w.length()
}

// length makes the head tell the truth.
func (w *Builder) length() { binary.BigEndian.PutUint16(w.b[2:], uint16(len(w.b)-headSize)) }
