package call

import (
	"sync"

	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/pbx/terms"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// maxKnown bounds the devices that are remembered: some two of each user of a large site.
const maxKnown = 20_000

// known remembers what devices have shown of themselves, by user and instance. It is no more than a
// help: what is forgotten is asked for again.
type known struct {
	mu      sync.Mutex // guards devices
	devices map[string]terms.Known
}

func newKnown() *known { return &known{devices: map[string]terms.Known{}} }

// deviceOf names a leg's device: by what it has registered as, or what it calls from.
func (l *Leg) deviceOf() string {
	switch {
	case l.device != "":
		return l.device
	case l.instance != "":
		return l.userID + "\x00" + l.instance
	}
	return l.userID + "\x00" + l.contact
}

func bindingName(b *registrar.Binding) string {
	if b.Instance != "" {
		return b.UserID + "\x00" + b.Instance
	}
	return b.UserID + "\x00" + b.Contact
}

// recognize finds the device that a caller calls from among those that he has registered.
func (c *Call) recognize(l *Leg) {
	for _, b := range c.eng.deps.Devices.Lookup(l.userID) {
		if c.sameDevice(l, &b) {
			l.device = bindingName(&b)
			return
		}
	}
}

func (c *Call) sameDevice(l *Leg, b *registrar.Binding) bool {
	return l.userID == b.UserID && ((b.Instance != "" && l.instance == b.Instance) || l.contact == b.Contact || l.flow.Remote == b.Remote)
}

func (k *known) of(l *Leg) terms.Known {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.devices[l.deviceOf()]
}

// change does something to what is known of a leg's device. Only users of the box have any.
func (k *known) change(l *Leg, do func(*terms.Known)) {
	if l.userID == "" {
		return
	}
	d := k.of(l)
	do(&d)
	k.mu.Lock()
	defer k.mu.Unlock()
	name := l.deviceOf()
	if _, there := k.devices[name]; !there && len(k.devices) >= maxKnown {
		for other := range k.devices { // whichever
			delete(k.devices, other)
			break
		}
	}
	k.devices[name] = d
}

func (k *known) learn(l *Leg, s *sdp.Session, offer bool) {
	k.change(l, func(d *terms.Known) { d.Learn(s, offer) })
}

// refused notes that a device did not take a protection.
func (k *known) refused(l *Leg, p ctl.Protection) {
	k.change(l, func(d *terms.Known) { d.Refuse(p) })
}
