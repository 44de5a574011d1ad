package avc

import (
	"bytes"
	"errors"
	"math"

	"github.com/coraltele/sanchar/pkg/rtp/bits"
)

// sps is a sequence parameter set (ITU-T H.264 §7.3.2.1.1), as far as it is of use here.
type sps struct {
	id            uint32
	width, height int
	chroma        uint32 // format
	luma, chromas uint32 // bits of a sample above 8
}

var errSet = errors.New("not a parameter set of H.264")

// Limits of what a set says (ITU-T H.264 §7.4.2).
const (
	maxSPS   = 32
	maxPPS   = 256
	maxCycle = 255
	maxMBs   = math.MaxUint16 / 16 // of a side: files count its points with 16 bits
)

// high reports whether sets of a profile say how colours are sampled.
func high(profile byte) bool {
	return bytes.IndexByte([]byte{100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}, profile) >= 0
}

func parseSPS(unit []byte) (s sps, err error) {
	if len(unit) < 5 || KindOf(unit) != SPS {
		return s, errSet
	}
	r := bits.NewReader(plain(unit[1:]))
	profile := byte(r.Uint(8))
	r.Uint(16) // constraints, level
	s.id = r.Golomb()
	s.chroma = 1
	separate := false
	if high(profile) {
		if s.chroma = r.Golomb(); s.chroma == 3 {
			separate = r.Flag()
		}
		s.luma, s.chromas = r.Golomb(), r.Golomb()
		r.Flag()
		if r.Flag() {
			skipScaling(r, s.chroma)
		}
	}
	skipOrder(r)
	r.Golomb() // max_num_ref_frames
	r.Flag()
	s.size(r, separate)
	if r.Short() || s.id >= maxSPS || s.chroma > 3 || s.luma > 6 || s.chromas > 6 || s.width <= 0 || s.height <= 0 {
		return s, errSet
	}
	return s, nil
}

// skipScaling reads over scaling lists (ITU-T H.264 §7.3.2.1.1.1).
func skipScaling(r *bits.Reader, chroma uint32) {
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if !r.Flag() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		for last, next := int32(8), int32(8); size > 0 && next != 0; size-- {
			next = (last + r.Signed()) & 0xff
			last = next
		}
	}
}

// skipOrder reads over how pictures are numbered.
func skipOrder(r *bits.Reader) {
	r.Golomb() // log2_max_frame_num_minus4
	switch r.Golomb() {
	case 0:
		r.Golomb()
	case 1:
		r.Flag()
		r.Signed()
		r.Signed()
		for n := min(r.Golomb(), maxCycle); n > 0; n-- {
			r.Signed()
		}
	}
}

// size reads the size of pictures, without what is cut off (ITU-T H.264 §7.4.2.1.1).
func (s *sps) size(r *bits.Reader, separate bool) {
	width, height := int64(r.Golomb())+1, int64(r.Golomb())+1
	fields := int64(1)
	if !r.Flag() { // a macroblock of a field has two lines of it
		fields = 2
		r.Flag()
	}
	r.Flag()
	var left, right, top, bottom int64
	if r.Flag() {
		left, right, top, bottom = int64(r.Golomb()), int64(r.Golomb()), int64(r.Golomb()), int64(r.Golomb())
	}
	if width > maxMBs || height*fields > maxMBs {
		return // 0 by 0: no size
	}
	x, y := int64(1), fields
	if !separate && (s.chroma == 1 || s.chroma == 2) {
		x = 2
	}
	if !separate && s.chroma == 1 {
		y *= 2
	}
	s.width, s.height = int(16*width-x*(left+right)), int(16*height*fields-y*(top+bottom))
}

// plain takes out the octets that keep start codes from arising (ITU-T H.264 §7.4.1.1).
func plain(b []byte) []byte { return bytes.ReplaceAll(b, []byte{0, 0, 3}, []byte{0, 0}) }
