// Package develop makes the file of a recording of the packets that were kept: each party on its channel,
// every packet at the time at which it was spoken, and the pictures of each as a track.
package develop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/rtp/header"
)

// maxLength is the longest recording; what comes later is left out.
const maxLength = 24 * time.Hour

// maxApart is how far the clocks of two processes may differ and still be one: they are, unless the machine
// was started anew in between.
const maxApart = time.Hour

// ErrEmpty says that there is nothing of a recording.
var ErrEmpty = errors.New("the recording holds nothing")

// Film is a recording as it was kept.
type Film struct {
	Parts []string // files, in their order
	Key   *seal.Key
	Owner []byte
}

// scan is what is known of a film before its sound is made.
type scan struct {
	about  reel.About
	length time.Duration
	paused time.Duration
	torn   bool // a part has no end
	wide   bool // something needs more than 8,000 samples a second

	pictures map[[2]int]*pictures // tracks of video, by part and number, that have a picture to begin with
}

// each calls do for every entry, with its time since the recording began. A part that cannot be read ends
// where it is torn.
func (f *Film) each(do func(part int, e reel.Entry, at time.Duration) error) (torn bool, err error) {
	var line timeline
	for i, name := range f.Parts {
		tears, err := f.part(name, func(e reel.Entry) error {
			at, ok := line.place(i, e)
			if !ok {
				return nil
			}
			return do(i, e, at)
		})
		torn = torn || tears || i > 0
		if err != nil {
			return torn, err
		}
	}
	return torn, nil
}

// part calls do for every entry of a file.
func (f *Film) part(name string, do func(reel.Entry) error) (torn bool, err error) {
	file, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	r, err := reel.NewReader(file, f.Key, f.Owner)
	if errors.Is(err, reel.ErrDamaged) { // killed before its head was whole
		return true, nil
	}
	for err == nil {
		var e reel.Entry
		if e, err = r.Next(); err == nil {
			err = do(e)
		}
	}
	switch {
	case err == io.EOF:
		return false, nil
	case errors.Is(err, reel.ErrDamaged):
		return true, nil
	}
	return false, fmt.Errorf("read %s: %w", name, err)
}

// timeline turns the times of parts into times since the recording began.
type timeline struct {
	part  int
	known bool
	begin int64     // of the part, by its clock
	wall  time.Time // of the first part
	first int64
	base  time.Duration // of the part
}

// place returns when an entry happened; it is not ok before the part has said when it began.
func (l *timeline) place(part int, e reel.Entry) (at time.Duration, ok bool) {
	if e.Kind == reel.KindAbout {
		var about reel.About
		if json.Unmarshal(e.Data, &about) != nil {
			return 0, false
		}
		if !l.known {
			l.known, l.wall, l.first = true, about.Wall, e.Time
		}
		l.part, l.begin = part, e.Time
		l.base = time.Duration(e.Time - l.first)
		if byWall := about.Wall.Sub(l.wall); (l.base - byWall).Abs() > maxApart {
			l.base = max(byWall, 0)
		}
	}
	if !l.known || l.part != part {
		return 0, false
	}
	at = l.base + time.Duration(e.Time-l.begin)
	return max(at, 0), at < maxLength
}

// scan reads through the film.
func (f *Film) scan() (s scan, err error) {
	formats, videos := map[[2]int]*reel.Track{}, map[[2]int]*pictures{}
	s.pictures = map[[2]int]*pictures{}
	var pausedAt time.Duration = -1
	any := false
	s.torn, err = f.each(func(part int, e reel.Entry, at time.Duration) error {
		s.length = max(s.length, at)
		switch e.Kind {
		case reel.KindAbout:
			if !any {
				any = true
				return json.Unmarshal(e.Data, &s.about)
			}
		case reel.KindTrack:
			t := new(reel.Track)
			formats[[2]int{part, int(e.Track)}] = t
			if err := json.Unmarshal(e.Data, t); err != nil {
				return err
			}
			if t.Kind == "video" {
				videos[[2]int{part, int(e.Track)}] = newPictures(t)
			}
		case reel.KindPause:
			pausedAt = at
		case reel.KindResume:
			if pausedAt >= 0 {
				s.paused += at - pausedAt
			}
			pausedAt = -1
		case reel.KindPacket:
			id := [2]int{part, int(e.Track)}
			s.look(formats[id], e.Data)
			if p := videos[id]; p != nil && header.Packet(e.Data).Valid(false) {
				p.put(e.Data, at)
				p.drop()
			}
		}
		return nil
	})
	for id, p := range videos {
		if p.flush(); p.seen() {
			s.pictures[id] = p
		}
	}
	if err == nil && !any {
		err = ErrEmpty
	}
	if pausedAt >= 0 {
		s.paused += max(0, s.length-pausedAt)
	}
	return s, err
}

// look finds out whether a packet needs more than the samples of narrow speech. Opus does only where it is
// decoded: into a file of Opus it goes as it came.
func (s *scan) look(t *reel.Track, p header.Packet) {
	if s.wide || t == nil || !p.Valid(false) {
		return
	}
	for i := range t.Formats {
		if f := &t.Formats[i]; f.PayloadType == p.PayloadType() {
			s.wide = strings.EqualFold(f.Encoding, "G722") || (strings.EqualFold(f.Encoding, "opus") && s.about.Format == FormatWAV)
		}
	}
}

// Formats of what is made.
const (
	FormatOpus = "opus"
	FormatWAV  = "wav"
)
