// Package pn reads how a sleeping device is woken from its contact: the parameters of RFC 8599, as
// Linphone writes them, and those that Linphone wrote before.
package pn

import (
	"strings"

	"github.com/coraltele/sanchar/pkg/sip/aor"
)

// Providers, as pn-provider names them (RFC 8599 §7).
const (
	FCM     = "fcm"
	APNS    = "apns"
	APNSDev = "apns.dev" // Apple's servers for apps that are being developed
)

// Limits of what a device may say; the tokens of today have some 200 characters.
const (
	maxToken = 1024
	maxText  = 256
)

// Use says what a device is woken for: Apple has a token for each.
type Use string

// The uses, as Linphone names them in pn-prid and pn-param.
const (
	Message Use = "remote"
	Call    Use = "voip"
)

// Params are how a device is woken.
type Params struct {
	Provider string
	Param    string // project of FCM; Apple's team and app
	PRID     string // tokens
	Silent   bool   // it wants no text shown, only to be woken

	// Keys of texts and names of sounds that the app has, "" where it says none.
	MessageText, CallText, GroupText string
	MessageSound, CallSound          string
}

// Of reads the parameters of a contact's URI. A device that cannot be woken has none.
func Of(contact string) (p Params, ok bool) {
	if !strings.Contains(contact, "pn-") { // most devices say nothing
		return p, false
	}
	u, err := aor.Parse(contact)
	if err != nil {
		return p, false
	}
	get := func(names ...string) string {
		for _, name := range names {
			if v, ok := u.Param(name); ok && v != "" {
				return aor.Unescape(v)
			}
		}
		return ""
	}
	p = Params{
		Provider: strings.ToLower(get("pn-provider")), Param: get("pn-param"), PRID: get("pn-prid"), Silent: get("pn-silent") == "1",
		MessageText: get("pn-msg-str"), CallText: get("pn-call-str"), GroupText: get("pn-groupchat-str"),
		MessageSound: get("pn-msg-snd"), CallSound: get("pn-call-snd"),
	}
	if p.Provider == "" {
		p.readLegacy(get("pn-type"), get("app-id"), get("pn-tok"))
	}
	return p, p.valid()
}

// readLegacy reads what Linphone wrote before RFC 8599: the app's id says which of Apple's servers
// and tokens it means.
func (p *Params) readLegacy(kind, app, token string) {
	p.PRID = token
	switch strings.ToLower(kind) {
	case "firebase", "google":
		p.Provider, p.Param = FCM, app
	case "apple":
		p.Provider = APNS
		if rest, dev := strings.CutSuffix(app, ".dev"); dev {
			p.Provider, app = APNSDev, rest
		} else {
			app = strings.TrimSuffix(app, ".prod")
		}
		// The team is not told: a topic is made of what follows the first dot.
		use := Message
		if rest, voip := strings.CutSuffix(app, ".voip"); voip {
			use, app = Call, rest
		}
		p.Param = "." + app + "." + string(use)
	default:
		p.Provider = ""
	}
}

func (p *Params) valid() bool {
	for _, text := range []string{p.Param, p.MessageText, p.CallText, p.GroupText, p.MessageSound, p.CallSound, p.Provider} {
		if len(text) > maxText || !printable(text) {
			return false
		}
	}
	return p.Provider != "" && p.PRID != "" && len(p.PRID) <= maxToken && printable(p.PRID)
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Token returns the token for a use. Apple's devices have one for each, written
// token:remote&token:voip; a token without a use is for all.
func (p *Params) Token(use Use) (token string, ok bool) {
	for part := range strings.SplitSeq(p.PRID, "&") {
		if p.Provider == FCM {
			return p.PRID, true
		}
		token, of, named := strings.Cut(part, ":")
		if !named || Use(of) == use {
			return token, token != ""
		}
	}
	return "", false
}

// Topic returns Apple's topic for a use, from pn-param: team, app's id, uses joined by &.
func (p *Params) Topic(use Use) (topic string, ok bool) {
	_, app, _ := strings.Cut(p.Param, ".")
	dot := strings.LastIndexByte(app, '.')
	if dot <= 0 {
		return "", false
	}
	for of := range strings.SplitSeq(app[dot+1:], "&") {
		if Use(of) != use {
			continue
		}
		if use == Call {
			return app[:dot] + ".voip", true
		}
		return app[:dot], true
	}
	return "", false
}
