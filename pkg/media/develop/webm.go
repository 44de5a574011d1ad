package develop

import (
	"cmp"
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/rtp/header"
	"github.com/coraltele/sanchar/pkg/rtp/oggopus"
	"github.com/coraltele/sanchar/pkg/rtp/webm"
)

// maxPictures tracks of video are in a file; a player shows one at a time.
const maxPictures = 7

// webmFile writes pictures with the sound of both parties.
type webmFile struct {
	file   File
	w      *webm.Writer
	sides  [2]side
	joint  []byte
	at     time.Duration
	tracks map[[2]int]int // of the film: track of the file
	videos map[[2]int]*pictures
}

// newWebM begins a file with a track of sound and one for each of the film's that has pictures.
func newWebM(file File, rate int, found map[[2]int]*pictures) (*webmFile, error) {
	f := &webmFile{file: file, tracks: map[[2]int]int{}, videos: map[[2]int]*pictures{}}
	for i := range f.sides {
		f.sides[i].rate = rate
	}
	ids := make([][2]int, 0, len(found))
	for id := range found {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b [2]int) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	tracks := []webm.Track{{Codec: webm.Opus, Channels: 2, PreSkip: preSkip, Split: true}}
	for _, id := range ids[:min(len(ids), maxPictures)] {
		v := found[id]
		f.tracks[id] = len(tracks)
		f.videos[id] = newPictures(&reel.Track{Formats: v.formats})
		tracks = append(tracks, webm.Track{Codec: v.codec, Width: v.width, Height: v.height})
	}
	var err error
	f.w, err = webm.NewWriter(file, tracks)
	return f, err
}

// put takes a packet of video in.
func (f *webmFile) put(id [2]int, p header.Packet, at time.Duration) {
	if v := f.videos[id]; v != nil {
		v.put(p, at)
	}
}

func (f *webmFile) slot(left, right *slot) error {
	if err := f.show(); err != nil {
		return err
	}
	l, err := f.sides[0].next(left)
	if err != nil {
		return err
	}
	r, err := f.sides[1].next(right)
	if err != nil {
		return err
	}
	f.joint = oggopus.Join(f.joint[:0], l, r)
	err = f.w.Frame(0, f.at, true, f.joint)
	f.at += slotTime
	return err
}

// show writes the pictures that are there up to now.
func (f *webmFile) show() error {
	for id, v := range f.videos {
		n := 0
		for n < len(v.done) && v.done[n].at <= f.at {
			p := &v.done[n]
			if err := f.w.Frame(f.tracks[id], p.at, p.key, p.data); err != nil {
				return err
			}
			n++
		}
		v.done = v.done[n:]
	}
	return nil
}

func (f *webmFile) finish() error {
	f.at = maxLength
	if err := f.show(); err != nil {
		return err
	}
	return f.w.Finish(f.file)
}
