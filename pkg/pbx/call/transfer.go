package call

import (
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// leaveTime is how long a transferor has to hang up by himself after he is told that it worked.
const leaveTime = 2 * time.Second

// transfer is a REFER under way (RFC 3515, RFC 5589): the box itself calls the target, so that it
// works whatever the others' phones can.
type transfer struct {
	from *Leg // the transferor
	stay *Leg // whom he transfers
	leg  *Leg // the target, once it answered
	left bool // the transferor hung up meanwhile
}

// joining is two legs of the call being given to each other.
type joining struct {
	stay, come *Leg

	mediaID string // the relay leg that stay had, if it gets another
	ours    ctl.MediaTerms
}

// refer takes a REFER within the dialog.
func (c *Call) refer(l *Leg, in *edge.Inbound) {
	other := c.other(l)
	switch {
	case c.state != stateUp || other == nil || other.theirs == nil:
		c.answer(l, in, &checked.Reply{Code: 480, Reason: "Temporarily Unavailable"})
		return
	case c.transfer != nil || c.relaying != nil || c.joining != nil:
		c.answer(l, in, &checked.Reply{Code: 491, Reason: "Request Pending"})
		return
	case in.ReferTo.Spec == "": // RFC 3515 §2.4.1
		c.answer(l, in, &checked.Reply{Code: 400, Reason: "Bad Request: Refer-To"})
		return
	}
	if m, ok := in.ReferTo.URI.Param("method"); ok && m != "INVITE" {
		c.answer(l, in, &checked.Reply{Code: 403, Reason: "Only INVITE Can Be Referred"})
		return
	}
	c.answer(l, in, &checked.Reply{Code: 202, Reason: "Accepted"})
	c.transfer = &transfer{from: l, stay: other}
	c.referred = []byte("Referred-By: <" + l.party.AoR + ">\r\n") // RFC 3892 §3: the one who proved himself, whatever he wrote
	c.tellTransferor("100 Trying", "active;expires=180")
	c.log.Info("transfer", "leg", l.id, "to", in.ReferTo.Spec)
	if d, ok := replacesOf(&in.ReferTo.URI); ok {
		c.attended(d)
		return
	}
	c.blind(in.ReferTo.URI)
}

// replacesOf reads the Replaces header that an attended transfer has in its Refer-To (RFC 3891 §6.1).
func replacesOf(u *aor.URI) (d checked.Dialog, ok bool) {
	for header := range strings.SplitSeq(u.Headers, "&") {
		name, value, _ := strings.Cut(header, "=")
		if strings.EqualFold(aor.Unescape(name), "Replaces") {
			return checked.ParseReplaces(aor.Unescape(value))
		}
	}
	return d, false
}

// tellTransferor sends a NOTIFY of the implicit subscription (RFC 3515 §2.4.4).
func (c *Call) tellTransferor(status, subscription string) {
	l := c.transfer.from
	if c.transfer.left || l.state != legConfirmed {
		return
	}
	extra := "Event: refer\r\nSubscription-State: " + subscription + "\r\n"
	c.nextRequest(l, outRequest{method: checked.NOTIFY, extra: []byte(extra), body: []byte("SIP/2.0 " + status + "\r\n"), kind: "message/sipfrag"}, nil)
}

// blind calls the target.
func (c *Call) blind(target aor.URI) {
	target.Headers = ""
	if target.Scheme == aor.Unknown {
		c.transferFailed(failure{code: 416, reason: "Unsupported URI Scheme"})
		return
	}
	stay := c.transfer.stay
	c.fork = fork{from: stay, who: stay.party, hasOffer: true, forwards: 69}
	c.play(stay, ctl.MediaPlay{Sounds: []ctl.MediaSound{{Tone: "ringback", Loop: true}}})
	c.route(target)
}

// transferProgress tells the transferor that the target rings.
func (c *Call) transferProgress(code int, reason string) {
	if c.transfer != nil && code == 180 && !c.fork.rung {
		c.fork.rung = true
		c.tellTransferor("180 "+reasonText(reason), "active;expires=180")
	}
}

// transferAnswered takes the target's answer and gives it to who stays.
func (c *Call) transferAnswered(l *Leg, in *edge.Inbound) {
	c.ackSuccess(l, in.CSeq, nil)
	c.stopRinging(l)
	l.role = record.RoleTarget
	c.transfer.leg = l
	body := in.Body
	if !in.HasSDP() {
		body = l.theirText
	}
	if c.hearAnswer(l, body) != nil {
		c.dropTarget(l)
		return
	}
	c.bringTogether(c.transfer.stay, l)
}

// bringTogether connects two legs at mediad and offers the one what the other has answered.
func (c *Call) bringTogether(stay, come *Leg) {
	c.joining = &joining{stay: stay, come: come}
	up := ctl.MediaUpdate{Session: c.id, Legs: []ctl.MediaLeg{c.terms(come)}}
	if isThrough(stay) {
		up.Legs = append(up.Legs, c.endAnew(stay, come))
	}
	up.Pairs = [][2]string{{stay.mediaID, come.mediaID}}
	if err := c.sendUpdate(up); err != nil {
		c.log.Warn("the relay did not bring two legs together", "err", err)
		c.dropTarget(come)
		return
	}
	c.reoffer(stay, come, false, func(ok bool) { c.joined(ok) })
}

// joined ends a transfer in which both sides have been asked.
func (c *Call) joined(ok bool) {
	j := c.joining
	if j == nil || c.state != stateUp {
		c.joining = nil
		return
	}
	if !ok {
		c.dropTarget(j.come)
		return
	}
	c.joining = nil
	t := c.transfer
	c.tellTransferor("200 OK", "terminated;reason=noresource")
	if c.a == t.from {
		c.a = j.come
	} else {
		c.b = j.come
	}
	c.transfer, c.referred = nil, nil
	t.from.cause = "transferred"
	c.gone = append(c.gone, t.from)
	j.come.silent = false
	for _, id := range [...]string{t.from.mediaID, j.mediaID} {
		if id != "" {
			c.dropRelay(id)
		}
	}
	c.recordLegs()
	c.quiet(t.stay)
	if t.from.state == legConfirmed {
		c.after(leaveTime, func() { c.bye(t.from, nil) })
	}
	c.changed()
}

// dropTarget gives up a target that answered, and with it the transfer.
func (c *Call) dropTarget(l *Leg) {
	if j := c.joining; j != nil && j.mediaID != "" {
		j.stay.mediaID, j.stay.ours = j.mediaID, j.ours
	}
	c.joining = nil
	c.bye(l, nil)
	if c.transfer != nil {
		c.transfer.leg = nil
	}
	c.gone = append(c.gone, l)
	c.restorePair()
	c.transferFailed(failure{code: 488, reason: "Not Acceptable Here"})
}

// restorePair lets those hear each other again whom a failed transfer had parted.
func (c *Call) restorePair() {
	if c.a == nil || c.b == nil {
		return
	}
	up := ctl.MediaUpdate{Session: c.id, Pairs: [][2]string{{c.a.mediaID, c.b.mediaID}}}
	if err := c.sendUpdate(up); err != nil {
		c.log.Warn("the relay did not bring two legs together", "err", err)
	}
}

// transferFailed tells the transferor, who still has the call. If he has left, nobody has.
func (c *Call) transferFailed(f failure) {
	if f.code == 0 {
		f = failure{code: 480, reason: "Temporarily Unavailable"}
	}
	t := c.transfer
	c.stopRinging(nil)
	c.quiet(t.stay)
	c.tellTransferor(itoa(f.code)+" "+reasonText(f.reason), "terminated;reason=noresource")
	c.transfer, c.referred, c.joining = nil, nil, nil
	if t.left {
		c.end(ending{by: record.ByBox, cause: "the transfer failed: " + f.reason, code: f.code})
	}
	c.changed()
}

// transferorLeft notes that the transferor does not wait for the outcome.
func (c *Call) transferorLeft() {
	c.transfer.left = true
	c.transfer.from.endTime = time.Now().UTC()
	c.transfer.from.cause = "transferred"
	c.changed()
}

// attended asks the call that the transferor has with the target to give the target up.
func (c *Call) attended(d checked.Dialog) {
	other := c.eng.legs.get(d.ToTag)
	tag := d.ToTag
	if other == nil {
		other, tag = c.eng.legs.get(d.FromTag), d.FromTag
	}
	if other == nil || other == c {
		c.transferFailed(failure{code: 481, reason: "Call/Transaction Does Not Exist"})
		return
	}
	userID := c.transfer.from.userID
	asked := other.post(event{do: func() {
		l, target := other.surrender(tag, d.CallID, userID, c)
		c.post(event{do: func() { c.takeOver(l, target) }})
	}})
	if !asked {
		c.transferFailed(failure{code: 481, reason: "Call/Transaction Does Not Exist"})
	}
}

// surrender gives the leg that talks to leg tag to another call. While it still rings, it says whom
// it rings instead, for a call of the other's own. It runs in this call's actor.
func (c *Call) surrender(tag, callID, userID string, to *Call) (given *Leg, target *aor.URI) {
	l := c.leg(tag)
	if l == nil || l.callID != callID || l.state == legEnded || (userID != "" && l.userID != userID) {
		return nil, nil
	}
	if c.state == stateRinging && l == c.a && c.fork.user != nil {
		u := aor.URI{Scheme: aor.SIP, User: aor.Escape(c.fork.user.Name), Host: c.eng.deps.Domain()}
		c.end(ending{by: record.ByCaller, cause: "transferred", code: 487})
		return nil, &u
	}
	given = c.other(l)
	if c.state != stateUp || given == nil || given.state != legConfirmed || c.transfer != nil || c.joining != nil || c.relaying != nil {
		return nil, nil
	}
	if c.a == given {
		c.a = nil
	} else {
		c.b = nil
	}
	c.given = append(c.given, given.record())
	given.continues = c.id + "/" + given.mediaID
	given.timer.due.stop()
	if c.handed == nil {
		c.handed = map[string]*Call{}
	}
	c.handed[given.id] = to // until to has taken it, and the table says so
	c.end(ending{by: record.ByCaller, cause: "transferred"})
	return given, nil
}

// takeOver goes on with the leg that another call gave up, or with whom it rang.
func (c *Call) takeOver(l *Leg, target *aor.URI) {
	switch {
	case c.state != stateUp || c.transfer == nil:
		c.turnAway(l)
	case l == nil && target == nil:
		c.transferFailed(failure{code: 481, reason: "Call/Transaction Does Not Exist"})
	case l == nil:
		c.blind(*target)
	default:
		c.adoptLeg(l)
		c.transfer.leg = l
		c.inviteOver(c.transfer.stay, l)
	}
}

// turnAway hangs up a leg that was given to a call that ended meanwhile.
func (c *Call) turnAway(l *Leg) {
	if l != nil {
		c.adoptLeg(l)
		c.gone = append(c.gone, l)
		c.bye(l, nil)
	}
}

// adoptLeg makes a leg of another call one of this: its media starts anew here.
func (c *Call) adoptLeg(l *Leg) {
	c.eng.legs.move(l.id, c)
	c.made++
	l.role, l.n = record.RoleTarget, c.made
	l.mediaID, l.order, l.streamStats = "", nil, nil
	l.inviteIn, l.inviteOut, l.requests = nil, nil, nil
	l.start = time.Now().UTC()
	c.setTimer(l, l.timer.seconds, l.timer.ours)
	c.changed()
}

// inviteOver offers a leg that came from another call what who stays has said, then the other way.
func (c *Call) inviteOver(stay, come *Leg) {
	c.endThrough(stay, come)
	if err := c.openTowards(stay, come); err != nil {
		c.log.Warn("no media for a transfer", "err", err)
		c.dropTarget(come)
		return
	}
	c.joining = &joining{stay: stay, come: come}
	c.reoffer(come, stay, true, func(ok bool) {
		if !ok {
			c.dropTarget(come)
			return
		}
		c.bringTogether(stay, come)
	})
}

// replace starts a call that takes the place of a party in another (RFC 3891 §3).
func (c *Call) replace(in *edge.Inbound) {
	d := in.Replaces
	other := c.eng.legs.get(d.ToTag)
	tag := d.ToTag
	if other == nil {
		other, tag = c.eng.legs.get(d.FromTag), d.FromTag
	}
	gone := &checked.Reply{Code: 481, Reason: "Call/Transaction Does Not Exist"}
	if other == nil || other == c || !in.HasSDP() {
		c.fail(gone)
		return
	}
	if d.EarlyOnly && other.up.Load() {
		c.fail(&checked.Reply{Code: 486, Reason: "Busy Here"})
		return
	}
	asked := other.post(event{do: func() {
		l, _ := other.surrender(tag, d.CallID, "", c)
		c.post(event{do: func() { c.replaced(l) }})
	}})
	if !asked {
		c.fail(gone)
	}
}

// replaced goes on with the party that is to be talked to.
func (c *Call) replaced(l *Leg) {
	if l == nil || c.state != stateNew {
		c.turnAway(l)
		c.fail(&checked.Reply{Code: 481, Reason: "Call/Transaction Does Not Exist"})
		return
	}
	c.adoptLeg(l)
	l.role = record.RoleCallee
	c.rec.Callee = l.party
	c.ringing = append(c.ringing, l)
	c.state = stateRinging
	refuse := func(r *checked.Reply) {
		c.bye(l, nil)
		c.retire(l)
		c.fail(r)
	}
	c.endThrough(c.a, l)
	if err := c.openTowards(c.a, l); err != nil {
		c.log.Warn("no media for a call", "err", err)
		refuse(&checked.Reply{Code: 503, Reason: "Service Unavailable"})
		return
	}
	c.reoffer(l, c.a, true, func(ok bool) {
		if !ok || c.state != stateRinging {
			refuse(&checked.Reply{Code: 488, Reason: "Not Acceptable Here"})
			return
		}
		body, bad := c.firstAnswer(l, l.theirText)
		if bad != nil {
			refuse(bad)
			return
		}
		c.connect(l, body)
	})
}
