package fakeswitch

import (
	"net/http"
	"strconv"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/pbx/recording"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// handleRecording keeps which calls are recorded, by switchd's own rules.
func (s *Switch) handleRecording(mux *http.ServeMux) {
	ctl.Handle(mux, "GET /v1/recording", func(*http.Request, ctl.None) (ctl.RecordingSettings, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.recording.Revision == 0 {
			return ctl.RecordingSettings{RecordingPolicy: recording.Default()}, nil
		}
		return s.recording, nil
	})
	ctl.Handle(mux, "PUT /v1/recording", func(r *http.Request, in ctl.RecordingPolicy) (none ctl.None, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if was, err := strconv.ParseUint(r.URL.Query().Get("revision"), 10, 64); err != nil || was != s.recording.Revision {
			return none, problem.New(problem.Conflict, "conf.changed", "somebody changed the settings meanwhile", "look at them again")
		}
		if err := problem.Fields("conf.invalid", recording.Faults(in)); err != nil {
			return none, err
		}
		s.recording = ctl.RecordingSettings{RecordingPolicy: in, Revision: s.recording.Revision + 1}
		return none, nil
	})
	ctl.Handle(mux, "POST /v1/calls/{id}/recording", func(r *http.Request, _ ctl.None) (none ctl.None, err error) {
		q := r.URL.Query()
		s.mu.Lock()
		c, ok := s.calls[r.PathValue("id")]
		s.recorded[c.ID] = q.Get("do") + " " + q.Get("by")
		s.mu.Unlock()
		if !ok {
			return none, problem.New(problem.Missing, "call.missing", "there is no such call", "it may be over: look at the call log")
		}
		c.Recording = map[string]string{
			ctl.RecordStart: ctl.RecordingOn, ctl.RecordResume: ctl.RecordingOn, ctl.RecordPause: ctl.RecordingPaused,
		}[q.Get("do")]
		s.SetCall(c)
		return none, nil
	})
}

// Recorded tells what was asked last for a call's recording, and by whom.
func (s *Switch) Recorded(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recorded[id]
}
