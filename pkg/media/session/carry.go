package session

import (
	"time"

	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// A leg that goes from one session to another, by a transfer, gets other ports. Its party may keep the
// association that it has (RFC 5763 §6.6), since both certificates stay, and so the box keeps the keys.
const (
	carryTime  = 10 * time.Second // a transfer takes a round trip or two
	maxCarried = 256              // legs that have just left
)

// carried is what a leg that left has agreed on with its party.
type carried struct {
	until   time.Time
	streams []carriedStream
}

type carriedStream struct {
	kind  string
	about string
	keyed [2]keys
	state [2]secure.State
}

// carryLocked remembers the handshakes of a leg that leaves a session.
func (t *Table) carryLocked(s *session, l *leg) {
	now := time.Now()
	for name, c := range t.carried {
		if now.After(c.until) {
			delete(t.carried, name)
		}
	}
	c := carried{until: now.Add(carryTime)}
	keyed := false
	for _, st := range l.streams {
		c.streams = append(c.streams, carriedStream{st.kind, st.secrets.about, st.secrets.keyed, st.state.Secure})
		keyed = keyed || st.secrets.protection == ctl.DTLS && st.secrets.keyed[0].valid()
	}
	if !keyed || len(t.carried) >= maxCarried {
		return
	}
	if t.carried == nil {
		t.carried = map[string]carried{}
	}
	t.carried[s.id+"/"+l.id] = c
}

// takeOverLocked gives a new leg the keys of the one that it continues. A party that makes a handshake
// all the same is listened to.
func (t *Table) takeOverLocked(l *leg, continues string) {
	c, ok := t.carried[continues]
	if !ok || continues == "" || time.Now().After(c.until) {
		return
	}
	for i, st := range l.streams {
		if i >= len(c.streams) || c.streams[i].kind != st.kind || st.secrets.protection != ctl.DTLS || st.relay != nil {
			continue
		}
		was := &c.streams[i]
		st.secrets.about, st.secrets.keyed, st.secrets.carried = was.about, was.keyed, true
		st.state.Secure = was.state
	}
}

// rests reports whether a stream needs no handshake on one of its sockets: there are keys, and its
// party is not expected to make others.
func (s *secrets) rests(n int) bool {
	return s.keyed[n].valid() && (!s.carried || s.setup == setupActive)
}
