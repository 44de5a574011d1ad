package session

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/recorder"
	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/media/transcode"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/avc"
)

// maxRecordings of a session: each party's policy may ask for one.
const maxRecordings = 4

// Texts of MediaRecording.
const (
	recordingBegun   = "begun"
	recordingPaused  = "paused"
	recordingResumed = "resumed"
	recordingEnded   = "ended"
)

// recording is one of a session.
type recording struct {
	ask    ctl.MediaRecord
	paused bool
	rec    *recorder.Recording
	taps   map[*relay.Stream]*recorder.Tap
	beeped time.Time // when its parties were reminded
}

// Record starts or changes a recording.
func (t *Table) Record(in ctl.MediaRecord) error {
	t.takeBack(in.Session)
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.findLocked(in.Session)
	if err != nil {
		return err
	}
	if err := checkRecord(&in, s); err != nil {
		return err
	}
	r := s.recording(in.ID)
	if r == nil && in.Do != ctl.RecordStart {
		return problem.New(problem.Missing, "media.record.missing", "there is no recording "+short(in.ID), "start it first")
	}
	text, err := t.recordLocked(s, r, in)
	if err != nil {
		return err
	}
	if err := t.tuneLocked(s); err != nil {
		return err
	}
	t.keepLocked(s)
	if text != "" {
		t.tellRecording(s, in.ID, text)
	}
	return nil
}

func (t *Table) tellRecording(s *session, id, text string) {
	t.tell(ctl.MediaEvent{Session: s.id, ID: id, Kind: ctl.MediaRecording, Text: text, At: time.Now()})
}

// recordLocked does what is asked, and returns what is to be told of it. r is nil to begin.
func (t *Table) recordLocked(s *session, r *recording, in ctl.MediaRecord) (text string, err error) {
	switch {
	case r == nil:
		return recordingBegun, t.beginLocked(s, in, false)
	case in.Do == ctl.RecordStart:
		r.ask.Legs, r.ask.Beep = in.Legs, in.Beep
		return "", nil
	case in.Do == ctl.RecordStop:
		t.stopLocked(s, r)
		return recordingEnded, nil
	case in.Do == ctl.RecordPause && !r.paused:
		r.paused = true
		r.rec.Pause(true, s.loop.Now())
		return recordingPaused, nil
	case in.Do == ctl.RecordResume && r.paused:
		r.paused = false
		r.rec.Pause(false, s.loop.Now())
		return recordingResumed, nil
	}
	return "", nil
}

func checkRecord(in *ctl.MediaRecord, s *session) error {
	var c checker
	if _, ok := ids.RecordTime(in.ID); !ok { // the archive keeps it by this id
		c.fault("id", short(in.ID), "26 characters of a record id", "make one of the time now")
	}
	if !slices.Contains([]string{ctl.RecordStart, ctl.RecordPause, ctl.RecordResume, ctl.RecordStop}, in.Do) {
		c.fault("do", short(in.Do), "start, pause, resume or stop", "use one of package ctl")
	}
	if in.Do != ctl.RecordStart {
		return c.err()
	}
	if !slices.Contains([]string{"", formatOpus, formatWAV}, in.Format) {
		c.fault("format", short(in.Format), "opus or wav", "leave it out for opus")
	}
	if len(in.Legs) == 0 {
		c.fault("legs", "0", "at least one leg", "name the legs to record")
	}
	for _, l := range in.Legs {
		switch {
		case s.leg(l.Leg) == nil:
			c.fault("legs", short(l.Leg), "a leg of the session", "offer to it first")
		case l.Channel > 1:
			c.fault("legs", short(l.Leg), "channel 0 or 1", "name the side on which the leg is heard")
		}
	}
	return c.err()
}

// Formats of recordings.
const (
	formatOpus = "opus"
	formatWAV  = "wav"
)

func (s *session) recording(id string) *recording {
	i := slices.IndexFunc(s.recordings, func(r *recording) bool { return r.ask.ID == id })
	if i < 0 {
		return nil
	}
	return s.recordings[i]
}

