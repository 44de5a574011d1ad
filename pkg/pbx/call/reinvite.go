package call

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// relaying is an offer that one leg has made and the other has been asked.
type relaying struct {
	from, to *Leg
	in       *edge.Inbound // the INVITE, UPDATE or PRACK that brought the offer
	before   said          // what from had said until then
	passed   bool          // the other side was asked
}

// said is what a peer has said, to be put back when a new offer fails.
type said struct {
	theirs *sdp.Session
	text   string
	order  []int
	ours   ctl.MediaTerms // that it had led to
}

func (l *Leg) said() said { return said{l.theirs, l.theirText, append([]int(nil), l.order...), l.ours} }

func (l *Leg) unsay(s said) {
	l.theirs, l.theirText, l.order, l.ours = s.theirs, s.text, s.order, s.ours
}

// reInvite takes an INVITE within the dialog (RFC 3261 §14.2). It is always kept: its transaction
// answers it.
func (c *Call) reInvite(l *Leg, in *edge.Inbound) (kept bool) {
	if l.inviteIn != nil {
		c.eng.deps.Wire.Reply(in, &checked.Reply{Code: 500, Reason: "Server Internal Error", Header: "Retry-After: 3\r\n"})
		return false // RFC 3261 §14.2: the one before is not acknowledged yet
	}
	if in.SessionExpires.Seconds > 0 && in.SessionExpires.Seconds < minSession {
		return c.refuseInvite(l, in, 422, "Session Interval Too Small", "Min-SE: 90\r\n")
	}
	if c.glare(l) {
		return c.refuseInvite(l, in, 491, "Request Pending", "")
	}
	tx := c.acceptInvite(l, in)
	tx.lost = func() { c.end(ending{by: record.ByBox, cause: "a change was not acknowledged", code: 408}) }
	c.progress(tx, &checked.Reply{Code: 100, Reason: "Trying"})
	l.learn(&in.Message, c.eng)
	switch {
	case !in.HasSDP():
		c.offerAgain(l, tx)
	case in.HasSDP() && sameVersion(l, in.Body):
		c.finish(tx, &checked.Reply{Code: 200, Reason: "OK", Body: l.ourText, Type: typeSDP, Extra: c.timerHeader(l, in)})
	default:
		c.relayOffer(l, in)
	}
	return true
}

// refuseInvite answers a re-INVITE with a failure and waits for its ACK.
func (c *Call) refuseInvite(l *Leg, in *edge.Inbound, code int, reason, header string) bool {
	tx := c.acceptInvite(l, in)
	c.finish(tx, &checked.Reply{Code: code, Reason: reason, Header: header})
	return true
}

// glare reports whether an offer is on its way already, on this leg or the other (RFC 3261 §14.2).
func (c *Call) glare(l *Leg) bool {
	other := c.other(l)
	return c.relaying != nil || l.inviteOut != nil || c.state != stateUp || other == nil || other.inviteOut != nil || other.inviteIn != nil || c.joining != nil
}

// sameVersion reports whether a description is the one that the peer gave last: a refresh of the
// session and no more (RFC 3264 §8, RFC 4028 §7.4).
func sameVersion(l *Leg, body string) bool {
	if l.theirs == nil {
		return false
	}
	s, err := sdp.Parse(body)
	return err == nil && s.Origin == l.theirs.Origin
}

// offerAgain answers an INVITE without offer by one of ours; the ACK brings the answer.
func (c *Call) offerAgain(l *Leg, tx *serverTx) {
	other := c.other(l)
	body, err := c.describe(l, other)
	if err != nil {
		c.finish(tx, &checked.Reply{Code: 500, Reason: "Server Internal Error"})
		return
	}
	tx.acked = func(ack *edge.Inbound) {
		before := l.theirText
		if !ack.HasSDP() || c.hearAnswer(l, ack.Body) != nil || c.updateRelay(l) != nil {
			c.end(ending{by: record.ByBox, cause: "an ACK had no answer", code: 488})
			return
		}
		if l.theirText != before && c.state == stateUp {
			c.reoffer(other, l, false, func(bool) {})
		}
		c.changed()
	}
	c.finish(tx, &checked.Reply{Code: 200, Reason: "OK", Body: body, Type: typeSDP, Extra: c.timerHeader(l, tx.in)})
}

// update takes an UPDATE (RFC 3311 §5.2).
func (c *Call) update(l *Leg, in *edge.Inbound) (kept bool) {
	if in.SessionExpires.Seconds > 0 && in.SessionExpires.Seconds < minSession {
		c.answer(l, in, &checked.Reply{Code: 422, Reason: "Session Interval Too Small", Header: "Min-SE: 90\r\n"})
		return false
	}
	l.learn(&in.Message, c.eng)
	switch {
	case !in.HasSDP():
		c.answer(l, in, &checked.Reply{Code: 200, Reason: "OK", Extra: c.timerHeader(l, in)})
	case sameVersion(l, in.Body) && len(l.ourText) > 0:
		c.answer(l, in, &checked.Reply{Code: 200, Reason: "OK", Body: l.ourText, Type: typeSDP, Extra: c.timerHeader(l, in)})
	case c.relaying != nil || c.joining != nil || l.inviteOut != nil && l.state == legConfirmed:
		c.answer(l, in, &checked.Reply{Code: 491, Reason: "Request Pending"})
	default:
		return c.relayOffer(l, in)
	}
	return false
}

