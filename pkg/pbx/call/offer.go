package call

import (
	"fmt"
	"net/netip"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// media is what the call has at mediad: one session, a relay leg for each way in and out.
type media struct {
	open  bool
	kinds []string // of the session's streams; every leg maps its m-lines to them
	ports map[string][]ctl.MediaPorts
	next  int // counts relay legs
}

// hear takes what a peer says in SDP. A refusal says why (RFC 3261 §13.2.1, RFC 3264 §6).
func (l *Leg) hear(body string) *checked.Reply {
	s, err := sdp.Parse(body)
	if err != nil {
		return &checked.Reply{Code: 488, Reason: "Not Acceptable Here", Header: fmt.Sprintf("Warning: 399 sanchar \"%s\"\r\n", err)}
	}
	l.theirs, l.theirText = s, body
	return nil
}

// direction translates what a party said for mediad.
func direction(d sdp.Direction) ctl.Direction { return ctl.Direction(d.String()) }

// terms are a leg's streams as mediad wants them, in the order of the session's streams.
func (c *Call) terms(l *Leg) ctl.MediaLeg {
	m := ctl.MediaLeg{ID: l.mediaID, Local: c.mediaLocal(l), Source: l.flow.Remote.Addr(), Streams: make([]ctl.MediaStream, len(c.media.kinds))}
	for i, kind := range c.media.kinds {
		m.Streams[i].Kind = kind
	}
	if l.theirs == nil {
		return m
	}
	for i := range l.theirs.Media {
		if i >= len(l.order) || l.order[i] < 0 {
			continue
		}
		t := &l.theirs.Media[i]
		s := &m.Streams[l.order[i]]
		if !t.Live() || !t.Relayed() {
			continue
		}
		s.RTP, s.RTCP, s.Mux, s.Direction, s.Secure = t.RTP(), t.RTCP, t.Mux, direction(t.Direction), t.Secure()
		var buf [24]sdp.Format
		for _, f := range t.AppendFormats(buf[:0]) {
			s.Formats = append(s.Formats, ctl.MediaFormat{PayloadType: f.PayloadType, Encoding: f.Encoding, ClockRate: f.ClockRate})
		}
	}
	return m
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
		if other != to && other.mediaID != "" && other.flow.Local.Addr() == local {
			to.mediaID = other.mediaID
			return nil
		}
	}
	if !c.media.open {
		c.media.kinds, c.media.ports = nil, map[string][]ctl.MediaPorts{}
		for i := range from.theirs.Media {
			c.media.kinds = append(c.media.kinds, from.theirs.Media[i].Kind)
		}
		from.mediaID = c.newMediaID()
		c.sameOrder(from, len(c.media.kinds))
	}
	id := c.newMediaID()
	ctx, cancel := c.relayContext()
	defer cancel()
	got, err := c.eng.deps.Relay.Offer(ctx, ctl.MediaOffer{Session: c.id, Leg: c.terms(from), Peer: ctl.MediaLeg{ID: id, Local: local}})
	if err != nil {
		return fmt.Errorf("offer to the relay: %w", err)
	}
	c.media.open = true
	to.mediaID = id
	c.media.ports[from.mediaID], c.media.ports[id] = got.Leg, got.Peer
	return nil
}

// describe writes what from says for to: at our ports, and with to's m-lines where to has had some
// already (RFC 3264 §8). It sets to's order.
func (c *Call) describe(to, from *Leg) ([]byte, error) {
	pick := align(to.layout, from.theirs)
	ports := c.media.ports[to.mediaID]
	secs := make([]sdp.Section, 0, len(pick))
	order := make([]int, 0, len(pick))
	for i, j := range pick {
		if j < 0 {
			line := to.layout[i]
			secs = append(secs, sdp.Section{Kind: line.kind, Proto: line.proto, Formats: line.formats})
			order = append(order, -1)
			continue
		}
		m, stream := &from.theirs.Media[j], from.order[j]
		s := sdp.Section{From: m, Direction: m.Direction}
		if stream >= 0 && stream < len(ports) && m.Live() && m.Relayed() {
			s.RTP, s.RTCP = ports[stream].RTP.Port(), ports[stream].RTCP.Port()
		}
		secs = append(secs, s)
		order = append(order, stream)
	}
	to.order = order
	return c.write(to, from.theirs, secs)
}

// write writes the description and remembers it as what we said on the leg.
func (c *Call) write(to *Leg, src *sdp.Session, secs []sdp.Section) ([]byte, error) {
	local, err := c.localAddr(to)
	if err != nil {
		return nil, err
	}
	o := to.origin
	o.Addr = local
	body := sdp.Append(make([]byte, 0, 1024), src, o, secs)
	if string(body) != string(to.ourText) {
		to.origin.Version++ // RFC 3264 §8
		o.Version = to.origin.Version
		body = sdp.Append(body[:0], src, o, secs)
	}
	to.ourText = body
	to.layout = to.layout[:0]
	for i := range secs {
		s := &secs[i]
		if s.From != nil {
			to.layout = append(to.layout, mline{s.From.Kind, s.From.Proto, s.From.Formats})
		} else {
			to.layout = append(to.layout, mline{s.Kind, s.Proto, s.Formats})
		}
	}
	return body, nil
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
	if r := l.hear(body); r != nil {
		return nil, r
	}
	if r := c.checkAnswer(l); r != nil {
		return nil, r
	}
	ctx, cancel := c.relayContext()
	defer cancel()
	if err := c.eng.deps.Relay.Answer(ctx, ctl.MediaAnswer{Session: c.id, Leg: c.terms(l), Peer: c.a.mediaID}); err != nil {
		c.log.Warn("the relay did not take an answer", "leg", l.id, "err", err)
		return nil, &checked.Reply{Code: 503, Reason: "Service Unavailable"}
	}
	out, err := c.answerFor(c.a, l)
	if err != nil {
		return nil, &checked.Reply{Code: 500, Reason: "Server Internal Error"}
	}
	return out, nil
}

// checkAnswer wants as many m-lines as were offered (RFC 3264 §6).
func (c *Call) checkAnswer(l *Leg) *checked.Reply {
	if len(l.theirs.Media) != len(l.order) {
		return &checked.Reply{Code: 488, Reason: "Not Acceptable Here", Header: "Warning: 399 sanchar \"the answer has other m-lines than the offer\"\r\n"}
	}
	return nil
}

// answerFor writes the answer to what to has offered, from what from has answered: one m-line for
// each of to's, in its order (RFC 3264 §6).
func (c *Call) answerFor(to, from *Leg) ([]byte, error) {
	ports := c.media.ports[to.mediaID]
	secs := make([]sdp.Section, 0, len(to.theirs.Media))
	for i := range to.theirs.Media {
		offered := &to.theirs.Media[i]
		m := from.streamLine(to.order[i])
		if m == nil || !m.Live() || !offered.Live() || to.order[i] >= len(ports) {
			secs = append(secs, sdp.Section{Kind: offered.Kind, Proto: offered.Proto, Formats: offered.Formats})
			continue
		}
		p := ports[to.order[i]]
		secs = append(secs, sdp.Section{From: m, RTP: p.RTP.Port(), RTCP: p.RTCP.Port(), Direction: m.Direction})
	}
	return c.write(to, from.theirs, secs)
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
