package main

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

func srtpTitle(secure bool) string {
	if secure {
		return " srtp"
	}
	return ""
}
