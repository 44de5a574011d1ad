package switchd

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// digest tells another daemon who sent it an HTTP request. Guesses there and in SIP count together,
// so a guesser has no second try elsewhere.
func (d *Daemon) digest(_ *http.Request, in ctl.DigestRequest) (out ctl.DigestAnswer, err error) {
	if d.users.Domain() == "" {
		return out, problem.New(problem.Unavailable, "domain.missing", "the box is not set up yet", "set it up on its page")
	}
	if d.edge.Banned(in.Source) {
		return ctl.DigestAnswer{Outcome: ctl.DigestBanned}, nil
	}
	v := d.guard.CheckHTTP(account.HTTPRequest{
		Method: in.Method, Target: in.Target, Authorization: in.Authorization, From: in.From, Source: in.Source,
	})
	switch v.Outcome {
	case account.Accepted:
		return ctl.DigestAnswer{Outcome: ctl.DigestAccepted, UserID: v.Account.ID, User: v.Account.Name}, nil
	case account.Refused, account.Forbidden:
		d.edge.Guessed(in.Source)
		d.failures.Add(record.AuthFailure{
			Source: in.Source, Transport: "https", Method: in.Method, Username: v.User, Claimed: in.From,
			UserAgent: in.UserAgent, Reason: v.Reason, Last: time.Now().UTC(),
		})
		if v.Outcome == account.Forbidden {
			return ctl.DigestAnswer{Outcome: ctl.DigestForbidden}, nil
		}
	case account.Challenge, account.Stale:
	}
	lines := string(d.guard.AppendChallenge(nil, "", in.Source, true, v.Outcome == account.Stale))
	out = ctl.DigestAnswer{Outcome: ctl.DigestChallenge, Challenges: strings.Split(strings.TrimSuffix(lines, "\r\n"), "\r\n")}
	// RFC 7616 §3.7, not followed: the strongest challenge does not come first. Linphone 5.1 looks at
	// the first challenge over HTTP only, and gives up when it has no secret for it; what we provision
	// is an HA1 of MD5. The digest is within TLS.
	slices.Reverse(out.Challenges)
	return out, nil
}
