package main

import (
	"net/http"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// routes are what admind asks of us; ctl.Init is the client.
func (s *starter) routes() http.Handler {
	mux := http.NewServeMux()
	ctl.Handle(mux, "GET /v1/boot", func(*http.Request, ctl.None) (ctl.Boot, error) { return s.boot(), nil })
	ctl.Handle(mux, "POST /v1/trial", func(_ *http.Request, in ctl.TrialReport) (ctl.None, error) { return ctl.None{}, s.end(in) })
	ctl.Handle(mux, "POST /v1/restart", func(_ *http.Request, in ctl.RestartRequest) (ctl.None, error) {
		if in.Reset {
			if err := s.askReset(); err != nil {
				return ctl.None{}, err
			}
		}
		if in.Adopt {
			if err := s.adopt(); err != nil {
				return ctl.None{}, err
			}
		}
		s.restart(in.Why)
		return ctl.None{}, nil
	})
	ctl.Handle(mux, "GET /v1/keys/code", func(*http.Request, ctl.None) (ctl.RecoveryCode, error) { return s.chip.code() })
	ctl.Handle(mux, "POST /v1/keys/recover", func(_ *http.Request, in ctl.RecoveryCode) (ctl.None, error) {
		if err := s.chip.recover(in.Code); err != nil {
			return ctl.None{}, err
		}
		s.restart("the keys were recovered")
		return ctl.None{}, nil
	})
	return mux
}
