package call

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/pack"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/terms"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// errNoKeys is the error of a leg that the relay has no keys for.
var errNoKeys = errors.New("the relay has no keys for the leg")

// notAcceptable refuses media and says why (RFC 3261 §21.4.26).
func notAcceptable(why string) *checked.Reply {
	return &checked.Reply{Code: 488, Reason: "Not Acceptable Here", Header: "Warning: 399 sanchar \"" + reasonText(why) + "\"\r\n"}
}

// causeOf is what a refusal means in words: the text of its warning, if it has one.
func causeOf(r *checked.Reply) string {
	cause := strings.ToLower(r.Reason)
	for line := range strings.SplitSeq(r.Header+string(r.Extra), "\r\n") {
		if v, ok := strings.CutPrefix(line, "Warning: "); ok {
			if _, text, ok := strings.Cut(v, "\""); ok {
				return cause + ": " + strings.TrimSuffix(text, "\"")
			}
		}
	}
	return cause
}

// relayRefusal is what a peer hears when the relay did not take what it said.
func relayRefusal(err error) *checked.Reply {
	p := problem.Of(err)
	if p.Kind != problem.Invalid || len(p.Faults) == 0 {
		return &checked.Reply{Code: 503, Reason: "Service Unavailable"}
	}
	f := p.Faults[0]
	return notAcceptable(fmt.Sprintf("%s %s: %s", f.Path, f.Value, f.Rule))
}

// relayFailure is what a caller hears when the relay gave no ports for what he has offered.
func relayFailure(err error) failure {
	r := relayRefusal(err)
	if r.Code == 503 {
		r.Header = "Retry-After: 5\r\n"
	}
	return failure{code: r.Code, reason: r.Reason, header: []byte(r.Header)}
}

// rules are what the policy said of a leg's party when the call came.
func (c *Call) rules(l *Leg) *ctl.MediaRules {
	if l.rules == nil {
		r := c.eng.deps.Rules(l.userID)
		l.rules = &r
	}
	return l.rules
}

// hearOffer takes what a peer offers and decides what we say to it. A refusal says why, and leaves
// what was said before as it is.
func (c *Call) hearOffer(l *Leg, body string) *checked.Reply {
	before := l.said()
	if r := l.hear(body); r != nil {
		return r
	}
	c.eng.known.learn(l, l.theirs, true)
	t, why := terms.Answering(l.theirs, c.rules(l))
	if why != "" {
		l.unsay(before)
		return notAcceptable(why)
	}
	l.ours = c.goOn(l, t)
	return nil
}

// hearAnswer takes what a peer answers to what we have offered.
func (c *Call) hearAnswer(l *Leg, body string) *checked.Reply {
	if r := l.hear(body); r != nil {
		return r
	}
	if r := c.checkAnswer(l); r != nil {
		return r
	}
	t, why := terms.Taking(l.theirs, l.ours, c.rules(l))
	if why != "" {
		return notAcceptable(why)
	}
	if l.ours.Protection != t.Protection {
		c.log.Info("a device has answered in clear", "leg", l.id, "offered", string(l.ours.Protection))
		c.eng.known.refused(l, l.ours.Protection)
		for i := range l.layout {
			l.layout[i].proto = l.theirs.Media[i].Proto // by which it goes on
		}
	}
	c.eng.known.learn(l, l.theirs, false)
	l.ours = t
	return nil
}

// checkAnswer wants as many m-lines as were offered (RFC 3264 §6).
func (c *Call) checkAnswer(l *Leg) *checked.Reply {
	if len(l.theirs.Media) != len(l.order) {
		return notAcceptable("the answer has other m-lines than the offer")
	}
	return nil
}

// negotiation is what is known when a device is asked.
func (c *Call) negotiation(from, to *Leg) *terms.Call {
	n := &terms.Call{Offer: from.theirs, Caller: *c.rules(from), Callee: *c.rules(to), Device: c.eng.known.of(to)}
	if c.transfer != nil || c.state == stateUp || c.recordable() {
		n.Caller.Path = ctl.PathRelay // what it says of its ways was for somebody else, or it must come by here
	}
	return n
}

// addCodecs offers a leg codecs of the box where it has shown that it shares none with the other.
func (c *Call) addCodecs(to, from *Leg) {
	if to.theirs == nil || from.theirs == nil || c.rules(to).Transcoding == ctl.Off || c.rules(from).Transcoding == ctl.Off {
		return
	}
	to.added = to.added || !terms.Share(to.theirs, from.theirs)
}

