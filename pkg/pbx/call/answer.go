package call

import (
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// branchWon takes the 2xx of a branch (RFC 3261 §13.2.2.4).
func (c *Call) branchWon(l *Leg, in *edge.Inbound) {
	l.peerTag = in.ToTag
	l.routes = in.AppendRoutes(l.routes[:0:0], true)
	l.learn(&in.Message, c.eng)
	l.state = legConfirmed
	l.answer = time.Now().UTC()
	l.code = in.Status
	if !c.isBranch(l) || (c.state > stateRinging && c.transfer == nil) {
		c.ackSuccess(l, in.CSeq, nil)
		c.bye(l, nil)
		return
	}
	c.agreeTimer(l, in)
	if c.transfer != nil && c.state == stateUp {
		c.transferAnswered(l, in)
		return
	}
	if !c.fork.hasOffer {
		c.delayedOffer(l, in)
		return
	}
	c.ackSuccess(l, in.CSeq, nil)
	body, refused := c.answerToCaller(l, in)
	if refused != nil {
		c.bye(l, nil)
		c.stopRinging(l)
		c.retire(l)
		c.fail(refused)
		return
	}
	c.connect(l, body)
}

// answerToCaller finds the answer that the caller gets: that of the 200, or, where a reliable
// response has carried it, the same again.
func (c *Call) answerToCaller(l *Leg, in *edge.Inbound) ([]byte, *checked.Reply) {
	if in.HasSDP() && in.Body != l.theirText {
		return c.firstAnswer(l, in.Body)
	}
	if l.theirs == nil {
		return nil, notAcceptable("the callee answered without a session description")
	}
	return c.firstAnswer(l, l.theirText)
}

// connect makes a branch the call's other leg and tells the caller.
func (c *Call) connect(l *Leg, body []byte) {
	c.stopRinging(l)
	c.b = l
	c.state = stateUp
	c.up.Store(true)
	c.dropLosers()
	now := time.Now().UTC()
	c.a.answer, c.rec.Answer = now, now
	if c.rec.Ring.IsZero() {
		c.rec.Ring = now
	}
	c.a.code, c.rec.Code, c.rec.Status = 200, 200, record.CallAnswered
	c.changed()
	c.answerCaller(&checked.Reply{Code: 200, Reason: "OK", Body: body, Type: typeSDP})
	c.watchLife()
	c.recordFirst()
}

// answerCaller sends the 200, when no reliable response is waited for (RFC 3262 §3).
func (c *Call) answerCaller(r *checked.Reply) {
	if c.a.rel.pending() {
		c.a.rel.final = r
		return
	}
	tx := c.a.inviteIn
	if tx == nil {
		return
	}
	r.Extra = append(r.Extra, c.timerHeader(c.a, tx.in)...)
	c.a.state = legConfirmed
	c.finish(tx, r)
}

// delayedOffer carries an offer that the callee makes in its 200 to the caller, whose ACK brings
// the answer (RFC 3261 §13.2.1).
func (c *Call) delayedOffer(l *Leg, in *edge.Inbound) {
	seq := in.CSeq
	give := func(r *checked.Reply) {
		c.ackSuccess(l, seq, nil)
		c.bye(l, nil)
		c.stopRinging(l)
		c.retire(l)
		c.fail(r)
	}
	if !in.HasSDP() {
		give(&checked.Reply{Code: 488, Reason: "Not Acceptable Here"})
		return
	}
	if r := c.hearOffer(l, in.Body); r != nil {
		give(r)
		return
	}
	c.askBlind(l, c.a)
	if err := c.openTowards(l, c.a); err != nil {
		c.log.Warn("no media for a call", "err", err)
		give(&checked.Reply{Code: 503, Reason: "Service Unavailable", Header: "Retry-After: 5\r\n"})
		return
	}
	body, err := c.describe(c.a, l)
	if err != nil {
		give(&checked.Reply{Code: 500, Reason: "Server Internal Error"})
		return
	}
	if tx := c.a.inviteIn; tx != nil {
		tx.acked = func(ack *edge.Inbound) { c.delayedAnswer(l, seq, ack) }
	}
	c.connect(l, body)
}

// delayedAnswer completes a delayed offer with the caller's answer.
func (c *Call) delayedAnswer(l *Leg, seq uint32, ack *edge.Inbound) {
	body, ok := c.answerInAck(c.a, l, ack)
	c.ackSuccess(l, seq, body)
	if !ok {
		c.end(ending{by: record.ByBox, cause: "the caller's ACK had no answer", code: 488})
	}
}

// answerInAck takes an answer that an ACK brings and writes it for the other leg, which had made
// the offer.
func (c *Call) answerInAck(from, to *Leg, ack *edge.Inbound) (body []byte, ok bool) {
	if !ack.HasSDP() || c.hearAnswer(from, ack.Body) != nil {
		return nil, false
	}
	body, refused := c.answerThrough(to, from)
	return body, refused == nil
}
