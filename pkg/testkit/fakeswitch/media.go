package fakeswitch

import (
	"net/http"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// handleMedia keeps the policy of media as switchd does.
func (s *Switch) handleMedia(mux *http.ServeMux) {
	ctl.Handle(mux, "GET /v1/media/policy", func(*http.Request, ctl.None) (ctl.MediaPolicyState, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.media, nil
	})
	ctl.Handle(mux, "PUT /v1/media/policy", func(_ *http.Request, in ctl.MediaPolicyChange) (st ctl.MediaPolicyState, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if in.Was != s.media.Number {
			return st, problem.New(problem.Conflict, "conf.changed", "somebody changed the settings meanwhile", "look at them again")
		}
		if in.Policy.Site.Encryption == "maybe" {
			return st, problem.Fields("media.policy", []problem.Fault{{Path: "site.encryption", Value: "maybe", Rule: "one of three", Cure: "choose one"}})
		}
		s.media.MediaPolicy, s.media.Who = in.Policy, in.Who
		s.media.Number++
		return s.media, nil
	})
}
