package call

import (
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// serverTx is an INVITE of a peer, from the moment it comes until its ACK.
type serverTx struct {
	leg      *Leg
	seq      uint32
	in       *edge.Inbound // kept to answer it
	last     []byte        // the latest response, for retransmissions of the request
	final    int           // status of the final response; 0 while there is none
	interval time.Duration
	again    *timer // G: the final response again
	limit    *timer // H: no ACK came
	acked    func(*edge.Inbound)
	lost     func() // no ACK came
}

// acceptInvite starts an INVITE server transaction (RFC 3261 §17.2.1).
func (c *Call) acceptInvite(l *Leg, in *edge.Inbound) *serverTx {
	tx := &serverTx{leg: l, in: in, seq: in.CSeq}
	l.inviteIn = tx
	l.peerSeq = in.CSeq
	return tx
}

// buildReply writes a response on a leg, with what each of ours has.
func (c *Call) buildReply(l *Leg, in *edge.Inbound, r *checked.Reply) []byte {
	r.From = in.Flow.Remote
	if r.Code > 100 {
		r.ToTag = l.id
	}
	extra := make([]byte, 0, 256+len(r.Extra))
	if dialogMaking(in.Method, r.Code) {
		extra = c.appendContact(extra, l, c.eng.deps.Wire.SentBy(in.Flow))
	}
	if in.Method == checked.INVITE && (r.Code == 200 || r.Code == 180 || r.Code == 183) || in.Method == checked.OPTIONS {
		extra = append(append(append(extra, "Allow: "...), checked.Handled.String()...), "\r\n"...)
		extra = append(append(append(extra, "Supported: "...), dialogOptions.String()...), "\r\n"...)
	}
	extra = append(append(append(extra, "Server: "...), c.eng.deps.Product...), "\r\n"...)
	r.Extra = append(extra, r.Extra...)
	return in.AppendReply(make([]byte, 0, 512+len(in.Text())/2+len(r.Body)), r)
}

// dialogOptions are the extensions that we offer within calls.
const dialogOptions = checked.Rel100 | checked.Timer | checked.Replaces | checked.GRUU

// dialogMaking reports whether a response carries our Contact (RFC 3261 §12.1.1, RFC 3311 §5.2).
func dialogMaking(m checked.Method, code int) bool {
	return code > 100 && code < 300 && (m == checked.INVITE || m == checked.UPDATE || m == checked.REFER || m == checked.NOTIFY)
}

// answer answers a request other than INVITE at once, and remembers the answer.
func (c *Call) answer(l *Leg, in *edge.Inbound, r *checked.Reply) {
	b := c.buildReply(l, in, r)
	l.answered = lastReply{in.CSeq, in.Method, b}
	c.sendTo(l, in.Flow, b)
}

// sendTo sends a response on the way that its request came (RFC 3261 §18.2.2), which may be newer
// than the leg's.
func (c *Call) sendTo(l *Leg, f edge.Flow, b []byte) {
	c.out = append(c.out, outgoing{leg: l, flow: f, b: b})
}

// progress sends a provisional response to an INVITE.
func (c *Call) progress(tx *serverTx, r *checked.Reply) {
	r.Routes = r.Code > 100
	tx.last = c.buildReply(tx.leg, tx.in, r)
	c.sendTo(tx.leg, tx.in.Flow, tx.last)
}

// finish sends the final response to an INVITE and sends it again until its ACK comes
// (RFC 3261 §13.3.1.4 for a 2xx, §17.2.1 for a failure).
func (c *Call) finish(tx *serverTx, r *checked.Reply) {
	if tx.final != 0 {
		return
	}
	tx.final = r.Code
	r.Routes = r.Code < 300
	tx.last = c.buildReply(tx.leg, tx.in, r)
	c.sendTo(tx.leg, tx.in.Flow, tx.last)
	if !tx.leg.flow.Transport.Reliable() || r.Code < 300 {
		tx.interval = timerT1
		tx.again = c.after(tx.interval, func() { c.finishAgain(tx) })
	}
	tx.limit = c.after(timerB, func() {
		c.closeInvite(tx)
		if tx.lost != nil {
			tx.lost()
		}
	})
}

func (c *Call) finishAgain(tx *serverTx) {
	c.send(tx.leg, tx.last)
	tx.interval = min(2*tx.interval, timerT2)
	tx.again = c.after(tx.interval, func() { c.finishAgain(tx) })
}

// ackInvite takes the ACK of an INVITE.
func (c *Call) ackInvite(l *Leg, in *edge.Inbound) {
	tx := l.inviteIn
	if tx == nil || tx.final == 0 || in.CSeq != tx.seq {
		return // of a response that was acknowledged before
	}
	c.closeInvite(tx)
	if tx.acked != nil {
		tx.acked(in)
	}
}

// closeInvite ends the transaction and gives the request back.
func (c *Call) closeInvite(tx *serverTx) {
	tx.again.stop()
	tx.limit.stop()
	if tx.leg.inviteIn == tx {
		tx.leg.inviteIn = nil
	}
	if tx.in != nil {
		c.eng.deps.Wire.Release(tx.in)
		tx.in = nil
	}
}
