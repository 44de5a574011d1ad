package session

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/recorder"
	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// shelf is where the recordings of a rig come to.
type shelf struct {
	dir    string
	key    *seal.Key
	closed chan string
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{dir: t.TempDir(), closed: make(chan string, 10)}
	var err error
	if s.key, err = seal.Load(filepath.Join(s.dir, "key"), false, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shelf) deck(t *testing.T) *recorder.Deck {
	t.Helper()
	d, err := recorder.New(recorder.Config{
		Dir: filepath.Join(s.dir, "spool"), Key: s.key, Log: slog.New(slog.DiscardHandler),
		Closed: func(id string) { s.closed <- id }, Tell: func(_, id string, why error) { t.Error(id, why) },
		Free: func() (uint64, error) { return 1 << 40, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// packets returns how many packets of each leg a closed recording holds, and its tracks.
func (s *shelf) packets(t *testing.T, id string) (count map[string]int, tracks []string) {
	t.Helper()
	parts, err := recorder.Parts(filepath.Join(s.dir, "spool"), id)
	if err != nil || len(parts) == 0 {
		t.Fatalf("recording %s has %d parts, %v", id, len(parts), err)
	}
	count = map[string]int{}
	for _, part := range parts {
		f, err := os.Open(part)
		if err != nil {
			t.Fatal(err)
		}
		r, err := reel.NewReader(f, s.key, recorder.Owner(id))
		legs := map[uint8]string{}
		for err == nil {
			var e reel.Entry
			if e, err = r.Next(); err != nil {
				break
			}
			switch e.Kind {
			case reel.KindTrack:
				leg := string(e.Data[len(`{"leg":"`)])
				legs[e.Track] = leg
				tracks = append(tracks, leg)
			case reel.KindPacket:
				count[legs[e.Track]]++
			}
		}
		if err != io.EOF || f.Close() != nil {
			t.Error(err)
		}
	}
	return count, tracks
}

func (c *call) record(do, id string, legs ...string) {
	c.r.t.Helper()
	in := ctl.MediaRecord{Session: c.id, ID: id, Do: do, About: map[string]string{"call": "7"}}
	for i, l := range legs {
		in.Legs = append(in.Legs, ctl.MediaRecordLeg{Leg: l, Channel: uint8(i)})
	}
	if err := c.r.Record(in); err != nil {
		c.r.t.Fatal(err)
	}
}

func (c *call) bye() []ctl.StreamStats {
	c.r.t.Helper()
	closed, err := c.r.CloseSession(ctl.MediaClose{Session: c.id})
	if err != nil {
		c.r.t.Fatal(err)
	}
	return closed.Streams
}

func TestARecordingHoldsBothPartiesButForItsPauses(t *testing.T) {
	t.Parallel()
	shelf := newShelf(t)
	r := newRigWith(t, newKeeper(t), nil, shelf.deck(t))
	c := r.call("one", "127.0.61.1", "127.0.61.2", "127.0.61.3")
	id := ids.Record(time.Now())
	c.talk() // not recorded
	c.record(ctl.RecordStart, id, "a", "b")
	c.talk()
	c.talk()
	c.record(ctl.RecordPause, id)
	for range 5 {
		c.talk()
	}
	c.record(ctl.RecordResume, id)
	c.talk()
	for _, st := range c.bye() {
		if !st.Recorded {
			t.Errorf("leg %s counts as not recorded", st.Leg)
		}
	}
	if got := <-shelf.closed; got != id {
		t.Errorf("closed %s", got)
	}
	if count, _ := shelf.packets(t, id); count["a"] != 3 || count["b"] != 3 {
		t.Errorf("it holds %v", count)
	}
	var told []string
	for len(r.events) > 0 {
		if ev := <-r.events; ev.Kind == ctl.MediaRecording && ev.ID == id {
			told = append(told, ev.Text)
		}
	}
	if !slices.Equal(told, []string{recordingBegun, recordingPaused, recordingResumed, recordingEnded}) {
		t.Errorf("told %q", told)
	}
}

// A party that is transferred away takes its leg with it; the conversation is one recording.
func TestARecordingSurvivesAChangeOfLegs(t *testing.T) {
	t.Parallel()
	shelf := newShelf(t)
	r := newRigWith(t, newKeeper(t), nil, shelf.deck(t))
	c := r.call("one", "127.0.62.1", "127.0.62.2", "127.0.62.3")
	id := ids.Record(time.Now())
	c.record(ctl.RecordStart, id, "a", "b")
	c.talk()
	third := newPhone(t, "127.0.62.4")
	up, err := r.Update(ctl.MediaUpdate{
		Session: "one", Legs: []ctl.MediaLeg{third.leg("c", "127.0.62.3", third.audio())}, Pairs: [][2]string{{"a", "c"}}, Drop: []string{"b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.record(ctl.RecordStart, id, "a", "c")
	c.b, c.pb = third, up.Ports["c"]
	c.talk()
	c.talk()
	c.record(ctl.RecordStop, id)
	<-shelf.closed
	c.talk() // goes on, and is not recorded
	if count, tracks := shelf.packets(t, id); count["a"] != 3 || count["b"] != 1 || count["c"] != 2 || len(tracks) != 3 {
		t.Errorf("it holds %v in tracks %q", count, tracks)
	}
}

func TestARecordingGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	shelf := newShelf(t)
	k := newKeeper(t)
	r := newRigWith(t, k, nil, shelf.deck(t))
	c := r.call("one", "127.0.63.1", "127.0.63.2", "127.0.63.3")
	id, paused := ids.Record(time.Now()), ids.Record(time.Now())
	c.record(ctl.RecordStart, id, "a", "b")
	c.record(ctl.RecordStart, paused, "a", "b")
	c.record(ctl.RecordPause, paused)
	c.talk()
	r = r.restart(k, shelf.deck(t))
	c.r = r
	c.talk()
	c.bye()
	first, second := <-shelf.closed, <-shelf.closed
	if first != id && second != id {
		t.Errorf("closed %s and %s", first, second)
	}
	if count, _ := shelf.packets(t, id); count["a"] != 2 || count["b"] != 2 {
		t.Errorf("it holds %v", count)
	}
	if count, _ := shelf.packets(t, paused); len(count) != 0 {
		t.Errorf("what was paused holds %v", count)
	}
}

func TestRecordsThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, newKeeper(t), nil, newShelf(t).deck(t))
	c := r.call("one", "127.0.64.1", "127.0.64.2", "127.0.64.3")
	id := ids.Record(time.Now())
	legs := []ctl.MediaRecordLeg{{Leg: "a"}}
	for name, in := range map[string]ctl.MediaRecord{
		"id":      {Session: c.id, ID: "one", Do: ctl.RecordStart, Legs: legs},
		"do":      {Session: c.id, ID: id, Do: "rewind"},
		"no legs": {Session: c.id, ID: id, Do: ctl.RecordStart},
		"leg":     {Session: c.id, ID: id, Do: ctl.RecordStart, Legs: []ctl.MediaRecordLeg{{Leg: "x"}}},
		"channel": {Session: c.id, ID: id, Do: ctl.RecordStart, Legs: []ctl.MediaRecordLeg{{Leg: "a", Channel: 2}}},
		"format":  {Session: c.id, ID: id, Do: ctl.RecordStart, Legs: legs, Format: "mp3"},
	} {
		if err := r.Record(in); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, in := range []ctl.MediaRecord{
		{Session: "two", ID: id, Do: ctl.RecordStart, Legs: legs}, {Session: c.id, ID: id, Do: ctl.RecordStop},
	} {
		if err := r.Record(in); !problem.Is(err, problem.Missing) {
			t.Errorf("%+v: %v", in, err)
		}
	}
	for range maxRecordings {
		if err := r.Record(ctl.MediaRecord{Session: c.id, ID: ids.Record(time.Now()), Do: ctl.RecordStart, Legs: legs}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Record(ctl.MediaRecord{Session: c.id, ID: id, Do: ctl.RecordStart, Legs: legs}); !problem.Is(err, problem.Full) {
		t.Errorf("one too many: %v", err)
	}
	none := newRig(t, newKeeper(t), nil)
	if err := none.call("one", "127.0.64.1", "127.0.64.2", "127.0.64.3").r.Record(ctl.MediaRecord{
		Session: "one", ID: id, Do: ctl.RecordStart, Legs: legs,
	}); !problem.Is(err, problem.Unavailable) || errors.Is(err, io.EOF) {
		t.Errorf("without a deck: %v", err)
	}
}
