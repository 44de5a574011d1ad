package inbox

import (
	"bytes"
	"time"
)

// Device reads a device of a user.
func (t *Tx) Device(user, key string) (d Device, ok bool) {
	ok = t.getJSON(devices, joined(user, key), &d)
	d.Key = key
	return d, ok
}

// Devices returns the devices that a user was seen with.
func (t *Tx) Devices(user string) (all []Device) {
	prefix := place(user)
	c := t.bucket(devices).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && t.err == nil; k, _ = c.Next() {
		if d, ok := t.Device(user, string(k[len(prefix):])); ok {
			all = append(all, d)
		}
	}
	return all
}

func (t *Tx) putDevice(user string, d *Device) { t.putJSON(devices, joined(user, d.Key), d) }

// Bind notes that a user is there with a device. One that is new gets what no other device of the user
// has: the first message that waits, and all that came after it.
func (t *Tx) Bind(user string, d Device) {
	if old, ok := t.Device(user, d.Key); ok {
		d.Cursor = old.Cursor
	} else {
		d.Cursor = t.bucket(messages).Sequence()
		t.eachEntry(user, 0, func(e Entry) bool {
			if !e.Taken && !e.Copy && e.isFor(&d) {
				d.Cursor = e.Seq - 1
				return false
			}
			return true
		})
	}
	t.putDevice(user, &d)
}

// See notes that a device was there until now.
func (t *Tx) See(user, key string, now time.Time) {
	if d, ok := t.Device(user, key); ok {
		d.Seen = now
		t.putDevice(user, &d)
	}
}

// Forget removes a device of a user that does not come any more.
func (t *Tx) Forget(user, key string, now time.Time) {
	t.drop(devices, joined(user, key))
	t.tidyTaken(user)
	t.tidy(user, now)
}

// tidyTaken empties the inbox of a user whose last device was forgotten of what some device had.
func (t *Tx) tidyTaken(user string) {
	if len(t.Devices(user)) > 0 {
		return
	}
	var done []Entry
	t.eachEntry(user, 0, func(e Entry) bool {
		if e.Taken || e.Copy {
			done = append(done, e)
		}
		return true
	})
	for i := range done {
		t.leave(user, &done[i])
	}
}

// Stale returns the devices that were not seen since a time, by user.
func (t *Tx) Stale(before time.Time) (all map[string][]Device) {
	all = map[string][]Device{}
	c := t.bucket(devices).Cursor()
	for k, _ := c.First(); k != nil && t.err == nil; k, _ = c.Next() {
		user, key, _ := bytes.Cut(k, []byte{0})
		if d, ok := t.Device(string(user), string(key)); ok && d.Seen.Before(before) {
			all[string(user)] = append(all[string(user)], d)
		}
	}
	return all
}

// RemoveUser removes the inbox of a user who is no more, and his devices.
func (t *Tx) RemoveUser(user string, now time.Time) {
	for _, d := range t.Devices(user) {
		t.drop(devices, joined(user, d.Key))
	}
	var all []Entry
	t.eachEntry(user, 0, func(e Entry) bool {
		all = append(all, e)
		return true
	})
	for i := range all {
		t.leave(user, &all[i])
		if !all[i].Taken && !all[i].Copy {
			t.fail(all[i].Seq, now)
		}
	}
}
