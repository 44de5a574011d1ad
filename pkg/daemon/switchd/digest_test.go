package switchd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/digest"
)

// ask asks switchd about a request of user with this password, after its challenge.
func ask(t *testing.T, b *box, source netip.Addr, user, password string) (first, second ctl.DigestAnswer) {
	t.Helper()
	in := ctl.DigestRequest{Method: "GET", Target: "/files/x", Source: source}
	first, err := b.client.Digest(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if first.Outcome != ctl.DigestChallenge {
		return first, first
	}
	_, rest, _ := strings.Cut(first.Challenges[1], `nonce="`)
	nonce, _, _ := strings.Cut(rest, `"`)
	c := digest.Credentials{Username: user, Realm: "pbx.test", Nonce: nonce, URI: in.Target, CNonce: "c", NC: "00000001", Algorithm: digest.SHA256}
	in.Authorization = fmt.Sprintf(`Digest username=%q, realm="pbx.test", nonce=%q, uri=%q, cnonce="c", nc=00000001, qop=auth, algorithm=SHA-256, response=%q`,
		user, nonce, in.Target, c.Answer(digest.HA1(digest.SHA256, user, "pbx.test", password), in.Method))
	if second, err = b.client.Digest(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return first, second
}

func TestAnotherDaemonAsksWhoSentARequest(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), "")
	here := netip.MustParseAddr("192.0.2.7")
	if _, err := b.client.Digest(t.Context(), ctl.DigestRequest{Source: here}); !problem.Is(err, problem.Unavailable) {
		t.Errorf("before set-up: %v", err)
	}
	if err := b.client.SetDomain(t.Context(), ctl.Domain{Domain: "pbx.test"}); err != nil {
		t.Fatal(err)
	}
	u, err := b.client.AddUser(t.Context(), ctl.NewUser{UserSpec: ctl.UserSpec{Name: "alice"}, Secret: ctl.Secret{Password: "right-password"}})
	if err != nil {
		t.Fatal(err)
	}
	asked, right := ask(t, b, here, "alice", "right-password")
	if right.Outcome != ctl.DigestAccepted || right.UserID != u.ID || right.User != "alice" {
		t.Errorf("%+v", right)
	}
	if len(asked.Challenges) != 2 || !strings.Contains(asked.Challenges[0], "=MD5") || !strings.Contains(asked.Challenges[1], "=SHA-256") {
		t.Errorf("%q", asked.Challenges)
	}
	for _, c := range []struct{ user, password string }{{"alice", "wrong"}, {"nobody", "right-password"}} {
		if _, got := ask(t, b, here, c.user, c.password); got.Outcome != ctl.DigestChallenge || len(got.Challenges) != 2 || got.User != "" {
			t.Errorf("%v: %+v", c, got)
		}
	}
}

func TestGuessesOverHTTPBanTheirSource(t *testing.T) {
	t.Parallel()
	b := startLimited(t, t.TempDir(), "pbx.test")
	guesser, other := netip.MustParseAddr("192.0.2.66"), netip.MustParseAddr("192.0.2.7")
	banned := 0
	for n := 1; n <= 40 && banned == 0; n++ {
		if _, got := ask(t, b, guesser, "alice", "guess"); got.Outcome == ctl.DigestBanned {
			banned = n
		}
	}
	if banned != 32 { // after 31 in a minute
		t.Errorf("banned at guess %d", banned)
	}
	if first, _ := ask(t, b, other, "alice", "x"); first.Outcome != ctl.DigestChallenge {
		t.Errorf("another source: %+v", first)
	}
}
