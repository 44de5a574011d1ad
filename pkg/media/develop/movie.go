package develop

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/rtp/header"
	"github.com/coraltele/sanchar/pkg/rtp/mp4"
	"github.com/coraltele/sanchar/pkg/rtp/oggopus"
	"github.com/coraltele/sanchar/pkg/rtp/webm"
)

// maxPictures tracks of video are in a file; a player shows one at a time.
const maxPictures = 7

// container is a file of sound and pictures: frames of tracks, counted from 0, then what makes it quick to
// search.
type container interface {
	Frame(track int, at time.Duration, key bool, data []byte) error
	Finish(at io.WriterAt) error
}

// movie writes pictures with the sound of both parties.
type movie struct {
	file   File
	w      container
	sides  [2]side
	joint  []byte
	at     time.Duration
	videos map[[2]int]*pictures // of tracks of the film
	lanes  []*lane              // that are in the file
}

// newMovie begins a file with a track of sound and one for each codec of each of the film's tracks that has
// pictures, and returns its type.
func newMovie(file File, rate int, found map[[2]int]*pictures) (m *movie, contentType string, err error) {
	m = &movie{file: file, videos: map[[2]int]*pictures{}}
	for i := range m.sides {
		m.sides[i].rate = rate
	}
	ids := make([][2]int, 0, len(found))
	for id := range found {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b [2]int) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for _, id := range ids {
		m.videos[id] = found[id].again()
		for _, l := range m.videos[id].lanes {
			if l.look.width > 0 && len(m.lanes) < maxPictures {
				m.lanes = append(m.lanes, l)
				l.number = len(m.lanes)
			}
		}
	}
	contentType = typeOf(m.lanes)
	if contentType == typeMP4 {
		m.w, err = newMP4(file, m.lanes)
	} else {
		m.w, err = newWebM(file, m.lanes)
	}
	return m, contentType, err
}

// Types of files with pictures.
const (
	typeWebM = "video/webm"
	typeMP4  = "video/mp4"
)

// typeOf is WebM unless it has no codec for some of the pictures.
func typeOf(lanes []*lane) string {
	if slices.ContainsFunc(lanes, func(l *lane) bool { return l.encoding == encodingH264 }) {
		return typeMP4
	}
	return typeWebM
}

func newWebM(file io.Writer, lanes []*lane) (*webm.Writer, error) {
	tracks := []webm.Track{{Codec: webm.Opus, Channels: 2, PreSkip: preSkip, Split: true}}
	for _, l := range lanes {
		t := webm.Track{Width: l.look.width, Height: l.look.height}
		switch l.encoding {
		case encodingVP8:
			t.Codec = webm.VP8
		case encodingVP9:
			t.Codec = webm.VP9
		case encodingAV1:
			t.Codec, t.Private = webm.AV1, l.look.config
		default:
			return nil, fmt.Errorf("write webm: it has no codec %s", l.encoding)
		}
		tracks = append(tracks, t)
	}
	return webm.NewWriter(file, tracks)
}

func newMP4(file io.Writer, lanes []*lane) (*mp4.Writer, error) {
	tracks := []mp4.Track{{Codec: mp4.Opus, PreSkip: preSkip, Split: true}}
	for _, l := range lanes {
		t := mp4.Track{Width: l.look.width, Height: l.look.height, Config: l.look.config}
		switch l.encoding {
		case encodingVP8:
			t.Codec = mp4.VP8
		case encodingVP9:
			t.Codec = mp4.VP9
		case encodingAV1:
			t.Codec = mp4.AV1
		default:
			t.Codec = mp4.AVC
			if l.coder.inBand() {
				t.Codec = mp4.AVCInBand
			}
		}
		tracks = append(tracks, t)
	}
	return mp4.NewWriter(file, tracks)
}

// put takes a packet of video in.
func (m *movie) put(id [2]int, p header.Packet, at time.Duration) {
	if v := m.videos[id]; v != nil {
		v.put(p, at)
	}
}

func (m *movie) slot(left, right *slot) error {
	if err := m.show(); err != nil {
		return err
	}
	l, err := m.sides[0].next(left)
	if err != nil {
		return err
	}
	r, err := m.sides[1].next(right)
	if err != nil {
		return err
	}
	m.joint = oggopus.Join(m.joint[:0], l, r)
	err = m.w.Frame(0, m.at, true, m.joint)
	m.at += slotTime
	return err
}

// show writes the pictures that are there up to now. One that could be put together much later than it came is
// shown late.
func (m *movie) show() error {
	for _, v := range m.videos {
		v.release(m.at)
	}
	for _, l := range m.lanes {
		n := 0
		for n < len(l.done) && l.done[n].at <= m.at {
			p := &l.done[n]
			if err := m.w.Frame(l.number, max(p.at, m.at-settled), p.key, p.data); err != nil {
				return err
			}
			n++
		}
		l.done = l.done[n:]
	}
	return nil
}

func (m *movie) finish() error {
	for _, v := range m.videos {
		v.flush()
	}
	if err := m.show(); err != nil {
		return err
	}
	return m.w.Finish(m.file)
}
