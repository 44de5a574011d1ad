package av1

import "github.com/coraltele/sanchar/pkg/rtp/bits"

// read reads a sequence header up to its colours.
func (s *Sequence) read(r *bits.Reader) {
	s.profile = r.Uint(3)
	r.Flag() // still_picture
	if s.reduced = r.Flag(); s.reduced {
		s.level = r.Uint(5)
	} else {
		s.points(r)
	}
	width, height := int(r.Uint(4))+1, int(r.Uint(4))+1
	s.Width, s.Height = int(r.Uint(width))+1, int(r.Uint(height))+1
	if !s.reduced && r.Flag() { // frame_id_numbers_present_flag
		r.Uint(4 + 3)
	}
	r.Uint(3) // superblocks, filters of intra prediction
	if !s.reduced {
		tools(r)
	}
	r.Uint(3) // superres, cdef, restoration
	s.colours(r)
}

// points reads the operating points; the first is what counts.
func (s *Sequence) points(r *bits.Reader) {
	if r.Flag() { // timing_info_present_flag
		r.Uint(32)
		r.Uint(32)
		if r.Flag() {
			r.Golomb() // uvlc() is coded alike
		}
		if s.modelled = r.Flag(); s.modelled {
			s.delayBits = int(r.Uint(5)) + 1
			r.Uint(32)
			r.Uint(5 + 5)
		}
	}
	s.delay = r.Flag()
	for i := range r.Uint(5) + 1 {
		r.Uint(12)
		level, tier := r.Uint(5), uint32(0)
		if level > 7 {
			tier = r.Uint(1)
		}
		if s.modelled && r.Flag() {
			r.Uint(s.delayBits)
			r.Uint(s.delayBits)
			r.Flag()
		}
		if s.delay && r.Flag() {
			r.Uint(4)
		}
		if i == 0 {
			s.level, s.tier = level, tier
		}
	}
}

// tools reads over which tools of the codec are used.
func tools(r *bits.Reader) {
	r.Uint(4)
	order := r.Flag() // enable_order_hint
	if order {
		r.Uint(2)
	}
	screen := r.Flag() // seq_choose_screen_content_tools
	if !screen {
		screen = r.Flag() // seq_force_screen_content_tools
	}
	if screen && !r.Flag() { // seq_choose_integer_mv
		r.Flag()
	}
	if order {
		r.Uint(3)
	}
}

// Colours that are told apart (AV1 bitstream §6.4.2).
const (
	primariesBT709 = 1
	transferSRGB   = 13
	unspecified    = 2
)

// colours reads how colours are sampled (AV1 bitstream §5.5.2).
func (s *Sequence) colours(r *bits.Reader) {
	s.deep = r.Flag()
	s.twelve = s.profile == 2 && s.deep && r.Flag()
	s.mono = s.profile != 1 && r.Flag()
	primaries, transfer, matrix := uint32(unspecified), uint32(unspecified), uint32(unspecified)
	if r.Flag() {
		primaries, transfer, matrix = r.Uint(8), r.Uint(8), r.Uint(8)
	}
	if !s.mono && primaries == primariesBT709 && transfer == transferSRGB && matrix == 0 {
		return // red, green and blue: all of them whole
	}
	r.Flag() // color_range
	switch {
	case s.mono, s.profile == 0:
		s.halfWidth, s.halfHeight = true, true
	case s.profile == 2 && s.twelve:
		s.halfWidth = r.Flag()
		s.halfHeight = s.halfWidth && r.Flag()
	case s.profile == 2:
		s.halfWidth = true
	}
	if !s.mono && s.halfWidth && s.halfHeight {
		s.samplePosition = r.Uint(2)
	}
}
