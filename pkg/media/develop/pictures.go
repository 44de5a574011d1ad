package develop

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/rtp/header"
)

const (
	// maxPicture is the longest picture; what is longer was put together wrongly.
	maxPicture = 4 << 20
	// maxHeld packets wait for one that others have overtaken, then it counts as lost.
	maxHeld = 32
)

// pictures puts the pictures of a track together: those of each codec that a party sends in a lane.
type pictures struct {
	formats []reel.Format
	lanes   []*lane // in the order in which their codecs came

	held    []waiting // packets from the next one on, in order of their numbers
	started bool
	next    uint16 // number of the packet that is awaited
	ssrc    uint32
}

func newPictures(t *reel.Track) *pictures { return &pictures{formats: t.Formats} }

// again returns what puts the same pictures together once more, with what is known of them now.
func (v *pictures) again() *pictures {
	fresh := &pictures{formats: v.formats}
	for _, l := range v.lanes {
		fresh.lanes = append(fresh.lanes, &lane{encoding: l.encoding, coder: l.coder.again(), look: l.look})
	}
	return fresh
}

// seen reports whether there is a picture to begin with.
func (v *pictures) seen() bool {
	return slices.ContainsFunc(v.lanes, func(l *lane) bool { return l.look.width > 0 })
}

// drop forgets the pictures that are there: they are made again when they are written.
func (v *pictures) drop() {
	for _, l := range v.lanes {
		l.done = nil
	}
}

// lane returns where a packet goes, nil if we cannot put its codec together.
func (v *pictures) lane(p header.Packet) *lane {
	i := slices.IndexFunc(v.formats, func(f reel.Format) bool { return f.PayloadType == p.PayloadType() })
	if i < 0 {
		return nil
	}
	f := &v.formats[i]
	encoding := strings.ToUpper(f.Encoding)
	if at := slices.IndexFunc(v.lanes, func(l *lane) bool { return l.encoding == encoding }); at >= 0 {
		return v.lanes[at]
	}
	coder := newCoder(encoding, f.Params)
	if coder == nil {
		return nil
	}
	l := &lane{encoding: encoding, coder: coder}
	v.lanes = append(v.lanes, l)
	return l
}

// put takes a packet in.
func (v *pictures) put(p header.Packet, at time.Duration) {
	if v.lane(p) == nil {
		return
	}
	if !v.started || v.ssrc != p.SSRC() {
		v.flush()
		v.started, v.ssrc, v.next = true, p.SSRC(), p.Sequence()
		v.lose()
	}
	if int16(p.Sequence()-v.next) < 0 {
		return // doubled, or too late
	}
	i := len(v.held)
	for i > 0 && int16(p.Sequence()-v.held[i-1].packet.Sequence()) < 0 {
		i--
	}
	if i > 0 && p.Sequence() == v.held[i-1].packet.Sequence() {
		return
	}
	v.held = slices.Insert(v.held, i, waiting{bytes.Clone(p), at})
	for len(v.held) > 0 && (v.held[0].packet.Sequence() == v.next || len(v.held) > maxHeld) {
		v.take()
	}
}

// release gives up waiting for packets that others overtook before a time.
func (v *pictures) release(before time.Duration) {
	for len(v.held) > 0 && v.held[0].at <= before {
		v.take()
	}
}

// take gives the first packet that is held to its lane.
func (v *pictures) take() {
	w := v.held[0]
	v.held = v.held[1:]
	if w.packet.Sequence() != v.next {
		v.lose()
	}
	v.next = w.packet.Sequence() + 1
	v.lane(w.packet).add(w)
}

// lose says that packets are missing: no picture is whole until one stands alone again.
func (v *pictures) lose() {
	for _, l := range v.lanes {
		l.lose()
	}
}

// flush says that no packet comes any more.
func (v *pictures) flush() {
	for len(v.held) > 0 {
		v.take()
	}
	for _, l := range v.lanes {
		l.finish()
	}
}
