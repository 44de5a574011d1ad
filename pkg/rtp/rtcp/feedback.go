package rtcp

import (
	"encoding/binary"
	"math/bits"
)

// Formats of feedback that the box makes.
const (
	formatTMMBR = 3 // RFC 5104 §4.2.1
	formatTMMBN = 4 // RFC 5104 §4.2.2
	formatPLI   = 1 // RFC 4585 §6.3.1
)

// appendHead appends the head of a packet of so many bytes.
func appendHead(dst []byte, format, kind uint8, size int, sender uint32) []byte {
	dst = append(dst, 0x80|format, kind)
	dst = binary.BigEndian.AppendUint16(dst, uint16(size/4-1))
	return binary.BigEndian.AppendUint32(dst, sender)
}

// AppendEmptyReport appends a receiver report about nobody: every compound begins with a report
// (RFC 3550 §6.1).
func AppendEmptyReport(dst []byte, sender uint32) []byte {
	return appendHead(dst, 0, TypeReceiverReport, MinSize, sender)
}

// AppendPLI asks the source media for a picture that stands alone, because one was lost (RFC 4585 §6.3.1).
func AppendPLI(dst []byte, sender, media uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHead(dst, formatPLI, TypePayloadFeedback, MinSize+4, sender), media)
}

// AppendFIR asks for the same because somebody new looks on (RFC 5104 §4.3.1). number grows with each
// request that is not a repetition.
func AppendFIR(dst []byte, sender, media uint32, number uint8) []byte {
	dst = appendHead(dst, formatFIR, TypePayloadFeedback, MinSize+12, sender)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, media)
	return append(dst, number, 0, 0, 0)
}

// AppendTMMBR asks the source media to send no more than so many bits a second, with an overhead of so many
// bytes a packet (RFC 5104 §4.2.1).
func AppendTMMBR(dst []byte, sender, media uint32, bitrate uint64, overhead uint16) []byte {
	dst = appendHead(dst, formatTMMBR, TypeTransportFeedback, MinSize+12, sender)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, media)
	exponent, mantissa := split(bitrate, 17)
	return binary.BigEndian.AppendUint32(dst, uint32(exponent)<<26|uint32(mantissa)<<9|uint32(overhead&0x1ff))
}

// AppendEstimate says the same to those who know the receiver's estimate only (payload feedback of an
// application, "REMB", as browsers have it).
func AppendEstimate(dst []byte, sender, media uint32, bitrate uint64) []byte {
	dst = appendHead(dst, formatApplication, TypePayloadFeedback, MinSize+16, sender)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	dst = append(dst, "REMB"...)
	exponent, mantissa := split(bitrate, 18)
	dst = binary.BigEndian.AppendUint32(dst, 1<<24|uint32(exponent)<<18|uint32(mantissa))
	return binary.BigEndian.AppendUint32(dst, media)
}

// split makes a number of a mantissa of so many bits and an exponent of two, rounded down.
func split(n uint64, width int) (exponent int, mantissa uint64) {
	exponent = max(0, bits.Len64(n)-width)
	return exponent, n >> exponent
}
