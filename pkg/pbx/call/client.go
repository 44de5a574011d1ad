package call

import (
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// Timers of RFC 3261 §17.1.1.1 table 4.
const (
	timerT1 = 500 * time.Millisecond // round-trip estimate
	timerT2 = 4 * time.Second        // longest interval of retransmissions
	timerB  = 64 * timerT1           // a transaction without an answer ends; also F, H and L
)

// clientTx is a request of ours that waits for its final response. After that only the bytes of
// its ACK stay, with the leg.
type clientTx struct {
	leg      *Leg
	method   checked.Method
	seq      uint32
	branch   string
	b        []byte // the request, to send again
	done     func(*edge.Inbound)
	interval time.Duration
	again    *timer // A or E
	limit    *timer // B or F
	heard    bool   // a provisional response came
	cancel   []byte // header lines of a CANCEL that waits for one (RFC 3261 §9.1)
	cancels  bool
	over     bool
}

// startTx sends a request and, on an unreliable way, sends it again until an answer comes
// (RFC 3261 §17.1.1.2, §17.1.2.2).
func (c *Call) startTx(tx *clientTx) {
	c.send(tx.leg, tx.b)
	if !tx.leg.flow.Transport.Reliable() {
		tx.interval = timerT1
		tx.again = c.after(timerT1, func() { c.resend(tx) })
	}
	tx.limit = c.after(timerB, func() { c.finishTx(tx, nil) })
}

func (c *Call) resend(tx *clientTx) {
	c.send(tx.leg, tx.b)
	tx.interval *= 2
	if tx.method != checked.INVITE {
		tx.interval = min(tx.interval, timerT2)
		if tx.heard {
			tx.interval = timerT2
		}
	}
	tx.again = c.after(tx.interval, func() { c.resend(tx) })
}

// finishTx ends a transaction with its final response, or nil.
func (c *Call) finishTx(tx *clientTx, in *edge.Inbound) {
	if tx.over {
		return
	}
	tx.over = true
	tx.again.stop()
	tx.limit.stop()
	l := tx.leg
	if l.inviteOut == tx {
		l.inviteOut = nil
	}
	for i, other := range l.requests {
		if other == tx {
			l.requests = append(l.requests[:i], l.requests[i+1:]...)
			break
		}
	}
	if tx.done != nil {
		tx.done(in)
	}
	c.finished()
}

// response takes a response to one of our requests. Its branch has named the leg; the transaction
// must match too (RFC 3261 §17.1.3).
func (c *Call) response(in *edge.Inbound) (kept bool) {
	id, _ := legOf(in.Via.Branch)
	l := c.leg(id)
	if to := c.handed[id]; l == nil && to != nil {
		return to.post(event{in: in})
	}
	if l == nil || in.FromTag != l.id || in.CallID != l.callID {
		return false
	}
	l.lastSign = time.Now()
	tx := l.find(in)
	switch {
	case tx == nil && in.Method == checked.INVITE:
		c.strayInvite(l, in)
	case tx == nil:
	case in.Method == checked.INVITE:
		c.inviteResponse(tx, in)
	case in.Status < 200:
		tx.heard = true
	default:
		c.finishTx(tx, in)
	}
	return false
}

func (l *Leg) find(in *edge.Inbound) *clientTx {
	if in.Method == checked.INVITE {
		if l.inviteOut != nil && l.inviteOut.branch == in.Via.Branch {
			return l.inviteOut
		}
		return nil
	}
	for _, tx := range l.requests {
		if tx.branch == in.Via.Branch && tx.method == in.Method {
			return tx
		}
	}
	return nil
}

// inviteResponse follows RFC 3261 §17.1.1.2.
func (c *Call) inviteResponse(tx *clientTx, in *edge.Inbound) {
	if in.Status < 200 {
		tx.again.stop()
		if !tx.heard {
			tx.heard = true
			tx.limit.stop() // an answer may take as long as people do; the call's own limits apply
			tx.limit = nil
			if tx.cancels {
				c.sendCancel(tx)
			}
		}
		c.provisional(tx, in)
		return
	}
	if in.Status >= 300 {
		c.ackFailure(tx, in)
	}
	c.finishTx(tx, in)
}

// ackFailure acknowledges a failure: in the transaction, to where the INVITE went
// (RFC 3261 §17.1.1.3).
func (c *Call) ackFailure(tx *clientTx, in *edge.Inbound) {
	l := tx.leg
	tag := l.peerTag
	l.peerTag = in.ToTag
	ack := c.buildRequest(l, outRequest{method: checked.ACK, seq: tx.seq, branch: tx.branch})
	if l.state == legConfirmed || l.state == legEarly {
		l.peerTag = tag // a failed re-INVITE leaves the dialog as it was
	}
	l.ackSeq, l.ack = tx.seq, ack
	c.send(l, ack)
}

// ackSuccess acknowledges a 2xx: a request of its own in the dialog (RFC 3261 §13.2.2.4).
func (c *Call) ackSuccess(l *Leg, seq uint32, body []byte) {
	l.ack = c.buildRequest(l, outRequest{method: checked.ACK, seq: seq, branch: l.branch(), body: body, kind: typeSDP})
	l.ackSeq = seq
	c.send(l, l.ack)
}

const typeSDP = "application/sdp"

// strayInvite handles a response to an INVITE whose transaction is over: a final response again,
// which wants its ACK again, or a 2xx of a branch that lost (RFC 3261 §13.2.2.4).
func (c *Call) strayInvite(l *Leg, in *edge.Inbound) {
	switch {
	case in.Status < 200:
	case in.CSeq == l.ackSeq && l.ack != nil && (in.ToTag == l.peerTag || in.Status >= 300):
		c.send(l, l.ack)
	case in.Status < 300 && l.state != legConfirmed:
		c.refuseAnswer(l, in)
	}
}

// refuseAnswer acknowledges a 2xx that comes too late and hangs up.
func (c *Call) refuseAnswer(l *Leg, in *edge.Inbound) {
	l.peerTag = in.ToTag
	l.learn(&in.Message, c.eng)
	c.ackSuccess(l, in.CSeq, nil)
	l.state = legConfirmed
	c.bye(l, nil)
}

// cancelTx takes an INVITE back (RFC 3261 §9.1): now, or as soon as the peer has said that it has it.
func (c *Call) cancelTx(tx *clientTx, reason []byte) {
	if tx.cancels || tx.over {
		return
	}
	tx.cancels, tx.cancel = true, reason
	if tx.heard {
		c.sendCancel(tx)
	}
}

func (c *Call) sendCancel(tx *clientTx) {
	l := tx.leg
	tag := l.peerTag
	l.peerTag = "" // RFC 3261 §9.1: To as in the INVITE
	b := c.buildRequest(l, outRequest{method: checked.CANCEL, seq: tx.seq, branch: tx.branch, extra: tx.cancel})
	l.peerTag = tag
	cancel := &clientTx{leg: l, method: checked.CANCEL, seq: tx.seq, branch: tx.branch, b: b}
	l.requests = append(l.requests, cancel)
	c.startTx(cancel)
	// RFC 3261 §9.1: a peer that sends no final response has lost the INVITE
	tx.limit = c.after(timerB, func() { c.finishTx(tx, nil) })
}

// bye ends a confirmed dialog.
func (c *Call) bye(l *Leg, extra []byte) {
	if l.state != legConfirmed {
		return
	}
	l.state = legEnded
	c.nextRequest(l, outRequest{method: checked.BYE, extra: extra}, func(*edge.Inbound) { c.legDone(l) })
}
