package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/coraltele/sanchar/pkg/archive/records"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// outgoing is an event on its way.
type outgoing struct {
	id    string
	body  []byte            // nil if the hook is not told
	taken *ctl.TakenMessage // what switchd is told then, nil for nothing
}

// eventID names an event, for the receiver to see that it comes again. It has no dot, which separates
// what is signed.
func eventID(number uint64) string { return "ev_" + strconv.FormatUint(number, 10) }

func kindOf(what byte) string {
	switch what {
	case records.ChangeNew:
		return ctl.HookNew
	case records.ChangeReceipt:
		return ctl.HookReceipt
	}
	return ctl.HookStatus
}

// event makes what a hook is told of a change, nil if it is told nothing. A message whose time in the
// log is over is not told of.
func (e *Engine) event(ctx context.Context, s *ctl.HookSpec, c records.Change) (*outgoing, error) {
	kind := kindOf(c.What)
	wanted := slices.Contains(s.Events, kind)
	if !wanted && (!s.Takes || kind == ctl.HookStatus) {
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
	if !about(s, m.Sender.User, m.Recipient.User) {
		return nil, nil
	}
	out := &outgoing{id: eventID(c.Number)}
	if s.Takes && kind != ctl.HookStatus && names(s, m.Recipient.User) {
		out.taken = &ctl.TakenMessage{ID: m.ID, CallID: m.CallID, Sender: m.Sender.User, Recipient: m.Recipient.User, By: s.Name}
	}
	if wanted {
		out.body, err = json.Marshal(eventOf(s, kind, c.Status, &m))
	}
	return out, err
}

// eventOf is what a hook is told of a message. It takes away from m what the hook is not told.
func eventOf(s *ctl.HookSpec, kind, status string, m *record.Message) ctl.HookEvent {
	ev := ctl.HookEvent{Type: kind, Timestamp: m.At, Data: ctl.HookEventData{Message: m}}
	switch kind {
	case ctl.HookReceipt:
		ev.Data.Status = m.Notice
	case ctl.HookStatus:
		ev.Data.Status = status
		for _, change := range m.Changes {
			if change.Status == status {
				ev.Timestamp = change.At
			}
		}
	}
	if !s.Content || kind == ctl.HookStatus {
		m.Bare()
	}
	return ev
}
