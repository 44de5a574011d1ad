package call

import (
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// mediaEvent takes what mediad saw of a stream.
func (c *Call) mediaEvent(ev ctl.MediaEvent) {
	if c.tapeEvent(ev) {
		return
	}
	for _, l := range c.allLegs() {
		if l.mediaID == ev.Leg && l.mediaID != "" {
			c.legMedia(l, &ev)
			if l.ours.ICE != ctl.ICEThrough { // the parties look for a way by themselves, perhaps past the box
				c.heal(l, ev)
			}
		}
	}
}

func (c *Call) legMedia(l *Leg, ev *ctl.MediaEvent) {
	switch ev.Kind {
	case ctl.MediaSilent, ctl.MediaOneWay, ctl.MediaLost:
		l.silent = !c.media.direct // else it is heard elsewhere
		if ev.Kind != ctl.MediaSilent {
			c.log.Info("no media from a leg", "leg", l.id, "what", ev.Kind, "peer", l.flow.Remote)
		}
		c.soundHold()
	case ctl.MediaStarted, ctl.MediaResumed:
		l.silent = false
		c.soundHold()
	case ctl.MediaSecured:
		l.secured = true
		c.changed()
	case ctl.MediaInsecure:
		c.insecure(l, ev.Text)
	case ctl.MediaZRTP:
		c.rec.EndToEnd = true
		c.changed()
	case ctl.MediaDirect:
		c.rec.Direct, l.silent = true, false
		c.changed()
	}
}

// insecure ends a call whose media cannot be protected as was agreed: the handshake failed, or no
// packet of the party was authentic. Where some were before, those that are not are refused, and
// that is all: a stranger must not be able to end the call.
func (c *Call) insecure(l *Leg, why string) {
	c.log.Warn("media is not secure", "leg", l.id, "peer", l.flow.Remote, "why", why)
	if l.secured || l.ours.Protection == ctl.Plain || l.ours.Protection == ctl.Through {
		return
	}
	if l != c.a && l != c.b && !c.isBranch(l) {
		return
	}
	c.end(ending{by: record.ByBox, cause: "media could not be encrypted: " + why, code: 488})
}
