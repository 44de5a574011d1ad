package develop

import (
	"math"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// ringSlots of a channel are open at once: what is settled and what comes, with room for the longest packet.
const ringSlots = 64

// channel is one side of the file, a little while of it at a time.
type channel struct {
	rate, size int // samples a second, and of a slot
	slots      [ringSlots]slot
	done       int64 // slots taken
}

// slot is 20 ms of a channel.
type slot struct {
	pcm    []int16
	sound  bool   // something was added
	by     int    // track of it, several: -1
	packet []byte // of Opus as it came, if it is all that is in the slot
	room   [1276]byte
}

const several = -1

func newChannel(rate int) *channel {
	c := &channel{rate: rate, size: int(slotTime * time.Duration(rate) / time.Second)}
	for i := range c.slots {
		c.slots[i].pcm = make([]int16, c.size)
	}
	return c
}

// open returns a slot that is not taken yet, or nil.
func (c *channel) open(n int64) *slot {
	if n < c.done || n >= c.done+ringSlots {
		return nil
	}
	return &c.slots[n%ringSlots]
}

// add mixes samples of a track in, from a time on.
func (c *channel) add(track int, at time.Duration, pcm []int16) {
	first := int64(at) * int64(c.rate) / int64(time.Second)
	for len(pcm) > 0 {
		n, offset := first/int64(c.size), int(first%int64(c.size))
		part := pcm[:min(len(pcm), c.size-offset)]
		if s := c.open(n); s != nil {
			s.mix(track, offset, part)
		}
		pcm = pcm[len(part):]
		first += int64(len(part))
	}
}

func (s *slot) mix(track, offset int, pcm []int16) {
	for i, v := range pcm {
		s.pcm[offset+i] = int16(min(max(int(s.pcm[offset+i])+int(v), math.MinInt16), math.MaxInt16))
	}
	if s.sound && s.by != track {
		s.by = several
	} else {
		s.by = track
	}
	s.sound = true
}

// packet puts a packet of Opus into the slot that is nearest.
func (c *channel) packet(track int, at time.Duration, packet []byte) {
	s := c.open(int64((at + slotTime/2) / slotTime))
	if s == nil || s.packet != nil || (s.sound && s.by != track) {
		return
	}
	s.by, s.sound = track, true
	s.packet = append(s.room[:0], packet...)
}

// take returns the next slot, which is the caller's until the one after next is taken.
func (c *channel) take(n int64) *slot {
	prev := &c.slots[(n+ringSlots-1)%ringSlots]
	clear(prev.pcm)
	prev.sound, prev.by, prev.packet = false, 0, nil
	s := &c.slots[n%ringSlots]
	if s.by == several {
		s.packet = nil
	}
	c.done = n
	return s
}

// peaks is how loud a channel is from beginning to end.
type peaks struct {
	slots []byte // a peak each
}

func (p *peaks) add(pcm []int16) {
	loud := 0
	for _, v := range pcm {
		loud = max(loud, int(v), -int(v))
	}
	p.slots = append(p.slots, byte(min(loud>>7, math.MaxUint8)))
}

// bars returns the picture.
func (p *peaks) bars() []byte {
	n := min(len(p.slots), ctl.MaxPeaks)
	out := make([]byte, n)
	for i, v := range p.slots {
		at := i * n / len(p.slots)
		out[at] = max(out[at], v)
	}
	return out
}
