package call

import (
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// Names of what a party hears for as long as something lasts.
const holdMusic = "hold"

// play lets a party hear sounds instead of the other. It reports whether it will.
func (c *Call) play(l *Leg, in ctl.MediaPlay) bool {
	if l == nil || l.mediaID == "" || l.state != legConfirmed {
		return false
	}
	in.Session, in.Leg = c.id, l.mediaID
	if a := c.eng.deps.User(l.userID); a != nil {
		in.Language, in.Volume = a.Language, a.Volume
	}
	ctx, cancel := c.relayContext()
	defer cancel()
	if err := c.eng.deps.Relay.Play(ctx, in); err != nil {
		c.log.Warn("a party does not hear what it should", "leg", l.id, "err", err)
		return false
	}
	l.hears = in.ID
	if in.ID == "" {
		l.hears = "sound"
	}
	return true
}

// quiet ends what the box plays to a party.
func (c *Call) quiet(l *Leg) {
	if l == nil || l.hears == "" || l.mediaID == "" {
		return
	}
	l.hears = ""
	ctx, cancel := c.relayContext()
	defer cancel()
	if err := c.eng.deps.Relay.Play(ctx, ctl.MediaPlay{Session: c.id, Leg: l.mediaID}); err != nil {
		c.log.Warn("a party hears what it should not", "leg", l.id, "err", err)
	}
}

// soundHold lets a party hear music while the other holds it and sends nothing of its own: many
// phones have music themselves (RFC 3264 §8.4 lets them send).
func (c *Call) soundHold() {
	if c.state != stateUp || c.transfer != nil || c.joining != nil {
		return
	}
	for _, l := range [...]*Leg{c.a, c.b} {
		other := c.other(l)
		if l == nil || other == nil {
			continue
		}
		music := holds(other) && !holds(l) && other.silent
		switch {
		case music && l.hears == "":
			c.play(l, ctl.MediaPlay{ID: holdMusic, Sounds: []ctl.MediaSound{{Music: "default", Loop: true}}})
		case !music && l.hears == holdMusic:
			c.quiet(l)
		}
	}
}

// holds reports whether a party does not want to hear the other.
func holds(l *Leg) bool {
	if l.theirs == nil || len(l.theirs.Media) == 0 || !l.theirs.Media[0].Live() {
		return false
	}
	return l.theirs.Media[0].Direction&sdp.RecvOnly == 0
}
