package account

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/digest"
)

// How long nonces are good. A first use proves the way back soon; a nonce in use is prolonged.
const (
	nonceFirst = time.Minute
	nonceInUse = 5 * time.Minute
	keyPeriod  = 24 * time.Hour
)

// Outcome of a check.
type Outcome uint8

// The outcomes. Only Refused counts against a source: its nonce came back, so the source is not
// spoofed, and its digest was wrong.
const (
	Accepted  Outcome = iota
	Challenge         // no credentials, or a nonce of the past: ask
	Stale             // right digest, nonce of the past: ask with stale=true, so that nobody is prompted
	Refused           // wrong digest, unknown or disabled user: ask again, all alike
	Forbidden         // right digest, but for another identity or domain: 403
)

// Verdict is what a check found. Reason is one of record.Auth*; the peer does not hear it.
type Verdict struct {
	Outcome Outcome
	Account *Account // of an accepted request
	Device  string   // login of the account's device that sent it; "" when it used the account's own secret
	User    string   // as given, for the record
	Reason  string
}

// Guard checks who sent a request. It keeps nothing for a stranger.
type Guard struct {
	dir   *Directory
	ours  func(host string) bool // is a host of a URI the box
	clock func() time.Time

	keys   sync.Pool // of *keyRing: a key is for one goroutine at a time
	window *window
	decoy  *Account // whose HA1 stands for that of who is not there
}

type keyRing struct {
	day               int64
	current, previous *digest.Key
	owner, ha1        []byte // scratch
}

// NewGuard returns a guard of the directory's users; ours tells the box's own names and addresses.
func NewGuard(dir *Directory, ours func(host string) bool, clock func() time.Time) *Guard {
	g := &Guard{dir: dir, ours: ours, clock: clock, window: newWindow(), decoy: &Account{}}
	g.keys.New = func() any { return &keyRing{day: -1} }
	g.decoy.Sealed[digest.MD5] = dir.key.Seal(nil, make([]byte, digest.MD5.Size()), ha1Owner(nil, "", "", digest.MD5))
	g.decoy.Sealed[digest.SHA256] = dir.key.Seal(nil, make([]byte, digest.SHA256.Size()), ha1Owner(nil, "", "", digest.SHA256))
	return g
}

// ring returns keys of today and yesterday. They change daily and are known after a restart.
func (g *Guard) ring(now time.Time) *keyRing {
	r := g.keys.Get().(*keyRing)
	if day := now.Unix() / int64(keyPeriod/time.Second); day != r.day {
		domain := g.dir.Domain()
		r.day, r.current, r.previous = day, g.dayKey(day, domain), g.dayKey(day-1, domain)
	}
	return r
}

func (g *Guard) dayKey(day int64, domain string) *digest.Key {
	mac := hmac.New(sha256.New, g.dir.secret)
	_, _ = mac.Write(binary.BigEndian.AppendUint64([]byte("nonce"), uint64(day))) // a hash takes all
	return digest.NewKey(mac.Sum(nil), domain)
}

