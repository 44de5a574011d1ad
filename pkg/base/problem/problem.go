// Package problem is the error that knows what a person or a peer may be told:
// a stable code, a text, a cure and every wrong field, with the cause kept for the log.
package problem

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what sort of answer a problem deserves; consoles map it to HTTP, the edge to SIP.
type Kind string

// The kinds. Keep them few: a caller branches on them.
const (
	Invalid     Kind = "invalid"     // a field breaks a rule
	Missing     Kind = "missing"     // the thing named does not exist
	Conflict    Kind = "conflict"    // it exists already, or changed since it was read
	Denied      Kind = "denied"      // who asks may not
	Unsigned    Kind = "unsigned"    // who asks is not known yet
	Full        Kind = "full"        // a limit or the disk is reached
	Unavailable Kind = "unavailable" // the part that would answer is away
	Internal    Kind = "internal"    // our fault
)

// Fault is one wrong field: where, what was given, the rule it breaks, and how to put it right.
type Fault struct {
	Path  string `json:"path"`
	Value string `json:"value"`
	Rule  string `json:"rule"`
	Cure  string `json:"cure"`
}

// Error is a problem. Its Text, Cure and Faults may be shown; its cause may not.
type Error struct {
	Kind   Kind    `json:"kind"`
	Code   string  `json:"code"` // stable, for programs: "user.number.taken"
	Text   string  `json:"text"`
	Cure   string  `json:"cure,omitempty"`
	Faults []Fault `json:"faults,omitempty"`

	cause error
}

// New returns a problem without a cause.
func New(kind Kind, code, text, cure string) *Error {
	return &Error{Kind: kind, Code: code, Text: text, Cure: cure}
}

// Wrap returns a problem that hides cause behind a text that may be shown.
func Wrap(cause error, kind Kind, code, text, cure string) *Error {
	return &Error{Kind: kind, Code: code, Text: text, Cure: cure, cause: cause}
}

// Fields returns an Invalid problem for faults, or nil when there are none.
func Fields(code string, faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	text := "1 field is wrong"
	if len(faults) > 1 {
		text = fmt.Sprintf("%d fields are wrong", len(faults))
	}
	return &Error{Kind: Invalid, Code: code, Text: text, Cure: "correct the fields named and send it again", Faults: faults}
}

// Error returns text, faults and cause: it is for the log.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Code + ": " + e.Text)
	for _, f := range e.Faults {
		fmt.Fprintf(&b, "; %s %q: %s", f.Path, f.Value, f.Rule)
	}
	if e.cause != nil {
		b.WriteString(": " + e.cause.Error())
	}
	return b.String()
}

// Unwrap returns the hidden cause.
func (e *Error) Unwrap() error { return e.cause }

// Of returns the problem in err's chain. An error that is none becomes an Internal problem
// whose public text says nothing about it.
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Wrap(err, Internal, "internal", "the box could not do this", "try again; if it stays, send the log to support")
}

// Is reports whether err is a problem of this kind.
func Is(err error, kind Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == kind
}
