// Package secure protects RTP and RTCP and opens what is protected: SRTP and SRTCP (RFC 3711). It works
// in place and allocates nothing for a packet. What the packets change is plain memory of fixed size,
// which outlives the process; keys are set once.
package secure

import (
	"crypto/rand"
	"slices"
)

// Suite is a way of protection: a cipher, its key sizes and the length of its tags.
type Suite uint8

// The suites (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §12).
const (
	None Suite = iota
	AES128SHA80
	AES128SHA32
	AES256SHA80
	AES256SHA32
	GCM128
	GCM256
)

// params are what a suite stands for, in bytes.
type params struct {
	names     []string // in SDP; the first is the registered one
	key, salt int      // of the master
	tag       int      // of SRTP
	rtcpTag   int
	aead      bool
	profile   uint16 // in DTLS (RFC 5764 §4.1.2), 0 if it has none
}

// shaTag is the tag of SRTCP, also where SRTP has a short one (RFC 4568 §6.2.2): one forged report does
// more harm than one forged sample.
const shaTag = 10

var table = [...]params{
	None: {},
	// Names with the size after the mode are in use by phones whose makers read RFC 6188 so.
	AES128SHA80: {names: []string{"AES_CM_128_HMAC_SHA1_80"}, key: 16, salt: 14, tag: 10, rtcpTag: shaTag, profile: 0x0001},
	AES128SHA32: {names: []string{"AES_CM_128_HMAC_SHA1_32"}, key: 16, salt: 14, tag: 4, rtcpTag: shaTag, profile: 0x0002},
	AES256SHA80: {names: []string{"AES_256_CM_HMAC_SHA1_80", "AES_CM_256_HMAC_SHA1_80"}, key: 32, salt: 14, tag: 10, rtcpTag: shaTag},
	AES256SHA32: {names: []string{"AES_256_CM_HMAC_SHA1_32", "AES_CM_256_HMAC_SHA1_32"}, key: 32, salt: 14, tag: 4, rtcpTag: shaTag},
	GCM128:      {names: []string{"AEAD_AES_128_GCM"}, key: 16, salt: 12, tag: 16, rtcpTag: 16, aead: true, profile: 0x0007},
	GCM256:      {names: []string{"AEAD_AES_256_GCM"}, key: 32, salt: 12, tag: 16, rtcpTag: 16, aead: true, profile: 0x0008},
}

// Suites returns all suites, the cheapest and strongest first.
func Suites() []Suite {
	return []Suite{GCM128, GCM256, AES128SHA80, AES256SHA80, AES128SHA32, AES256SHA32}
}

func (s Suite) params() params {
	if int(s) < len(table) {
		return table[s]
	}
	return params{}
}

// String returns the name that the suite has in SDP.
func (s Suite) String() string {
	if names := s.params().names; len(names) > 0 {
		return names[0]
	}
	return ""
}

// SuiteOf returns the suite of a name in SDP, or None.
func SuiteOf(name string) Suite {
	for _, s := range Suites() {
		if slices.Contains(s.params().names, name) {
			return s
		}
	}
	return None
}

// SuiteOfProfile returns the suite of a protection profile in DTLS, or None.
func SuiteOfProfile(profile uint16) Suite {
	for _, s := range Suites() {
		if p := s.params().profile; p == profile && p != 0 {
			return s
		}
	}
	return None
}

// KeySize is the length of a master key.
func (s Suite) KeySize() int { return s.params().key }

// SaltSize is the length of a master salt.
func (s Suite) SaltSize() int { return s.params().salt }

// MasterSize is the length of a master key and its salt.
func (s Suite) MasterSize() int { return s.params().key + s.params().salt }

// Overhead is by how much protection makes a packet longer at most, without an MKI.
const Overhead = 16 + rtcpTrailer

// MaxMKI is the length of the longest MKI that is taken: SDP allows 128 (RFC 4568 §6.1), nobody uses
// more than 4, and each packet carries it.
const MaxMKI = 16

// Master is what session keys are derived from: a key and its salt, one after the other, and the
// identifier that packets carry if they carry one.
type Master struct {
	Suite Suite
	Key   []byte
	MKI   []byte
}

// NewMaster returns a random master of a suite, without an identifier.
func NewMaster(s Suite) Master {
	m := Master{Suite: s, Key: make([]byte, s.MasterSize())}
	_, _ = rand.Read(m.Key) // never fails: the program would end
	return m
}

// Valid reports whether the master can be used.
func (m *Master) Valid() bool {
	return m.Suite != None && len(m.Key) == m.Suite.MasterSize() && len(m.MKI) <= MaxMKI
}

// Equal reports whether both are the same.
func (m *Master) Equal(o *Master) bool {
	return m.Suite == o.Suite && slices.Equal(m.Key, o.Key) && slices.Equal(m.MKI, o.MKI)
}
