package secure

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1" // RFC 3711 §4.2.1: no other is defined
	"fmt"
	"hash"
)

// Labels of what is derived from a master (RFC 3711 §4.3.2).
const (
	labelKey      = 0
	labelAuth     = 1
	labelSalt     = 2
	labelRTCP     = 3 // is added for SRTCP
	authKeySize   = 20
	sessionSaltAt = 7 // where the label meets the salt, from its start
)

// derive fills out with the session key of a label, by the cipher of the master key. The key derivation
// rate is 0, so the index of the packet has no part in it (RFC 3711 §4.3.1). A salt of 12 bytes is
// filled up with zeros (RFC 7714 §11).
func derive(block cipher.Block, salt []byte, label byte, out []byte) {
	var iv [aes.BlockSize]byte
	copy(iv[:], salt)
	iv[sessionSaltAt] ^= label
	clear(out)
	cipher.NewCTR(block, iv[:]).XORKeyStream(out, out)
}

// session is the keys of one protocol, SRTP or SRTCP, of a master. It is used by one goroutine.
type session struct {
	block cipher.Block
	mac   hash.Hash   // nil for an AEAD
	aead  cipher.AEAD // nil for counter mode
	salt  [14]byte
	tag   int

	iv, stream [aes.BlockSize]byte // kept: on the stack they would escape
	sum        [sha1.Size]byte
	about      [rtcpHead + rtcpTrailer]byte
}

func newSession(m *Master, label byte, tag int) (*session, error) {
	p := m.Suite.params()
	master, err := aes.NewCipher(m.Key[:p.key])
	if err != nil {
		return nil, fmt.Errorf("derive session keys: %w", err)
	}
	salt := m.Key[p.key:]
	s := &session{tag: tag}
	key := make([]byte, p.key)
	derive(master, salt, label+labelKey, key)
	if s.block, err = aes.NewCipher(key); err != nil {
		return nil, fmt.Errorf("derive session keys: %w", err)
	}
	derive(master, salt, label+labelSalt, s.salt[:p.salt])
	if p.aead {
		if s.aead, err = cipher.NewGCM(s.block); err != nil {
			return nil, fmt.Errorf("derive session keys: %w", err)
		}
		return s, nil
	}
	auth := make([]byte, authKeySize)
	derive(master, salt, label+labelAuth, auth)
	s.mac = hmac.New(sha1.New, auth)
	return s, nil
}

// sessions derives the keys of both protocols.
func sessions(m *Master) (rtp, rtcp *session, err error) {
	if !m.Valid() {
		return nil, nil, fmt.Errorf("key of %d bytes and MKI of %d: not a master of %q", len(m.Key), len(m.MKI), m.Suite)
	}
	if rtp, err = newSession(m, 0, m.Suite.params().tag); err != nil {
		return nil, nil, err
	}
	rtcp, err = newSession(m, labelRTCP, m.Suite.params().rtcpTag)
	return rtp, rtcp, err
}
