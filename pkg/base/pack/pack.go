// Package pack writes values one after another into bytes and reads them back: for state that one
// program writes for its own successor, and what programs of one release tell each other, where text
// would cost too much.
package pack

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// ErrShort is the error of bytes that end too soon or hold what was not written by a Writer.
var ErrShort = errors.New("packed value is cut short or damaged")

// maxLen bounds a text or a list, so that a damaged length asks for no memory.
const maxLen = 1 << 20

// Writer appends values to B.
type Writer struct{ B []byte }

// Uint writes a number.
func (w *Writer) Uint(v uint64) { w.B = binary.AppendUvarint(w.B, v) }

// Int writes a number that may be negative.
func (w *Writer) Int(v int) { w.Int64(int64(v)) }

// Int64 writes a number that may be negative and larger than an int is on every board.
func (w *Writer) Int64(v int64) { w.B = binary.AppendVarint(w.B, v) }

// Bool writes a truth.
func (w *Writer) Bool(v bool) {
	if v {
		w.B = append(w.B, 1)
	} else {
		w.B = append(w.B, 0)
	}
}

// String writes a text.
func (w *Writer) String(v string) {
	w.Uint(uint64(len(v)))
	w.B = append(w.B, v...)
}

// Strings writes a list of texts.
func (w *Writer) Strings(v []string) {
	w.Uint(uint64(len(v)))
	for _, s := range v {
		w.String(s)
	}
}

// WriteList writes a list by what writes one of it.
func WriteList[T any](w *Writer, list []T, each func(*T, *Writer)) {
	w.Uint(uint64(len(list)))
	for i := range list {
		each(&list[i], w)
	}
}

// Time writes a time to the microsecond; the zero time stays zero.
func (w *Writer) Time(t time.Time) {
	if t.IsZero() {
		w.Int64(0)
	} else {
		w.Int64(t.UnixMicro())
	}
}

// Addr writes an address and port, valid or not.
func (w *Writer) Addr(a netip.AddrPort) {
	var room [32]byte
	b, _ := a.AppendBinary(room[:0]) // an AddrPort always encodes
	w.Uint(uint64(len(b)))
	w.B = append(w.B, b...)
}

// Reader takes values off B. After a failure all values are zero, and Err says so.
type Reader struct {
	B   []byte
	Err error
}

func (r *Reader) fail() {
	r.B, r.Err = nil, ErrShort
}

// Uint reads a number.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.B)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Int reads a number that may be negative.
func (r *Reader) Int() int { return int(r.Int64()) }

// Int64 reads a number that may be negative.
func (r *Reader) Int64() int64 {
	v, n := binary.Varint(r.B)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Bool reads a truth.
func (r *Reader) Bool() bool {
	if len(r.B) == 0 {
		r.fail()
		return false
	}
	v := r.B[0] != 0
	r.B = r.B[1:]
	return v
}

// Len reads the length of a list or a text.
func (r *Reader) Len() int {
	n := r.Uint()
	if n > maxLen || n > uint64(len(r.B)) {
		r.fail()
		return 0
	}
	return int(n)
}

// String reads a text.
func (r *Reader) String() string {
	n := r.Len()
	v := string(r.B[:n])
	r.B = r.B[n:]
	return v
}

// Strings reads a list of texts.
func (r *Reader) Strings() (v []string) {
	for n := r.Len(); n > 0; n-- {
		v = append(v, r.String())
	}
	return v
}

// roomAhead is for how many values of a list memory is taken before they are found: for all of a usual
// one. What a damaged length asks for is not.
const roomAhead = 16

// ReadList reads a list by what reads one of it.
func ReadList[T any](r *Reader, each func(*T, *Reader)) (list []T) {
	n := r.Len()
	if n == 0 {
		return nil
	}
	var zero T
	list = make([]T, 0, min(n, roomAhead))
	for ; n > 0 && r.Err == nil; n-- {
		list = append(list, zero)
		each(&list[len(list)-1], r)
	}
	return list
}

// Time reads a time.
func (r *Reader) Time() time.Time {
	v := r.Int64()
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}

// Addr reads an address and port.
func (r *Reader) Addr() (a netip.AddrPort) {
	n := r.Len()
	if err := a.UnmarshalBinary(r.B[:n]); err != nil {
		r.fail()
		return netip.AddrPort{}
	}
	r.B = r.B[n:]
	return a
}
