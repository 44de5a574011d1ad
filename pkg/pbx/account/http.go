package account

import (
	"net/netip"
	"net/url"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/digest"
)

// HTTPRequest is a request to the box over HTTP, by which a user's app sends or fetches a file with
// the same credentials as in SIP.
type HTTPRequest struct {
	Method        string
	Target        string // as it stands in the first line (RFC 9112 §3.2)
	Authorization string // the header; "" has none
	From          string // the header: who the client says that it is; "" says nothing
	Source        netip.Addr
}

// CheckHTTP finds who sent the request. Its nonces are those of SIP, but a request that comes a
// second time is a replay here: over TCP there are no retransmissions.
func (g *Guard) CheckHTTP(q HTTPRequest) Verdict {
	c, err := digest.ParseCredentials(q.Authorization)
	if err != nil || c.Realm != g.dir.Domain() {
		return Verdict{Outcome: Challenge}
	}
	now := g.clock()
	r := g.ring(now)
	defer g.keys.Put(r)
	use, ok := r.use(&c, q.Source, now)
	if !ok {
		return Verdict{Outcome: Challenge, User: c.Username}
	}
	a, device, domain, reason := g.prove(q.Method, &c, r)
	switch {
	case a == nil:
		return Verdict{Outcome: Refused, User: c.Username, Reason: reason}
	case !sameTarget(c.URI, q.Target):
		return Verdict{Outcome: Forbidden, User: c.Username, Reason: record.AuthBadURI}
	case !g.fromFits(q.From, a, domain):
		return Verdict{Outcome: Forbidden, User: c.Username, Reason: record.AuthIdentity}
	}
	switch g.window.use(use) {
	case useFresh:
		return Verdict{Outcome: Accepted, Account: a, Device: device, User: c.Username}
	case useReplayed, useRepeated:
		return Verdict{Outcome: Stale, User: c.Username, Reason: record.AuthReplay}
	case useExpired:
	}
	return Verdict{Outcome: Stale, User: c.Username}
}

// sameTarget: a digest is for one resource (RFC 7616 §3.4.6). A client may name it with the host.
func sameTarget(uri, target string) bool {
	if uri == target {
		return true
	}
	u, err := url.Parse(uri)
	return err == nil && u.IsAbs() && u.RequestURI() == target
}

// fromFits binds a From header (RFC 9110 §10.1.2), in which Linphone writes a SIP address, to the
// credential. A mail address tells nothing.
func (g *Guard) fromFits(from string, a *Account, domain string) bool {
	if from == "" {
		return true
	}
	by, err := aor.ParseAddress(from)
	return err != nil || g.isIdentity(&by.URI, a, domain)
}
