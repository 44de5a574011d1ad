package secure

import (
	"crypto/aes"
	"crypto/hmac"
	"crypto/subtle"
	"encoding/binary"
)

// xor encrypts or decrypts p in counter mode (RFC 3711 §4.1.1). Go's own stream would be quicker for
// pictures, but it is made anew, on the heap, for each packet.
func (s *session) xor(p []byte, ssrc uint32, index uint64) {
	copy(s.iv[:], s.salt[:])
	be := binary.BigEndian
	be.PutUint32(s.iv[4:], be.Uint32(s.iv[4:])^ssrc)
	be.PutUint64(s.iv[8:], be.Uint64(s.iv[8:])&^0xffff^index<<16)
	for n := uint16(0); len(p) > 0; n++ {
		be.PutUint16(s.iv[14:], n)
		s.block.Encrypt(s.stream[:], s.iv[:])
		if len(p) < aes.BlockSize {
			subtle.XORBytes(p, p, s.stream[:])
			return
		}
		ne := binary.NativeEndian
		ne.PutUint64(p, ne.Uint64(p)^ne.Uint64(s.stream[:]))
		ne.PutUint64(p[8:], ne.Uint64(p[8:])^ne.Uint64(s.stream[8:]))
		p = p[aes.BlockSize:]
	}
}

// sign returns the tag of a and b, one after the other (RFC 3711 §4.2). It is valid until the next one.
func (s *session) sign(a []byte, b uint32) []byte {
	s.mac.Reset()
	s.mac.Write(a)
	binary.BigEndian.PutUint32(s.stream[:], b)
	s.mac.Write(s.stream[:4])
	return s.mac.Sum(s.sum[:0])[:s.tag]
}

// signWhole returns the tag of a, which holds all that is signed.
func (s *session) signWhole(a []byte) []byte {
	s.mac.Reset()
	s.mac.Write(a)
	return s.mac.Sum(s.sum[:0])[:s.tag]
}

func same(a, b []byte) bool { return hmac.Equal(a, b) }

// nonce returns the nonce of an AEAD: of SRTP high is the ROC and low the sequence number (RFC 7714
// §8.1), of SRTCP both are of the index (RFC 7714 §9.1).
func (s *session) nonce(ssrc, high uint32, low uint16) []byte {
	be := binary.BigEndian
	n := s.iv[:s.aead.NonceSize()]
	copy(n, s.salt[:])
	be.PutUint32(n[2:], be.Uint32(n[2:])^ssrc)
	be.PutUint32(n[6:], be.Uint32(n[6:])^high)
	be.PutUint16(n[10:], be.Uint16(n[10:])^low)
	return n
}

func (s *session) rtpNonce(ssrc uint32, index uint64) []byte {
	return s.nonce(ssrc, uint32(index>>16), uint16(index))
}

func (s *session) rtcpNonce(ssrc, index uint32) []byte {
	return s.nonce(ssrc, index>>16, uint16(index))
}

// aboutReport returns what an AEAD authenticates of a report besides what it encrypts.
func (s *session) aboutReport(p []byte, word uint32) []byte {
	copy(s.about[:], p[:rtcpHead])
	binary.BigEndian.PutUint32(s.about[rtcpHead:], word)
	return s.about[:]
}
