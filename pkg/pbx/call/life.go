package call

import (
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// How long a call may be without a sign of life before its peers are asked.
const (
	lifeCheck = time.Minute      // how often is looked
	askSilent = time.Minute      // neither SIP nor RTP of a peer that should send
	askAlways = 15 * time.Minute // no SIP, whatever flows: a held call has no RTP
)

// life watches for calls that nobody is in any more.
type life struct {
	check *timer
}

func itoa(n int) string { return strconv.Itoa(n) }

// watchLife looks after a call that is up.
func (c *Call) watchLife() {
	c.life.check.stop()
	c.life.check = c.after(lifeCheck, func() {
		if c.state != stateUp {
			return
		}
		for _, l := range [...]*Leg{c.a, c.b} {
			if l == nil || l.state != legConfirmed || l.inviteOut != nil || len(l.requests) > 0 {
				continue
			}
			quiet := time.Since(l.lastSign)
			if quiet > askAlways || (l.silent && quiet > askSilent) {
				c.askAlive(l)
			}
		}
		c.watchLife()
	})
}

// askAlive asks a peer by OPTIONS in the dialog (RFC 3261 §11.2): any answer but one that says that
// the dialog is gone is a sign of life.
func (c *Call) askAlive(l *Leg) {
	c.nextRequest(l, outRequest{method: checked.OPTIONS, extra: []byte("Accept: application/sdp\r\n")}, func(res *edge.Inbound) {
		switch {
		case c.state != stateUp:
		case res != nil && res.Status != 408 && res.Status != 481:
			l.lastSign = time.Now()
		case res == nil && !l.silent:
			// RTP still flows: a peer that ignores OPTIONS
		default:
			cause := "neither signalling nor media from the callee"
			if l == c.a {
				cause = "neither signalling nor media from the caller"
			}
			l.state = legEnded
			c.end(ending{by: record.ByBox, cause: cause, code: 408})
		}
	})
}

// show tells people how the call stands.
func (c *Call) show() {
	if c.state >= stateEnding || c.probe() {
		c.view.Store(nil)
		return
	}
	v := &ctl.LiveCall{ID: c.id, State: c.stateName(), Dialed: c.rec.Dialed, Start: c.rec.Start, Answered: c.rec.Answer}
	if c.a != nil {
		v.Caller = c.a.live()
	}
	switch {
	case c.b != nil:
		v.Callee = c.b.live()
		v.Codecs = c.codecs()
		v.Streams = c.liveStreams()
		v.Recording, v.Recordable = c.tape.state, c.recordable()
	default:
		v.Callee = ctl.LiveParty{User: c.rec.Callee.User, Number: c.rec.Callee.Number, Name: c.rec.Callee.Name}
	}
	c.view.Store(v)
	c.eng.deps.Watch(ctl.SwitchEvent{Call: v})
}

func (c *Call) stateName() string {
	switch {
	case c.state < stateUp:
		return ctl.CallRinging
	case c.held():
		return ctl.CallHeld
	}
	return ctl.CallUp
}

// held reports whether a side has stopped its first stream.
func (c *Call) held() bool {
	for _, l := range [...]*Leg{c.a, c.b} {
		if l != nil && l.theirs != nil && len(l.theirs.Media) > 0 && l.theirs.Media[0].Live() && l.theirs.Media[0].Direction != 3 {
			return true
		}
	}
	return false
}

func (l *Leg) live() ctl.LiveParty {
	return ctl.LiveParty{
		User: l.party.User, Number: l.party.Number, Name: l.party.Name, Source: l.flow.Remote, Transport: l.flow.Transport.Param(), UserAgent: l.userAgent,
	}
}

// codecs are the first formats of the answering side's streams: what is spoken most likely.
func (c *Call) codecs() (names []string) {
	if c.b == nil || c.b.theirs == nil {
		return nil
	}
	for i := range c.b.theirs.Media {
		m := &c.b.theirs.Media[i]
		if f := m.AppendFormats(nil); m.Live() && len(f) > 0 {
			names = appendNew(names, f[0].Encoding)
		}
	}
	return names
}

func (c *Call) liveStreams() (n int) {
	for i := range c.b.theirs.Media {
		if c.b.theirs.Media[i].Live() {
			n++
		}
	}
	return n
}
