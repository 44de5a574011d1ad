package call

import (
	"strconv"

	"github.com/coraltele/sanchar/pkg/pbx/terms"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// describe writes what from says as an offer to to: at our ports and in to's terms, and with to's
// m-lines where to has had some already (RFC 3264 §8). It sets to's order.
func (c *Call) describe(to, from *Leg) ([]byte, error) {
	pick := align(to.layout, from.theirs)
	secs := make([]sdp.Section, 0, len(pick))
	order := make([]int, 0, len(pick))
	for i, j := range pick {
		if j < 0 {
			line := to.layout[i]
			secs = append(secs, sdp.Section{Kind: line.kind, Proto: line.proto, Formats: line.formats})
			order = append(order, -1)
			continue
		}
		s, err := c.offerLine(to, from, i, j)
		if err != nil {
			return nil, err
		}
		secs = append(secs, s)
		order = append(order, from.order[j])
	}
	to.order = order
	return c.write(to, from.theirs, secs)
}

// offerLine is the i-th m-line of an offer to to: from's j-th.
func (c *Call) offerLine(to, from *Leg, i, j int) (sdp.Section, error) {
	m, stream := &from.theirs.Media[j], from.order[j]
	s := sdp.Section{From: m, Direction: m.Direction}
	s.Proto = c.offerProto(to, m, i)
	ports := c.media.ports[to.mediaID]
	if stream < 0 || stream >= len(ports) || !m.Live() || !m.Relayed() || !c.lets(from, to, m) {
		return s, nil
	}
	p := &ports[stream]
	if sdp.IsRTP(m.Proto) {
		if !terms.Keyed(&to.ours, p) {
			return s, errNoKeys
		}
		terms.Dress(&s, &to.ours, p, true)
		s.Terms.Payloads = terms.Payloads(m, c.rules(from), c.rules(to), to.added)
		if to.ours.Bundle {
			s.Terms.MID, s.Terms.MIDExt = c.midOf(to, i), m.FreeExt()
		}
		c.limit(&s, from, to)
		c.direct(&s)
		return s, nil
	}
	s.RTP, s.RTCP = p.RTP.Port(), p.RTCP.Port()
	return s, nil
}

// offerProto is the profile of the i-th m-line of an offer: the one that it has had, or that of the
// leg's terms.
func (c *Call) offerProto(to *Leg, m *sdp.Media, i int) string {
	switch {
	case !sdp.IsRTP(m.Proto) || to.ours.Protection == ctl.Through:
		return m.Proto
	case i < len(to.layout) && to.layout[i].kind == m.Kind && sdp.IsRTP(to.layout[i].proto):
		return to.layout[i].proto
	}
	return sdp.Profile(keying(to.ours.Protection), to.feedback)
}

func keying(p ctl.Protection) sdp.Keying {
	switch p {
	case ctl.SDES:
		return sdp.SDES
	case ctl.DTLS:
		return sdp.DTLS
	case ctl.Plain, ctl.Through:
	}
	return sdp.Plain
}

// lets reports whether both sides' policies let a stream be.
func (c *Call) lets(from, to *Leg, m *sdp.Media) bool {
	return m.Kind != "video" || (c.rules(from).Video != ctl.Off && c.rules(to).Video != ctl.Off)
}

// limit bounds what video may take by both sides' policies.
func (c *Call) limit(s *sdp.Section, from, to *Leg) {
	if s.From.Kind != "video" {
		return
	}
	for _, r := range [...]*ctl.MediaRules{c.rules(from), c.rules(to)} {
		if r.VideoKbits != 0 && (s.Terms.Bandwidth == 0 || r.VideoKbits < s.Terms.Bandwidth) {
			s.Terms.Bandwidth = r.VideoKbits
		}
	}
}

// midOf names the i-th m-line towards a leg: as it has been named, or by its place.
func (c *Call) midOf(to *Leg, i int) string {
	if to.theirs != nil && i < len(to.theirs.Media) {
		if mid := to.theirs.Media[i].MID(); mid != "" {
			return mid
		}
	}
	return strconv.Itoa(i)
}

// answerFor writes the answer to what to has offered, from what from has answered: one m-line for
// each of to's, in its order (RFC 3264 §6).
func (c *Call) answerFor(to, from *Leg) ([]byte, *checked.Reply) {
	secs := make([]sdp.Section, 0, len(to.theirs.Media))
	var bad *checked.Reply
	taken := 0
	for i := range to.theirs.Media {
		s, why := c.answerLine(to, from, i)
		switch {
		case why != "":
			bad = notAcceptable(why)
		case s.RTP != 0:
			taken++
		}
		secs = append(secs, s)
	}
	if taken == 0 && bad != nil {
		return nil, bad
	}
	body, err := c.write(to, from.theirs, secs)
	if err != nil {
		return nil, &checked.Reply{Code: 500, Reason: "Server Internal Error"}
	}
	return body, nil
}

// answerLine is the i-th m-line of the answer to to. A stream that the parties cannot have is
// refused, and why is said.
func (c *Call) answerLine(to, from *Leg, i int) (s sdp.Section, why string) {
	offered := &to.theirs.Media[i]
	refused := sdp.Section{Kind: offered.Kind, Proto: offered.Proto, Formats: offered.Formats}
	ports := c.media.ports[to.mediaID]
	m := from.streamLine(to.order[i])
	if m == nil || !m.Live() || !offered.Live() || to.order[i] >= len(ports) || !c.lets(from, to, offered) {
		return refused, ""
	}
	p := &ports[to.order[i]]
	s = sdp.Section{From: m, Proto: offered.Proto, Direction: m.Direction, RTP: p.RTP.Port(), RTCP: p.RTCP.Port()}
	if !sdp.IsRTP(offered.Proto) {
		return s, ""
	}
	if to.ours.Protection != ctl.Through && offered.Keyings()&keying(to.ours.Protection) == 0 {
		return refused, terms.WhyKind // this line insists on another protection than the others
	}
	if !terms.Keyed(&to.ours, p) {
		return refused, errNoKeys.Error()
	}
	list, ok := terms.Answered(offered, m, c.rules(to).Transcoding != ctl.Off && c.rules(from).Transcoding != ctl.Off)
	if !ok {
		return refused, terms.WhyCodec
	}
	terms.Dress(&s, &to.ours, p, false)
	s.Terms.Payloads, s.Terms.MID = list, offered.MID()
	if to.ours.Bundle {
		s.Terms.MIDExt = offered.Ext(sdp.ExtMID)
	}
	c.limit(&s, from, to)
	c.direct(&s)
	return s, ""
}

// write writes the description and remembers it as what we said on the leg.
func (c *Call) write(to *Leg, src *sdp.Session, secs []sdp.Section) ([]byte, error) {
	local, err := c.localAddr(to)
	if err != nil {
		return nil, err
	}
	o := to.origin
	o.Addr, o.Lite = local, to.ours.ICE == ctl.ICELite
	if to.ours.Bundle {
		for i := range secs {
			if s := &secs[i]; s.RTP != 0 && s.Terms.MID != "" {
				o.Bundle = append(o.Bundle, s.Terms.MID)
			}
		}
	}
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
		line := mline{s.Kind, s.Proto, s.FormatList()}
		if s.From != nil {
			line.kind = s.From.Kind
			if line.proto == "" {
				line.proto = s.From.Proto
			}
		}
		to.layout = append(to.layout, line)
	}
	return body, nil
}
