// Package ids makes identifiers: random ones that nobody can guess, and record ids that sort by time.
package ids

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"time"
)

// alphabet is Crockford's base 32 in lower case: no letter that is read as a digit, all of it
// token characters of RFC 3261 §25.1.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// Random returns n bytes of randomness as text of 8 characters for each 5 bytes.
func Random(n int) string {
	var buf [64]byte
	b := buf[:n]
	rand.Read(b)
	return encoding.EncodeToString(b)
}

// Tag returns a tag for a From or To header: 75 bits, where RFC 3261 §19.3 asks for 32.
func Tag() string { return Random(10)[:15] }

// CallID returns a Call-ID without a host part, 100 bits (RFC 3261 §8.1.1.4).
func CallID() string { return Random(13)[:20] }

// Record returns an id of 26 characters that sorts by now to the microsecond and is unique by
// 70 random bits.
func Record(now time.Time) string {
	const micros = 10 // bits: 1,000 of them
	var b [16]byte
	rand.Read(b[7:])
	within := uint64(now.Nanosecond()/1000%1000) << (16 - micros)
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16|within|uint64(b[7])>>(8-16+micros))
	return encoding.EncodeToString(b[:])
}

// RecordPrefix returns the smallest id that Record can give at now; ids below it are older.
func RecordPrefix(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	return encoding.EncodeToString(b[:])
}

// RecordTime returns the time that a record id was made at, and false for a text that is none.
func RecordTime(id string) (time.Time, bool) {
	head, ok := Head(id)
	if !ok {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(head >> 16)), true
}

// Head returns the first 64 bits of a record id: its millisecond and the first 16 random bits. It
// sorts as ids do; few ids share one.
func Head(id string) (head uint64, ok bool) {
	if len(id) != 26 {
		return 0, false
	}
	var b [16]byte
	if _, err := encoding.Decode(b[:], []byte(id)); err != nil {
		return 0, false
	}
	return binary.BigEndian.Uint64(b[:8]), true
}

// HeadPrefix returns the smallest record id with this head.
func HeadPrefix(head uint64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], head)
	return encoding.EncodeToString(b[:])
}

// Secret returns a password for a device: 26 characters, 130 bits, easy to type.
func Secret() string { return Random(17)[:26] }