// AppendChallenge appends header lines of name ("WWW-Authenticate: " or "Proxy-Authenticate: ").
// The algorithms depend on the listener only, never on a user (RFC 8760 §2.4: in order of
// preference): over TLS SHA-256 comes first; elsewhere old phones that read the first line only
// need MD5.
func (g *Guard) AppendChallenge(dst []byte, name string, from netip.Addr, secure, stale bool) []byte {
	now := g.clock()
	r := g.ring(now)
	defer g.keys.Put(r)
	var buf [digest.NonceText]byte
	nonce := r.current.Append(buf[:0], now, rand.Uint64(), from)
	domain := r.current.Realm()
	algorithms := [...]digest.Algorithm{digest.SHA256, digest.MD5}
	for _, alg := range algorithms {
		if alg == digest.SHA256 && !(secure && g.dir.allSHA256()) {
			continue
		}
		dst = append(dst, name...)
		dst = digest.AppendChallenge(dst, domain, nonce, alg, stale)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// allSHA256 reports whether every user can answer SHA-256: a challenge is the same for all.
func (d *Directory) allSHA256() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.md5Only == 0
}

// Check finds who sent the request, which came from this address.
func (g *Guard) Check(m *checked.Message, from netip.Addr) Verdict {
	c := g.credentials(m)
	if c == nil {
		return Verdict{Outcome: Challenge}
	}
	now := g.clock()
	r := g.ring(now)
	defer g.keys.Put(r)
	use, ok := r.use(c, from, now)
	if !ok {
		return Verdict{Outcome: Challenge, User: c.Username}
	}
	v := g.verify(m, c, r)
	if v.Outcome != Accepted {
		return v
	}
	switch g.window.use(use) {
	case useFresh, useRepeated:
		return v
	case useReplayed:
		return Verdict{Outcome: Stale, User: c.Username, Reason: record.AuthReplay}
	case useExpired:
	}
	return Verdict{Outcome: Stale, User: c.Username}
}

// use reads a nonce that is ours and was made for this address.
func (r *keyRing) use(c *digest.Credentials, from netip.Addr, now time.Time) (u nonceUse, ok bool) {
	made, random, ok := r.current.Check(c.Nonce, from)
	if !ok {
		made, random, ok = r.previous.Check(c.Nonce, from)
	}
	count, isCount := c.Count()
	return nonceUse{random: random, count: count, response: hashOf(c.Response), made: made, now: now}, ok && isCount
}

// credentials returns those for our realm, the strongest first.
func (g *Guard) credentials(m *checked.Message) (best *digest.Credentials) {
	domain := g.dir.Domain()
	for i := range m.Credentials {
		if c := &m.Credentials[i]; c.Realm == domain && (best == nil || c.Algorithm > best.Algorithm) {
			best = c
		}
	}
	return best
}

// verify finds whose digest it is, and whether the request is one that he may send.
func (g *Guard) verify(m *checked.Message, c *digest.Credentials, r *keyRing) Verdict {
	a, device, domain, reason := g.prove(m.Name, c, r)
	switch {
	case a == nil:
		return Verdict{Outcome: Refused, User: c.Username, Reason: reason}
	case !g.oursURI(c.URI):
		return Verdict{Outcome: Forbidden, User: c.Username, Reason: record.AuthBadURI}
	case !g.identityFits(m, a, domain):
		return Verdict{Outcome: Forbidden, User: c.Username, Reason: record.AuthIdentity}
	}
	return Verdict{Outcome: Accepted, Account: a, Device: device, User: c.Username}
}

// prove returns the account whose digest it is, or nil and why not. It does the same work for users
// that exist, are disabled, or are not there.
func (g *Guard) prove(method string, c *digest.Credentials, r *keyRing) (a *Account, device, domain, reason string) {
	a, own, domain := g.dir.credential(c.Username)
	reason, name := record.AuthWrongSecret, ""
	switch {
	case a == nil:
		reason = record.AuthUnknownUser
	case a.Disabled:
		reason = record.AuthDisabled
	case own != nil:
		name, device = own.Login, own.Login
	default:
		name = a.Name
	}
	sealed, bound := &g.decoy.Sealed, ""
	switch {
	case name == "":
	case own != nil:
		sealed, bound = &own.Sealed, domain
	default:
		sealed, bound = &a.Sealed, domain
	}
	var err error
	r.owner = ha1Owner(r.owner[:0], name, bound, c.Algorithm)
	r.ha1, err = g.dir.key.Open(r.ha1[:0], sealed[c.Algorithm], r.owner)
	right := c.Verify(r.ha1, method)
	clear(r.ha1)
	if err != nil || !right || name == "" {
		return nil, "", domain, reason
	}
	return a, device, domain, ""
}

// credential returns the account that a digest's user name stands for, and its device when it is the
// name of one.
func (d *Directory) credential(name string) (*Account, *Device, string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if a := d.byLogin[name]; a != nil {
		return a, a.device(name), d.domain
	}
	a := d.byName[name]
	if a == nil {
		a = d.byName[strings.ToLower(name)]
	}
	if a != nil && !strings.EqualFold(a.Name, name) {
		a = nil // a number is no user name: HA1 holds the name
	}
	return a, nil, d.domain
}

// oursURI: a digest made for another domain's URI is not for us (RFC 8760 §2.6 item 6).
func (g *Guard) oursURI(s string) bool {
	u, err := aor.Parse(s)
	return err == nil && (u.Scheme == aor.Tel || g.ours(u.Host))
}

// identityFits binds every header that says who is there to the credential.
func (g *Guard) identityFits(m *checked.Message, a *Account, domain string) bool {
	if !g.isIdentity(&m.From.URI, a, domain) {
		return false
	}
	if m.Method == checked.REGISTER && !g.isIdentity(&m.To.URI, a, domain) { // RFC 3261 §10.3 item 5: no third-party registration
		return false
	}
	for i := range m.Asserted {
		if !g.isIdentity(&m.Asserted[i].URI, a, domain) {
			return false
		}
	}
	if m.ReferredBy != "" {
		by, err := aor.ParseAddress(m.ReferredBy)
		return err == nil && g.isIdentity(&by.URI, a, domain)
	}
	return true
}

func (g *Guard) isIdentity(u *aor.URI, a *Account, domain string) bool {
	if u.Scheme == aor.Tel {
		return a.Owns(strings.NewReplacer("-", "", ".", "", "(", "", ")", "").Replace(u.User))
	}
	if !strings.EqualFold(u.Host, domain) && !g.ours(u.Host) {
		return false
	}
	user := u.UserText()
	return a.Owns(user) || a.Owns(strings.ToLower(user))
}
