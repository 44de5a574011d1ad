package account

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/digest"
)

// app answers challenges over HTTP.
type app struct {
	guard      *Guard
	user, pass string
	alg        digest.Algorithm
	nonce      string
	nc         int
}

func here() netip.Addr { return netip.MustParseAddr("192.0.2.1") }

func (a *app) challenge() {
	lines := string(a.guard.AppendChallenge(nil, "", here(), true, false))
	_, rest, _ := strings.Cut(lines, `nonce="`)
	a.nonce, _, _ = strings.Cut(rest, `"`)
	a.nc = 0
}

// request is a request for target with a digest made for uri.
func (a *app) request(target, uri, from string) HTTPRequest {
	a.nc++
	cred := digest.Credentials{
		Username: a.user, Realm: domain, Nonce: a.nonce, URI: uri, CNonce: "cn", NC: fmt.Sprintf("%08x", a.nc), Algorithm: a.alg,
	}
	response := cred.Answer(digest.HA1(a.alg, a.user, domain, a.pass), "POST")
	return HTTPRequest{Method: "POST", Target: target, From: from, Source: here(), Authorization: fmt.Sprintf(
		`Digest realm=%q, nonce=%q, algorithm=%q, opaque="o1", username=%q, response=%q, cnonce="cn", nc=%s, qop=auth, uri=%q`,
		domain, a.nonce, a.alg, a.user, response, cred.NC, uri)}
}

func TestHTTPRequestsAreTheirUsers(t *testing.T) {
	d, g := newGuard(t)
	add(t, d, "alice", "right-password", "201")
	off := add(t, d, "dora", "right-password")
	spec := off.UserSpec
	spec.Disabled = true
	if _, err := d.Change(off.ID, off.Revision, spec); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, pass, target, uri, from string
		want                          Outcome
		reason                        string
	}{
		{"alice", "right-password", "/files/", "/files/", "", Accepted, ""},
		{"alice", "right-password", "/files/", "https://192.0.2.10:8443/files/", "sip:alice@pbx.test", Accepted, ""},
		{"alice", "right-password", "/files/", "/files/", "<sip:alice@pbx.test;gr=urn:uuid:1>", Accepted, ""},
		{"alice", "right-password", "/files/", "/files/", "alice@example.com", Accepted, ""},
		{"alice", "wrong-password", "/files/", "/files/", "", Refused, record.AuthWrongSecret},
		{"nobody", "right-password", "/files/", "/files/", "", Refused, record.AuthUnknownUser},
		{"dora", "right-password", "/files/", "/files/", "", Refused, record.AuthDisabled},
		{"alice", "right-password", "/files/a", "/files/b", "", Forbidden, record.AuthBadURI},
		{"alice", "right-password", "/files/", "/files/", "sip:dora@pbx.test", Forbidden, record.AuthIdentity},
	} {
		for _, alg := range []digest.Algorithm{digest.MD5, digest.SHA256} {
			a := &app{guard: g, user: c.user, pass: c.pass, alg: alg}
			a.challenge()
			v := g.CheckHTTP(a.request(c.target, c.uri, c.from))
			if v.Outcome != c.want || v.Reason != c.reason || (v.Account != nil) != (c.want == Accepted) {
				t.Errorf("%s %+v: %+v", alg, c, v)
			}
			elsewhere := a.request(c.target, c.uri, c.from)
			elsewhere.Source = netip.MustParseAddr("192.0.2.2")
			if v := g.CheckHTTP(elsewhere); v.Outcome != Challenge {
				t.Errorf("%+v from elsewhere: %+v", c, v)
			}
		}
	}
	for _, auth := range []string{"", "Basic YTpi", "Digest", `Digest realm="other"`, strings.Repeat("x", 9000)} {
		if v := g.CheckHTTP(HTTPRequest{Method: "POST", Target: "/", Authorization: auth, Source: here()}); v.Outcome != Challenge {
			t.Errorf("%.20q: %+v", auth, v)
		}
	}
}

func TestAnHTTPRequestCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := newGuard(t)
		add(t, d, "alice", "right-password")
		a := &app{guard: g, user: "alice", pass: "right-password"}
		a.challenge()
		first := a.request("/files/", "/files/", "")
		late := a.request("/files/", "/files/", "")
		for _, step := range []struct {
			what string
			q    HTTPRequest
			want Outcome
		}{
			{"first", first, Accepted},
			{"the same again", first, Stale},
			{"a count further on", a.request("/files/", "/files/", ""), Accepted},
			{"the one before, late", late, Accepted},
			{"the late one again", late, Stale},
		} {
			if v := g.CheckHTTP(step.q); v.Outcome != step.want {
				t.Errorf("%s: %+v", step.what, v)
			}
		}
		time.Sleep(nonceInUse + time.Second)
		if v := g.CheckHTTP(a.request("/files/", "/files/", "")); v.Outcome != Stale {
			t.Errorf("too long unused: %+v", v)
		}
	})
}
