package ctl

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// When a call that a rule fits is recorded.
const (
	RecordAlways = "always"
	RecordDemand = "demand" // when a party or an admin asks for it
	RecordNever  = "never"  // not even then
)

// Which side of a call a rule's people are on.
const (
	SideAny    = "any"
	SideCaller = "caller"
	SideCallee = "callee"
)

// What the parties hear before a call is recorded.
const (
	NoticeNone = "none"
	NoticeTell = "tell" // that it is recorded
	NoticeAsk  = "ask"  // whether they agree, by a key
)

// RecordingRule says whether calls are recorded. The first rule that fits a call decides.
type RecordingRule struct {
	Name    string   `json:"name" doc:"what people call the rule; the record of a recording names it"`
	People  []string `json:"people" doc:"names or numbers of users; a * at the end stands for any rest; none is everybody"`
	Side    string   `json:"side" enum:"any,caller,callee" doc:"which side of the call they are on"`
	Numbers []string `json:"numbers" doc:"numbers or names of the other side; a * at the end stands for any rest; none is everybody"`
	Record  string   `json:"record" enum:"always,demand,never"`
	Notice  string   `json:"notice" enum:"none,tell,ask" doc:"what the parties hear before: nothing, that the call is recorded, or whether they agree by pressing 1"`
	Refused string   `json:"refused" enum:"go on,end" doc:"what becomes of a call whose party does not agree: it goes on without a recording, or ends"`
}

// RecordingPolicy says which calls are recorded, and how.
type RecordingPolicy struct {
	Rules  []RecordingRule `json:"rules" doc:"the first that fits a call decides; where none does it is not recorded"`
	Format string          `json:"format" enum:"opus,wav" doc:"of the sound"`
	Video  bool            `json:"video" doc:"pictures are recorded too"`
	Beep   uint16          `json:"beep" doc:"seconds between tones that remind of the recording; 0 for none"`
	Toggle string          `json:"toggle" doc:"keys that begin and end a recording during a call, as *1; empty for none"`
	Pause  string          `json:"pause" doc:"keys that interrupt a recording, and let it go on, as *2; empty for none"`
}

// RecordingSettings are the policy as somebody left it.
type RecordingSettings struct {
	RecordingPolicy
	Revision uint64 `json:"revision"`
}

// States of a live call's recording.
const (
	RecordingOff    = ""
	RecordingAsked  = "asked" // the parties hear that it will be recorded, or are asked
	RecordingOn     = "on"
	RecordingPaused = "paused"
)

// RecordingSettings returns which calls are recorded.
func (s Switch) RecordingSettings(ctx context.Context) (p RecordingSettings, err error) {
	return p, s.Do(ctx, http.MethodGet, "/v1/recording", nil, &p)
}

// SetRecordingPolicy changes it, if it is still of revision was.
func (s Switch) SetRecordingPolicy(ctx context.Context, p RecordingPolicy, was uint64, who string) error {
	v := url.Values{"revision": {strconv.FormatUint(was, 10)}, "who": {who}}
	return s.Do(ctx, http.MethodPut, "/v1/recording?"+v.Encode(), p, nil)
}

// RecordCall begins, interrupts, goes on with or ends the recording of a live call: do is one of the
// acts of MediaRecord. by is the admin's name for the record.
func (s Switch) RecordCall(ctx context.Context, id, do, by string) error {
	v := url.Values{"do": {do}, "by": {by}}
	return s.Do(ctx, http.MethodPost, "/v1/calls/"+url.PathEscape(id)+"/recording?"+v.Encode(), nil, nil)
}
