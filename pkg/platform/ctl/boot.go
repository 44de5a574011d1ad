package ctl

import (
	"context"
	"net/http"
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
	Fault string   `json:"fault,omitempty"`
	Keys  BootKeys `json:"keys"`
	// Foreign says that the data partition is another box's: nothing of it is used.
	Foreign bool `json:"foreign,omitempty"`
	// Aside is what a version wrote that did not stay, and whose form the version that runs does not know.
	Aside []BootAside `json:"aside,omitempty"`
}

// Where the keys of the box lie.
const (
	KeysChip  = "chip"  // they open with the box's security chip only
	KeysClear = "clear" // on the disk: who has it has them
)

// BootKeys tells how the keys of the box are protected.
type BootKeys struct {
	Held string `json:"held,omitempty" enum:",chip,clear"`
	// Fault tells why the security chip does not hold them, though there is one.
	Fault string `json:"fault,omitempty"`
}

// BootAside is a file of which a newer version wrote its own, which is set aside.
type BootAside struct {
	File string    `json:"file" doc:"in the folder of all data" example:"switch/state.db"`
	At   time.Time `json:"at" doc:"when it was written last"`
}

// RecoveryCode opens the keys of the box when its security chip is lost.
type RecoveryCode struct {
	Code string `json:"code"`
}

// CrashFile is what the init tells of daemons that crashed again and again: a list of BootCrash, in the
// folder of the sockets.
const CrashFile = "crashes.json"

// BootCrash is a daemon that crashed again and again.
type BootCrash struct {
	Name   string    `json:"name"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"` // of the last crash
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
	// Adopt makes the data partition this box's own, though it is another's.
	Adopt bool `json:"adopt,omitempty"`
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

// Restart stops all daemons in order and starts the box again.
func (i Init) Restart(ctx context.Context, r RestartRequest) error {
	return i.Do(ctx, http.MethodPost, "/v1/restart", r, nil)
}

// RecoveryCode asks for the code that a person keeps.
func (i Init) RecoveryCode(ctx context.Context) (c RecoveryCode, err error) {
	return c, i.Do(ctx, http.MethodGet, "/v1/keys/code", nil, &c)
}

// Recover gives the keys to this box's security chip by the code that a person kept.
func (i Init) Recover(ctx context.Context, c RecoveryCode) error {
	return i.Do(ctx, http.MethodPost, "/v1/keys/recover", c, nil)
}
