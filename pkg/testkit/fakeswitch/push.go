package fakeswitch

import (
	"net/http"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// handlePush keeps who wakes devices as switchd does: secrets go in and do not come out.
func (s *Switch) handlePush(mux *http.ServeMux) {
	ctl.Handle(mux, "GET /v1/push", func(*http.Request, ctl.None) (ctl.PushSettings, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.push, nil
	})
	ctl.Handle(mux, "PUT /v1/push", func(_ *http.Request, in ctl.PushSettings) (none ctl.None, err error) {
		if in.Hook == "not an address" {
			return none, problem.Fields("push", []problem.Fault{{Path: "hook", Value: in.Hook, Rule: "an address", Cure: "send one"}})
		}
		for _, k := range []*ctl.PushKey{&in.APNS, &in.FCM} {
			k.Set, k.Secret = k.Set || k.Secret != "", ""
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.push = in
		return none, nil
	})
}
