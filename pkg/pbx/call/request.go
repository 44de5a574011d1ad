package call

import (
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// request takes a request of a peer. It reports whether the request is kept, to be answered later.
func (c *Call) request(in *edge.Inbound) (kept bool) {
	if in.ToTag == "" {
		return c.outside(in)
	}
	l := c.leg(in.ToTag)
	if l == nil {
		return c.passOn(in)
	}
	switch {
	case in.CallID != l.callID || (in.FromTag != l.peerTag && l.peerTag != ""): // RFC 3261 §12.2.2
		c.eng.deps.Wire.Reply(in, &checked.Reply{Code: 481, Reason: "Call/Transaction Does Not Exist"})
		return false
	case in.Method == checked.ACK:
		if l.flow.Same(in.Flow) || in.Body == "" { // an answer counts from the dialog's own peer only
			l.lastSign = time.Now()
			c.ackInvite(l, in)
		}
		return false
	case !c.fromPeer(l, in):
		return false
	}
	l.lastSign = time.Now()
	if c.repeated(l, in) {
		return false
	}
	if in.Method != checked.INVITE {
		l.peerSeq = in.CSeq
	}
	return c.inDialog(l, in)
}

// leg finds a leg of this call by its id.
func (c *Call) leg(id string) *Leg {
	for _, l := range [...]*Leg{c.a, c.b} {
		if l != nil && l.id == id {
			return l
		}
	}
	for _, l := range c.ringing {
		if l.id == id {
			return l
		}
	}
	if c.transfer != nil && c.transfer.leg != nil && c.transfer.leg.id == id {
		return c.transfer.leg
	}
	for _, l := range c.gone {
		if l.id == id {
			return l
		}
	}
	return nil
}

// passOn hands a request to the call that has the leg now.
func (c *Call) passOn(in *edge.Inbound) (kept bool) {
	if to := c.handed[in.ToTag]; to != nil && to.post(event{in: in}) {
		return true
	}
	if in.Method != checked.ACK {
		c.eng.deps.Wire.Reply(in, &checked.Reply{Code: 481, Reason: "Call/Transaction Does Not Exist"})
	}
	return false
}

// outside takes a request without To tag: the INVITE that starts the call, again and again, and
// its CANCEL.
func (c *Call) outside(in *edge.Inbound) (kept bool) {
	switch {
	case c.a == nil && in.Method == checked.INVITE:
		c.begin(in)
		return true
	case c.a == nil || in.Method == checked.ACK:
		return false
	case in.Method == checked.CANCEL:
		c.cancelled(in)
		return false
	}
	tx := c.a.inviteIn
	switch {
	case in.CSeq == c.a.startSeq && in.Via.Branch == c.a.startBranch:
		if tx != nil && tx.last != nil {
			c.sendTo(c.a, in.Flow, tx.last) // RFC 3261 §17.2.1
		}
	default: // the same INVITE by another way (RFC 3261 §8.2.2.2)
		c.eng.deps.Wire.Reply(in, &checked.Reply{Code: 482, Reason: "Loop Detected"})
	}
	return false
}

// fromPeer reports whether a request comes from the dialog's own peer: on the leg's way, on one
// that its device has registered since, or with the user's credentials. Otherwise it is answered.
func (c *Call) fromPeer(l *Leg, in *edge.Inbound) bool {
	if l.flow.Same(in.Flow) || (l.flow.Transport == in.Flow.Transport && l.flow.Remote == in.Flow.Remote) {
		l.flow = in.Flow
		return true
	}
	for _, b := range c.eng.deps.Devices.Lookup(l.userID) {
		if b.Transport == in.Flow.Transport && b.Remote == in.Flow.Remote && (l.instance == "" || b.Instance == l.instance) {
			l.flow = in.Flow
			return true
		}
	}
	if !c.eng.deps.Wire.Authentic(in) {
		return false
	}
	if in.Account == nil || in.Account.ID != l.userID {
		c.eng.deps.Wire.Reply(in, &checked.Reply{Code: 403, Reason: "Forbidden: not your dialog"})
		return false
	}
	l.flow = in.Flow
	return true
}

// repeated handles requests that the leg has had: a retransmission gets the same answer, what is
// out of order is refused (RFC 3261 §12.2.2).
func (c *Call) repeated(l *Leg, in *edge.Inbound) bool {
	switch tx := l.inviteIn; {
	case in.Method == checked.CANCEL:
		return false
	case in.Method == checked.MESSAGE && in.CSeq == l.peerSeq:
		return false // chat knows which messages came before
	case in.Method == checked.INVITE && tx != nil && tx.seq == in.CSeq:
		if tx.last != nil {
			c.sendTo(l, in.Flow, tx.last)
		}
		return true
	case in.Method == l.answered.method && in.CSeq == l.answered.seq:
		c.sendTo(l, in.Flow, l.answered.b)
		return true
	case in.CSeq == l.peerSeq && c.pendingFor(l, in):
		return true // it is on its way to the other side
	case in.CSeq <= l.peerSeq && l.peerSeq != 0:
		c.eng.deps.Wire.Reply(in, &checked.Reply{Code: 500, Reason: "Out of Order", Header: "Retry-After: 1\r\n"})
		return true
	}
	return false
}

// pendingFor reports whether this very request waits for the other side's answer.
func (c *Call) pendingFor(l *Leg, in *edge.Inbound) bool {
	return c.relaying != nil && c.relaying.from == l && c.relaying.in != nil && c.relaying.in.CSeq == in.CSeq && c.relaying.in.Method == in.Method
}

// inDialog routes a request by its method; each has its own place.
func (c *Call) inDialog(l *Leg, in *edge.Inbound) (kept bool) {
	switch in.Method {
	case checked.INVITE:
		return c.reInvite(l, in)
	case checked.UPDATE:
		return c.update(l, in)
	case checked.PRACK:
		return c.prack(l, in)
	case checked.BYE:
		c.hungUp(l, in)
	case checked.CANCEL:
		c.cancelReInvite(l, in)
	case checked.INFO:
		return c.info(l, in)
	case checked.REFER:
		c.refer(l, in)
	case checked.MESSAGE:
		return c.message(l, in)
	case checked.NOTIFY:
		c.answer(l, in, &checked.Reply{Code: 481, Reason: "Subscription Does Not Exist"}) // we subscribe to nothing
	case checked.OPTIONS:
		c.answer(l, in, &checked.Reply{Code: 200, Reason: "OK", Header: "Accept: application/sdp\r\n"})
	default:
		c.answer(l, in, &checked.Reply{Code: 405, Reason: "Method Not Allowed", Header: "Allow: " + checked.Handled.String() + "\r\n"})
	}
	return false
}

// other returns the leg that a leg of the call talks to, nil while there is none.
func (c *Call) other(l *Leg) *Leg {
	switch l {
	case c.a:
		if c.b == nil {
			return c.earlyBranch()
		}
		return c.b
	case c.b:
		return c.a
	}
	for _, branch := range c.ringing {
		if branch == l {
			return c.a
		}
	}
	return nil
}

// earlyBranch returns the branch that the caller has an early dialog with, if there is just one.
func (c *Call) earlyBranch() (early *Leg) {
	for _, l := range c.ringing {
		if l.state == legEarly {
			if early != nil {
				return nil
			}
			early = l
		}
	}
	return early
}

// info carries INFO to the other side (RFC 6086). Key presses go once: where both sides have
// telephone events in their RTP, Linphone sends each press there as well (RFC 4733).
func (c *Call) info(l *Leg, in *edge.Inbound) (kept bool) {
	other := c.other(l)
	if other == nil || other.state != legConfirmed {
		c.answer(l, in, &checked.Reply{Code: 480, Reason: "Temporarily Unavailable"})
		return false
	}
	c.infoDigits(l, in)
	if strings.HasPrefix(strings.ToLower(in.ContentType), "application/dtmf") && hasEvents(l) && hasEvents(other) {
		c.answer(l, in, &checked.Reply{Code: 200, Reason: "OK"})
		return false
	}
	c.nextRequest(other, outRequest{method: checked.INFO, body: []byte(in.Body), kind: in.ContentType, extra: in.AppendPassed(nil)}, func(res *edge.Inbound) {
		r := &checked.Reply{Code: 408, Reason: "Request Timeout"}
		if res != nil {
			r.Code, r.Reason = res.Status, strings.Clone(res.Reason)
		}
		c.answer(l, in, r)
		c.eng.deps.Wire.Release(in)
	})
	return true
}

// message hands a message within the call to chat, as one between the two users (RFC 3428 §4). It
// could go to the other leg; but then it would be lost when the call ends, and the other devices of
// both would never show it.
func (c *Call) message(l *Leg, in *edge.Inbound) (kept bool) {
	other := c.other(l)
	if other == nil || other.userID == "" || l.userID == "" || c.eng.deps.Message == nil {
		c.answer(l, in, &checked.Reply{Code: 405, Reason: "Method Not Allowed", Header: "Allow: " + checked.Handled.String() + "\r\n"})
		return false
	}
	c.eng.deps.Message(in, l.userID, other.userID)
	return true
}

func hasEvents(l *Leg) bool {
	if l.theirs == nil {
		return false
	}
	for i := range l.theirs.Media {
		if l.theirs.Media[i].HasEvents() {
			return true
		}
	}
	return false
}
