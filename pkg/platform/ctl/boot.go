package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// States of an image on the boot partition.
const (
	ImageGood   = "good"
	ImageTrial  = "trial"  // it starts as long as it has tries left
	ImageFailed = "failed" // it had them all
)

// Boot is what the init says of how the box was started.
type Boot struct {
	Version string       `json:"version"`
	Slot    string       `json:"slot,omitempty"` // that runs; "" on a machine that has no slots
	Images  []BootImage  `json:"images,omitempty"`
	Trial   *BootTrial   `json:"trial,omitempty"` // of the version that runs
	Failed  []BootFailed `json:"failed,omitempty"`
	Serial  string       `json:"serial,omitempty"`
	// Fault tells why the boot partition cannot be read.
	Fault string `json:"fault,omitempty"`
}

// BootImage is a version on the boot partition.
type BootImage struct {
	Version string `json:"version"`
	Slot    string `json:"slot"`
	State   string `json:"state" enum:"good,trial,failed"`
	Left    int    `json:"left,omitempty" doc:"tries to start that it has still"`
}

// BootTrial is the trial of the version that runs: until the end it is to show that it is well.
type BootTrial struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	Start int       `json:"start" doc:"which of its tries this is"`
}

// BootFailed is a version that was tried and given up.
type BootFailed struct {
	Version string    `json:"version"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
}

// TrialReport ends the trial of the version that runs.
type TrialReport struct {
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"` // why it is not well
}

// RestartRequest asks for a restart of the box.
type RestartRequest struct {
	Why string `json:"why"`
	// Reset erases what the box keeps, but for its identity.
	Reset bool `json:"reset,omitempty"`
}

// Who says a LogLine, beside the daemons.
const (
	LogInit   = "init"
	LogKernel = "kernel" // what is wrong: the rest is in its own buffer
)

// LogLine is what a program of the box has said.
type LogLine struct {
	At   time.Time `json:"at"`
	From string    `json:"from"` // LogInit, LogKernel, or a daemon
	Text string    `json:"text"`
}

// Init is a client of the box's first program.
type Init struct{ *Client }

// NewInit returns a client of the init that serves socket.
func NewInit(socket string) Init { return Init{NewClient("init", socket)} }

// Boot asks how the box was started.
func (i Init) Boot(ctx context.Context) (b Boot, err error) {
	return b, i.Do(ctx, http.MethodGet, "/v1/boot", nil, &b)
}

// EndTrial keeps the version that runs, or gives it up and starts the one before.
func (i Init) EndTrial(ctx context.Context, r TrialReport) error {
	return i.Do(ctx, http.MethodPost, "/v1/trial", r, nil)
}

// Log calls each for the last lines that the programs of the box have said, so many of them, and then, if
// follow is true, for those that come, until ctx ends.
func (i Init) Log(ctx context.Context, last int, follow bool, each func(LogLine) error) error {
	v := url.Values{"last": {strconv.Itoa(last)}, "follow": {strconv.FormatBool(follow)}}
	err := i.Listen(ctx, "/v1/log?"+v.Encode(), func(text json.RawMessage) error {
		var line LogLine
		if err := json.Unmarshal(text, &line); err != nil {
			return err
		}
		return each(line)
	})
	if !follow && errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Restart stops all daemons in order and starts the box again.
func (i Init) Restart(ctx context.Context, r RestartRequest) error {
	return i.Do(ctx, http.MethodPost, "/v1/restart", r, nil)
}
