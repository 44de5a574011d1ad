package ctl

import (
	"context"

	"github.com/coraltele/sanchar/pkg/base/pack"
)

// What MediaRecord may ask.
const (
	RecordStart  = "start" // asked again it takes the legs named now: after a transfer, for instance
	RecordPause  = "pause"
	RecordResume = "resume"
	RecordStop   = "stop"
)

// MediaRecord starts or changes a recording of a session. It ends with its session at the latest.
type MediaRecord struct {
	Session string            `json:"session"`
	ID      string            `json:"id"` // of the recording, unique for ever
	Do      string            `json:"do"`
	Legs    []MediaRecordLeg  `json:"legs,omitempty"`
	Video   bool              `json:"video,omitempty"`
	Format  string            `json:"format,omitempty"` // of sound: "opus" (default) or "wav"
	Beep    uint16            `json:"beep,omitempty"`   // seconds between tones that remind of it; 0: none
	About   map[string]string `json:"about,omitempty"`  // goes with the file: the call, its parties, why it is recorded
}

// MediaRecordLeg is a party of a recording.
type MediaRecordLeg struct {
	Leg     string `json:"leg"`
	Channel uint8  `json:"channel"` // 0 left, 1 right
}

// MediaSound is one thing to play.
type MediaSound struct {
	Prompt  string `json:"prompt,omitempty"`  // name of a text of the box, or of a file of the enterprise
	Tone    string `json:"tone,omitempty"`    // "ringback", "busy", "congestion", "beep", ...
	Music   string `json:"music,omitempty"`   // name of hold music; "default" is what the box has
	Silence uint32 `json:"silence,omitempty"` // ms of comfort RTP; with Loop for as long as it is played
	Loop    bool   `json:"loop,omitempty"`    // for ever
}

// MediaPlay makes a leg's party hear sounds one after another, instead of the other party. None stop
// what is played.
type MediaPlay struct {
	Session  string       `json:"session"`
	Leg      string       `json:"leg"`
	ID       string       `json:"id,omitempty"` // is told by MediaPlayed when the last sound has ended
	Sounds   []MediaSound `json:"sounds,omitempty"`
	Language string       `json:"language,omitempty"` // "en", "hi"
	Volume   int          `json:"volume,omitempty"`   // dB added
}

// MediaDial sends digits to a leg's party as it takes them: by RFC 4733, or as tones.
type MediaDial struct {
	Session string `json:"session"`
	Leg     string `json:"leg"`
	Digits  string `json:"digits"`
	Millis  uint16 `json:"millis,omitempty"` // of each; 0: 100
}

// Pack appends the request.
func (m *MediaRecord) Pack(w *pack.Writer) {
	w.String(m.Session)
	w.String(m.ID)
	w.String(m.Do)
	pack.WriteList(w, m.Legs, (*MediaRecordLeg).pack)
	w.Bool(m.Video)
	w.String(m.Format)
	w.Uint(uint64(m.Beep))
	w.Uint(uint64(len(m.About)))
	for k, v := range m.About {
		w.String(k)
		w.String(v)
	}
}

// Unpack reads the request.
func (m *MediaRecord) Unpack(r *pack.Reader) {
	m.Session, m.ID, m.Do = r.String(), r.String(), r.String()
	m.Legs = pack.ReadList(r, (*MediaRecordLeg).unpack)
	m.Video, m.Format, m.Beep = r.Bool(), r.String(), uint16(r.Uint())
	n := r.Len()
	if n > 0 && r.Err == nil {
		m.About = map[string]string{}
	}
	for ; n > 0 && r.Err == nil; n-- {
		k := r.String()
		m.About[k] = r.String()
	}
}

func (l *MediaRecordLeg) pack(w *pack.Writer) {
	w.String(l.Leg)
	w.Uint(uint64(l.Channel))
}

func (l *MediaRecordLeg) unpack(r *pack.Reader) { l.Leg, l.Channel = r.String(), uint8(r.Uint()) }

func (s *MediaSound) pack(w *pack.Writer) {
	w.String(s.Prompt)
	w.String(s.Tone)
	w.String(s.Music)
	w.Uint(uint64(s.Silence))
	w.Bool(s.Loop)
}

func (s *MediaSound) unpack(r *pack.Reader) {
	s.Prompt, s.Tone, s.Music, s.Silence, s.Loop = r.String(), r.String(), r.String(), uint32(r.Uint()), r.Bool()
}

// Pack appends the request.
func (m *MediaPlay) Pack(w *pack.Writer) {
	w.String(m.Session)
	w.String(m.Leg)
	w.String(m.ID)
	pack.WriteList(w, m.Sounds, (*MediaSound).pack)
	w.String(m.Language)
	w.Int(m.Volume)
}

// Unpack reads the request.
func (m *MediaPlay) Unpack(r *pack.Reader) {
	m.Session, m.Leg, m.ID = r.String(), r.String(), r.String()
	m.Sounds = pack.ReadList(r, (*MediaSound).unpack)
	m.Language, m.Volume = r.String(), r.Int()
}

// Pack appends the request.
func (m *MediaDial) Pack(w *pack.Writer) {
	w.String(m.Session)
	w.String(m.Leg)
	w.String(m.Digits)
	w.Uint(uint64(m.Millis))
}

// Unpack reads the request.
func (m *MediaDial) Unpack(r *pack.Reader) {
	m.Session, m.Leg, m.Digits, m.Millis = r.String(), r.String(), r.String(), uint16(r.Uint())
}

// Record starts or changes a recording.
func (m Media) Record(ctx context.Context, in MediaRecord) error {
	return m.pipe.Call(ctx, VerbRecord, &in, nil)
}

// Play makes a party hear sounds.
func (m Media) Play(ctx context.Context, in MediaPlay) error {
	return m.pipe.Call(ctx, VerbPlay, &in, nil)
}

// Dial sends digits to a party.
func (m Media) Dial(ctx context.Context, in MediaDial) error {
	return m.pipe.Call(ctx, VerbDial, &in, nil)
}
