package main

// kind is what a relay does with the packets of a call, besides passing them on.
type kind string

// The kinds.
const (
	plain      kind = ""
	secured    kind = "srtp"       // B takes SRTP
	recorded   kind = "recorded"   // both ways go into a recording
	transcoded kind = "transcoded" // A speaks PCMU, B takes PCMA
)

// title is a relay's name in the table.
func (k kind) title(relay string) string {
	if k == plain {
		return relay
	}
	return relay + " " + string(k)
}

// suite is what phones and rtpengine have in common by default (RFC 4568 §6.2.1).
const suite = "AES_CM_128_HMAC_SHA1_80"

// srtpTag is how many bytes it adds to a packet (RFC 3711 §4.2).
const srtpTag = 10

// partyKey is B's master key and salt. Nothing comes from B: it is only said.
func partyKey() []byte {
	key := make([]byte, 16+14)
	for i := range key {
		key[i] = byte(i)
	}
	return key
}
