package bits

import "testing"

func TestFields(t *testing.T) {
	t.Parallel()
	// 1 010 011 00100 00101 | u(5) 10110 | flag 1
	r := NewReader([]byte{0b10100110, 0b01000010, 0b11011010})
	for i, want := range []uint32{0, 1, 2, 3, 4} {
		if got := r.Golomb(); got != want {
			t.Errorf("code %d is %d, not %d", i, got, want)
		}
	}
	if got := r.Uint(5); got != 0b10110 {
		t.Errorf("five bits are %b", got)
	}
	if !r.Flag() || r.Flag() || r.Short() {
		t.Error("the last two bits are 1 and 0")
	}
	if r.Flag() || !r.Short() {
		t.Error("nothing is left")
	}
}

func TestSigned(t *testing.T) {
	t.Parallel()
	// 1 010 011 00100 00101
	r := NewReader([]byte{0b10100110, 0b01000010, 0b10000000})
	for i, want := range []int32{0, 1, -1, 2, -2} {
		if got := r.Signed(); got != want {
			t.Errorf("code %d is %d, not %d", i, got, want)
		}
	}
}

// A code that no field has ends the reading.
func TestEndlessCode(t *testing.T) {
	t.Parallel()
	r := NewReader(make([]byte, 1000))
	if r.Golomb(); !r.Short() {
		t.Error("eight thousand zeros are a code")
	}
}
