package ctl

import (
	"context"
	"net/http"
	"time"
)

// Phases of an update.
const (
	UpdateIdle       = ""
	UpdateReceiving  = "receiving"  // it comes and is written
	UpdateWaiting    = "waiting"    // for calls to end
	UpdateRestarting = "restarting" // the box starts the new version
)

// UpdateState is how an update stands.
type UpdateState struct {
	Able        bool         `json:"able" doc:"the box has two places for versions"`
	Version     string       `json:"version" doc:"that runs"`
	Board       string       `json:"board,omitempty"`
	Slot        string       `json:"slot,omitempty"`
	Images      []BootImage  `json:"images,omitempty"`
	Trial       *BootTrial   `json:"trial,omitempty"`
	Waiting     string       `json:"waiting,omitempty" doc:"what the trial waits for"`
	Failed      []BootFailed `json:"failed,omitempty"`
	Fault       string       `json:"fault,omitempty" doc:"why the box cannot tell"`
	Development bool         `json:"development,omitempty" doc:"anybody may have the keys that this box trusts"`
	Keys        BootKeys     `json:"keys" doc:"how the keys of the box are protected"`
	Foreign     bool         `json:"foreign,omitempty" doc:"the data partition is another box's: nothing of it is used"`
	Aside       []BootAside  `json:"aside,omitempty" doc:"what a version wrote that did not stay, kept aside and not in use"`

	Phase  string    `json:"phase" enum:",receiving,waiting,restarting"`
	Next   string    `json:"next,omitempty" doc:"version that is being installed"`
	Done   int64     `json:"done,omitempty" doc:"bytes that are written"`
	Total  int64     `json:"total,omitempty"`
	Calls  int       `json:"calls,omitempty" doc:"that are not over"`
	Until  time.Time `json:"until,omitzero" doc:"when the box restarts whatever calls there are"`
	Reason string    `json:"reason,omitempty" doc:"why the last update was refused"`
}

// UpdateFile asks for an update from a file on the box.
type UpdateFile struct {
	Path      string        `json:"path"`
	Wait      time.Duration `json:"wait"`                // for calls to end
	Downgrade bool          `json:"downgrade,omitempty"` // an older version is asked for on purpose
	By        string        `json:"by"`
}

// Update asks how an update stands.
func (a Admin) Update(ctx context.Context) (st UpdateState, err error) {
	return st, a.Do(ctx, http.MethodGet, "/v1/update", nil, &st)
}

// InstallFile installs an update from a file on the box; it returns when it is written, and the box
// restarts when calls are over.
func (a Admin) InstallFile(ctx context.Context, in UpdateFile) (st UpdateState, err error) {
	return st, a.Do(ctx, http.MethodPost, "/v1/update", in, &st)
}

// Check finds out whether the box does what it is for; a call goes through it.
func (a Admin) Check(ctx context.Context) error {
	return a.Do(ctx, http.MethodPost, "/v1/check", nil, nil)
}

// Restart restarts the box.
func (a Admin) Restart(ctx context.Context, in RestartRequest) error {
	return a.Do(ctx, http.MethodPost, "/v1/restart", in, nil)
}

// Drain makes switchd refuse new calls for a while: those that are up go on.
type Drain struct {
	For time.Duration `json:"for"` // 0 takes new calls again
}

// Drain refuses new calls, or takes them again.
func (s Switch) Drain(ctx context.Context, in Drain) error {
	return s.Do(ctx, http.MethodPost, "/v1/drain", in, nil)
}
