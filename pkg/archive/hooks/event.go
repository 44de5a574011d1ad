package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/records"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/record"
)

// Event is what a hook's target gets.
type Event struct {
	Type      string    `json:"type" enum:"message.new,message.status,message.receipt,hook.test"`
	Timestamp time.Time `json:"timestamp" doc:"when it happened, not when it is sent"`
	Data      EventData `json:"data"`
}

// EventData is what happened.
type EventData struct {
	Status  string          `json:"status,omitempty" doc:"of message.status and message.receipt: the state that the message came to"`
	Message *record.Message `json:"message,omitempty" doc:"the message, or the receipt, as the log has it when this is sent. A receipt names its message in about"`
}

// outgoing is an event on its way.
type outgoing struct {
	id   string
	body []byte
}

// eventID names an event, for the receiver to see that it comes again. It has no dot, which separates
// what is signed.
func eventID(number uint64) string { return "ev_" + strconv.FormatUint(number, 10) }

func kindOf(what byte) string {
	switch what {
	case records.ChangeNew:
		return EventNew
	case records.ChangeReceipt:
		return EventReceipt
	}
	return EventStatus
}

// event makes what a hook is told of a change, nil if it is told nothing. A message whose time in the
// log is over is not told of.
func (e *Engine) event(ctx context.Context, s *Spec, c records.Change) (*outgoing, error) {
	kind := kindOf(c.What)
	if !slices.Contains(s.Events, kind) {
		return nil, nil
	}
	envelope, err := e.cfg.Archive.Get(ctx, record.KindMessage, c.ID)
	if problem.Is(err, problem.Missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m record.Message
	if err := json.Unmarshal(envelope.Data, &m); err != nil {
		return nil, fmt.Errorf("read message %s: %w", c.ID, err)
	}
	if !s.about(m.Sender.User, m.Recipient.User) {
		return nil, nil
	}
	ev := Event{Type: kind, Timestamp: m.At, Data: EventData{Message: &m}}
	switch kind {
	case EventReceipt:
		ev.Data.Status = m.Notice
	case EventStatus:
		ev.Data.Status = c.Status
		for _, change := range m.Changes {
			if change.Status == c.Status {
				ev.Timestamp = change.At
			}
		}
	}
	if !s.Content || kind == EventStatus {
		m.Bare()
	}
	body, err := json.Marshal(ev)
	return &outgoing{id: eventID(c.Number), body: body}, err
}
