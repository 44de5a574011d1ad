package call

import (
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// ending says why a call ends.
type ending struct {
	by    string // record.By*
	cause string
	code  int // for a caller who has no answer yet; and for the Reason of the BYE
}

// recordTime bounds the wait for the archive's queue: a full disk must not keep calls in memory.
const recordTime = 5 * time.Second

// lingerTime keeps a refused INVITE in mind, so that a late copy of it does not ring again
// (RFC 3261 §17.2.1, Timer I).
const lingerTime = 5 * time.Second

// end ends the call: the peers are told, the streams closed, the record written.
func (c *Call) end(e ending) {
	switch c.state {
	case stateEnding, stateOver:
		return
	case stateNew, stateRinging:
		c.rec.EndedBy, c.rec.Cause = e.by, e.cause
		c.fail(&checked.Reply{Code: e.code, Reason: "Request Terminated"})
		return
	}
	c.rec.EndedBy, c.rec.Cause = e.by, e.cause
	if c.reason == nil && e.code != 0 {
		c.reason = []byte("Reason: SIP;cause=" + itoa(e.code) + ";text=\"" + reasonText(e.cause) + "\"\r\n")
	}
	if c.transfer != nil {
		c.stopRinging(nil)
	}
	c.over()
	for _, l := range c.allLegs() {
		if tx := l.inviteIn; tx != nil {
			if tx.final == 0 {
				c.finish(tx, &checked.Reply{Code: 487, Reason: "Request Terminated"})
			} else {
				c.closeInvite(tx)
			}
		}
		if l.state == legConfirmed {
			l.cause = e.cause
			c.bye(l, c.reason)
		}
	}
	c.finished()
}

// over closes what the call has beside its dialogs and writes its record.
func (c *Call) over() {
	if c.state >= stateEnding {
		return
	}
	now := time.Now().UTC()
	c.state = stateEnding
	c.up.Store(true) // it rings no more
	c.life.check.stop()
	for _, l := range c.allLegs() {
		l.timer.due.stop()
		if l.endTime.IsZero() {
			l.endTime = now
		}
	}
	c.rec.End = now
	c.tape.state = ctl.RecordingOff // mediad ends it with the session
	c.closeMedia()
	c.changed()
	c.writeRecord()
}

func (c *Call) writeRecord() {
	c.recorded = false
	if c.probe() {
		c.post(event{do: func() {
			c.recorded = true
			c.finished()
		}})
		return
	}
	wait := c.after(recordTime, func() { c.recorded = true; c.finished() })
	c.eng.deps.Record(c.record(), func() {
		c.post(event{do: func() {
			wait.stop()
			c.recorded = true
			c.finished()
		}})
	})
}

// record returns the call's record as it stands.
func (c *Call) record() record.Call {
	r := c.rec
	r.Recordings = c.tape.all
	if !r.Answer.IsZero() {
		r.Duration = r.End.Sub(r.Answer).Truncate(time.Millisecond)
	}
	r.Legs = append([]record.Leg(nil), c.given...)
	for _, l := range c.legsByTime() {
		leg := l.record()
		r.Legs = append(r.Legs, leg)
		for _, s := range leg.Streams {
			if s.Codec != "" {
				r.Codecs = appendNew(r.Codecs, s.Codec)
			}
			if s.MOS > 0 && (r.MOS == 0 || s.MOS < r.MOS) {
				r.MOS = s.MOS
			}
			r.Direct = r.Direct || s.Direct
			r.EndToEnd = r.EndToEnd || s.ZRTP
			r.Transcoded = r.Transcoded || s.Transcoded != ""
		}
	}
	r.Protection = weakest(r.Legs)
	if r.Codecs == nil && c.b != nil && c.b.theirs != nil {
		r.Codecs = c.codecs()
	}
	return r
}

// weakest is the least protection of the legs that were answered, "" of a call that was not.
func weakest(legs []record.Leg) (least string) {
	for _, p := range [...]string{record.ProtectionNone, record.ProtectionThrough, record.ProtectionSDES, record.ProtectionDTLS} {
		for i := range legs {
			if legs[i].Secured == p && least == "" {
				least = p
			}
		}
	}
	return least
}

func appendNew(list []string, s string) []string {
	for _, old := range list {
		if old == s {
			return list
		}
	}
	return append(list, s)
}

// legsByTime returns all legs in the order that they were made, the caller's first.
func (c *Call) legsByTime() []*Leg {
	all := c.allLegs()
	for i := 1; i < len(all); i++ {
		for j := i; j > 0 && all[j].n < all[j-1].n; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	return all
}

// legDone notes that nothing more is to be said on a leg.
func (c *Call) legDone(l *Leg) {
	if l == c.a && c.rec.Answer.IsZero() && !l.flow.Transport.Reliable() && !c.lingered {
		c.lingered = true
		c.after(lingerTime, func() { c.legDone(l) })
		return
	}
	l.state = legEnded
	l.done = true
	c.finished()
}

// finished ends the actor when all peers know and the record is kept.
func (c *Call) finished() {
	if c.state != stateEnding || !c.recorded {
		return
	}
	for _, l := range c.allLegs() {
		if l.inviteOut != nil || len(l.requests) > 0 || (l == c.a && c.rec.Answer.IsZero() && !l.done) {
			return
		}
	}
	c.state = stateOver
	c.dirty = true
}

// peerDead ends a call one of whose peers does not answer any more.
func (c *Call) peerDead(l *Leg) {
	cause := "the callee is not reachable any more"
	if l == c.a {
		cause = "the caller is not reachable any more"
	}
	l.state = legEnded
	c.end(ending{by: record.ByBox, cause: cause, code: 408})
}

// checkUnreachable gives up branches whose way is gone; dialogs wait for the device to come back.
func (c *Call) checkUnreachable() {
	for _, l := range append([]*Leg(nil), c.ringing...) {
		if l.unreachable && l.inviteOut != nil {
			c.finishTx(l.inviteOut, nil)
		}
		l.unreachable = false
	}
	for _, l := range c.allLegs() {
		if l.unreachable && l.state == legEnded { // a BYE that cannot be sent
			for _, tx := range append([]*clientTx(nil), l.requests...) {
				c.finishTx(tx, nil)
			}
		}
		l.unreachable = false
	}
}

// endUser ends the call if the user has a part in it.
func (c *Call) endUser(userID string) {
	for _, l := range c.allLegs() {
		if l.userID == userID && l.state != legEnded {
			c.end(ending{by: record.ByAdmin, cause: "the user was removed or disabled", code: 403})
			return
		}
	}
}
