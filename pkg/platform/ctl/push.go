package ctl

import (
	"context"
	"net/http"
	"time"
)

// PushSettings say by whom sleeping devices are woken. Secrets go in only: what comes back tells
// whether there are any.
type PushSettings struct {
	Hook string  `json:"hook" doc:"address of a relay of your own, with placeholders such as $token; empty for none"`
	APNS PushKey `json:"apns" doc:"Apple"`
	FCM  PushKey `json:"fcm" doc:"Google"`
}

// PushKey is the key to a provider.
type PushKey struct {
	Secret string `json:"secret,omitempty" doc:"Apple's .p8 file, or Google's JSON file of a service account, as text; empty keeps the one that is there"`
	Set    bool   `json:"set" doc:"there is a secret; false with an empty secret takes it away"`
	KeyID  string `json:"key_id,omitempty" doc:"of Apple's key"`
	Team   string `json:"team,omitempty" doc:"of Apple's account"`
}

// What keeps a device from being woken.
const (
	PushGone    = "gone"    // the app is not on it any more: it is not woken until it registers anew
	PushRefused = "refused" // its provider does not take the note, or our key
	PushUnable  = "unable"  // it does not say how to wake it for this
	PushTrouble = "trouble" // its provider is not reached, or has a fault
)

// PushHealth is whether a device can be woken, and how it went.
type PushHealth struct {
	Able  bool      `json:"able" doc:"somebody wakes devices of its provider, who has not said that the app is gone"`
	Tried time.Time `json:"tried,omitzero"`
	Sent  time.Time `json:"sent,omitzero"`   // the last that its provider took
	Error string    `json:"error,omitempty"` // of the last, if it was not taken
	Fault string    `json:"fault,omitempty" enum:"gone,refused,unable,trouble" doc:"what kind of error, for the cure: the app is not on the device any more, the provider refuses the note, the device does not say how to wake it for this, the provider is in trouble"`
}

// PushSettings returns who wakes devices, without the secrets.
func (s Switch) PushSettings(ctx context.Context) (p PushSettings, err error) {
	return p, s.Do(ctx, http.MethodGet, "/v1/push", nil, &p)
}

// SetPushSettings changes who wakes devices.
func (s Switch) SetPushSettings(ctx context.Context, in PushSettings) error {
	return s.Do(ctx, http.MethodPut, "/v1/push", in, nil)
}
