package call

import (
	"fmt"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// begin starts the call with its first INVITE.
func (c *Call) begin(in *edge.Inbound) {
	c.a = c.newCallerLeg(in)
	tx := c.acceptInvite(c.a, in)
	tx.lost = func() { c.callerLost() }
	c.rec.Caller = c.a.party
	c.rec.Dialed = strings.Clone(in.URI.UserText())
	c.progress(tx, &checked.Reply{Code: 100, Reason: "Trying"})
	if r := c.admit(in); r != nil {
		c.fail(r)
		return
	}
	if in.Replaces.CallID != "" {
		c.replace(in)
		return
	}
	c.fork.passed = in.AppendPassed(nil)
	c.fork.forwards = in.MaxForwards - 1
	c.fork.hasOffer = in.HasSDP()
	c.fork.from, c.fork.who = c.a, c.a.party
	c.route(in.URI)
}

// newCallerLeg makes the leg of who calls.
func (c *Call) newCallerLeg(in *edge.Inbound) *Leg {
	l := c.newLeg(record.RoleCaller)
	l.caller = true
	l.callID, l.peerTag = in.CallID, in.FromTag
	l.local, l.remote = withoutTag(&in.To), withoutTag(&in.From)
	l.flow = in.Flow
	l.startSeq, l.startBranch = in.CSeq, in.Via.Branch
	l.routes = in.AppendRoutes(nil, false)
	l.userID = in.Account.ID
	l.party = partyOf(in)
	l.contact = in.Contact()
	l.learn(&in.Message, c.eng)
	c.recognize(l)
	return l
}

// partyOf names the caller as the account has it, and by what he called himself.
func partyOf(in *edge.Inbound) record.Party {
	a := in.Account
	p := record.Party{AoR: in.From.URI.AoR(), User: a.Name, Number: a.Number(), Name: a.DisplayName}
	if p.Name == "" {
		p.Name = in.From.DisplayText()
	}
	return p
}

// admit refuses what no routing could help (RFC 3261 §16.3, RFC 4028 §6).
func (c *Call) admit(in *edge.Inbound) *checked.Reply {
	switch {
	case c.eng.inRing(&in.Message):
		return &checked.Reply{Code: 482, Reason: "Loop Detected"}
	case in.Contact() == "":
		return &checked.Reply{Code: 400, Reason: "Bad Request: Contact"} // RFC 3261 §8.1.1.8
	case in.SessionExpires.Seconds > 0 && in.SessionExpires.Seconds < minSession && in.Supported&checked.Timer != 0:
		return &checked.Reply{Code: 422, Reason: "Session Interval Too Small", Header: fmt.Sprintf("Min-SE: %d\r\n", minSession)}
	}
	if in.HasSDP() {
		if r := c.hearOffer(c.a, in.Body); r != nil {
			return r
		}
	}
	return nil
}

// route follows the dial plan to a target: of the INVITE, of a redirection or of a transfer.
func (c *Call) route(target aor.URI) {
	d := c.eng.plan.Route(&target)
	if d.User != nil && account.IsProbe(d.User.Name) != c.probe() { // to everybody else the box's own accounts are not there
		d.Code, d.Reason = 404, "Not Found"
	}
	if d.Code != 0 {
		c.branchFailed(failure{code: d.Code, reason: d.Reason})
		return
	}
	c.fork.callee = record.Party{AoR: "sip:" + d.User.Name + "@" + c.eng.deps.Domain(), User: d.User.Name, Number: d.User.Number(), Name: d.User.DisplayName}
	if c.transfer == nil { // of a transfer the record says who was called, its legs who came
		c.rec.Callee = c.fork.callee
	}
	c.ringUser(d)
}

// probe reports whether the call is the box's check of itself, of which nobody is told.
func (c *Call) probe() bool { return account.IsProbe(c.rec.Caller.User) }

// fail refuses the call.
func (c *Call) fail(r *checked.Reply) {
	c.stopRinging(nil)
	c.rec.Code = r.Code
	if c.rec.Status == "" {
		c.rec.Status, c.rec.Cause = statusOf(r.Code), causeOf(r)
	}
	if c.rec.EndedBy == "" {
		c.rec.EndedBy = record.ByBox
	}
	c.a.code, c.a.cause = r.Code, r.Reason
	c.over()
	if tx := c.a.inviteIn; tx != nil {
		tx.acked = func(*edge.Inbound) { c.legDone(c.a) }
		tx.lost = func() { c.legDone(c.a) }
		c.finish(tx, r)
		return
	}
	c.legDone(c.a)
}

// statusOf says what a final status means to people.
func statusOf(code int) string {
	switch code {
	case 486, 600:
		return record.CallBusy
	case 603:
		return record.CallDeclined
	case 487:
		return record.CallCancelled
	case 408:
		return record.CallNoAnswer
	case 480:
		return record.CallOffline
	}
	return record.CallFailed
}

// cancelled takes the caller's CANCEL (RFC 3261 §9.2).
func (c *Call) cancelled(in *edge.Inbound) {
	tx := c.a.inviteIn
	if tx == nil || in.CSeq != tx.seq || !c.a.flow.Same(in.Flow) {
		c.eng.deps.Wire.Reply(in, &checked.Reply{Code: 481, Reason: "Call/Transaction Does Not Exist"})
		return
	}
	c.answer(c.a, in, &checked.Reply{Code: 200, Reason: "OK"})
	if tx.final != 0 {
		return // too late: it was answered
	}
	c.rec.EndedBy = record.ByCaller
	c.rec.Status, c.rec.Cause = record.CallCancelled, "cancelled by the caller"
	c.reason = reasonLine(in.ReasonHeader)
	c.fail(&checked.Reply{Code: 487, Reason: "Request Terminated"})
}

// reasonLine returns a Reason header line (RFC 3326), nil for none.
func reasonLine(value string) []byte {
	if value == "" {
		return nil
	}
	return []byte("Reason: " + value + "\r\n")
}

// callerLost ends a call whose caller never acknowledged the answer (RFC 3261 §13.3.1.4).
func (c *Call) callerLost() {
	c.end(ending{by: record.ByBox, cause: "the caller did not acknowledge the answer", code: 408})
}

// hungUp takes a BYE.
func (c *Call) hungUp(l *Leg, in *edge.Inbound) {
	c.reason = reasonLine(in.ReasonHeader)
	c.answer(l, in, &checked.Reply{Code: 200, Reason: "OK"})
	if l.state == legEnded {
		return
	}
	if l != c.a && l != c.b && !c.isBranch(l) && (c.transfer == nil || l != c.transfer.leg) { // one that was transferred away
		c.legDone(l)
		return
	}
	if t := c.transfer; t != nil && t.from == l && c.state == stateUp {
		l.state = legEnded
		c.transferorLeft()
		return
	}
	by, cause := record.ByCallee, "the callee hung up"
	if l == c.a {
		by, cause = record.ByCaller, "the caller hung up"
	}
	if c.state != stateUp { // BYE on an early dialog (RFC 3261 §15): as good as a CANCEL
		c.rec.EndedBy, c.rec.Status, c.rec.Cause = record.ByCaller, record.CallCancelled, "cancelled by the caller"
		c.fail(&checked.Reply{Code: 487, Reason: "Request Terminated"})
		return
	}
	l.state = legEnded
	l.endTime = time.Now().UTC()
	c.end(ending{by: by, cause: cause})
}
