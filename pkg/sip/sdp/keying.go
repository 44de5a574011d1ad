package sdp

import "strings"

// Keying is how an m-line wants its packets protected, as a set: an offer may leave a choice.
type Keying uint8

// The ways.
const (
	Plain Keying = 1 << iota // RTP as it is
	SDES                     // keys in the description (RFC 4568)
	DTLS                     // keys of a handshake on the media path (RFC 5764)
)

// Keyings returns the ways that the m-line leaves open. RTP/AVP with keys is an offer of both: such
// is opportunistic SRTP (RFC 8643 §3), and such Linphone makes when it does not insist.
func (m *Media) Keyings() (k Keying) {
	if !strings.Contains(m.Proto, "SAVP") {
		k = Plain
	}
	if !IsRTP(m.Proto) {
		return k
	}
	if strings.HasPrefix(m.Proto, "UDP/TLS/") { // RFC 5764 §8
		return DTLS
	}
	if strings.Contains(m.body, "a=crypto:") {
		k |= SDES
	}
	if m.attribute("a=fingerprint:") != "" {
		k |= DTLS // RTP/SAVP with a fingerprint is what RFC 5764 had before its last draft
	}
	return k
}

// IsRTP reports whether a proto is a profile of RTP.
func IsRTP(proto string) bool { return strings.Contains(proto, "RTP/") }

// Profile returns the proto of an m-line (RFC 3551, RFC 3711 §12, RFC 4585 §8, RFC 5764 §8).
func Profile(k Keying, feedback bool) string {
	proto := map[Keying]string{Plain: "RTP/AVP", SDES: "RTP/SAVP", DTLS: "UDP/TLS/RTP/SAVP"}[k]
	if feedback {
		proto += "F"
	}
	return proto
}

// Feedback reports whether the m-line is of a profile with early feedback (RFC 4585, RFC 5124).
func (m *Media) Feedback() bool { return strings.HasSuffix(m.Proto, "AVPF") }

// ZRTP reports whether its writer wants to key end to end (RFC 6189 §8).
func (m *Media) ZRTP() bool { return strings.Contains(m.body, "a=zrtp-hash:") }
