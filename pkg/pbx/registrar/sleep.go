package registrar

import (
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// sleepTime is how long a device can be woken after its binding has expired: as long as messages
// wait for it by default. Who has not come back by then has another phone.
const sleepTime = 7 * 24 * time.Hour

// sleepers are devices whose bindings have expired and that can be woken, by user, the one that
// expired first in front.
type sleepers map[string][]*Binding

// add puts a device to sleep. A user has as many as he may have bindings: the oldest gives way.
func (s sleepers) add(b *Binding) {
	list := append(s[b.UserID], b)
	slices.SortStableFunc(list, func(a, b *Binding) int { return a.Expires.Compare(b.Expires) })
	s[b.UserID] = list[max(0, len(list)-maxBindings):]
}

func (s sleepers) remove(b *Binding) {
	list := slices.DeleteFunc(s[b.UserID], func(x *Binding) bool { return x == b })
	if len(list) == 0 {
		delete(s, b.UserID)
		return
	}
	s[b.UserID] = list
}

// find returns the sleeping device that a contact names.
func (s sleepers) find(userID string, c *checked.Contact) *Binding {
	for _, b := range s[userID] {
		if b.sameDevice(c.Instance, c.RegID, c.Spec) {
			return b
		}
	}
	return nil
}

// wakeless removes and returns those that have slept too long.
func (s sleepers) wakeless(now time.Time) (lost []Binding) {
	for _, list := range s {
		for _, b := range slices.Clone(list) {
			if now.Sub(b.Expires) >= sleepTime {
				s.remove(b)
				lost = append(lost, *b)
			}
		}
	}
	return lost
}

// loseLocked forgets a sleeping device, here and on disk.
func (r *Registrar) loseLocked(b *Binding, now time.Time, why string) {
	r.asleep.remove(b)
	r.frame = b.appendDrop(r.frame[:0], now, why)
	r.journal.Later(r.frame)
}

// forgetSleepers ends what has slept too long. The disk tells when that was.
func (r *Registrar) forgetSleepers() {
	r.mu.Lock()
	lost := r.asleep.wakeless(r.deps.Clock())
	r.mu.Unlock()
	r.tellLost(lost)
}

func (r *Registrar) tellLost(lost []Binding) {
	for _, b := range lost {
		r.deps.Watch(Event{Binding: b, Lost: true})
	}
}

// sleeping returns copies of all devices that sleep.
func (r *Registrar) sleeping() (all []Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, list := range r.asleep {
		for _, b := range list {
			all = append(all, *b)
		}
	}
	return all
}

// Find returns a binding by its id, and whether its device is asleep.
func (r *Registrar) Find(id string) (b Binding, asleep, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.byID[id]; b != nil {
		return *b, false, true
	}
	for _, list := range r.asleep {
		for _, b := range list {
			if b.ID == id {
				return *b, true, true
			}
		}
	}
	return b, false, false
}

// Asleep returns copies of a user's devices that are not registered any more and can be woken.
func (r *Registrar) Asleep(userID string) []Binding {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Binding, 0, len(r.asleep[userID]))
	for _, b := range r.asleep[userID] {
		list = append(list, *b)
	}
	return list
}
