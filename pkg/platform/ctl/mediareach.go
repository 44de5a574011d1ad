package ctl

import (
	"context"
	"net/http"
	"time"
)

// MediaReach is what mediad does for clients that look for a way to each other. The zero value is
// nothing. It is told again whenever mediad has started: it keeps no secret of others.
type MediaReach struct {
	STUN   bool   `json:"stun,omitempty"`  // tells clients their address (RFC 8489)
	Realm  string `json:"realm,omitempty"` // of the credentials for TURN
	Secret []byte `json:"secret,omitempty"`
}

// MediaReached is what became of it.
type MediaReached struct {
	Relays int `json:"relays"` // ports that relay for clients now
}

// ReachCredentials let a client relay through the box for a while.
type ReachCredentials struct {
	Username string    `json:"username"`
	Password string    `json:"password"`
	Until    time.Time `json:"until"`
	URIs     []string  `json:"uris"` // RFC 7065
}

// ReachRequest names the user who asks for credentials.
type ReachRequest struct {
	User    string `json:"user"`              // id
	Seconds uint32 `json:"seconds,omitempty"` // how long they are to last; 0: a day
}

// ReachCredentials makes credentials for a user, if the policy of media has a server for them.
func (s Switch) ReachCredentials(ctx context.Context, in ReachRequest) (out ReachCredentials, err error) {
	return out, s.Do(ctx, http.MethodPost, "/v1/media/credentials", in, &out)
}

// MaxReachSecret is the longest secret, and MinReachSecret the shortest, in bytes: 128 bits.
const (
	MinReachSecret = 16
	MaxReachSecret = 256
)

// SetReach says what mediad is to do for clients that look for a way.
func (m Media) SetReach(ctx context.Context, in MediaReach) (out MediaReached, err error) {
	return out, m.Do(ctx, http.MethodPut, "/v1/reach", in, &out)
}
