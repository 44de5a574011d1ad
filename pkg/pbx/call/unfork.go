package call

import (
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// cancelBranches takes back all INVITEs that ring.
func (c *Call) cancelBranches(reason []byte) {
	for _, l := range c.ringing {
		c.cancelBranch(l, reason)
	}
}

func (c *Call) cancelBranch(l *Leg, reason []byte) {
	if l.inviteOut != nil {
		c.cancelTx(l.inviteOut, reason)
		l.inviteOut.done = func(in *edge.Inbound) { c.cancelledBranch(l, in) }
	}
}

// cancelledBranch takes the final response of a branch that was taken back. One that answered all
// the same is hung up (RFC 3261 §9.1).
func (c *Call) cancelledBranch(l *Leg, in *edge.Inbound) {
	if in != nil && in.Status < 300 {
		c.refuseAnswer(l, in)
		return
	}
	if in != nil && l.code == 0 {
		l.code = in.Status
	}
	c.legDone(l)
}

// stopRinging takes all branches back.
func (c *Call) stopRinging(winner *Leg) {
	reason := c.reason
	if winner != nil {
		reason = []byte("Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n") // RFC 3326 §2
	}
	c.fork.waiting = nil
	c.stopWaking()
	c.fork.group.stop()
	c.fork.limit.stop()
	c.fork.limit = nil
	if c.fork.user != nil {
		c.eng.ring(c, c.fork.user.ID, false)
	}
	for i, l := range c.ringing {
		if l == winner {
			c.ringing = append(c.ringing[:i], c.ringing[i+1:]...)
			break
		}
	}
	c.cancelBranches(reason)
	for _, l := range append([]*Leg(nil), c.ringing...) {
		if winner != nil && l.cause == "" {
			l.cause = "answered elsewhere"
		}
		c.retire(l)
	}
}

// redirected follows a 302 of a device itself: the caller's phone would not know the ways of the
// box, and the callee's rights apply. What leads out of the box is refused by the dial plan.
func (c *Call) redirected(l *Leg, in *edge.Inbound) {
	contacts := append([]checked.Contact(nil), in.Contacts...)
	l.code, l.cause = in.Status, "redirected"
	c.retire(l)
	c.fork.redirects++
	if len(contacts) == 0 || c.fork.redirects > maxRedirects || c.transfer != nil {
		c.branchFailed(failure{code: 480, reason: "Temporarily Unavailable"})
		return
	}
	if c.fork.user != nil {
		c.eng.ring(c, c.fork.user.ID, false)
	}
	c.cancelBranches(nil) // a redirection is the callee's decision, for all devices
	for _, b := range append([]*Leg(nil), c.ringing...) {
		c.retire(b)
	}
	best := contacts[0]
	for _, contact := range contacts[1:] {
		if contact.Q > best.Q {
			best = contact
		}
	}
	c.fork.waiting = nil
	c.stopWaking()
	c.fork.rung, c.fork.pushed = false, false
	if tx := c.a.inviteIn; tx != nil && tx.final == 0 {
		c.progressToCaller(tx, &checked.Reply{Code: 181, Reason: "Call Is Being Forwarded"})
	}
	c.route(best.URI)
}
