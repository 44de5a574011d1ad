package digest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"net/netip"
	"time"
)

// A nonce proves itself: whoever sends one back got it from us, at this address, not long ago. We
// keep nothing for it until a digest that is right comes with it, so a stranger costs no memory.
//
//	version (1) · seconds since 1970 (4) · random (8) · HMAC-SHA-256 over these, realm and address, cut to 16
const (
	nonceVersion = 1
	nonceClear   = 1 + 4 + 8
	nonceMAC     = 16
	nonceBytes   = nonceClear + nonceMAC
)

// NonceText is the length of a nonce as it is sent.
const NonceText = (nonceBytes*8 + 5) / 6

// Key makes and checks nonces of one realm. It is not for use by two goroutines at once.
type Key struct {
	realm string
	mac   hash.Hash
	text  []byte // scratch: what is given to a hash.Hash would otherwise be allocated each time
	sum   []byte // scratch
}

// NewKey returns a key of the secret.
func NewKey(secret []byte, realm string) *Key {
	return &Key{realm: realm, mac: hmac.New(sha256.New, secret)}
}

// Realm returns the realm that the key's nonces are for.
func (k *Key) Realm() string { return k.realm }

// code returns the MAC of a nonce's clear part; it is valid until the next call.
func (k *Key) code(clear []byte, from netip.Addr) []byte {
	k.mac.Reset()
	addr := from.As16()
	k.text = append(append(append(k.text[:0], clear...), addr[:]...), k.realm...)
	_, _ = k.mac.Write(k.text) // a hash takes all
	k.sum = k.mac.Sum(k.sum[:0])
	return k.sum[:nonceMAC]
}

// Append appends a new nonce for a peer at this address.
func (k *Key) Append(dst []byte, now time.Time, random uint64, from netip.Addr) []byte {
	var buf [nonceBytes]byte
	b := append(buf[:0], nonceVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(now.Unix()))
	b = binary.BigEndian.AppendUint64(b, random)
	b = append(b, k.code(b, from)...)
	return base64.RawURLEncoding.AppendEncode(dst, b)
}

// Check returns when a nonce was made and its random part, if this key made it for this address.
func (k *Key) Check(nonce string, from netip.Addr) (made time.Time, random uint64, ok bool) {
	if len(nonce) != NonceText {
		return made, 0, false
	}
	var buf [nonceBytes + 2]byte
	var text [NonceText]byte
	copy(text[:], nonce)
	n, err := base64.RawURLEncoding.Decode(buf[:], text[:])
	if err != nil || n != nonceBytes || buf[0] != nonceVersion {
		return made, 0, false
	}
	if !hmac.Equal(k.code(buf[:nonceClear], from), buf[nonceClear:nonceBytes]) {
		return made, 0, false
	}
	return time.Unix(int64(binary.BigEndian.Uint32(buf[1:])), 0), binary.BigEndian.Uint64(buf[5:]), true
}
