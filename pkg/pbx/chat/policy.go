package chat

import (
	"fmt"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// How long a message waits for its recipient, and for the receipts that come after it.
const (
	defaultKeep = 7  // days
	maxKeep     = 30 // days; what is to be found later is in the log
)

const (
	day       = 24 * time.Hour
	policyKey = "policy"
)

// Policy returns what the site's admin decided.
func (e *Engine) Policy() ctl.ChatPolicy { return *e.policy.Load() }

// SetPolicy changes it, for messages that come from now on.
func (e *Engine) SetPolicy(p ctl.ChatPolicy) error {
	if p.KeepDays < 1 || p.KeepDays > maxKeep {
		return problem.Fields("chat.policy", []problem.Fault{{
			Path: "keep_days", Value: fmt.Sprint(p.KeepDays), Rule: fmt.Sprintf("a message waits from 1 to %d days", maxKeep), Cure: "give a number of days in between",
		}})
	}
	done := make(chan error, 1)
	if _, open := e.ops.Put(op{do: func(t *inbox.Tx) { t.Set(policyKey, p) }, done: func(err error) { done <- err }}); !open {
		return problem.New(problem.Unavailable, "chat.away", "the box is being stopped", "try again in a moment")
	}
	if err := <-done; err != nil {
		return fmt.Errorf("keep chat policy: %w", err)
	}
	e.policy.Store(&p)
	return nil
}

func (e *Engine) loadPolicy() error {
	p := e.Policy()
	err := e.store.View(func(t *inbox.Tx) { t.Setting(policyKey, &p) })
	e.policy.Store(&p)
	return err
}

// keep is how long a message waits.
func (e *Engine) keep() time.Duration { return time.Duration(e.Policy().KeepDays) * day }
