package develop

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/media/transcode"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/header"
	"github.com/coraltele/sanchar/pkg/rtp/oggopus"
)

const (
	// maxDrift is how far a packet's place by its timestamp may be from when it came: beyond it the party
	// has begun a new time line.
	maxDrift = 250 * time.Millisecond
	// maxConceal is how long a gap is filled with what might have been.
	maxConceal = 60 * time.Millisecond
	// maxWaiting packets of a track are put in order at once.
	maxWaiting = 64
)

// track is the sound of one stream on its way to a channel.
type track struct {
	id       int
	channel  *channel
	rate     int
	formats  []ctl.MediaFormat
	decoders []transcode.Decoder

	waiting []waiting // in order of their numbers

	// Of the source that speaks.
	any    bool
	ssrc   uint32
	clock  uint32
	anchor time.Duration // where the packet of stamp stands
	stamp  uint32
	number uint16        // of the last packet that was placed
	end    time.Duration // of its sound
	last   transcode.Decoder
	frame  []int16
}

// waiting is a packet that others may still overtake.
type waiting struct {
	packet header.Packet
	at     time.Duration
}

func newTrack(info *reel.Track, c *channel, id, rate int) *track {
	t := &track{id: id, channel: c, rate: rate, frame: make([]int16, int(maxConceal*time.Duration(rate)/time.Second))}
	for _, f := range info.Formats {
		t.formats = append(t.formats, ctl.MediaFormat{
			PayloadType: f.PayloadType, Encoding: f.Encoding, ClockRate: f.ClockRate, Channels: f.Channels, Params: f.Params,
		})
	}
	t.decoders = make([]transcode.Decoder, len(t.formats))
	return t
}

// put takes a packet in, in its order.
func (t *track) put(p header.Packet, at time.Duration) {
	if len(t.waiting) == maxWaiting {
		t.place(t.waiting[0])
		t.waiting = slices.Delete(t.waiting, 0, 1)
	}
	i := len(t.waiting)
	for i > 0 && t.waiting[i-1].packet.SSRC() == p.SSRC() && int16(p.Sequence()-t.waiting[i-1].packet.Sequence()) < 0 {
		i--
	}
	t.waiting = slices.Insert(t.waiting, i, waiting{bytes.Clone(p), at})
}

// release places what has waited since before a time.
func (t *track) release(before time.Duration) {
	n := 0
	for n < len(t.waiting) && t.waiting[n].at <= before {
		t.place(t.waiting[n])
		n++
	}
	t.waiting = slices.Delete(t.waiting, 0, n)
}

// place gives a packet's sound to the channel, at the time at which it was spoken.
func (t *track) place(w waiting) {
	p := w.packet
	i := slices.IndexFunc(t.formats, func(f ctl.MediaFormat) bool { return f.PayloadType == p.PayloadType() })
	if i < 0 || t.formats[i].ClockRate == 0 {
		return
	}
	f := &t.formats[i]
	d := t.decoder(i)
	payload := p.Payload()
	length := time.Duration(transcode.Ticks(f, payload)) * time.Second / time.Duration(f.ClockRate)
	if d == nil || length == 0 {
		return // keys, comfort noise, or what we have no codec for
	}
	at, goesOn := t.when(p, f.ClockRate, w.at)
	if goesOn && int16(p.Sequence()-t.number) <= 0 {
		return // doubled, or too late
	}
	if gap := at - t.end; t.any && gap > 0 && gap <= maxConceal && t.last == d {
		n := int(gap * time.Duration(t.rate) / time.Second)
		d.Conceal(t.frame[:n], nil)
		t.channel.add(t.id, t.end, t.frame[:n])
	}
	pcm := d.Decode(payload)
	t.channel.add(t.id, at, pcm)
	if strings.EqualFold(f.Encoding, "opus") && length == slotTime && oggopus.Single(payload) {
		t.channel.packet(t.id, at, payload)
	}
	t.any, t.number, t.last, t.end = true, p.Sequence(), d, at+length
}

// decoder returns the decoder of a format, nil if there is none.
func (t *track) decoder(i int) transcode.Decoder {
	if t.decoders[i] == nil {
		if d, err := transcode.NewDecoder(&t.formats[i], t.rate); err == nil {
			t.decoders[i] = d
		}
	}
	return t.decoders[i]
}

// when returns where a packet stands: by its timestamp, as long as that goes with when it came. Otherwise
// the party has begun a new time line.
func (t *track) when(p header.Packet, clock uint32, came time.Duration) (at time.Duration, goesOn bool) {
	if t.any && t.ssrc == p.SSRC() && t.clock == clock {
		ahead := int32(p.Timestamp() - t.stamp)
		at := t.anchor + time.Duration(ahead)*time.Second/time.Duration(clock)
		if (at-came).Abs() <= maxDrift && at >= 0 {
			if ahead > int32(clock) { // keep what is counted small
				t.anchor, t.stamp = at, p.Timestamp()
			}
			return at, true
		}
	}
	t.ssrc, t.clock, t.anchor, t.stamp = p.SSRC(), clock, came, p.Timestamp()
	return came, false
}