// relayOffer asks the other side what one side has offered. The request is kept until it answers.
func (c *Call) relayOffer(l *Leg, in *edge.Inbound) (kept bool) {
	other := c.other(l)
	r := &relaying{from: l, to: other, in: in, before: l.said()}
	refuse := func(reply *checked.Reply) bool {
		l.unsay(r.before)
		return c.answerOffer(r, reply)
	}
	method, ok := c.offerMethod(other, in.Method)
	if !ok {
		return refuse(&checked.Reply{Code: 500, Reason: "Server Internal Error", Header: "Retry-After: 2\r\n"})
	}
	if bad := c.hearOffer(l, in.Body); bad != nil {
		return refuse(bad)
	}
	if len(l.theirs.Media) < len(r.before.order) { // RFC 3264 §8: m-lines stay
		return refuse(notAcceptable("m-lines are missing"))
	}
	c.extend(l)
	if other.ours.ICE == ctl.ICEThrough && l.ours.ICE != ctl.ICEThrough {
		other.ours.ICE = ctl.NoICE // one side goes on without it, and both through the box
	}
	if err := c.updateRelay(l, other); err != nil {
		c.log.Warn("the relay did not take an offer", "leg", l.id, "err", err)
		return refuse(relayRefusal(err))
	}
	c.addCodecs(other, l)
	heard := other.voice()
	body, err := c.describe(other, l)
	if err != nil {
		return refuse(&checked.Reply{Code: 500, Reason: "Server Internal Error"})
	}
	if sameButKeys(string(body), string(heard.text)) && other.state == legConfirmed && l.state == legConfirmed {
		other.setVoice(heard)
		return c.answerOffer(r, c.answerAlone(l, other))
	}
	c.relaying, r.passed = r, true
	c.nextRequest(other, c.offerRequest(other, method, body, in.AppendPassed(nil)), func(res *edge.Inbound) { c.offerAnswered(r, res) })
	return true
}

// offerMethod chooses how to ask: as we were asked, or as the other side can be.
func (c *Call) offerMethod(to *Leg, asked checked.Method) (checked.Method, bool) {
	switch {
	case to == nil || to.inviteOut != nil && to.state == legConfirmed || to.inviteIn != nil && to.state == legConfirmed:
		return 0, false
	case asked == checked.INVITE && to.state == legConfirmed:
		return checked.INVITE, true
	case to.allow.Has(checked.UPDATE):
		return checked.UPDATE, true
	}
	return checked.INVITE, to.state == legConfirmed
}

func (c *Call) offerRequest(to *Leg, method checked.Method, body, extra []byte) outRequest {
	extra = append(extra, "Allow: "+checked.Handled.String()+"\r\nSupported: "+dialogOptions.String()+"\r\n"...)
	return outRequest{method: method, body: body, kind: typeSDP, extra: append(extra, to.timer.requestHeader()...)}
}

// extend gives m-lines that are new a stream of the session each.
func (c *Call) extend(l *Leg) {
	for len(l.order) < len(l.theirs.Media) {
		c.media.kinds = append(c.media.kinds, l.theirs.Media[len(l.order)].Kind)
		l.order = append(l.order, len(c.media.kinds)-1)
	}
}

// updateRelay tells mediad what legs have said.
func (c *Call) updateRelay(legs ...*Leg) error {
	up := ctl.MediaUpdate{Session: c.id}
	for _, l := range legs {
		up.Legs = append(up.Legs, c.terms(l))
	}
	return c.sendUpdate(up)
}

func (c *Call) sendUpdate(up ctl.MediaUpdate) error {
	ctx, cancel := c.relayContext()
	defer cancel()
	got, err := c.eng.deps.Relay.Update(ctx, up)
	if err != nil {
		return err
	}
	for id, ports := range got.Ports {
		c.media.ports[id] = ports
	}
	for i := range up.Legs {
		c.media.said[up.Legs[i].ID] = saidNow(&up.Legs[i])
	}
	return nil
}

// offerAnswered takes the other side's answer to an offer that was passed on.
func (c *Call) offerAnswered(r *relaying, res *edge.Inbound) {
	c.relaying = nil
	l, other := r.from, r.to
	if res == nil || res.Status >= 300 {
		l.unsay(r.before)
		if err := c.updateRelay(l); err != nil {
			c.log.Warn("the relay keeps an offer that failed", "leg", l.id, "err", err)
		}
		c.answerOffer(r, refusalOf(res))
		if res == nil || res.Status == 408 || res.Status == 481 { // RFC 3261 §12.2.1.2
			c.peerDead(other)
		}
		return
	}
	other.learn(&res.Message, c.eng)
	c.agreeTimer(other, res)
	reply := c.takeAnswer(l, other, res)
	if res.Method == checked.INVITE {
		c.ackSuccess(other, res.CSeq, nil)
	}
	if reply.Code >= 300 {
		l.unsay(r.before)
		c.tellAnswered(l)
	}
	c.answerOffer(r, reply)
	c.soundHold()
	c.changed()
}

