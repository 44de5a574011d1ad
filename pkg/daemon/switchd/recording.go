package switchd

import (
	"net/http"
	"strconv"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// recordingRoutes are about what is recorded.
func (d *Daemon) recordingRoutes(mux *http.ServeMux) {
	ctl.Handle(mux, "GET /v1/recording", func(*http.Request, ctl.None) (ctl.RecordingSettings, error) {
		p, rev := d.recording.Load()
		return ctl.RecordingSettings{RecordingPolicy: p, Revision: rev.Number}, nil
	})
	ctl.Handle(mux, "PUT /v1/recording", func(r *http.Request, in ctl.RecordingPolicy) (none ctl.None, err error) {
		q := r.URL.Query()
		was, err := strconv.ParseUint(q.Get("revision"), 10, 64)
		if err == nil {
			_, err = d.recording.Save(in, was, q.Get("who"))
		}
		return none, err
	})
	ctl.Handle(mux, "POST /v1/calls/{id}/recording", func(r *http.Request, _ ctl.None) (ctl.None, error) {
		q := r.URL.Query()
		return ctl.None{}, d.calls.RecordCall(r.PathValue("id"), q.Get("do"), q.Get("by"))
	})
}
