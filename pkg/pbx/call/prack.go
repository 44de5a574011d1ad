package call

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// reliable is the state of reliable provisional responses (RFC 3262), on either side.
type reliable struct {
	seq      uint32           // RSeq of the latest: ours to the caller, or the callee's to us
	waiting  []byte           // ours that was sent and not acknowledged
	queue    []*checked.Reply // ours that wait for that
	final    *checked.Reply   // the 200, which waits for all
	interval time.Duration
	again    *timer
	limit    *timer
}

func (r *reliable) pending() bool { return r.waiting != nil }

// progressToCaller sends a provisional response: reliably where the caller wants it, or can and
// the response carries media (RFC 3262 §3).
func (c *Call) progressToCaller(tx *serverTx, r *checked.Reply) {
	wants := tx.in.Required&checked.Rel100 != 0
	can := tx.in.Supported&checked.Rel100 != 0
	c.a.state = max(c.a.state, legEarly)
	if !wants && !(can && len(r.Body) > 0) {
		c.progress(tx, r)
		return
	}
	rel := &c.a.rel
	if rel.pending() {
		rel.queue = append(rel.queue, r)
		return
	}
	if rel.seq == 0 {
		rel.seq = rand.Uint32N(1<<31-1) + 1 // RFC 3262 §3
	} else {
		rel.seq++
	}
	r.Header += "Require: 100rel\r\nRSeq: " + strconv.FormatUint(uint64(rel.seq), 10) + "\r\n"
	c.progress(tx, r)
	rel.waiting, rel.interval = tx.last, timerT1
	rel.again = c.after(timerT1, c.progressAgain)
	rel.limit = c.after(timerB, func() { // RFC 3262 §3: the caller should be refused
		c.a.rel.forget()
		c.fail(&checked.Reply{Code: 500, Reason: "No PRACK"})
	})
}

func (c *Call) progressAgain() {
	rel := &c.a.rel
	if !rel.pending() {
		return
	}
	c.send(c.a, rel.waiting)
	rel.interval *= 2
	rel.again = c.after(rel.interval, c.progressAgain)
}

func (r *reliable) forget() {
	r.again.stop()
	r.limit.stop()
	r.waiting = nil
}

// prack takes the caller's PRACK. One with an offer is treated as an UPDATE.
func (c *Call) prack(l *Leg, in *edge.Inbound) (kept bool) {
	rel := &l.rel
	tx := l.inviteIn
	if !rel.pending() || tx == nil || in.RAck.RSeq != rel.seq || in.RAck.CSeq != tx.seq || in.RAck.Method != checked.INVITE {
		c.answer(l, in, &checked.Reply{Code: 481, Reason: "No Such Provisional Response"})
		return false
	}
	rel.forget()
	if in.HasSDP() {
		kept = c.relayOffer(l, in)
	} else {
		c.answer(l, in, &checked.Reply{Code: 200, Reason: "OK"})
	}
	c.afterPrack(l, tx)
	return kept
}

func (c *Call) afterPrack(l *Leg, tx *serverTx) {
	rel := &l.rel
	if rel.final != nil {
		final := rel.final
		rel.final, rel.queue = nil, nil
		c.answerCaller(final)
		return
	}
	if len(rel.queue) > 0 && tx.final == 0 {
		next := rel.queue[0]
		rel.queue = rel.queue[1:]
		c.progressToCaller(tx, next)
	}
}

// acknowledge sends the PRACK of a callee's reliable response. It reports false for one that was
// had before, or that is out of order (RFC 3262 §4).
func (c *Call) acknowledge(l *Leg, in *edge.Inbound) bool {
	if l.rel.seq != 0 && in.RSeq != l.rel.seq+1 {
		return false
	}
	l.rel.seq = in.RSeq
	rack := "RAck: " + strconv.FormatUint(uint64(in.RSeq), 10) + " " + strconv.FormatUint(uint64(in.CSeq), 10) + " INVITE\r\n"
	c.nextRequest(l, outRequest{method: checked.PRACK, extra: []byte(rack)}, nil)
	return true
}

// reasonText cuts a reason phrase to what a header may hold.
func reasonText(s string) string {
	return strings.NewReplacer("\r", " ", "\n", " ", `"`, "'").Replace(s)
}
