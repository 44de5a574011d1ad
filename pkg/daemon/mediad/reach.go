package mediad

import (
	"net/http"
	"strconv"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/turn"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// setReach says what is done for clients that look for a way. Calls need none of it: when it cannot be
// had, an admin hears of it and the streams flow.
func (d *Daemon) setReach(_ *http.Request, in ctl.MediaReach) (ctl.MediaReached, error) {
	if n := len(in.Secret); n != 0 && (n < ctl.MinReachSecret || n > ctl.MaxReachSecret) {
		return ctl.MediaReached{}, problem.Fields("media.request", []problem.Fault{{
			Path: "secret", Value: strconv.Itoa(n) + " bytes", Rule: "16 to 256 bytes", Cure: "make a random one",
		}})
	}
	if len(in.Secret) != 0 && in.Realm == "" {
		return ctl.MediaReached{}, problem.Fields("media.request", []problem.Fault{{
			Path: "realm", Value: "", Rule: "a realm goes with credentials (RFC 8489 §9.2.4)", Cure: "send the domain of the accounts",
		}})
	}
	d.turn.SetPolicy(turn.Policy{STUN: in.STUN, Realm: in.Realm, Secret: in.Secret})
	return ctl.MediaReached{Relays: d.turn.Use()}, nil
}
