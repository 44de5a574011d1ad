package recordings

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// A recording is kept in two steps, its sound and then its record, and erased in two. What a crash in between
// has left is looked for at the next start: sound that no record leads to.

// Run looks for such sound, once. No recording is taken before.
func (s *Recordings) Run(ctx context.Context) error {
	defer close(s.settled)
	if err := s.settle(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Log.Error("sound that belongs to no recording is not all found", "err", err)
	}
	return nil
}

// settle erases the sound whose record leads to another file, or says that it is erased. Where there is no
// record mediad has the recording still, and sends it again: its sound is known then.
func (s *Recordings) settle(ctx context.Context) error {
	return s.cfg.Vault.Each(func(f ctl.StoredFile) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		e, err := s.cfg.Archive.Get(ctx, record.KindRecording, f.Name)
		if problem.Is(err, problem.Missing) {
			s.mu.Lock()
			s.parted[f.Name] = f
			s.mu.Unlock()
			return nil
		}
		var rec record.Recording
		if err == nil {
			err = json.Unmarshal(e.Data, &rec)
		}
		if err != nil || rec.File == f.ID {
			return err
		}
		s.cfg.Log.Info("sound that a crash left over is erased", "recording", f.Name)
		return s.remove(f.ID)
	})
}

// remove erases sound, if it is not erased already.
func (s *Recordings) remove(file string) error {
	if _, err := s.cfg.Vault.Remove(file); err != nil && !problem.Is(err, problem.Missing) {
		return err
	}
	return nil
}

// rejoin returns the sound of a recording that was kept before a crash. Other sound that was kept for it
// is erased.
func (s *Recordings) rejoin(head ctl.RecordingHead) (f ctl.StoredFile, ok bool, err error) {
	s.mu.Lock()
	was, known := s.parted[head.ID]
	delete(s.parted, head.ID)
	s.mu.Unlock()
	if !known {
		return f, false, nil
	}
	if was.Size == head.Size && bytes.Equal(was.SHA256, head.SHA256) {
		if f, err = s.cfg.Vault.Stat(was.ID); err == nil {
			return f, true, nil
		}
	}
	return f, false, s.remove(was.ID)
}
