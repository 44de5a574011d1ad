package journal

import (
	"errors"
	"testing"
)

func TestScanStopsAtTheEndADamageOrARefusal(t *testing.T) {
	whole := appendFrame(appendFrame(appendFrame(nil, []byte("one")), []byte("two")), []byte("three"))
	torn := whole[:len(whole)-1]
	damaged := append([]byte(nil), whole...)
	damaged[len("one")+headerBytes+headerBytes] ^= 1
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		data   []byte
		refuse string
		frames int
		used   int64
		err    error
	}{
		"empty":    {},
		"whole":    {data: whole, frames: 3, used: int64(len(whole))},
		"torn":     {data: torn, frames: 2, used: FrameBytes(3) + FrameBytes(3)},
		"damaged":  {data: damaged, frames: 1, used: FrameBytes(3)},
		"refused":  {data: whole, refuse: "two", frames: 1, used: FrameBytes(3), err: stop},
		"nonsense": {data: []byte{255, 255, 255, 255, 0, 0, 0, 0, 1}},
	} {
		n := 0
		used, err := Scan(c.data, func(p []byte) error {
			if string(p) == c.refuse {
				return stop
			}
			n++
			return nil
		})
		if n != c.frames || used != c.used || !errors.Is(err, c.err) {
			t.Errorf("%s: %d frames, %d bytes, %v; want %d, %d, %v", name, n, used, err, c.frames, c.used, c.err)
		}
	}
}
