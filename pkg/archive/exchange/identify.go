package exchange

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// maxCredentials bounds what is passed to switchd of a stranger's header.
const maxCredentials = 4 << 10

// identify returns who sent the request, or answers it: with a challenge to whoever did not prove
// to be a user, for whatever reason (RFC 7616 §3.3).
func (x *Exchange) identify(w http.ResponseWriter, r *http.Request) (who user, ok bool) {
	source := sourceOf(r)
	if !x.limit.allow(source, time.Now()) {
		w.Header().Set("Retry-After", busyPause)
		refuse(w, http.StatusTooManyRequests, "too many requests from your address")
		return who, false
	}
	q := ctl.DigestRequest{Method: r.Method, Target: r.RequestURI, Source: source, From: r.Header.Get("From"), UserAgent: r.UserAgent()}
	if auth := r.Header.Get("Authorization"); len(auth)+len(q.From)+len(q.UserAgent) <= maxCredentials {
		q.Authorization = auth
	} else {
		q.From, q.UserAgent = "", ""
	}
	a, err := x.cfg.Switch.Digest(r.Context(), q)
	if err != nil {
		x.fail(w, err)
		return who, false
	}
	switch a.Outcome {
	case ctl.DigestAccepted:
		x.limit.know(source, time.Now())
		return user{a.UserID, a.User}, true
	case ctl.DigestForbidden:
		refuse(w, http.StatusForbidden, "not your identity")
	case ctl.DigestBanned:
		refuse(w, http.StatusTooManyRequests, "too many wrong passwords from your address")
	case ctl.DigestChallenge:
		for _, c := range a.Challenges {
			w.Header().Add("WWW-Authenticate", c)
		}
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusUnauthorized)
	default:
		x.fail(w, problem.New(problem.Internal, "digest.outcome", "the box could not do this", "try again"))
	}
	return who, false
}

func sourceOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