// takeAnswer connects an answer and writes it for who has offered.
func (c *Call) takeAnswer(l, other *Leg, res *edge.Inbound) *checked.Reply {
	if !res.HasSDP() {
		return notAcceptable("the answer has no session description")
	}
	before := other.said()
	if bad := c.hearAnswer(other, res.Body); bad != nil {
		other.unsay(before)
		return bad
	}
	if err := c.updateRelay(other); err != nil {
		c.log.Warn("the relay did not take an answer", "leg", other.id, "err", err)
		other.unsay(before)
		return relayRefusal(err)
	}
	body, bad := c.answerFor(l, other)
	if bad != nil {
		return bad
	}
	c.tellAnswered(l)
	return &checked.Reply{Code: 200, Reason: "OK", Body: body, Type: typeSDP}
}

// refusalOf is what a side hears whose offer the other has refused.
func refusalOf(res *edge.Inbound) *checked.Reply {
	if res == nil || res.Status == 408 || res.Status == 481 {
		return &checked.Reply{Code: 408, Reason: "Request Timeout"}
	}
	r := &checked.Reply{Code: res.Status, Reason: strings.Clone(res.Reason)}
	if res.Warning != "" {
		r.Header = "Warning: " + res.Warning + "\r\n"
	}
	return r
}

// answerOffer answers the request that brought an offer. It reports whether the request is kept all
// the same: an INVITE is, by its transaction. One that was passed on is given back here.
func (c *Call) answerOffer(r *relaying, reply *checked.Reply) (kept bool) {
	l := r.from
	if reply.Code < 300 {
		reply.Extra = append(reply.Extra, c.timerHeader(l, r.in)...)
	}
	if r.in.Method == checked.INVITE {
		if l.inviteIn != nil && l.inviteIn.in == r.in {
			c.finish(l.inviteIn, reply)
		}
		return true
	}
	c.answer(l, r.in, reply)
	if r.passed {
		c.eng.deps.Wire.Release(r.in)
	}
	return false
}

// cancelReInvite takes the CANCEL of a re-INVITE.
func (c *Call) cancelReInvite(l *Leg, in *edge.Inbound) {
	tx := l.inviteIn
	if tx == nil || tx.seq != in.CSeq {
		c.eng.deps.Wire.Reply(in, &checked.Reply{Code: 481, Reason: "Call/Transaction Does Not Exist"})
		return
	}
	c.answer(l, in, &checked.Reply{Code: 200, Reason: "OK"})
	if r := c.relaying; tx.final == 0 && r != nil && r.from == l && r.to.inviteOut != nil {
		c.cancelTx(r.to.inviteOut, reasonLine(in.ReasonHeader))
	}
}

// reoffer makes an offer of our own to a leg: what another says. With fresh, all streams flow
// again, whatever was on hold. done hears whether the leg took it.
func (c *Call) reoffer(to, from *Leg, fresh bool, done func(ok bool)) {
	if to.inviteOut != nil || to.inviteIn != nil {
		c.retryOffer(to, func() { c.reoffer(to, from, fresh, done) })
		return
	}
	c.addCodecs(to, from)
	if fresh {
		from = from.flowing()
	}
	body, err := c.describe(to, from)
	if err != nil {
		done(false)
		return
	}
	c.nextRequest(to, c.offerRequest(to, checked.INVITE, body, append([]byte(nil), c.referred...)), func(res *edge.Inbound) {
		switch {
		case res != nil && res.Status == 491: // RFC 3261 §14.1
			c.retryOffer(to, func() { c.reoffer(to, from, fresh, done) })
			return
		case res == nil || res.Status >= 300:
			done(false)
			return
		}
		to.learn(&res.Message, c.eng)
		c.agreeTimer(to, res)
		c.ackSuccess(to, res.CSeq, nil)
		ok := res.HasSDP() && c.hearAnswer(to, res.Body) == nil && c.updateRelay(to) == nil
		c.changed()
		done(ok)
	})
}

// retryOffer waits as RFC 3261 §14.1 says: longer where the Call-ID is ours.
func (c *Call) retryOffer(l *Leg, again func()) {
	wait := time.Duration(rand.Int64N(int64(2 * time.Second)))
	if !l.caller {
		wait = 2100*time.Millisecond + time.Duration(rand.Int64N(int64(1900*time.Millisecond)))
	}
	c.after(wait, func() {
		if c.state == stateUp && l.state == legConfirmed {
			again()
		}
	})
}

// flowing returns the leg as if it had nothing on hold: what it says to somebody new.
func (l *Leg) flowing() *Leg {
	s := *l.theirs
	s.Media = append([]sdp.Media(nil), l.theirs.Media...)
	for i := range s.Media {
		s.Media[i].Direction = sdp.SendRecv
	}
	f := *l
	f.theirs = &s
	return &f
}
