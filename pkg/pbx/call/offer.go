package call

import (
	"fmt"
	"net/netip"

	"github.com/coraltele/sanchar/pkg/pbx/terms"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// media is what the call has at mediad: one session, a relay leg for each way in and out.
type media struct {
	open  bool
	kinds []string // of the session's streams; every leg maps its m-lines to them
	ports map[string][]ctl.MediaPorts
	said  map[string]string // what the relay was told of its legs, packed
	next  int               // counts relay legs

	direct bool // the parties' media goes past the box
}

// hear takes what a peer says in SDP. A refusal says why (RFC 3261 §13.2.1, RFC 3264 §6).
func (l *Leg) hear(body string) *checked.Reply {
	s, err := sdp.Parse(body)
	if err != nil {
		return notAcceptable(err.Error())
	}
	l.theirs, l.theirText = s, body
	return nil
}

// terms are a leg's streams as mediad wants them, in the order of the session's streams.
func (c *Call) terms(l *Leg) ctl.MediaLeg {
	m := ctl.MediaLeg{ID: l.mediaID, Local: c.mediaLocal(l), Source: l.flow.Remote.Addr(), Streams: make([]ctl.MediaStream, len(c.media.kinds)), Ours: l.ours}
	for i, kind := range c.media.kinds {
		m.Streams[i].Kind = kind
	}
	if l.theirs == nil {
		return m
	}
	var ours *sdp.Session
	if len(l.ourText) > 0 {
		ours, _ = sdp.Parse(string(l.ourText)) // we wrote it
	}
	for i := range l.theirs.Media {
		if i < len(l.order) && l.order[i] >= 0 {
			c.fill(&m.Streams[l.order[i]], l, i, told(ours, i))
		}
	}
	return m
}

// fill says of a stream what the peer said of its i-th m-line.
func (c *Call) fill(s *ctl.MediaStream, l *Leg, i int, told *sdp.Media) {
	t := &l.theirs.Media[i]
	kind := s.Kind
	*s = terms.Stream(t, told, &l.ours)
	s.Kind = kind
	if l.ours.ICE == ctl.ICELite && t.Live() && !s.RTP.IsValid() { // its checks tell where it is (RFC 8840 §4.1.1)
		anywhere := netip.IPv4Unspecified()
		if c.mediaLocal(l).Is6() {
			anywhere = netip.IPv6Unspecified()
		}
		s.RTP = netip.AddrPortFrom(anywhere, t.Port)
	}
	if kind == "video" {
		s.Bandwidth = c.rules(l).VideoKbits
	}
	if l.ours.Bundle && l.theirs.Bundled(t) {
		for j := range i {
			if first := &l.theirs.Media[j]; first.Live() && l.theirs.Bundled(first) {
				s.BundleOn = l.order[j] + 1
				break
			}
		}
	}
}

// mediaLocal is the address of ours that a leg's media comes to: that of its signalling, or one of
// the other IP version where the peer has its media there.
func (c *Call) mediaLocal(l *Leg) netip.Addr {
	local := l.flow.Local.Addr()
	if ports := c.media.ports[l.mediaID]; len(ports) > 0 {
		return ports[0].RTP.Addr()
	}
	if l.theirs == nil {
		return local
	}
	for i := range l.theirs.Media {
		if a := l.theirs.Media[i].Addr; a.IsValid() && a.Is4() != local.Is4() {
			if other := c.eng.deps.Wire.LocalTowards(a); other.IsValid() {
				return other
			}
		}
	}
	return local
}

// newMediaID names a relay leg.
func (c *Call) newMediaID() string {
	c.media.next++
	return fmt.Sprintf("m%d", c.media.next)
}

// sameOrder maps a leg's m-lines to the session's streams one to one.
func (c *Call) sameOrder(l *Leg, n int) {
	l.order = l.order[:0]
	for i := range n {
		l.order = append(l.order, i)
	}
}

// firstOffer makes the offer to a branch from what the caller has offered, or from what is said by
// who is transferred. Branches that see the
// box at the same address are offered the same ports: it is one offer with several answers
// (RFC 3264 §4, RFC 3261 §13.1).
func (c *Call) firstOffer(l *Leg) ([]byte, error) {
	from := c.fork.from
	if err := c.openTowards(from, l); err != nil {
		return nil, err
	}
	if c.transfer != nil {
		from = from.flowing()
	}
	return c.describe(l, from)
}

// openTowards makes sure that the relay has a leg for to, offered what from has said.
func (c *Call) openTowards(from, to *Leg) error {
	local := to.flow.Local.Addr()
	for _, other := range c.ringing {
		if other != to && other.mediaID != "" && other.flow.Local.Addr() == local && terms.Same(other.ours, to.ours) {
			to.mediaID = other.mediaID
			return nil
		}
	}
	to.ours.Setup = "actpass"
	if !c.media.open {
		c.media.kinds, c.media.ports, c.media.said = nil, map[string][]ctl.MediaPorts{}, map[string]string{}
		for i := range from.theirs.Media {
			c.media.kinds = append(c.media.kinds, from.theirs.Media[i].Kind)
		}
		from.mediaID = c.newMediaID()
		c.sameOrder(from, len(c.media.kinds))
	}
	id := c.newMediaID()
	ctx, cancel := c.relayContext()
	defer cancel()
	asked := c.terms(from)
	got, err := c.eng.deps.Relay.Offer(ctx, ctl.MediaOffer{Session: c.id, Leg: asked, Peer: ctl.MediaLeg{ID: id, Local: local, Ours: to.ours, Continues: to.continues}})
	if err != nil {
		return fmt.Errorf("offer to the relay: %w", err)
	}
	c.media.open = true
	to.mediaID, to.continues = id, ""
	c.media.said[from.mediaID] = saidNow(&asked)
	c.media.ports[from.mediaID], c.media.ports[id] = got.Leg, got.Peer
	return nil
}

// localAddr is the address that the leg's peer is told: that of the ports it was given.
func (c *Call) localAddr(to *Leg) (netip.Addr, error) {
	for _, p := range c.media.ports[to.mediaID] {
		if p.RTP.IsValid() {
			return p.RTP.Addr(), nil
		}
	}
	if a := to.flow.Local.Addr(); a.IsValid() {
		return a, nil
	}
	return netip.Addr{}, fmt.Errorf("leg %s has no address of ours", to.id)
}

// align finds for each m-line of a description to be written which of src's it carries: -1 for one
// that src has no match for and that must keep its place.
func align(layout []mline, src *sdp.Session) (pick []int) {
	used := make([]bool, len(src.Media))
	for _, line := range layout {
		found := -1
		for j := range src.Media {
			if !used[j] && src.Media[j].Kind == line.kind {
				found = j
				used[j] = true
				break
			}
		}
		pick = append(pick, found)
	}
	for j := range src.Media {
		if !used[j] {
			pick = append(pick, j)
		}
	}
	return pick
}

// firstAnswer takes a branch's answer, connects it with the caller and writes the answer for the
// caller. A second answer of another branch replaces it.
func (c *Call) firstAnswer(l *Leg, body string) ([]byte, *checked.Reply) {
	if r := c.hearAnswer(l, body); r != nil {
		return nil, r
	}
	return c.answerThrough(c.a, l)
}

// answerThrough writes for one leg what another has answered, and joins their streams.
func (c *Call) answerThrough(to, from *Leg) ([]byte, *checked.Reply) {
	t, refused := c.towards(to, from)
	if refused != nil {
		return nil, refused
	}
	to.ours = t
	out, refused := c.answerFor(to, from)
	if refused != nil {
		return nil, refused
	}
	if err := c.connectRelay(to, from); err != nil {
		c.log.Warn("the relay did not take an answer", "leg", from.id, "err", err)
		return nil, relayRefusal(err)
	}
	return out, nil
}

// streamLine returns the m-line that carries a stream of the session; nil if there is none.
func (l *Leg) streamLine(stream int) *sdp.Media {
	if stream < 0 || l.theirs == nil {
		return nil
	}
	for i, s := range l.order {
		if s == stream && i < len(l.theirs.Media) {
			return &l.theirs.Media[i]
		}
	}
	return nil
}

// closeMedia ends the session and takes its account.
func (c *Call) closeMedia() {
	if !c.media.open {
		return
	}
	c.media.open = false
	ctx, cancel := c.relayContext()
	defer cancel()
	got, err := c.eng.deps.Relay.CloseSession(ctx, ctl.MediaClose{Session: c.id})
	if err != nil {
		c.log.Warn("the relay gave no account of the streams", "err", err)
		return
	}
	for _, s := range got.Streams {
		for _, l := range c.allLegs() {
			if l.mediaID == s.Leg && (l == c.a || l == c.b || !l.answer.IsZero()) {
				l.streamStats = append(l.streamStats, s)
			}
		}
	}
}
