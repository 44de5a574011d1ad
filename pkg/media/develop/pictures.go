package develop

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/pion/rtp/codecs"
	"github.com/pion/rtp/codecs/vp9"

	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/rtp/header"
	"github.com/coraltele/sanchar/pkg/rtp/webm"
)

const (
	// maxPicture is the longest picture; what is longer was put together wrongly.
	maxPicture = 4 << 20
	// maxHeld packets wait for one that others have overtaken, then it counts as lost.
	maxHeld = 32
)

// picture is one of a party's video.
type picture struct {
	at   time.Duration
	key  bool
	data []byte
}

// pictures puts the pictures of a track together.
type pictures struct {
	formats []reel.Format
	codec   webm.Codec // of the first picture that stands alone; others are left out
	width   int
	height  int

	held    []waiting // packets from the next one on, in order of their numbers
	started bool
	next    uint16 // number of the packet that is awaited
	ssrc    uint32
	data    []byte // of the picture that is put together
	whole   bool   // none of it was lost
	stamp   uint32
	at      time.Duration
	intact  bool // all pictures since the last one that stands alone are there
	done    []picture
}

func newPictures(t *reel.Track) *pictures { return &pictures{formats: t.Formats} }

// codecOf returns the codec of a packet, "" for one that we cannot put together.
func (v *pictures) codecOf(p header.Packet) webm.Codec {
	i := slices.IndexFunc(v.formats, func(f reel.Format) bool { return f.PayloadType == p.PayloadType() })
	if i < 0 {
		return ""
	}
	switch strings.ToUpper(v.formats[i].Encoding) {
	case "VP8":
		return webm.VP8
	case "VP9":
		return webm.VP9
	}
	return ""
}

// put takes a packet in.
func (v *pictures) put(p header.Packet, at time.Duration) {
	if v.codecOf(p) == "" {
		return
	}
	if !v.started || v.ssrc != p.SSRC() {
		v.started, v.ssrc, v.next, v.held = true, p.SSRC(), p.Sequence(), nil
		v.data, v.whole, v.intact = nil, false, false
	}
	if int16(p.Sequence()-v.next) < 0 {
		return // doubled, or too late
	}
	i := len(v.held)
	for i > 0 && int16(p.Sequence()-v.held[i-1].packet.Sequence()) < 0 {
		i--
	}
	v.held = slices.Insert(v.held, i, waiting{bytes.Clone(p), at})
	for len(v.held) > 0 && (v.held[0].packet.Sequence() == v.next || len(v.held) > maxHeld) {
		w := v.held[0]
		v.held = v.held[1:]
		if w.packet.Sequence() != v.next {
			v.whole, v.intact = false, false // until a picture stands alone again
		}
		v.next = w.packet.Sequence() + 1
		v.add(w)
	}
}

// add adds a packet to the picture that it is of.
func (v *pictures) add(w waiting) {
	p := w.packet
	payload, begins, err := v.unpack(p)
	if err != nil {
		v.whole = false
		return
	}
	if begins && (p.Timestamp() != v.stamp || len(v.data) == 0) {
		v.data, v.whole, v.stamp, v.at = v.data[:0], true, p.Timestamp(), w.at
	}
	if p.Timestamp() != v.stamp || len(v.data)+len(payload) > maxPicture {
		v.whole = false
	}
	v.data = append(v.data, payload...)
	if p.Marker() { // the last of the picture
		v.finish(v.codecOf(p))
		v.data = v.data[:0]
	}
}

// unpack returns what a packet has of a picture, and whether that is its beginning (RFC 7741 §4.2,
// RFC 9628 §4.2).
func (v *pictures) unpack(p header.Packet) (payload []byte, begins bool, err error) {
	if v.codecOf(p) == webm.VP9 {
		var d codecs.VP9Packet
		payload, err = d.Unmarshal(p.Payload())
		return payload, d.B, err
	}
	var d codecs.VP8Packet
	payload, err = d.Unmarshal(p.Payload())
	return payload, d.S == 1 && d.PID == 0, err
}

// finish ends a picture.
func (v *pictures) finish(codec webm.Codec) {
	if !v.whole || len(v.data) == 0 {
		v.intact = false
		return
	}
	width, height, key := size(codec, v.data)
	if key {
		v.intact = true
		if v.width == 0 {
			v.codec, v.width, v.height = codec, width, height
		}
	}
	if v.intact && codec == v.codec { // what refers to something that is missing shows nothing but errors
		v.done = append(v.done, picture{v.at, key, bytes.Clone(v.data)})
	}
}

// size returns the size of a picture that stands alone.
func size(codec webm.Codec, data []byte) (width, height int, key bool) {
	if codec == webm.VP9 {
		var h vp9.Header
		if h.Unmarshal(data) != nil || h.NonKeyFrame || h.ShowExistingFrame {
			return 0, 0, false
		}
		return int(h.Width()), int(h.Height()), h.Width() > 0 && h.Height() > 0
	}
	// RFC 6386 §9.1: three bytes, then the start code and the size of a key frame.
	if len(data) < 10 || data[0]&1 != 0 || !bytes.Equal(data[3:6], []byte{0x9d, 0x01, 0x2a}) {
		return 0, 0, false
	}
	width, height = int(binary.LittleEndian.Uint16(data[6:])&0x3fff), int(binary.LittleEndian.Uint16(data[8:])&0x3fff)
	return width, height, width > 0 && height > 0
}
