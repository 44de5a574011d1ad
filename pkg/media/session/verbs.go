package session

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Offer opens a session, or adds a leg to one that exists. Asked again it answers the same.
func (t *Table) Offer(in ctl.MediaOffer) (ctl.MediaOffered, error) {
	if err := checkOffer(&in); err != nil {
		return ctl.MediaOffered{}, err
	}
	t.takeBack(in.Session)
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[in.Session]
	known := s != nil
	switch {
	case !known && len(t.sessions) >= maxSessions:
		return ctl.MediaOffered{}, problem.New(problem.Full, "media.sessions.full",
			"too many media sessions are open", "wait for calls to end")
	case !known:
		s = &session{id: in.Session, started: time.Now(), loop: t.chooseLocked()}
	default:
		if err := checkWidening(&in, s); err != nil {
			return ctl.MediaOffered{}, err
		}
	}
	d := s.draft()
	leg, peer := d.say(in.Leg), d.say(in.Peer)
	peer.widen(leg)
	var c checker
	leg.agree(&c, "leg")
	peer.agree(&c, "peer")
	if err := c.err(); err != nil {
		return ctl.MediaOffered{}, err
	}
	t.takeOverLocked(peer, in.Peer.Continues)
	if err := t.commitLocked(d); err != nil {
		return ctl.MediaOffered{}, err
	}
	if !known {
		t.addLocked(s)
	}
	t.keepLocked(s)
	return ctl.MediaOffered{Leg: t.portsOf(leg), Peer: t.portsOf(peer)}, nil
}

// Answer connects two legs, and parts them from whom they were connected with before.
func (t *Table) Answer(in ctl.MediaAnswer) error {
	t.takeBack(in.Session)
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.findLocked(in.Session)
	if err != nil {
		return err
	}
	if err := checkAnswer(&in, s); err != nil {
		return err
	}
	d := s.draft()
	l := d.say(in.Leg)
	pair(l, d.leg(in.Peer))
	var c checker
	l.agree(&c, "leg")
	if d.bridgeable(&c); c.err() != nil {
		return c.err()
	}
	if err := t.commitLocked(d); err != nil {
		return err
	}
	t.keepLocked(s)
	return nil
}

// Update changes a session whole: all of it happens, or nothing.
func (t *Table) Update(in ctl.MediaUpdate) (ctl.MediaUpdated, error) {
	t.takeBack(in.Session)
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.findLocked(in.Session)
	if err != nil {
		return ctl.MediaUpdated{}, err
	}
	if err := checkUpdate(&in, s); err != nil {
		return ctl.MediaUpdated{}, err
	}
	d := s.draft()
	for _, l := range in.Legs {
		d.say(l)
	}
	for _, id := range in.Drop {
		d.drop(id)
	}
	if in.Pairs != nil {
		d.pairAll(in.Pairs)
	}
	if err := d.even(); err != nil {
		return ctl.MediaUpdated{}, err
	}
	if err := d.agree(in.Legs); err != nil {
		return ctl.MediaUpdated{}, err
	}
	if err := t.commitLocked(d); err != nil {
		return ctl.MediaUpdated{}, err
	}
	t.keepLocked(s)
	out := ctl.MediaUpdated{Ports: map[string][]ctl.MediaPorts{}}
	for _, l := range in.Legs {
		if l := d.leg(l.ID); l != nil {
			out.Ports[l.id] = t.portsOf(l)
		}
	}
	return out, nil
}

// CloseSession ends a session and returns its account.
func (t *Table) CloseSession(in ctl.MediaClose) (ctl.MediaClosed, error) {
	t.takeBack(in.Session)
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.findLocked(in.Session)
	if err != nil {
		return ctl.MediaClosed{}, err
	}
	if err := t.commitLocked(&draft{session: s}); err != nil { // the call is over all the same
		t.log.Warn("media session was not closed cleanly", "session", s.id, "err", err)
	}
	t.removeLocked(s)
	return ctl.MediaClosed{Streams: s.gone}, nil
}

// keepLocked puts what a verb has decided where a restart finds it. A session that cannot be kept
// works all the same, for as long as this process lives.
func (t *Table) keepLocked(s *session) {
	if err := t.saveLocked(s); err != nil {
		t.log.Warn("media session could not be kept", "session", s.id, "err", err)
	}
}

// agree settles the keys of legs that were named.
func (d *draft) agree(named []ctl.MediaLeg) error {
	var c checker
	for i := range named {
		if l := d.leg(named[i].ID); l != nil {
			l.agree(&c, fmt.Sprintf("legs[%d]", i))
		}
	}
	d.bridgeable(&c)
	return c.err()
}

// rtcpOf returns where a party receives RTCP: on the port above RTP's if it did not say (RFC 3605 §2.1).
func rtcpOf(said *ctl.MediaStream) netip.AddrPort {
	switch {
	case said.Mux || !wants(said):
		return netip.AddrPort{}
	case said.RTCP.IsValid():
		return said.RTCP
	case said.RTP.Port() == 1<<16-1:
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(said.RTP.Addr(), said.RTP.Port()+1)
}
