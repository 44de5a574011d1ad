package ctl

import (
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// Events that a hook can be told of.
const (
	HookNew     = "message.new"     // somebody wrote
	HookStatus  = "message.status"  // a message was sent, delivered, displayed, or failed
	HookReceipt = "message.receipt" // a device said so
	HookTest    = "hook.test"       // an admin tried the hook
)

// HookOverlap is how long the secret before the newest signs as well: meanwhile a receiver changes over.
const HookOverlap = 24 * time.Hour

// HookSpec is what an admin decides about a hook, by which another system is told of messages.
type HookSpec struct {
	Name     string   `json:"name" doc:"what it is for" example:"CRM"`
	URL      string   `json:"url" doc:"where events are posted; https only" example:"https://crm.example.com/hooks/sanchar"`
	Events   []string `json:"events" doc:"which events: message.new, message.status, message.receipt"`
	Users    []string `json:"users,omitempty" doc:"names of the users whose messages it is told of, as sender or recipient; none is all"`
	Content  bool     `json:"content,omitempty" doc:"with what messages say, as far as the log keeps it; without it only that there was one"`
	Takes    bool     `json:"takes,omitempty" doc:"it stands for the phones of its users: a message to them that the target has taken waits for no phone. Such a hook names its users and is told of message.new"`
	CA       string   `json:"ca,omitempty" doc:"certificates, in PEM, that the target's is verified against; empty for those that the system trusts"`
	Disabled bool     `json:"disabled,omitempty" doc:"it is told nothing, and nothing is kept for it"`
}

// Hook is a hook and how it does.
type Hook struct {
	HookSpec
	ID       string     `json:"id"`
	Revision uint64     `json:"revision" doc:"grows with each change; guards against overwriting another's"`
	Created  time.Time  `json:"created"`
	By       string     `json:"by" doc:"who made it"`
	Rotated  time.Time  `json:"rotated" doc:"when its secret was made"`
	Health   HookHealth `json:"health"`
}

// States of a hook.
const (
	HookOff     = "off"
	HookWorking = "working"
	HookRetry   = "retrying" // the last try failed; there will be another one
	HookParked  = "parked"   // it failed for a day, or the target wants no more
)

// HookHealth is how a hook does.
type HookHealth struct {
	State       string       `json:"state" enum:"off,working,retrying,parked"`
	Waiting     int          `json:"waiting" doc:"events that wait, of all users; at most 10,000 are counted"`
	LastSuccess time.Time    `json:"last_success,omitzero"`
	Failure     *HookFailure `json:"failure,omitempty" doc:"of the last try, if it failed"`
	Since       time.Time    `json:"since,omitzero" doc:"when the event that is tried failed first"`
	Tries       int          `json:"tries,omitempty" doc:"of that event"`
	NextTry     time.Time    `json:"next_try,omitzero"`
}

// HookFailure is why an event was not taken, and what to do about it.
type HookFailure struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
	Cure string    `json:"cure"`
	Code int       `json:"code,omitempty" doc:"HTTP status of the answer, if there was one"`
}

// HookResult is what became of a try by an admin.
type HookResult struct {
	OK      bool          `json:"ok"`
	Code    int           `json:"code,omitempty" doc:"HTTP status of the answer, if there was one"`
	Took    time.Duration `json:"took"`
	Failure *HookFailure  `json:"failure,omitempty"`
}

// What is skipped when a hook is started again.
const (
	HookSkipNone = "none" // all that waits is told
	HookSkipOne  = "one"  // but the event that failed
	HookSkipAll  = "all"  // only what comes from now on is
)

// HookEvent is what a hook's target gets.
type HookEvent struct {
	Type      string        `json:"type" enum:"message.new,message.status,message.receipt,hook.test"`
	Timestamp time.Time     `json:"timestamp" doc:"when it happened, not when it is sent"`
	Data      HookEventData `json:"data"`
}

// HookEventData is what happened.
type HookEventData struct {
	Status  string          `json:"status,omitempty" doc:"of message.status and message.receipt: the state that the message came to"`
	Message *record.Message `json:"message,omitempty" doc:"the message, or the receipt, as the log has it when this is sent. A receipt names its message in about"`
}
