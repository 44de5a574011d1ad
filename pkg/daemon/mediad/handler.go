package mediad

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func (d *Daemon) handler() http.Handler {
	mux := http.NewServeMux()
	ctl.HandlePipe(mux, "POST /v1/pipe", d.verb)
	ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.MediaStatus, error) { return d.status() })
	ctl.Handle(mux, "GET /v1/sessions", func(*http.Request, ctl.None) ([]ctl.MediaSession, error) { return d.table.Sessions() })
	ctl.Stream(mux, "GET /v1/events", func(r *http.Request, emit func(any) error) error {
		return d.hub.send(r.Context(), emit)
	})
	return mux
}

// verb does one request of a pipe.
func (d *Daemon) verb(verb uint8, body []byte) (any, error) {
	switch verb {
	case ctl.VerbOffer:
		return with(body, d.table.Offer)
	case ctl.VerbAnswer:
		return with(body, func(in ctl.MediaAnswer) (ctl.None, error) { return ctl.None{}, d.table.Answer(in) })
	case ctl.VerbUpdate:
		return with(body, d.table.Update)
	case ctl.VerbClose:
		return with(body, d.table.CloseSession)
	}
	return nil, problem.New(problem.Invalid, "media.verb", fmt.Sprintf("there is no verb %d", verb), "use one of package ctl")
}

func with[In, Out any](body []byte, do func(In) (Out, error)) (any, error) {
	var in In
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "json", "the body is not the JSON asked for: "+err.Error(), "see package ctl")
	}
	return do(in)
}

func (d *Daemon) status() (ctl.MediaStatus, error) {
	st, faults, err := d.table.Status()
	if err != nil {
		return ctl.MediaStatus{}, err
	}
	st.Version, st.Started = d.cfg.Version, d.started
	st.Ports.First, st.Ports.Last = d.cfg.Ports.First, d.cfg.Ports.Last
	st.Alarms = d.alarms.look(d.pool.Fullest(), faults)
	return st, nil
}
