package auth

import (
	"crypto/sha256"
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
)

// HandoverTime is how long a sign-in can be taken along to another address of the box: as long as a
// change of the network may wait for its confirmation.
const HandoverTime = 10 * time.Minute

// handover is a sign-in's ticket to another address of the box, where no cookie of it is sent.
type handover struct {
	hash  tokenHash
	until time.Time
}

// HandOver returns a code that opens the same sign-in once more, at another address of the box. It works
// once; a new one replaces it, and it ends with the sign-in.
func (a *Auth) HandOver(id Identity) (code string, err error) {
	if id.session == nil {
		return "", problem.New(problem.Denied, "session.handover", "an API token has no sign-in to take along", "show the token at the other address, too")
	}
	code = ids.Random(secretBytes)
	a.mu.Lock()
	defer a.mu.Unlock()
	id.session.handover = handover{sha256.Sum256([]byte(code)), time.Now().Add(HandoverTime)}
	return code, nil
}

// TakeOver opens the sign-in that a code was made for. It lasts no longer than that one in any case.
func (a *Auth) TakeOver(code string, source netip.Addr) (*Session, error) {
	hash, now := tokenHash(sha256.Sum256([]byte(code))), time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sessions {
		if s.handover.hash != hash || now.After(s.handover.until) || s.over(now) {
			continue
		}
		s.handover = handover{}
		taken := a.openLocked(s.Name, s.Role, source)
		taken.Created = s.Created
		return taken, nil
	}
	return nil, problem.New(problem.Unsigned, "session.handover", "this way in was used already, or is too old", "sign in with name and password")
}
