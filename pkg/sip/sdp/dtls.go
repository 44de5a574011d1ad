package sdp

import (
	"encoding/hex"
	"errors"
	"strings"
)

// maxFingerprints bounds those of an m-line: a client with several certificates or hash functions.
const maxFingerprints = 8

// ErrFingerprint is the error of a fingerprint that cannot be read.
var ErrFingerprint = errors.New("not a fingerprint of a certificate")

// Fingerprint is the hash of a certificate (RFC 8122 §5).
type Fingerprint struct {
	Hash  string // in lower case
	Value []byte
}

// hashSize returns the length of a hash function's values; 0 for one that is not taken: MD2 and MD5
// must not be used (RFC 8122 §5).
func hashSize(name string) int {
	switch name {
	case "sha-1":
		return 20
	case "sha-224":
		return 28
	case "sha-256":
		return 32
	case "sha-384":
		return 48
	case "sha-512":
		return 64
	}
	return 0
}

// ParseFingerprint reads the value of an a=fingerprint line: hash function, then bytes in
// hexadecimal with colons between.
func ParseFingerprint(v string) (f Fingerprint, err error) {
	hash, text, ok := strings.Cut(v, " ")
	f.Hash = strings.ToLower(hash)
	size := hashSize(f.Hash)
	text = strings.TrimSpace(text)
	if !ok || size == 0 || len(text) != 3*size-1 {
		return Fingerprint{}, ErrFingerprint
	}
	f.Value = make([]byte, size)
	for i := range size {
		if i > 0 && text[3*i-1] != ':' {
			return Fingerprint{}, ErrFingerprint
		}
		if _, err := hex.Decode(f.Value[i:i+1], []byte(text[3*i:3*i+2])); err != nil {
			return Fingerprint{}, ErrFingerprint
		}
	}
	return f, nil
}

// Fingerprints returns those of the m-line, or of the whole description where it has none of its
// own (RFC 8122 §5). One that cannot be read is left out: then its certificate matches nothing.
func (m *Media) Fingerprints() (list []Fingerprint) {
	for _, text := range [...]string{m.body, m.head} {
		for text != "" && len(list) < maxFingerprints {
			var line string
			line, text = nextLine(text)
			if v, ok := strings.CutPrefix(line, "a=fingerprint:"); ok {
				if f, err := ParseFingerprint(v); err == nil {
					list = append(list, f)
				}
			}
		}
		if list != nil {
			return list
		}
	}
	return nil
}

// attribute returns the value of an attribute of the m-line, or of the whole description.
func (m *Media) attribute(prefix string) string {
	if v, ok := lineValue(m.body, prefix); ok {
		return v
	}
	v, _ := lineValue(m.head, prefix)
	return v
}

// Setup returns who opens the association (RFC 4145 §4, RFC 5763 §5): "actpass", "active",
// "passive", "holdconn", or "".
func (m *Media) Setup() string { return m.attribute("a=setup:") }

// Connection returns "new", "existing" or "" (RFC 4145 §5).
func (m *Media) Connection() string { return m.attribute("a=connection:") }

// TLSID names the association: another name, another association (RFC 8842 §4).
func (m *Media) TLSID() string { return m.attribute("a=tls-id:") }

func (f *Fingerprint) append(dst []byte) []byte {
	dst = append(append(append(dst, "a=fingerprint:"...), f.Hash...), ' ')
	for i, b := range f.Value {
		if i > 0 {
			dst = append(dst, ':')
		}
		const digits = "0123456789ABCDEF"
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return append(dst, '\r', '\n')
}
