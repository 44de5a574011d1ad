package call

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
)

// How long a call waits for a way to its parties when an address of the box has gone: a second uplink
// takes over within seconds, a device that was connected registers again within a minute or two.
const (
	movePause = 2 * time.Second
	moveTries = 60
)

// causeMoved is the cause of a fault where an address of the box went under a call.
const causeMoved = "moved"

// Moved tells that addresses of the box have gone: calls whose parties know it by one of them are
// anchored at another (RFC 3261 §14: target and session are refreshed by a re-INVITE).
func (e *Engine) Moved(owns func(netip.Addr) bool) {
	for _, c := range e.snapshot() {
		c.post(event{do: func() {
			for _, l := range [...]*Leg{c.a, c.b} {
				if l != nil && !owns(c.anchor(l)) {
					c.moveLeg(l, moveTries)
				}
			}
		}})
	}
}

// anchor is the address of ours that a leg's media comes to.
func (c *Call) anchor(l *Leg) netip.Addr {
	if ports := c.media.ports[l.mediaID]; len(ports) > 0 && ports[0].RTP.IsValid() {
		return ports[0].RTP.Addr()
	}
	return l.flow.Local.Addr()
}

// moveLeg anchors a leg at an address that reaches its party now, and tries again while there is none.
func (c *Call) moveLeg(l *Leg, tries int) {
	other := c.other(l)
	if c.state != stateUp || l.state != legConfirmed || other == nil {
		return
	}
	old := c.anchor(l)
	if tx := l.asking; tx != nil && tx == l.inviteOut && !tx.heard && c.newAddress(l, old).IsValid() {
		c.finishTx(tx, nil) // it went by the way that has gone, and nobody heard it: it would be waited for in vain
	}
	err := c.readyToMove(l)
	if err == nil {
		err = c.reanchor(l, old)
	}
	switch {
	case err == nil:
		c.fault(l, causeMoved, "the address "+old.String()+" of the box has gone")
		c.log.Info("a party is told of another address", "leg", l.id, "was", old, "is", c.anchor(l))
		c.reoffer(l, other, false, func(ok bool) {
			if ok {
				c.cured(l, "the call went on by "+c.anchor(l).String()+" (re-INVITE)")
			}
		})
	case tries > 0:
		c.after(movePause, func() { c.moveLeg(l, tries-1) })
	default:
		c.log.Warn("a party cannot be reached any more", "leg", l.id, "err", err)
	}
}

// readyToMove waits for changes that are under way.
func (c *Call) readyToMove(l *Leg) error {
	if c.relaying != nil || c.joining != nil || c.transfer != nil || l.inviteOut != nil || l.inviteIn != nil {
		return fmt.Errorf("leg %s is being changed", l.id)
	}
	return nil
}

// newAddress is another address of ours that leads to a leg's party now, if there is one.
func (c *Call) newAddress(l *Leg, old netip.Addr) netip.Addr {
	if local := c.eng.deps.Wire.LocalTowards(l.flow.Remote.Addr()); local != old {
		return local
	}
	return netip.Addr{}
}

// reanchor gives a leg another address of ours, and ports there.
func (c *Call) reanchor(l *Leg, old netip.Addr) error {
	local := c.newAddress(l, old)
	if !local.IsValid() {
		return fmt.Errorf("no other address leads to %s", l.flow.Remote)
	}
	if l.flow.Transport == edge.UDP {
		f, err := c.eng.deps.Wire.FlowTo(edge.UDP, local, l.flow.Remote)
		if err != nil {
			return err
		}
		l.flow = f
	} else if f, err := c.flowOf(l); err != nil { // until its device has connected again
		return err
	} else if f.Local.Addr() == old {
		return fmt.Errorf("the connection of leg %s is still the old one", l.id)
	}
	was := c.media.ports[l.mediaID]
	delete(c.media.ports, l.mediaID)
	if err := c.updateRelay(l); err != nil {
		c.media.ports[l.mediaID] = was
		return err
	}
	c.changed()
	return nil
}
