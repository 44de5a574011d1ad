package secure

import "encoding/binary"

// Verdict is what is thought of a packet.
type Verdict uint8

// The verdicts. A packet that is not Authentic reaches nobody.
const (
	Authentic Verdict = iota
	Malformed
	Forged   // the tag is not that of the key
	Replayed // it came before, or is too old to tell
)

// String returns the verdict's name.
func (v Verdict) String() string {
	return [...]string{"authentic", "malformed", "forged", "replayed"}[v]
}

// In opens what a party sends by one master key. It is used by one goroutine.
type In struct {
	rtp, rtcp *session
	mki       []byte
	state     *InState
	spare     []byte // for a packet that may have to be opened twice
}

// NewIn returns what opens packets of a master. What the packets change is in state.
func NewIn(m Master, state *InState) (*In, error) {
	rtp, rtcp, err := sessions(&m)
	if err != nil {
		return nil, err
	}
	return &In{rtp: rtp, rtcp: rtcp, mki: m.MKI, state: state}, nil
}

const (
	rtpHead     = 12
	rtcpHead    = 8
	rtcpTrailer = 4 // E and the SRTCP index (RFC 3711 §3.4)
	encrypted   = 1 << 31
)

// headSize returns the length of an RTP header with its CSRCs and extension, which are not encrypted.
func headSize(p []byte) (size int, ok bool) {
	if len(p) < rtpHead || p[0]>>6 != 2 {
		return 0, false
	}
	size = rtpHead + 4*int(p[0]&0x0f)
	if p[0]&0x10 != 0 {
		if len(p) < size+4 {
			return 0, false
		}
		size += 4 + 4*int(binary.BigEndian.Uint16(p[size+2:]))
	}
	return size, len(p) >= size
}

// RTP opens an SRTP packet in place. Unless it is Authentic, what p holds afterwards is not defined.
func (c *In) RTP(p []byte) ([]byte, Verdict) {
	head, ok := headSize(p)
	if !ok || len(p) < head+c.rtp.tag+len(c.mki) {
		return nil, Malformed
	}
	seq, ssrc := binary.BigEndian.Uint16(p[2:]), binary.BigEndian.Uint32(p[8:])
	at := uint64(seq)
	s := c.state.find(ssrc)
	if s != nil && s.Started {
		if at, ok = index(s.ROC, s.Highest, seq); !ok || (!s.Unsure && seen(&s.Window, s.highest(), at)) {
			return nil, Replayed
		}
	}
	unsure := s != nil && s.Unsure
	if unsure {
		c.spare = append(c.spare[:0], p...)
	}
	clear, ok := c.openRTP(p, head, ssrc, at)
	if !ok && unsure {
		at = uint64(seq)
		clear, ok = c.openRTP(p[:copy(p, c.spare)], head, ssrc, at)
	}
	if !ok {
		return nil, Forged
	}
	c.state.take(ssrc).note(at)
	return clear, Authentic
}

// openRTP opens a packet whose index is known, if it is authentic.
func (c *In) openRTP(p []byte, head int, ssrc uint32, index uint64) ([]byte, bool) {
	s := c.rtp
	if s.aead != nil { // RFC 7714 §8.2: the tag is part of the ciphertext, the MKI follows it
		end := len(p) - len(c.mki)
		if !same(p[end:], c.mki) {
			return nil, false
		}
		clear, err := s.aead.Open(p[head:head], s.rtpNonce(ssrc, index), p[head:end], p[:head])
		return p[:head+len(clear)], err == nil
	}
	end := len(p) - s.tag - len(c.mki)
	if !same(p[end:len(p)-s.tag], c.mki) || !same(s.sign(p[:end], uint32(index>>16)), p[len(p)-s.tag:]) {
		return nil, false
	}
	s.xor(p[head:end], ssrc, index)
	return p[:end], true
}

// RTCP opens an SRTCP packet in place. Unless it is Authentic, what p holds afterwards is not defined.
func (c *In) RTCP(p []byte) ([]byte, Verdict) {
	if len(p) < rtcpHead+rtcpTrailer+c.rtcp.tag+len(c.mki) || p[0]>>6 != 2 {
		return nil, Malformed
	}
	at := len(p) - len(c.mki) - rtcpTrailer
	if c.rtcp.aead == nil {
		at -= c.rtcp.tag
	}
	ssrc, word := binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[at:])
	index := word &^ encrypted
	if s := c.state.find(ssrc); s != nil && s.reported(index) {
		return nil, Replayed
	}
	if !same(p[at+rtcpTrailer:at+rtcpTrailer+len(c.mki)], c.mki) {
		return nil, Forged
	}
	var ok bool
	if c.rtcp.aead != nil {
		p, ok = c.openAEAD(p, at, ssrc, word)
	} else {
		p, ok = c.openReport(p, at, ssrc, word)
	}
	if !ok {
		return nil, Forged
	}
	c.state.take(ssrc).noteReport(index)
	return p, Authentic
}

// openReport opens a packet in counter mode whose index is at at.
func (c *In) openReport(p []byte, at int, ssrc, word uint32) ([]byte, bool) {
	s := c.rtcp
	if !same(s.signWhole(p[:at+rtcpTrailer]), p[len(p)-s.tag:]) {
		return nil, false
	}
	if word&encrypted != 0 {
		s.xor(p[rtcpHead:at], ssrc, uint64(word&^encrypted))
	}
	return p[:at], true
}

// openAEAD opens a packet whose index is at at. What is authenticated and not encrypted are its head and
// the index (RFC 7714 §9.2). RFC 7714 §9.3, not followed: a packet that is not encrypted at all is
// refused, as no party agreed to such.
func (c *In) openAEAD(p []byte, at int, ssrc, word uint32) ([]byte, bool) {
	if word&encrypted == 0 {
		return nil, false
	}
	s := c.rtcp
	clear, err := s.aead.Open(p[rtcpHead:rtcpHead], s.rtcpNonce(ssrc, word&^encrypted), p[rtcpHead:at], s.aboutReport(p, word))
	return p[:rtcpHead+len(clear)], err == nil
}
