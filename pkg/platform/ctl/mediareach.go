package ctl

import (
	"context"
	"net/http"
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

// MaxReachSecret is the longest secret, and MinReachSecret the shortest, in bytes: 128 bits.
const (
	MinReachSecret = 16
	MaxReachSecret = 256
)

// SetReach says what mediad is to do for clients that look for a way.
func (m Media) SetReach(ctx context.Context, in MediaReach) (out MediaReached, err error) {
	return out, m.Do(ctx, http.MethodPut, "/v1/reach", in, &out)
}
