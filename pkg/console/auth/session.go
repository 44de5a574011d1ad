package auth

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
)

// A session ends after idleTime without a request, and after wholeTime in any case.
const (
	idleTime  = 15 * time.Minute
	wholeTime = 12 * time.Hour
	// sweepEvery is how late the streams of an idle session may be closed.
	sweepEvery = 15 * time.Second
	// maxSessions bounds those of one account; the one that is idle longest makes room.
	maxSessions = 32
)

// IdleSeconds is how long a sign-in lasts without a request.
const IdleSeconds = int(idleTime / time.Second)

// CookieName is the cookie of a session. It has the prefix by which a browser itself insists on Secure, no Domain and Path=/
// (RFC 6265 bis).
const CookieName = "__Host-sanchar"

const secretBytes = 16 // 128 bits

// tokenHash is what is kept of a secret that a client shows.
type tokenHash [sha256.Size]byte

// Session is one sign-in.
type Session struct {
	Name    string
	Role    string
	Source  netip.Addr
	Created time.Time

	secret   string // for the cookie; told once
	ended    chan struct{}
	seen     time.Time // guarded by Auth.mu
	handover handover  // guarded by Auth.mu, too
}

// Identity is who asks.
type Identity struct {
	Name  string
	Role  string
	Token string // id of the API token, "" for a session
	// Senders are the users that who asks may send messages of; none is all.
	Senders []string

	session *Session
}

// Ended is closed when the sign-in that the identity stands for is over; nil for a token.
func (id Identity) Ended() <-chan struct{} {
	if id.session == nil {
		return nil
	}
	return id.session.ended
}

// Ends tells when the sign-in is over in any case, and false for a token.
func (id Identity) Ends() (time.Time, bool) {
	if id.session == nil {
		return time.Time{}, false
	}
	return id.session.Ends(), true
}

// Ends tells when the session is over in any case.
func (s *Session) Ends() time.Time { return s.Created.Add(wholeTime).UTC() }

func (a *Auth) openLocked(name, role string, source netip.Addr) *Session {
	a.makeRoomLocked(name)
	now := time.Now()
	s := &Session{Name: name, Role: role, Source: source, Created: now, seen: now, secret: ids.Random(secretBytes), ended: make(chan struct{})}
	a.sessions[sha256.Sum256([]byte(s.secret))] = s
	return s
}

func (a *Auth) makeRoomLocked(name string) {
	var idlest tokenHash
	var since *Session
	n := 0
	for hash, s := range a.sessions {
		if s.Name != name {
			continue
		}
		n++
		if since == nil || s.seen.Before(since.seen) {
			idlest, since = hash, s
		}
	}
	if n >= maxSessions {
		a.endLocked(idlest, since)
	}
}

func (a *Auth) endLocked(hash tokenHash, s *Session) {
	delete(a.sessions, hash)
	close(s.ended)
}

// SignOut ends the session that id stands for.
func (a *Auth) SignOut(id Identity) {
	a.endSessions(func(s *Session) bool { return s == id.session })
}

// SignOutOthers ends all other sessions of the account and returns how many.
func (a *Auth) SignOutOthers(id Identity) int {
	return a.endSessions(func(s *Session) bool { return s.Name == id.Name && s != id.session })
}

func (a *Auth) endSessions(which func(*Session) bool) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for hash, s := range a.sessions {
		if which(s) {
			a.endLocked(hash, s)
			n++
		}
	}
	return n
}

// Run ends sessions when their time is over, until ctx ends; then it ends them all.
func (a *Auth) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			a.endSessions(func(*Session) bool { return true })
			return nil
		case now := <-tick.C:
			a.endSessions(func(s *Session) bool { return s.over(now) })
		}
	}
}

func (s *Session) over(now time.Time) bool {
	return now.Sub(s.seen) >= idleTime || now.Sub(s.Created) >= wholeTime
}

// Cookie returns the cookie that carries the session.
func (s *Session) Cookie() *http.Cookie {
	return &http.Cookie{Name: CookieName, Value: s.secret, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

// NoCookie returns the cookie that makes a browser forget the session.
func NoCookie() *http.Cookie {
	return &http.Cookie{Name: CookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

// Identify returns who sent a request: the holder of its API token or of its cookie.
func (a *Auth) Identify(r *http.Request) (Identity, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if strings.EqualFold(scheme, "Bearer") {
			return a.identifyToken(strings.TrimSpace(token))
		}
		return Identity{}, problem.New(problem.Unsigned, "token.scheme", "the Authorization header holds no Bearer token", "send Authorization: Bearer and an API token")
	}
	if c, err := r.Cookie(CookieName); err == nil {
		if id, ok := a.identifySession(c.Value); ok {
			return id, nil
		}
	}
	if !a.SetUp() {
		return Identity{}, problem.New(problem.Denied, "setup.required", "the box is not set up yet", "open the page and set it up with the code that the box shows")
	}
	return Identity{}, problem.New(problem.Unsigned, "session.required", "you are not signed in", "sign in, or send an API token")
}

func (a *Auth) identifySession(secret string) (Identity, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[sha256.Sum256([]byte(secret))]
	now := time.Now()
	if s == nil || s.over(now) {
		return Identity{}, false
	}
	s.seen = now
	return Identity{Name: s.Name, Role: s.Role, session: s}, true
}
