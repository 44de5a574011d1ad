package fakeswitch

import (
	"net/http"
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func (s *Switch) handleMessages(mux *http.ServeMux) {
	ctl.Handle(mux, "POST /v1/messages", func(_ *http.Request, in ctl.NewMessage) (ctl.SentMessage, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(in.Body) == 0 {
			return ctl.SentMessage{}, problem.Fields("message.invalid", []problem.Fault{{Path: "content", Value: "0 bytes", Rule: "something", Cure: "write something"}})
		}
		s.sent = append(s.sent, in)
		return ctl.SentMessage{ID: ids.Record(time.Now()), CallID: "c1", From: in.From, To: in.To, At: time.Now().UTC(), Status: "stored"}, nil
	})
	ctl.Handle(mux, "POST /v1/messages/taken", func(*http.Request, ctl.TakenMessage) (ctl.None, error) { return ctl.None{}, nil })
}

// Sent returns the messages that programs have sent.
func (s *Switch) Sent() []ctl.NewMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}
