package secure

import "encoding/binary"

// Out protects what is sent to a party by one master key. It is used by one goroutine.
type Out struct {
	rtp, rtcp *session
	mki       []byte
	state     *OutState
}

// NewOut returns what protects packets by a master. What the packets change is in state.
func NewOut(m Master, state *OutState) (*Out, error) {
	rtp, rtcp, err := sessions(&m)
	if err != nil {
		return nil, err
	}
	return &Out{rtp: rtp, rtcp: rtcp, mki: m.MKI, state: state}, nil
}

// RTP protects a packet in place, which needs room behind it. It reports false for what is no packet,
// has no room, or was sent before.
func (c *Out) RTP(p []byte) ([]byte, bool) {
	s := c.rtp
	head, ok := headSize(p)
	if !ok || cap(p)-len(p) < s.tag+len(c.mki) {
		return nil, false
	}
	ssrc := binary.BigEndian.Uint32(p[8:])
	src := c.state.take(ssrc)
	index, ok := src.next(c.state.Turn, binary.BigEndian.Uint16(p[2:]))
	if !ok {
		return nil, false
	}
	binary.BigEndian.PutUint16(p[2:], uint16(index))
	if s.aead != nil {
		p = s.aead.Seal(p[:head], s.rtpNonce(ssrc, index), p[head:], p[:head])
		return append(p, c.mki...), true
	}
	s.xor(p[head:], ssrc, index)
	tag := s.sign(p, uint32(index>>16))
	return append(append(p, c.mki...), tag...), true
}

// RTCP protects a compound in place, which needs room behind it. It reports false for what is no
// compound, has no room, or when the key's life is over (RFC 3711 §9.2).
func (c *Out) RTCP(p []byte) ([]byte, bool) {
	s := c.rtcp
	if len(p) < rtcpHead || p[0]>>6 != 2 || cap(p)-len(p) < s.tag+rtcpTrailer+len(c.mki) || c.state.Report >= encrypted {
		return nil, false
	}
	ssrc, index := binary.BigEndian.Uint32(p[4:]), c.state.Report
	c.state.Report++
	word := index | encrypted
	if s.aead != nil {
		p = s.aead.Seal(p[:rtcpHead], s.rtcpNonce(ssrc, index), p[rtcpHead:], s.aboutReport(p, word))
		p = binary.BigEndian.AppendUint32(p, word)
		return append(p, c.mki...), true
	}
	s.xor(p[rtcpHead:], ssrc, uint64(index))
	p = binary.BigEndian.AppendUint32(p, word)
	tag := s.signWhole(p)
	return append(append(p, c.mki...), tag...), true
}
