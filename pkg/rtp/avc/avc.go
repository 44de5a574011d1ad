// Package avc knows as much of H.264 as those need who keep it in a file: units, parameter sets, the size of
// pictures, and how RTP carries them (RFC 6184).
package avc

import (
	"encoding/base64"
	"encoding/binary"
	"iter"
	"strings"
)

// Kind is the type of a NAL unit (ITU-T H.264 §7.4.1).
type Kind uint8

// The kinds of units that are told apart.
const (
	Slice     Kind = 1
	IDR       Kind = 5 // a slice of a picture behind which none refers to one before it
	SPS       Kind = 7
	PPS       Kind = 8
	Delimiter Kind = 9
	Filler    Kind = 12

	sei = 6

	// How RTP carries units (RFC 6184 §5.4).
	stapA = 24
	fuA   = 28
)

// KindOf returns the kind of a unit.
func KindOf(unit []byte) Kind {
	if len(unit) == 0 {
		return 0
	}
	return Kind(unit[0] & 0x1f)
}

// lengthSize is that of the length in front of each unit in a file.
const lengthSize = 4

// Units takes a picture apart whose units have their lengths in front. What is empty or torn is left out.
func Units(picture []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(picture) >= lengthSize {
			n := int64(binary.BigEndian.Uint32(picture))
			picture = picture[lengthSize:]
			if n > int64(len(picture)) {
				return
			}
			if n > 0 && !yield(picture[:n]) {
				return
			}
			picture = picture[n:]
		}
	}
}

// Append appends a unit behind its length.
func Append(dst, unit []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(unit))), unit...)
}

// Fragment reports whether the payload of a packet is a fragment of a unit, and the first (RFC 6184 §5.8).
func Fragment(payload []byte) (fragment, first bool) {
	fragment = len(payload) >= 2 && KindOf(payload) == fuA
	return fragment, fragment && payload[1]&0x80 != 0
}

// Begins reports whether a packet may be the first of a picture: what it has first is the first slice of
// one, or stands in front of such (ITU-T H.264 §7.4.1.2.3). RTP itself marks the last only.
func Begins(payload []byte) bool {
	if fragment, first := Fragment(payload); fragment {
		return first && begins(Kind(payload[1]&0x1f), payload[2:])
	}
	if KindOf(payload) == stapA {
		if len(payload) < 4 {
			return false
		}
		payload = payload[3:] // its own octet, and the length of the first
	}
	return len(payload) > 0 && begins(KindOf(payload), payload[1:])
}

// begins looks at a unit without its first octet.
func begins(kind Kind, rest []byte) bool {
	switch kind {
	case Slice, 2, IDR: // 2 is the first partition of a slice
		return len(rest) > 0 && rest[0]&0x80 != 0 // first_mb_in_slice is 0, of one bit
	}
	return kind >= sei && kind <= Delimiter
}

// Sprop returns the parameter sets of a format's parameters (RFC 6184 §8.1), those that are whole.
func Sprop(params string) (units [][]byte) {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(name, "sprop-parameter-sets") {
			continue
		}
		for s := range strings.SplitSeq(value, ",") {
			if unit, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s)); err == nil && len(unit) > 0 {
				units = append(units, unit)
			}
		}
	}
	return units
}
