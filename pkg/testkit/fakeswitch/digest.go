package fakeswitch

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/digest"
)

// digest answers as switchd does, with one nonce that is never too old.
func (s *Switch) digest(_ *http.Request, in ctl.DigestRequest) (ctl.DigestAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := digest.ParseCredentials(in.Authorization)
	if err != nil || c.Nonce != nonce {
		return s.challengeLocked(), nil
	}
	for _, u := range s.users {
		if u.Name != c.Username || u.Disabled {
			continue
		}
		if !c.Verify(digest.HA1(c.Algorithm, u.Name, s.domain, s.passwords[u.Name]), in.Method) {
			break
		}
		if c.URI != in.Target || (strings.HasPrefix(in.From, "sip:") && in.From != "sip:"+u.Name+"@"+s.domain) {
			return ctl.DigestAnswer{Outcome: ctl.DigestForbidden}, nil
		}
		return ctl.DigestAnswer{Outcome: ctl.DigestAccepted, UserID: u.ID, User: u.Name}, nil
	}
	return s.challengeLocked(), nil
}

const nonce = "a-nonce-of-the-fake"

func (s *Switch) challengeLocked() ctl.DigestAnswer {
	var all []string
	for _, alg := range []digest.Algorithm{digest.SHA256, digest.MD5} {
		all = append(all, string(digest.AppendChallenge(nil, s.domain, []byte(nonce), alg, false)))
	}
	return ctl.DigestAnswer{Outcome: ctl.DigestChallenge, Challenges: all}
}

// Answer returns the Authorization of a user's HTTP request, after a challenge with this nonce.
func Answer(alg digest.Algorithm, challenge, user, password, method, uri string) string {
	field := func(name string) string {
		_, rest, _ := strings.Cut(challenge, name+`="`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	c := digest.Credentials{Username: user, Realm: field("realm"), Nonce: field("nonce"), URI: uri, CNonce: "iGBD5KCOu7HjmhYQ", NC: "00000001", Algorithm: alg}
	return fmt.Sprintf(`Digest realm=%q, nonce=%q, algorithm=%q, opaque="o1", username=%q, response=%q, cnonce=%q, nc=%s, qop=auth, uri=%q`,
		c.Realm, c.Nonce, alg, user, c.Answer(digest.HA1(alg, user, c.Realm, password), method), c.CNonce, c.NC, uri)
}
