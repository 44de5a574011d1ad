// Package rtcp reads in place what a relay wants of RTCP: who reports, when, and what of whom.
package rtcp

import "encoding/binary"

// Packet types (RFC 3550 §12.1).
const (
	TypeSenderReport      = 200
	TypeReceiverReport    = 201
	TypeSourceDescription = 202
	TypeBye               = 203
	TypeTransportFeedback = 205 // RFC 4585 §6.1
	TypePayloadFeedback   = 206
)

// MinSize is the length of the shortest packet: a head and the sender's SSRC.
const MinSize = 8

const (
	headSize   = 4  // version, count, type, length
	senderSize = 20 // NTP and RTP time, counts
	reportSize = 24 // one report block
)

// Packet is one packet of a compound.
type Packet []byte

// Split returns the first packet of a compound and the rest; nil when there is none that is whole
// and of version 2 (RFC 3550 §A.2).
func Split(compound []byte) (first Packet, rest []byte) {
	if len(compound) < MinSize || compound[0]>>6 != 2 {
		return nil, nil
	}
	size := headSize + 4*int(binary.BigEndian.Uint16(compound[2:]))
	if size < MinSize || size > len(compound) {
		return nil, nil
	}
	return compound[:size], compound[size:]
}

// Valid reports whether the compound's first packet is whole, of version 2 and of a type that RTCP
// uses. A reduced-size compound (RFC 5506) need not start with a report. Of SRTCP the first eight
// bytes are in the clear (RFC 3711 §3.4), so it is judged by these.
func Valid(compound []byte, secure bool) bool {
	if len(compound) < MinSize || compound[0]>>6 != 2 || compound[1] < 192 || compound[1] > 223 {
		return false
	}
	first, _ := Split(compound)
	return secure || first != nil
}

// SSRC names the source that the first packet of a compound comes from. The compound is Valid.
func SSRC(compound []byte) uint32 { return binary.BigEndian.Uint32(compound[headSize:]) }

// Type is the packet type.
func (p Packet) Type() uint8 { return p[1] }

// SSRC names who sent the packet.
func (p Packet) SSRC() uint32 { return binary.BigEndian.Uint32(p[headSize:]) }

// SenderTime returns the middle 32 bits of a sender report's NTP time, which a receiver gives back
// as LSR (RFC 3550 §6.4.1).
func (p Packet) SenderTime() (mid uint32, ok bool) {
	if p.Type() != TypeSenderReport || len(p) < headSize+4+senderSize {
		return 0, false
	}
	return binary.BigEndian.Uint32(p[headSize+4+2:]), true
}

// Reports returns how many report blocks the packet holds.
func (p Packet) Reports() int {
	start, ok := p.reportsAt()
	if !ok {
		return 0
	}
	return min(int(p[0]&0x1f), (len(p)-start)/reportSize)
}

func (p Packet) reportsAt() (start int, ok bool) {
	switch p.Type() {
	case TypeSenderReport:
		start = headSize + 4 + senderSize
	case TypeReceiverReport:
		start = headSize + 4
	default:
		return 0, false
	}
	return start, len(p) >= start
}

// Report is what a receiver says of one source (RFC 3550 §6.4.1).
type Report struct {
	SSRC     uint32 // of the source
	Fraction uint8  // lost since the last report, of 256
	Lost     int32  // lost since the start; duplicates can make it negative
	Highest  uint32 // sequence number received, extended
	Jitter   uint32 // in ticks of the format's clock
	LastSR   uint32 // SenderTime of the last sender report, 0 for none
	Delay    uint32 // since then, in 1/65536 s
}

// Report returns block i, below Reports.
func (p Packet) Report(i int) Report {
	start, _ := p.reportsAt()
	b := p[start+i*reportSize:][:reportSize]
	be := binary.BigEndian
	return Report{
		SSRC: be.Uint32(b), Fraction: b[4], Lost: int32(be.Uint32(b[4:])<<8) >> 8, // 24 bits with a sign
		Highest: be.Uint32(b[8:]), Jitter: be.Uint32(b[12:]), LastSR: be.Uint32(b[16:]), Delay: be.Uint32(b[20:]),
	}
}

// Formats of payload feedback that name their source behind the head (RFC 5104 §4.3.1; the second one is
// of applications, in use for the bandwidth that a receiver estimates).
const (
	formatFIR         = 4
	formatApplication = 15
)

const (
	mediaAt      = headSize + 4 // SSRC of the media source in feedback
	firAt        = mediaAt + 4
	estimateSize = 8 // a word that names the kind, and a number
)

// About returns the source that a feedback packet is about (RFC 4585 §6.1), the first one if it is about
// several.
func (p Packet) About() (ssrc uint32, ok bool) {
	if p.Type() != TypeTransportFeedback && p.Type() != TypePayloadFeedback || len(p) < mediaAt+4 {
		return 0, false
	}
	at := mediaAt
	if p.Type() == TypeTransportFeedback {
		if f := p[0] & 0x1f; f == formatTMMBR || f == formatTMMBN {
			at = firAt
		}
	} else {
		switch p[0] & 0x1f {
		case formatFIR:
			at = firAt
		case formatApplication:
			at = firAt + estimateSize
		}
	}
	if len(p) < at+4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(p[at:]), true
}
