// Package g711 turns linear samples of 16 bits into A-law and µ-law and back, as ITU-T G.711 says.
//
// No function keeps a slice that it was given, and none allocates.
package g711

// Rate is the samples, and the bytes, of a second.
const Rate = 8000

// Codes of silence: the quietest positive level of each law.
const (
	SilenceA  = 0xD5
	SilenceMu = 0xFF
)

// The laws see fewer bits than 16: A-law's finest step is 16 and µ-law's finest edge is at a multiple of
// 4, so small tables give the same codes as one of 65,536 bytes, and stay in the first cache.
const (
	dropA  = 4
	dropMu = 2
)

// Tables of both laws. They are constants that Go cannot write as such.
var (
	fromA  = decodeTable(expandA)
	fromMu = decodeTable(expandMu)
	toA    = encodeTable[[1 << (16 - dropA)]byte](compressA)
	toMu   = encodeTable[[1 << (16 - dropMu)]byte](compressMu)
)

// DecodeA writes the samples of A-law codes to dst, which is at least as long, and returns how many.
func DecodeA(dst []int16, codes []byte) int { return decode(dst, codes, fromA[:]) }

// DecodeMu writes the samples of µ-law codes to dst, which is at least as long, and returns how many.
func DecodeMu(dst []int16, codes []byte) int { return decode(dst, codes, fromMu[:]) }

// EncodeA writes the A-law codes of samples to dst, which is at least as long, and returns how many.
func EncodeA(dst []byte, samples []int16) int {
	dst = dst[:len(samples)]
	for i, s := range samples {
		dst[i] = toA[uint16(s)>>dropA]
	}
	return len(samples)
}

// EncodeMu writes the µ-law codes of samples to dst, which is at least as long, and returns how many.
func EncodeMu(dst []byte, samples []int16) int {
	dst = dst[:len(samples)]
	for i, s := range samples {
		dst[i] = toMu[uint16(s)>>dropMu]
	}
	return len(samples)
}

func decode(dst []int16, codes []byte, table []int16) int {
	dst, table = dst[:len(codes)], table[:256]
	for i, c := range codes {
		dst[i] = table[c]
	}
	return len(codes)
}

func decodeTable(expand func(byte) int16) (t [256]int16) {
	for c := range t {
		t[c] = expand(byte(c))
	}
	return t
}

// encodeTable is indexed by the upper bits of a sample. Each entry stands for the samples from there
// up to the next one, all of which have the same code.
func encodeTable[T [4096]byte | [16384]byte](compress func(int) byte) (t T) {
	step := 65536 / len(t)
	for i := range len(t) {
		t[i] = compress(int(int16(i * step)))
	}
	return t
}

// evenBits are inverted on the line (ITU-T G.711 table 1a, note 2).
const evenBits = 0x55

// expandA is ITU-T G.711 table 1a: sign, three bits of segment, four of step, and half a step so that
// the value stands in the middle of its interval. The table counts to 4096, samples to 32768.
func expandA(code byte) int16 {
	code ^= evenBits
	segment, step := code>>4&7, int(code&15)
	value := step<<4 + 8
	if segment > 0 {
		value = (value + 256) << (segment - 1)
	}
	if code&0x80 == 0 { // after the inversion a set bit is a positive value
		value = -value
	}
	return int16(value)
}

func compressA(sample int) byte {
	code := byte(0x80)
	if sample < 0 {
		code, sample = 0, -sample-1 // the interval below zero is the mirror of the one above it
	}
	segment := 0
	for sample>>(segment+8) > 0 {
		segment++
	}
	shift := max(segment, 1) + 3
	return (code | byte(segment<<4) | byte(sample>>shift&15)) ^ evenBits
}

// biasMu makes each segment of µ-law start at a power of two (33 of 8159 in ITU-T G.711 table 2a).
const (
	biasMu = 33 << 2
	maxMu  = 8158<<2 + 3 // what is louder has the last code too
)

// expandMu is ITU-T G.711 table 2a. All bits are inverted on the line.
func expandMu(code byte) int16 {
	code = ^code
	segment, step := code>>4&7, int(code&15)
	value := (step<<3+biasMu)<<segment - biasMu
	if code&0x80 != 0 {
		value = -value
	}
	return int16(value)
}

func compressMu(sample int) byte {
	sign := byte(0)
	if sample < 0 {
		sign, sample = 0x80, -sample-1
	}
	sample = min(sample, maxMu) + biasMu
	segment := 0
	for sample>>(segment+8) > 0 {
		segment++
	}
	return ^(sign | byte(segment<<4) | byte(sample>>(segment+3)&15))
}