// askBlind decides how a leg is offered what cannot be offered again in another way.
func (c *Call) askBlind(from, to *Leg) {
	n := c.negotiation(from, to)
	n.Caller.Path = ctl.PathRelay
	a := n.Blind()
	to.ours, to.feedback, to.added = n.Terms(a), a.Feedback, a.Added
}

// prepare decides how a device is asked: in which ways, one after another.
func (c *Call) prepare(l *Leg) {
	n := c.negotiation(c.fork.from, l)
	l.asks = n.Asks()
	c.takeAsk(l, n)
}

// takeAsk makes the first of the ways that are left the leg's.
func (c *Call) takeAsk(l *Leg, n *terms.Call) {
	a := l.asks[0]
	l.ours, l.feedback, l.added = n.Terms(a), a.Feedback, a.Added
	l.asks = l.asks[1:]
}

// askAgain asks a branch in the next way after it has refused the media that it was offered
// (RFC 3261 §21.4.13, §21.4.26, §21.6.4).
func (c *Call) askAgain(l *Leg, in *edge.Inbound) bool {
	if !refusesMedia(in) || !c.fork.hasOffer || !c.isBranch(l) || l.ours.Protection == "" && len(l.asks) == 0 {
		return false
	}
	c.eng.known.refused(l, l.ours.Protection)
	if strings.HasPrefix(in.Warning, "305 ") { // RFC 3261 §20.43: it is the codecs
		l.asks = slices.DeleteFunc(l.asks, func(a terms.Ask) bool { return !a.Added })
	}
	if len(l.asks) == 0 {
		return false
	}
	c.takeAsk(l, c.negotiation(c.fork.from, l))
	c.log.Info("a device is asked in another way", "leg", l.id, "status", in.Status, "protection", string(l.ours.Protection), "codecs added", l.added)
	c.freeRelay(l)
	l.state, l.peerTag, l.rel = legTrying, "", reliable{}
	l.theirs, l.theirText, l.order, l.layout, l.routes = nil, "", nil, nil, l.startRoutes
	c.invite(l)
	return true
}

func refusesMedia(in *edge.Inbound) bool {
	return in.Status == 488 || in.Status == 606 || in.Status == 415
}

// freeRelay gives up a branch's relay leg, unless another branch has it, too.
func (c *Call) freeRelay(l *Leg) {
	id := l.mediaID
	l.mediaID = ""
	for _, other := range c.ringing {
		if other.mediaID == id {
			return
		}
	}
	c.dropRelay(id)
}

func (c *Call) dropRelay(ids ...string) {
	for _, id := range ids {
		delete(c.media.ports, id)
		delete(c.media.said, id)
	}
	if err := c.sendUpdate(ctl.MediaUpdate{Session: c.id, Drop: ids}); err != nil {
		c.log.Warn("the relay keeps a leg that left", "err", err)
	}
}

// dropLosers gives up the relay legs of branches that did not win: each holds ports.
func (c *Call) dropLosers() {
	var idle []string
	for id := range c.media.ports {
		if id != c.a.mediaID && id != c.b.mediaID {
			idle = append(idle, id)
		}
	}
	if idle != nil {
		c.dropRelay(idle...)
	}
}

// saidNow is what the relay is told of a leg, to see whether it is news.
func saidNow(m *ctl.MediaLeg) string {
	var w pack.Writer
	m.Ours.Pack(&w)
	for i := range m.Streams {
		m.Streams[i].Pack(&w)
	}
	return string(w.B)
}

// connectRelay joins the streams of two legs, from of which has answered to.
func (c *Call) connectRelay(to, from *Leg) error {
	answer, asked := c.terms(from), c.terms(to)
	if c.media.said[to.mediaID] != saidNow(&asked) { // the answer changes what we say to the other, too
		return c.sendUpdate(ctl.MediaUpdate{Session: c.id, Legs: []ctl.MediaLeg{asked, answer}, Pairs: [][2]string{{to.mediaID, from.mediaID}}})
	}
	ctx, cancel := c.relayContext()
	defer cancel()
	if err := c.eng.deps.Relay.Answer(ctx, ctl.MediaAnswer{Session: c.id, Leg: answer, Peer: to.mediaID}); err != nil {
		return err
	}
	c.media.said[from.mediaID] = saidNow(&answer)
	return nil
}

// told is the m-line that a peer has heard from us; nil if it has heard none.
func told(ours *sdp.Session, i int) *sdp.Media {
	if ours == nil || i >= len(ours.Media) || !ours.Media[i].Live() {
		return nil
	}
	return &ours.Media[i]
}
