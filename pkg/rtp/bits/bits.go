// Package bits reads fields that are not whole bytes, as the headers of video codecs have them.
package bits

// Reader reads from the highest bit of the first byte on. What is behind the end is zero, and Short then
// says so: a parser asks once, at its end.
type Reader struct {
	data []byte
	at   int // bits that were read
}

// NewReader returns a reader of data.
func NewReader(data []byte) *Reader { return &Reader{data: data} }

// Short reports whether more was read than there is.
func (r *Reader) Short() bool { return r.at > 8*len(r.data) }

// Flag reads a bit.
func (r *Reader) Flag() bool {
	i := r.at / 8
	set := i < len(r.data) && r.data[i]<<(r.at%8)&0x80 != 0
	r.at++
	return set
}

// Uint reads a number of n bits, at most 32.
func (r *Reader) Uint(n int) (v uint32) {
	for range n {
		v <<= 1
		if r.Flag() {
			v |= 1
		}
	}
	return v
}

// maxZeros is how many zeros an Exp-Golomb code may begin with: its number has 32 bits then.
const maxZeros = 31

// Golomb reads an Exp-Golomb code: ue(v) of ITU-T H.264 §9.1. One that is too long reads as the end.
func (r *Reader) Golomb() uint32 {
	zeros := 0
	for !r.Flag() {
		if zeros++; zeros > maxZeros {
			r.at = 8*len(r.data) + 1
			return 0
		}
	}
	return 1<<zeros - 1 + r.Uint(zeros)
}

// Signed reads a signed Exp-Golomb code: se(v) of ITU-T H.264 §9.1.1.
func (r *Reader) Signed() int32 {
	v := r.Golomb()
	if v&1 == 1 {
		return int32(v/2 + 1)
	}
	return -int32(v / 2)
}
