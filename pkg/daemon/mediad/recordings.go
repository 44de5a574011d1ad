package mediad

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/media/courier"
	"github.com/coraltele/sanchar/pkg/media/develop"
	"github.com/coraltele/sanchar/pkg/media/recorder"
	"github.com/coraltele/sanchar/pkg/media/sound"
	"github.com/coraltele/sanchar/pkg/media/work"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// Folders and files in the data folder.
const (
	spoolDir  = "recordings" // of the deck
	readyDir  = "ready"      // in it: files for the archive
	keyFile   = "media.key"  // seals them
	soundsDir = "sounds"     // an admin's own
)

// studio is what mediad has besides the relay: workers for codecs, sounds, and all that a recording goes
// through.
type studio struct {
	work    *work.Pool
	sounds  *sound.Library
	deck    *recorder.Deck // nil without a data folder, and so the two behind it
	lab     *develop.Lab
	courier *courier.Courier
	admin   ctl.Admin
	keyless error // why nothing can be recorded
}

// openStudio opens the studio. Calls go on whatever is wrong with it.
func (d *Daemon) openStudio() (*studio, error) {
	s := &studio{work: work.New(d.cfg.Loops, slogx.Part(d.log, "work"))}
	s.sounds = sound.NewLibrary(filepath.Join(d.cfg.Data, soundsDir), d.cfg.Sounds)
	if d.cfg.Data == "" {
		s.sounds = sound.NewLibrary(d.cfg.Sounds)
		return s, nil
	}
	spool := filepath.Join(d.cfg.Data, spoolDir)
	_, err := os.Stat(spool)
	key, err := seal.Load(filepath.Join(d.cfg.Data, keyFile), err == nil, d.chip)
	if err != nil {
		d.log.Error("nothing can be recorded", "err", err)
		s.keyless = err
		return s, nil
	}
	s.admin = ctl.NewAdmin(d.cfg.Admin)
	if s.courier, err = courier.New(courier.Config{
		Dir: filepath.Join(spool, readyDir), Key: key, Put: s.admin.StoreRecording, Log: slogx.Part(d.log, "courier"),
	}); err != nil {
		return nil, err
	}
	if s.deck, err = recorder.New(recorder.Config{
		Dir: spool, Key: key, Log: slogx.Part(d.log, "recorder"), Closed: func(string) { s.lab.Wake() },
		Tell: func(session, id string, why error) {
			d.hub.tell(ctl.MediaEvent{Session: session, ID: id, Kind: ctl.MediaRecording, Text: "failed: " + why.Error(), At: time.Now()})
		},
	}); err != nil {
		return nil, err
	}
	s.lab = develop.NewLab(develop.LabConfig{
		Dir: filepath.Join(spool, recorder.ClosedDir), Key: key, Owner: recorder.Owner, Add: s.courier.Add, Has: s.courier.Has,
		Log: slogx.Part(d.log, "develop"),
	})
	return s, nil
}

// run runs the studio until ctx ends. Its parts fail by themselves and say so in their stats.
func (s *studio) run(ctx context.Context, wg *sync.WaitGroup) {
	runs := []func(context.Context) error{s.work.Run}
	if s.deck != nil {
		runs = append(runs, s.deck.Run, s.lab.Run, s.courier.Run)
		context.AfterFunc(ctx, func() { _ = s.admin.Close() }) // idle connections only
	}
	for _, run := range runs {
		wg.Go(func() { _ = run(ctx) }) // none returns an error: each tells by Stats
	}
}

// alarms returns what is wrong with the studio.
func (s *studio) alarms() (out []ctl.Alarm) {
	add := func(code, text, cure string) { out = append(out, ctl.Alarm{Code: code, Text: text, Cure: cure}) }
	if !s.sounds.Whole() {
		add("media.sounds.missing", "the spoken texts and the hold music of the box are not there: parties hear tones only",
			"install the sounds beside the programs (make prompts)")
	}
	if s.keyless != nil {
		add("media.record.key", "calls cannot be recorded: the key of the media data cannot be read", "restore the key file from a backup, then restart")
	}
	if s.deck == nil {
		return out
	}
	if st := s.deck.Stats(); st.Failing != nil {
		add("media.record.disk", "calls are not recorded: "+st.Failing.Error(), "make room on the disk of the media data, or replace it")
	}
	if waiting, err := s.lab.Stats(); err != nil {
		add("media.record.develop", "some recordings cannot be made into files", "send the log to support; what was recorded is kept")
	} else if waiting > maxBacklog {
		add("media.record.backlog", "recordings wait to be made into files: the box is too busy", "choose WAV for recordings: it costs a tenth")
	}
	if st := s.courier.Stats(); st.Failing != nil && time.Since(st.Since) > archiveAway {
		add("media.record.archive", "recordings wait on the box's disk: the archive does not take them", "look at the archive's own alarms; nothing is lost meanwhile")
	}
	return out
}

const (
	// maxBacklog recordings wait while a busy hour lasts; more will not be done by morning.
	maxBacklog = 2000
	// archiveAway is how long an archive may take to start anew.
	archiveAway = 5 * time.Minute
)

// settle closes the recordings whose calls ended while mediad was away.
func (s *studio) settle() error {
	if s.deck == nil {
		return nil
	}
	return s.deck.Settle()
}

// count fills in how much the studio does.
func (s *studio) count(st *ctl.MediaStatus) {
	st.Speaking = s.work.Stats().Jobs
	if s.deck == nil {
		return
	}
	deck := s.deck.Stats()
	films, _ := s.lab.Stats()
	st.Recordings, st.RecordingsLost, st.RecordingsWaiting = deck.Recordings, deck.Lost, films+s.courier.Stats().Waiting
}