// beginLocked begins a recording, or goes on with one after a restart.
func (t *Table) beginLocked(s *session, in ctl.MediaRecord, paused bool) error {
	switch {
	case t.deck == nil:
		return problem.New(problem.Unavailable, "media.record.none", "this box does not record", "give it a folder for recordings")
	case len(s.recordings) == maxRecordings:
		return problem.New(problem.Full, "media.record.many", "the call has four recordings already", "stop one of them")
	}
	if in.Format == "" {
		in.Format = formatOpus
	}
	now := s.loop.Now()
	rec, err := t.deck.Start(reel.About{
		ID: in.ID, Session: s.id, Format: in.Format, Video: in.Video, Wall: time.Now(), Labels: in.About,
	}, now)
	if err != nil {
		return err
	}
	if paused {
		rec.Pause(true, now)
	}
	s.recordings = append(s.recordings, &recording{ask: in, paused: paused, rec: rec, taps: map[*relay.Stream]*recorder.Tap{}, beeped: time.Now()})
	return nil
}

// stopLocked ends a recording. Its taps are taken off by the tuning that follows.
func (t *Table) stopLocked(s *session, r *recording) {
	s.recordings = slices.DeleteFunc(s.recordings, func(o *recording) bool { return o == r })
	s.stopped = append(s.stopped, r)
}

// reapLocked drops the recordings that have ended by a fault. That was told when it happened.
func (t *Table) reapLocked(s *session) {
	for _, r := range slices.Clone(s.recordings) {
		if r.rec.Failed() != nil {
			t.stopLocked(s, r)
		}
	}
	if len(s.stopped) == 0 {
		return
	}
	if err := t.tuneLocked(s); err != nil && !errors.Is(err, relay.ErrClosed) {
		t.log.Warn("media session could not be tuned", "session", s.id, "err", err)
	}
	t.keepLocked(s)
}

// wants reports whether the recording is to hear a stream.
func (r *recording) wants(l *leg, st *stream) (channel uint8, ok bool) {
	kind := strings.ToLower(st.kind)
	if kind != "audio" && (kind != "video" || !r.ask.Video) || st.said == nil {
		return 0, false
	}
	for _, rl := range r.ask.Legs {
		if rl.Leg == l.id {
			return rl.Channel, true
		}
	}
	return 0, false
}

// tap makes the taps that a recording is to have, and returns those that it has no more.
func (r *recording) tap(s *session) (old []*recorder.Tap, err error) {
	wanted := map[*relay.Stream]bool{}
	s.streams(func(l *leg, _ int, st *stream) {
		channel, ok := r.wants(l, st)
		if !ok || err != nil {
			return
		}
		wanted[st.relay] = true
		formats := taped(st.said)
		if r.taps[st.relay] != nil && slices.Equal(st.taped, formats) {
			return
		}
		if again := r.taps[st.relay]; again != nil { // of other formats: a track of its own
			old = append(old, again)
			delete(r.taps, st.relay)
		}
		st.recorded, st.taped = true, formats
		var tap *recorder.Tap
		if tap, err = r.rec.Tap(s.loop, trackOf(l, st, channel), s.loop.Now()); err == nil {
			r.taps[st.relay] = tap
			st.video.fresh = true
		}
	})
	for stream, tap := range r.taps {
		if !wanted[stream] {
			old = append(old, tap)
			delete(r.taps, stream)
		}
	}
	return old, err
}

func trackOf(l *leg, st *stream, channel uint8) reel.Track {
	track := reel.Track{Leg: l.id, Channel: channel, Kind: strings.ToLower(st.kind)}
	for _, f := range st.taped {
		track.Formats = append(track.Formats, reel.Format{
			PayloadType: f.PayloadType, Encoding: f.Encoding, ClockRate: f.ClockRate, Channels: f.Channels, Params: f.Params,
		})
	}
	return track
}

// taped is what a party sends. Parameter sets of H.264 are those that it says itself: those in what it was told
// are the other party's (RFC 6184 §8.2.2).
func taped(said *ctl.MediaStream) []ctl.MediaFormat {
	h264 := func(f ctl.MediaFormat) bool { return strings.EqualFold(f.Encoding, "H264") }
	own := slices.IndexFunc(said.Formats, func(f ctl.MediaFormat) bool { return h264(f) && len(avc.Sprop(f.Params)) > 0 })
	formats := slices.Clone(transcode.Told(said))
	for i := range formats {
		switch {
		case !h264(formats[i]):
		case own >= 0:
			formats[i].Params = said.Formats[own].Params
		case len(said.Told) > 0:
			formats[i].Params = ""
		}
	}
	return formats
}
