// Package header tells apart what arrives on a media port and reads the RTP header in place.
package header

import "encoding/binary"

// Kind is a protocol that shares a media port.
type Kind uint8

// The kinds.
const (
	Other Kind = iota
	STUN       // RFC 8489
	ZRTP       // RFC 6189
	DTLS       // RFC 9147
	TURN       // channel data, RFC 8656 §12.4
	RTP
	RTCP
)

// String returns the protocol's name.
func (k Kind) String() string {
	return [...]string{"other", "STUN", "ZRTP", "DTLS", "TURN", "RTP", "RTCP"}[k]
}

// zrtpMagic is the cookie at byte 4 of every ZRTP packet (RFC 6189 §5).
const zrtpMagic = 0x5A525450

// Classify tells what p is by its first bytes (RFC 7983 §7, and RFC 5761 §4 for RTP and RTCP). It
// vouches for the first bytes only: see Packet.Valid and package rtcp.
func Classify(p []byte) Kind {
	if len(p) < 2 {
		return Other
	}
	switch b := p[0]; {
	case b < 4:
		return STUN
	case b < 16:
		return Other
	case b < 20:
		if len(p) >= 8 && binary.BigEndian.Uint32(p[4:]) == zrtpMagic {
			return ZRTP
		}
		return Other
	case b < 64:
		return DTLS
	case b < 80:
		return TURN
	case b < 128 || b > 191:
		return Other
	}
	// RFC 5761 §4: RTCP packet types are 192 to 223, where RTP would have a marker bit and the
	// payload types 64 to 95, which are not to be used.
	if p[1] >= 192 && p[1] <= 223 {
		return RTCP
	}
	return RTP
}

// Size is the length of an RTP header without CSRCs and extension (RFC 3550 §5.1).
const Size = 12

// Packet is an RTP packet. Its methods may be used when Valid says so.
type Packet []byte

// Valid reports whether p is of version 2 and whole: header, CSRCs, extension and padding fit in it
// (RFC 3550 §A.1). SRTP passes too: of it only the payload is encrypted, but its padding cannot be
// judged, so padding is not looked at with secure.
func (p Packet) Valid(secure bool) bool {
	if len(p) < Size || p[0]>>6 != 2 {
		return false
	}
	end := Size + 4*int(p[0]&0x0f)
	if p[0]&0x10 != 0 {
		if len(p) < end+4 {
			return false
		}
		end += 4 + 4*int(binary.BigEndian.Uint16(p[end+2:]))
	}
	if p[0]&0x20 != 0 && !secure {
		padding := int(p[len(p)-1])
		return padding > 0 && len(p) >= end+padding
	}
	return len(p) >= end
}

// PayloadType tells the format.
func (p Packet) PayloadType() uint8 { return p[1] & 0x7f }

// Marker tells the start of a talk spurt or the end of a picture.
func (p Packet) Marker() bool { return p[1]&0x80 != 0 }

// Sequence is the sequence number.
func (p Packet) Sequence() uint16 { return binary.BigEndian.Uint16(p[2:]) }

// Timestamp is the sampling time in ticks of the format's clock.
func (p Packet) Timestamp() uint32 { return binary.BigEndian.Uint32(p[4:]) }

// SSRC names the source.
func (p Packet) SSRC() uint32 { return binary.BigEndian.Uint32(p[8:]) }

// Payload is what is behind the header, without padding (RFC 3550 §5.1). The packet is Valid, in clear.
func (p Packet) Payload() []byte {
	at, end := Size+4*int(p[0]&0x0f), len(p)
	if p[0]&0x10 != 0 && at+4 <= end {
		at += 4 + 4*int(binary.BigEndian.Uint16(p[at+2:]))
	}
	if p[0]&0x20 != 0 {
		end -= int(p[end-1])
	}
	if at > end {
		return nil
	}
	return p[at:end]
}

// Profiles of header extensions (RFC 8285 §4.2, §4.3).
const (
	oneByteProfile = 0xbede
	twoByteProfile = 0x1000 // the last four bits are free
)

// Extension returns the header extension with this id, or nil (RFC 8285 §4). The packet is Valid.
func (p Packet) Extension(id uint8) []byte {
	at := Size + 4*int(p[0]&0x0f)
	if p[0]&0x10 == 0 || len(p) < at+4 {
		return nil
	}
	profile := binary.BigEndian.Uint16(p[at:])
	size := 4 * int(binary.BigEndian.Uint16(p[at+2:]))
	at += 4
	if len(p) < at+size {
		return nil
	}
	switch {
	case profile == oneByteProfile:
		return oneByte(p[at:at+size], id)
	case profile&0xfff0 == twoByteProfile:
		return twoByte(p[at:at+size], id)
	}
	return nil
}

func oneByte(b []byte, id uint8) []byte {
	for len(b) > 0 {
		if b[0] == 0 { // padding
			b = b[1:]
			continue
		}
		this, size := b[0]>>4, int(b[0]&0x0f)+1
		if this == 15 || len(b) < 1+size { // the end, by the RFC's rule
			return nil
		}
		if this == id {
			return b[1 : 1+size]
		}
		b = b[1+size:]
	}
	return nil
}

func twoByte(b []byte, id uint8) []byte {
	for len(b) > 1 {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		size := int(b[1])
		if len(b) < 2+size {
			return nil
		}
		if b[0] == id {
			return b[2 : 2+size]
		}
		b = b[2+size:]
	}
	return nil
}
