package call

import (
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// Session timers (RFC 4028).
const (
	sessionTime = 30 * time.Minute // RFC 4028 §4: what most ask
	minSession  = 90               // seconds; RFC 4028 §4: the least that may be asked
)

// sessionTimer says who refreshes a leg's session, and when it is over without.
type sessionTimer struct {
	seconds int
	ours    bool // we refresh
	due     *timer
}

// agreeTimer takes over what a 2xx to our INVITE or UPDATE says (RFC 4028 §7.2).
func (c *Call) agreeTimer(l *Leg, in *edge.Inbound) {
	se := in.SessionExpires
	if se.Seconds == 0 {
		if in.Method == checked.INVITE && l.timer.seconds == 0 {
			return
		}
		c.setTimer(l, 0, false)
		return
	}
	c.setTimer(l, se.Seconds, se.Refresher != "uas")
}

// timerHeader answers what a request says of the session's time, and starts the time (RFC 4028 §9).
func (c *Call) timerHeader(l *Leg, in *edge.Inbound) []byte {
	if in.Supported&checked.Timer == 0 {
		c.setTimer(l, 0, false) // the peer knows no timers; signs of life are watched instead
		return nil
	}
	seconds, refresher := in.SessionExpires.Seconds, in.SessionExpires.Refresher
	if seconds == 0 {
		seconds = int(sessionTime / time.Second)
	}
	seconds = max(seconds, minSession)
	if refresher == "" {
		refresher = "uac"
	}
	c.setTimer(l, seconds, refresher == "uas")
	b := strconv.AppendInt([]byte("Session-Expires: "), int64(seconds), 10)
	b = append(append(append(b, ";refresher="...), refresher...), "\r\n"...)
	if refresher == "uac" {
		b = append(b, "Require: timer\r\n"...)
	}
	return b
}

// requestHeader goes with a re-INVITE or UPDATE of ours.
func (t *sessionTimer) requestHeader() []byte {
	if t.seconds == 0 {
		return nil
	}
	refresher := "uas"
	if t.ours {
		refresher = "uac"
	}
	b := strconv.AppendInt([]byte("Session-Expires: "), int64(t.seconds), 10)
	return append(append(append(b, ";refresher="...), refresher...), "\r\nMin-SE: 90\r\n"...)
}

// setTimer starts the time anew; 0 seconds ends it.
func (c *Call) setTimer(l *Leg, seconds int, ours bool) {
	l.timer.due.stop()
	l.timer = sessionTimer{seconds: seconds, ours: ours}
	if seconds == 0 {
		return
	}
	whole := time.Duration(seconds) * time.Second
	if ours {
		l.timer.due = c.after(whole/2, func() { c.refresh(l) }) // RFC 4028 §7.2
		return
	}
	grace := min(whole/3, 32*time.Second) // RFC 4028 §10
	l.timer.due = c.after(whole-grace, func() {
		if l.state == legConfirmed {
			c.end(ending{by: record.ByBox, cause: "the session was not refreshed", code: 408})
		}
	})
}

// refresh keeps a session alive that we have to refresh.
func (c *Call) refresh(l *Leg) {
	if l.state != legConfirmed || c.state != stateUp {
		return
	}
	if c.relaying != nil || c.joining != nil || l.inviteOut != nil || l.inviteIn != nil {
		l.timer.due = c.after(5*time.Second, func() { c.refresh(l) }) // a change is under way, which refreshes too
		return
	}
	r := outRequest{method: checked.UPDATE}
	if !l.allow.Has(checked.UPDATE) {
		r = outRequest{method: checked.INVITE, body: l.ourText, kind: typeSDP}
	}
	r.extra = append(l.timer.requestHeader(), "Supported: "+dialogOptions.String()+"\r\n"...)
	c.nextRequest(l, r, func(res *edge.Inbound) {
		switch {
		case res == nil || res.Status == 408 || res.Status == 481:
			c.peerDead(l)
		case res.Status >= 300:
			c.setTimer(l, l.timer.seconds, true) // it lives; the next refresh may do better
		default:
			if res.Method == checked.INVITE {
				c.ackSuccess(l, res.CSeq, nil)
			}
			c.agreeTimer(l, res)
		}
	})
}
