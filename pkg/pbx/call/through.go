package call

import (
	"net/netip"
	"slices"

	"github.com/coraltele/sanchar/pkg/pbx/terms"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// towards are our terms towards who has offered, once another has answered: those of the box, or
// those that both parties have agreed on past it.
func (c *Call) towards(to, from *Leg) (ctl.MediaTerms, *checked.Reply) {
	t, why := terms.Answering(to.theirs, c.rules(to))
	if why != "" {
		return t, notAcceptable(why)
	}
	if from.ours.ICE == ctl.ICEThrough || from.ours.Protection == ctl.Through {
		t.Protection, t.ICE, t.Bundle = from.ours.Protection, from.ours.ICE, false
	}
	return t, nil
}

// goOn keeps what a party has agreed to with the other one past the box, for as long as it offers it.
func (c *Call) goOn(l *Leg, t ctl.MediaTerms) ctl.MediaTerms {
	past := l.ours.ICE == ctl.ICEThrough && (l.ours.Protection == ctl.Through || t.Protection == ctl.Plain)
	if l.ours.Protection == ctl.Through {
		t.Protection, t.Suites = ctl.Through, nil
	}
	if past && t.ICE != ctl.NoICE {
		t.ICE = ctl.ICEThrough
	}
	return t
}

// direct lets a stream pass whose parties have found a way past the box: who chooses has named the
// other's candidates (RFC 8839 §5.2), and none of ours.
func (c *Call) direct(s *sdp.Section) {
	if !s.Terms.Direct {
		return
	}
	if chosen := s.From.RemoteCandidates(); chosen != nil {
		c.media.direct = !slices.ContainsFunc(chosen, c.isOurs)
		s.Terms.Chosen = c.media.direct
	}
	addr := s.From.RTP()
	offered := slices.ContainsFunc(s.From.ICE().Candidates, func(o sdp.Candidate) bool { return o.Addr == addr })
	if c.media.direct && offered { // an address that nobody has checked is no way
		s.RTP, s.RTCP, s.Terms.Addr = addr.Port(), s.From.RTCP.Port(), addr.Addr()
		c.rec.Direct = true
		for _, l := range c.allLegs() {
			l.silent = false
		}
	}
}

// isOurs reports whether an address is a port of the call's at the relay.
func (c *Call) isOurs(a netip.AddrPort) bool {
	for _, ports := range c.media.ports {
		if slices.ContainsFunc(ports, func(p ctl.MediaPorts) bool { return a == p.RTP || a == p.RTCP }) {
			return true
		}
	}
	return false
}

// endThrough makes the box an end of a leg that had agreed with its party past it.
func (c *Call) endThrough(from, to *Leg) {
	if isThrough(to) {
		c.askBlind(from, to)
	}
}

func isThrough(l *Leg) bool { return l.ours.ICE == ctl.ICEThrough || l.ours.Protection == ctl.Through }

// endAnew makes the box an end of a leg that had agreed with its party past it: at ports of its own,
// so that what was stays until the leg has taken the new.
func (c *Call) endAnew(stay, come *Leg) ctl.MediaLeg {
	c.joining.mediaID, c.joining.ours = stay.mediaID, stay.ours
	c.askBlind(come, stay)
	stay.mediaID = c.newMediaID()
	return ctl.MediaLeg{ID: stay.mediaID, Local: c.mediaLocal(stay), Source: stay.flow.Remote.Addr(), Ours: stay.ours}
}
