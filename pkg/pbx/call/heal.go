package call

import (
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

const (
	// maxFaults of a call are kept: one that comes again and again is told often enough.
	maxFaults = 20
	// maxHealed is how often a party is asked for its media anew: what two offers do not mend, none does.
	maxHealed = 2
	// healPause lets a party that moves or wakes come back by itself.
	healPause = 2 * time.Second
)

// faultRecording is the cause where a call could not be recorded: nothing that its media does cures that.
const faultRecording = "recording"

// askedAnew is the cure where a party's media came after an offer.
const askedAnew = "the phone was asked for its media again (re-INVITE)"

// heal writes down what is wrong with a leg's media, and asks the party anew where that may help.
func (c *Call) heal(l *Leg, ev ctl.MediaEvent) {
	switch ev.Kind {
	case ctl.MediaOneWay, ctl.MediaStranger, ctl.MediaForeign, ctl.MediaInsecure:
		c.fault(l, ev.Kind, ev.Text)
		c.after(healPause, func() { c.askAnew(l) })
	case ctl.MediaCured:
		how := ev.Text
		if l.healed > 0 {
			how = askedAnew + ": " + how
		}
		c.cured(l, how)
	case ctl.MediaResumed:
		if l.healed > 0 {
			c.cured(l, askedAnew)
		}
	}
}

// askAnew offers a party the same again: it says anew where and how it receives.
func (c *Call) askAnew(l *Leg) {
	other := c.other(l)
	switch {
	case c.state != stateUp || l.state != legConfirmed || other == nil || !c.ill(l):
	case l.healed >= maxHealed || holds(l) || holds(other):
	case c.relaying != nil || c.joining != nil || c.transfer != nil || l.inviteOut != nil || l.inviteIn != nil:
		c.after(healPause, func() { c.askAnew(l) })
	default:
		l.healed++
		c.log.Info("a party is asked for its media again", "leg", l.id, "peer", l.flow.Remote)
		c.reoffer(l, other, false, func(ok bool) {
			if ok {
				c.after(healPause, func() { c.askAnew(l) })
			}
		})
		l.asking = l.inviteOut
	}
}

// ill reports whether the last fault of a leg is not cured.
func (c *Call) ill(l *Leg) bool {
	f := c.lastFault(l)
	return f != nil && f.Cure == ""
}

func (c *Call) lastFault(l *Leg) *record.Fault {
	for i := len(c.rec.Faults) - 1; i >= 0; i-- {
		if c.rec.Faults[i].Role == l.role {
			return &c.rec.Faults[i]
		}
	}
	return nil
}

// fault writes down that something is wrong with a leg's media.
func (c *Call) fault(l *Leg, cause, text string) {
	if f := c.lastFault(l); len(c.rec.Faults) >= maxFaults || (f != nil && f.Cause == cause && f.Cure == "") {
		return
	}
	c.rec.Faults = append(c.rec.Faults, record.Fault{At: time.Now().UTC(), Role: l.role, Cause: cause, Text: text})
	c.changed()
}

// cured writes down what helped, with all faults of a leg: one often shows in several ways.
func (c *Call) cured(l *Leg, how string) {
	for i := range c.rec.Faults {
		if f := &c.rec.Faults[i]; f.Role == l.role && f.Cure == "" && f.Cause != faultRecording {
			f.Cure = how
			c.changed()
		}
	}
}
