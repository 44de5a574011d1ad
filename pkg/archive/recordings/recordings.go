// Package recordings keeps recordings of calls: the sound encrypted in a vault, what it is of as a
// record, from when mediad hands it over until its time is over or an admin erases it.
package recordings

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/vault"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

const (
	// maxSize is a day of stereo sound as WAV at 16 kHz: what is longer is a fault of ours.
	maxSize = 12 << 30
	// quota of all recordings: the disk is what bounds them.
	quota = 1 << 60
	// owner of all recordings in the vault.
	owner = "recordings"
)

// Archive holds the records.
type Archive interface {
	Store(ctx context.Context, batch []record.Envelope) (changed int, err error)
	Get(ctx context.Context, kind record.Kind, id string) (record.Envelope, error)
}

// Config names those who do the work.
type Config struct {
	Vault   *vault.Vault
	Archive Archive
	Days    func() int // that a recording is kept
	Log     *slog.Logger
}

// Recordings takes recordings and plays them. Its methods may be called from any goroutine.
type Recordings struct {
	cfg     Config
	settled chan struct{} // closed when Run has ended

	mu     sync.Mutex // guards what follows
	taking map[string]bool
	parted map[string]ctl.StoredFile // sound without a record, by the id of the recording
	low    time.Time                 // since when the disk has no room for recordings; zero when it has
}

// New returns what keeps recordings.
func New(cfg Config) *Recordings {
	return &Recordings{cfg: cfg, settled: make(chan struct{}), taking: map[string]bool{}, parted: map[string]ctl.StoredFile{}}
}

