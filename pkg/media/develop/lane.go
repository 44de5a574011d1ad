package develop

import "time"

// picture is one of a party's video.
type picture struct {
	at   time.Duration
	key  bool
	data []byte
}

// look is what a player is told of pictures before the first.
type look struct {
	width, height int
	config        []byte // what a decoder must know
}

// coder knows how RTP carries the pictures of a codec.
type coder interface {
	// unpack returns what a packet has of a picture, and whether it may be the first of one.
	unpack(payload []byte) (data []byte, begins bool, err error)
	// reset forgets the packets of a picture that is given up.
	reset()
	// finish returns a picture as files have it, with the look of one that stands alone. A picture without
	// data is none: what was in it is kept for the next.
	finish(data []byte) (picture []byte, alone *look)
	// inBand reports whether what a decoder must know changes between the pictures, so that these tell it.
	inBand() bool
	// again returns a coder for the same pictures from their beginning.
	again() coder
}

// newCoder returns the coder of an encoding, nil for one whose pictures cannot be put together.
func newCoder(encoding, params string) coder {
	switch encoding {
	case encodingVP8:
		return vp8Coder{}
	case encodingVP9:
		return vp9Coder{}
	case encodingAV1:
		return new(av1Coder)
	case encodingH264:
		return newAVCCoder(params)
	}
	return nil
}

// Encodings of video, in capitals.
const (
	encodingVP8  = "VP8"
	encodingVP9  = "VP9"
	encodingAV1  = "AV1"
	encodingH264 = "H264"
)

// lane is the pictures of one codec of a track.
type lane struct {
	encoding string
	coder    coder
	look     look // of the first picture that stands alone; 0 by 0 before
	number   int  // of the track in the file

	data   []byte // of the picture that is put together
	taken  int    // bytes of its packets
	whole  bool   // none of it was lost
	open   bool   // it has begun
	stamp  uint32
	at     time.Duration
	intact bool // all pictures since the last one that stands alone are there
	done   []picture
}

// lose gives the picture up that is put together.
func (l *lane) lose() {
	l.whole, l.intact = false, false
	l.coder.reset()
}

// add adds a packet to the picture that it is of.
func (l *lane) add(w waiting) {
	p := w.packet
	payload, begins, err := l.coder.unpack(p.Payload())
	if err != nil {
		l.lose()
		return
	}
	if begins && (p.Timestamp() != l.stamp || !l.open) {
		l.finish() // not every sender marks the last packet
		l.open, l.whole, l.stamp, l.at = true, true, p.Timestamp(), w.at
		l.data, l.taken = l.data[:0], 0
	}
	if l.taken += len(p.Payload()); p.Timestamp() != l.stamp || l.taken > maxPicture {
		l.data, l.taken = l.data[:0], 0
		l.lose()
	}
	l.data = append(l.data, payload...)
	if p.Marker() {
		l.finish()
	}
}

// finish ends a picture.
func (l *lane) finish() {
	if !l.open {
		return
	}
	whole, data := l.whole, l.data
	l.open, l.whole = false, false
	if !whole || len(data) == 0 {
		l.intact = false
		return
	}
	shown, alone := l.coder.finish(data)
	if len(shown) == 0 {
		return
	}
	if alone != nil {
		l.intact = true
		if l.look.width == 0 {
			l.look = *alone
		}
	}
	if l.intact { // what refers to something that is missing shows nothing but errors
		l.done = append(l.done, picture{l.at, alone != nil, shown})
	}
}
