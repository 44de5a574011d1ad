package develop

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/header"
)

// Rates of the samples that are worked with: as narrow as all of the speech is.
const (
	narrow = 8000
	wide   = 16000
)

const (
	// slotTime is a frame of the file: 20 ms.
	slotTime = 20 * time.Millisecond
	// patience is how long a packet is waited for that others have overtaken.
	patience = 100 * time.Millisecond
	// settled is how far behind the newest packet sound is written: no packet changes it any more.
	settled = 500 * time.Millisecond
)

// developer makes one file.
type developer struct {
	rate     int
	channels [2]*channel
	tracks   map[[2]int]*track
	out      output
	next     int64 // slot to be written
	slots    int64 // of the file
	peaks    [2]peaks
	pictures *movie // nil if there are none
	rest     func()
}

// output writes slots one after another.
type output interface {
	slot(left, right *slot) error
	finish() error
}

// File is what a recording is written to, from front to back. What must be known at its start and is known
// at its end only is written over at last.
type File interface {
	io.Writer
	io.WriterAt
}

// Develop writes the sound of a film to w, and its pictures if there are any. rest is called after every
// slot, so that others get their turn.
func Develop(f *Film, w File, rest func()) (ctl.RecordingHead, error) {
	s, err := f.scan()
	if err != nil {
		return ctl.RecordingHead{}, err
	}
	d := &developer{rate: narrow, tracks: map[[2]int]*track{}, rest: rest, slots: int64((s.length + slotTime - 1) / slotTime)}
	d.slots = max(d.slots, 1)
	if s.wide {
		d.rate = wide
	}
	for i := range d.channels {
		d.channels[i] = newChannel(d.rate)
	}
	contentType, err := d.open(w, &s)
	if err != nil {
		return ctl.RecordingHead{}, err
	}
	if err := d.run(f); err != nil {
		return ctl.RecordingHead{}, err
	}
	length := time.Duration(d.slots) * slotTime
	return ctl.RecordingHead{
		ID: s.about.ID, ContentType: contentType, Start: s.about.Wall, End: s.about.Wall.Add(length),
		Duration: max(0, length-s.paused), Broken: s.torn, About: s.about.Labels,
		Peaks: [2][]byte{d.peaks[0].bars(), d.peaks[1].bars()},
	}, nil
}

// open begins the file, and returns its type.
func (d *developer) open(w File, s *scan) (contentType string, err error) {
	switch {
	case len(s.pictures) > 0:
		d.pictures, contentType, err = newMovie(w, d.rate, s.pictures)
		d.out = d.pictures
		return contentType, err
	case s.about.Format == FormatWAV:
		d.out, err = newWAV(w, d.rate, d.slots)
		return "audio/wav", err
	}
	d.out, err = newOgg(w, d.rate, s.about.Labels)
	return "audio/ogg", err
}

func (d *developer) run(f *Film) error {
	if _, err := f.each(func(part int, e reel.Entry, at time.Duration) error {
		switch e.Kind {
		case reel.KindTrack:
			return d.begin(part, e)
		case reel.KindPacket:
			if !header.Packet(e.Data).Valid(false) {
				return nil
			}
			if t := d.tracks[[2]int{part, int(e.Track)}]; t != nil {
				t.put(e.Data, at)
			}
			if d.pictures != nil {
				d.pictures.put([2]int{part, int(e.Track)}, e.Data, at)
			}
			return d.advance(at)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, t := range d.tracks {
		t.release(maxLength)
	}
	if err := d.write(d.slots); err != nil {
		return err
	}
	return d.out.finish()
}

// begin begins a track of sound.
func (d *developer) begin(part int, e reel.Entry) error {
	var info reel.Track
	if err := json.Unmarshal(e.Data, &info); err != nil {
		return fmt.Errorf("track %d of part %d: %w", e.Track, part, err)
	}
	if strings.EqualFold(info.Kind, "audio") {
		d.tracks[[2]int{part, int(e.Track)}] = newTrack(&info, d.channels[info.Channel&1], len(d.tracks)+1, d.rate)
	}
	return nil
}

// advance writes what no packet changes any more when the newest is of at.
func (d *developer) advance(at time.Duration) error {
	until := int64((at - settled) / slotTime)
	if until <= d.next {
		return nil
	}
	for _, t := range d.tracks {
		t.release(at - patience)
	}
	return d.write(until)
}

// write writes the slots up to one.
func (d *developer) write(until int64) error {
	for ; d.next < min(until, d.slots); d.next++ {
		var slots [2]*slot
		for i, c := range d.channels {
			slots[i] = c.take(d.next)
			d.peaks[i].add(slots[i].pcm)
		}
		if err := d.out.slot(slots[0], slots[1]); err != nil {
			return err
		}
		d.rest()
	}
	return nil
}
