// Package dialplan decides where a call goes. It is pure: the same caller, number and directory
// give the same decision.
package dialplan

import (
	"strings"

	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/gruu"
)

// Plan holds what a decision depends on.
type Plan struct {
	Ours   func(host string) bool             // is a host of a URI the box
	Lookup func(name string) *account.Account // by name or number
}

// Decision says where a call goes: to all devices of a user, to one of them, or nowhere.
type Decision struct {
	User     *account.Account
	Instance string // of one device, "" for all
	Dialed   string // what the caller asked for, as a name or a number

	Code   int // of a refusal; 0 where there is a User
	Reason string
}

// Route decides for a call to a URI.
func (p *Plan) Route(target *aor.URI) Decision {
	d := Decision{Dialed: dialed(target)}
	if target.Scheme != aor.Tel && !p.Ours(target.Host) {
		return d.refuse(404, "Not Found: another domain")
	}
	if d.Dialed == "" {
		return d.refuse(484, "Address Incomplete")
	}
	d.User = p.Lookup(d.Dialed)
	if d.User == nil {
		d.User = p.Lookup(strings.ToLower(d.Dialed))
	}
	if d.User == nil || d.User.Disabled {
		d.User = nil
		return d.refuse(404, "Not Found")
	}
	if instance, ok := gruu.Instance(target); ok {
		if instance == "" { // RFC 5627 §4.1: a temporary GRUU, which the box gives to nobody
			d.User = nil
			return d.refuse(404, "Not Found: unknown GRUU")
		}
		d.Instance = instance
	}
	return d
}

func (d Decision) refuse(code int, reason string) Decision {
	d.Code, d.Reason = code, reason
	return d
}

// dialed returns the user part without the visual separators of a number (RFC 3966 §3).
func dialed(u *aor.URI) string {
	text, _, _ := strings.Cut(u.UserText(), ";") // parameters that some phones put into the user part
	digits := strings.NewReplacer("-", "", ".", "", "(", "", ")", "", " ", "").Replace(text)
	if strings.Trim(digits, "+*#0123456789") == "" {
		return digits
	}
	return text
}