// Handle serves mediad on mux.
func (s *Recordings) Handle(mux *http.ServeMux) {
	mux.HandleFunc("PUT /v1/recordings/{id}", func(w http.ResponseWriter, r *http.Request) {
		head, err := ctl.ReadRecordingHead(r)
		if err == nil {
			err = s.Take(r.Context(), head, r.Body)
		}
		s.noteRoom(err)
		if err != nil {
			s.cfg.Log.Warn("a recording was not taken", "id", head.ID, "err", err)
			ctl.WriteProblem(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// CodeRefused is the code of the problem that a recording will never be taken.
const CodeRefused = "recording.refused"

// Take keeps a recording. Without error it is on disk, and its record too. One that is kept already
// is not kept twice.
func (s *Recordings) Take(ctx context.Context, head ctl.RecordingHead, body io.Reader) error {
	if err := check(head); err != nil {
		return err
	}
	if !s.enter(head.ID) {
		return problem.New(problem.Unavailable, "recording.busy", "this recording is on its way already", "wait for it")
	}
	defer s.leave(head.ID)
	select {
	case <-s.settled:
	case <-ctx.Done():
		return ctx.Err()
	}
	switch e, err := s.cfg.Archive.Get(ctx, record.KindRecording, head.ID); {
	case err == nil:
		var was record.Recording
		if err := json.Unmarshal(e.Data, &was); err != nil {
			return err
		}
		if was.SHA256 == hex.EncodeToString(head.SHA256) {
			return nil
		}
		return refused("id", head.ID, "a recording with another content has this id")
	case problem.Of(err).Kind != problem.Missing:
		return err
	}
	f, kept, err := s.rejoin(head)
	if err == nil && !kept {
		f, err = s.keep(head, body)
	}
	if err != nil {
		return err
	}
	rec := describe(head, f)
	if err := s.store(ctx, rec); err != nil {
		_, dropErr := s.cfg.Vault.Remove(f.ID) // it comes again
		return errors.Join(err, dropErr)
	}
	return nil
}

// keep writes the sound into the vault, if it is what its head says.
func (s *Recordings) keep(head ctl.RecordingHead, body io.Reader) (ctl.StoredFile, error) {
	up, err := s.cfg.Vault.Begin(vault.Claim{
		OwnerID: owner, Owner: owner, MaxSize: maxSize, Quota: quota, Valid: time.Duration(s.cfg.Days()) * 24 * time.Hour,
	})
	if err != nil {
		return ctl.StoredFile{}, err
	}
	sum := newSum()
	n, err := io.Copy(io.MultiWriter(up, sum), io.LimitReader(body, head.Size+1))
	if err == nil && (n != head.Size || !bytes.Equal(sum.Sum(nil), head.SHA256)) {
		err = problem.New(problem.Unavailable, "recording.cut", fmt.Sprintf("%d bytes came, not the %d that were promised, or others", n, head.Size), "send it again")
	}
	if err != nil {
		up.Discard()
		return ctl.StoredFile{}, err
	}
	return up.Finish(head.ID, head.ContentType)
}

func describe(head ctl.RecordingHead, f ctl.StoredFile) record.Recording {
	rec := record.Recording{
		ID: head.ID, Start: head.Start, End: head.End, Duration: head.Duration, Broken: head.Broken, ContentType: head.ContentType,
		Size: f.Size, SHA256: hex.EncodeToString(f.SHA256), File: f.ID, Until: f.Until, Left: head.Peaks[0], Right: head.Peaks[1],
		Call:   head.About[ctl.AboutCall],
		Caller: record.Party{User: head.About[ctl.AboutCaller], Number: head.About[ctl.AboutCallerNumber]},
		Callee: record.Party{User: head.About[ctl.AboutCallee], Number: head.About[ctl.AboutCalleeNumber]},
		Why:    head.About[ctl.AboutWhy], By: head.About[ctl.AboutBy],
	}
	for k, v := range head.About {
		switch k {
		case ctl.AboutCall, ctl.AboutCaller, ctl.AboutCallerNumber, ctl.AboutCallee, ctl.AboutCalleeNumber, ctl.AboutWhy, ctl.AboutBy:
		default:
			if rec.About == nil {
				rec.About = map[string]string{}
			}
			rec.About[k] = v
		}
	}
	return rec
}

func (s *Recordings) store(ctx context.Context, rec record.Recording) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	_, err = s.cfg.Archive.Store(ctx, []record.Envelope{{ID: rec.ID, Kind: record.KindRecording, Version: record.Version, Data: data}})
	return err
}

// maxAbout bounds what the call engine says of a recording.
const maxAbout = 16 << 10

// check refuses a head that no recording can have.
func check(head ctl.RecordingHead) error {
	var faults []problem.Fault
	bad := func(path, value, rule string) {
		faults = append(faults, problem.Fault{Path: path, Value: value, Rule: rule, Cure: "this is a fault of the box: tell support"})
	}
	if _, ok := ids.RecordTime(head.ID); !ok {
		bad("id", head.ID, "26 characters of a record id that tell its time")
	}
	if head.Size <= 0 || head.Size > maxSize {
		bad("size", strconv.FormatInt(head.Size, 10), fmt.Sprintf("from 1 to %d bytes", int64(maxSize)))
	}
	if len(head.SHA256) != sumBytes {
		bad("sha256", hex.EncodeToString(head.SHA256), "a SHA-256 of 32 bytes")
	}
	if head.Start.IsZero() || head.End.Before(head.Start) || head.Duration < 0 {
		bad("end", head.End.Format(time.RFC3339), "not before the start")
	}
	for i, p := range head.Peaks {
		if len(p) > ctl.MaxPeaks {
			bad(fmt.Sprintf("peaks[%d]", i), strconv.Itoa(len(p)), fmt.Sprintf("at most %d bars", ctl.MaxPeaks))
		}
	}
	n := 0
	for k, v := range head.About {
		n += len(k) + len(v)
	}
	if n > maxAbout {
		bad("about", strconv.Itoa(n), fmt.Sprintf("at most %d bytes", maxAbout))
	}
	return problem.Fields(CodeRefused, faults)
}

func refused(path, value, rule string) error {
	return problem.Fields(CodeRefused, []problem.Fault{{Path: path, Value: value, Rule: rule, Cure: "this is a fault of the box: tell support"}})
}

// enter makes sure that a recording is taken once at a time.
func (s *Recordings) enter(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taking[id] {
		return false
	}
	s.taking[id] = true
	return true
}

func (s *Recordings) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.taking, id)
}

// noteRoom remembers since when the disk has no room.
func (s *Recordings) noteRoom(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch full := err != nil && problem.Of(err).Kind == problem.Full; {
	case !full && err == nil:
		s.low = time.Time{}
	case full && s.low.IsZero():
		s.low = time.Now()
	}
}

// Alarms returns what an admin must hear of.
func (s *Recordings) Alarms() []ctl.Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.low.IsZero() {
		return nil
	}
	return []ctl.Alarm{{
		Code: "recordings.disk", Since: s.low, Text: "the disk has no room for recordings: they wait where they were made, and the last of them may be lost",
		Cure: "free disk space, or keep recordings for fewer days",
	}}
}
