package session

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/coraltele/sanchar/pkg/media/ice"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// rides reports whether stream i of the leg goes on the sockets of its first one (RFC 9143 §7.2).
func (l *leg) rides(i int) bool { return i > 0 && l.ours.Bundle }

// base returns the stream whose sockets and keys stream i uses.
func (l *leg) base(i int) *stream {
	if l.rides(i) {
		return l.streams[0]
	}
	return l.streams[i]
}

// locked reports whether the box protects the stream.
func (st *stream) locked() bool {
	return st.secrets.protection == ctl.SDES || st.secrets.protection == ctl.DTLS
}

// guard gives the relay what stands between a stream's party and the box. It runs inside the loop.
func (l *leg) guard(i int, st *stream, now int64) error {
	if l.rides(i) {
		return nil
	}
	g := relay.Guard{Locked: st.locked()}
	for n, h := range st.handshakes {
		if h != nil {
			g.Handshakes[n] = h
		}
	}
	st.checks(l, i, &g)
	st.relay.SetGuard(g)
	return st.giveKeys(now)
}

// giveKeys gives the relay the keys that there are.
func (st *stream) giveKeys(now int64) error {
	switch st.secrets.protection {
	case ctl.SDES:
		if rx, tx, ok := st.secrets.masters(); ok {
			return st.relay.SetKeys(rx, tx, now)
		}
	case ctl.DTLS:
		var errs []error
		for n := range st.secrets.keyed {
			if k := &st.secrets.keyed[n]; k.valid() {
				errs = append(errs, st.relay.SetHandshakeKeys(n == 1, k.RX, k.TX, now))
			}
		}
		return errors.Join(errs...)
	case ctl.Plain, ctl.Through:
	}
	return nil
}

// checks says who judges the party's connectivity checks.
func (st *stream) checks(l *leg, i int, g *relay.Guard) {
	switch l.ours.ICE {
	case ctl.ICELite:
		if wants(st.said) && (st.said.ICE.Ufrag == "" || st.said.ICE.Lite) {
			return // RFC 8445 §6.1.1: between two lite agents nobody checks
		}
		theirs := ""
		if st.said != nil {
			theirs = st.said.ICE.Ufrag
		}
		if key := st.secrets.credential.Pwd + theirs; st.agent == nil || st.agentOf != key {
			st.agent, st.agentOf = ice.NewAgent(st.secrets.credential, theirs), key
		}
		g.Agent = st.agent
	case ctl.ICEThrough:
		if other := l.other(i); other != nil && l.with.ours.ICE == ctl.ICEThrough && checking(st) && checking(other) {
			g.Passage = ice.NewPassage(credentials(st), credentials(other))
		}
	case ctl.NoICE:
	}
}

func checking(st *stream) bool { return wants(st.said) && st.said.ICE.Ufrag != "" }

func credentials(st *stream) ice.Credentials {
	return ice.Credentials{Ufrag: st.said.ICE.Ufrag, Pwd: st.said.ICE.Pwd}
}

// Priorities of our candidates (RFC 8445 §5.1.2): of a leg that we are an end of they are the only ones,
// of one that passes they are what remains when the parties find no other way.
const (
	hostPriority  = 126<<24 | 65535<<8
	relayPriority = 65535 << 8
)

// candidates are the ways to the box.
func candidates(rtp, rtcp netip.AddrPort, mode ctl.ICEMode) (list []ctl.MediaCandidate) {
	c := ctl.MediaCandidate{Foundation: "box", Component: 1, Addr: rtp, Type: "host", Priority: hostPriority | 255}
	if mode == ctl.ICEThrough {
		c.Type, c.Priority, c.Related = "relay", relayPriority|255, rtp
	}
	list = append(list, c)
	if rtcp != rtp {
		c.Component, c.Addr, c.Priority = 2, rtcp, c.Priority-1
		if mode == ctl.ICEThrough {
			c.Related = rtcp
		}
		list = append(list, c)
	}
	return list
}

// portsOf returns where the leg's party is to send to, and how.
func (t *Table) portsOf(l *leg) []ctl.MediaPorts {
	out := make([]ctl.MediaPorts, len(l.streams))
	for i, st := range l.streams {
		if l.rides(i) {
			out[i] = out[0]
			continue
		}
		p := ctl.MediaPorts{RTP: st.pair.Local, RTCP: st.pair.LocalRTCP()}
		if (st.said != nil && st.said.Mux) || l.ours.Bundle {
			p.RTCP = p.RTP
		}
		s := &st.secrets
		switch s.protection {
		case ctl.SDES:
			if p.Crypto = s.offered; s.ours.Suite != "" {
				p.Crypto = []ctl.MediaCrypto{s.ours}
			}
		case ctl.DTLS:
			f := t.identity.Fingerprint()
			p.Fingerprint, p.Setup = ctl.MediaFingerprint{Hash: f.Hash, Value: f.Value}, s.setup
		case ctl.Plain, ctl.Through:
		}
		switch l.ours.ICE {
		case ctl.ICELite:
			p.ICE = ctl.MediaICE{Ufrag: s.credential.Ufrag, Pwd: s.credential.Pwd, Lite: true, Candidates: candidates(p.RTP, p.RTCP, ctl.ICELite)}
		case ctl.ICEThrough:
			p.ICE = ctl.MediaICE{Candidates: candidates(p.RTP, p.RTCP, ctl.ICEThrough)}
		case ctl.NoICE:
		}
		out[i] = p
	}
	return out
}

// bridgeable reports faults of legs that are to talk and cannot: what passes untouched on the one can
// only do so on the other.
func (d *draft) bridgeable(c *checker) {
	for _, l := range d.legs {
		for i, st := range l.streams {
			other := l.other(i)
			if other == nil || !wants(st.said) || !wants(other.said) || st.secrets.protection != ctl.Through || !other.locked() {
				continue
			}
			c.fault(fmt.Sprintf("legs.%s.streams[%d].protection", short(l.id), i), string(ctl.Through),
				"through on both legs, or on none", "let the box protect both legs")
		}
	}
}
