package mediad

import (
	"fmt"
	"net/http"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func (d *Daemon) handler() http.Handler {
	mux := http.NewServeMux()
	ctl.HandlePipe(mux, "POST /v1/pipe", d.verb)
	ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.MediaStatus, error) { return d.status() })
	ctl.Handle(mux, "PUT /v1/reach", d.setReach)
	ctl.Handle(mux, "GET /v1/sessions", func(*http.Request, ctl.None) ([]ctl.MediaSession, error) { return d.table.Sessions() })
	ctl.Stream(mux, "GET /v1/events", func(r *http.Request, emit func(any) error) error {
		return d.hub.send(r.Context(), emit)
	})
	return mux
}

// verb does one request of a pipe.
func (d *Daemon) verb(verb uint8, body []byte) (ctl.Packer, error) {
	switch verb {
	case ctl.VerbOffer:
		return with(body, d.table.Offer)
	case ctl.VerbAnswer:
		var in ctl.MediaAnswer
		if err := unpack(body, &in); err != nil {
			return nil, err
		}
		return nil, d.table.Answer(in)
	case ctl.VerbUpdate:
		return with(body, d.table.Update)
	case ctl.VerbClose:
		return with(body, d.table.CloseSession)
	case ctl.VerbRecord:
		return nil, only(body, d.table.Record)
	case ctl.VerbPlay:
		return nil, only(body, d.table.Play)
	case ctl.VerbDial:
		return nil, only(body, d.table.Dial)
	}
	return nil, problem.New(problem.Invalid, "media.verb", fmt.Sprintf("there is no verb %d", verb), "use one of package ctl")
}

type unpacker[T any] interface {
	*T
	ctl.Unpacker
}

type packer[T any] interface {
	*T
	ctl.Packer
}

func with[In, Out any, I unpacker[In], O packer[Out]](body []byte, do func(In) (Out, error)) (ctl.Packer, error) {
	var in In
	if err := unpack(body, I(&in)); err != nil {
		return nil, err
	}
	out, err := do(in)
	return O(&out), err
}

// only does a verb that answers nothing.
func only[In any, I unpacker[In]](body []byte, do func(In) error) error {
	var in In
	if err := unpack(body, I(&in)); err != nil {
		return err
	}
	return do(in)
}

func unpack(body []byte, in ctl.Unpacker) error {
	if err := ctl.Unpack(body, in); err != nil {
		return problem.Wrap(err, problem.Invalid, "media.body", "the body is not that of its verb: "+err.Error(), "see package ctl")
	}
	return nil
}

func (d *Daemon) status() (ctl.MediaStatus, error) {
	st, faults, err := d.table.Status()
	if err != nil {
		return ctl.MediaStatus{}, err
	}
	st.Version, st.Started = d.cfg.Version, d.started
	st.Ports.First, st.Ports.Last = d.cfg.Ports.First, d.cfg.Ports.Last
	st.STUN = d.turn.Listening()
	d.studio.count(&st)
	st.Alarms = d.alarms.look(d.pool.Fullest(), faults+int(d.studio.work.Stats().Faults), d.turn.Fault() != nil, d.studio.alarms()...)
	return st, nil
}
