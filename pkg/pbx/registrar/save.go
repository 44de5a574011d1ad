package registrar

import (
	"container/heap"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// change is what one REGISTER does.
type change struct {
	in     *edge.Inbound
	now    time.Time
	events []Event
	frames [][]byte
	code   int // of a refusal
	reason string
}

// Register answers the REGISTER of in.Account (RFC 3261 §10.3). What it promises is on disk before
// the answer leaves; a refresh promises nothing that a crash could take back (replayed.makeGood).
func (r *Registrar) Register(in *edge.Inbound) {
	c := change{in: in, now: r.deps.Clock()}
	var buf [1024]byte
	r.mu.Lock()
	if !r.refreshLocked(&c) {
		r.saveLocked(&c)
	}
	reply := checked.Reply{Code: c.code, Reason: c.reason}
	if c.code == 0 {
		reply = checked.Reply{Code: 200, Reason: "OK", Extra: r.appendBindingsLocked(buf[:0], &c)}
		r.commitLocked(&c, &reply)
	}
	r.mu.Unlock()
	if len(c.frames) == 0 {
		r.deps.Edge.Reply(in, &reply)
	}
	if c.code != 0 {
		return
	}
	in.Flow.Proven()
	r.deps.Edge.Known(in.Flow.Remote.Addr(), c.now.Add(knownFor))
	for i := range c.events {
		r.tell(&c.events[i])
	}
}

func (r *Registrar) tell(ev *Event) {
	b := &ev.Binding
	r.deps.Watch(*ev)
	if ev.Lost {
		return // its stay has ended before
	}
	result := record.RegActive
	if ev.Gone != "" {
		result = ev.Gone
	}
	r.deps.Record(b.record(result, r.deps.Clock()))
}

// refreshLocked handles what nearly all REGISTERs are: the same device says in the same way that it
// is still there. It reports false for anything else.
func (r *Registrar) refreshLocked(c *change) bool {
	in := c.in
	if len(in.Contacts) != 1 || in.AnyContact {
		return false
	}
	contact := &in.Contacts[0]
	b := r.findLocked(in.Account.ID, contact)
	if b == nil || (b.CallID == in.CallID && in.CSeq <= b.CSeq) || !b.unchanged(in, contact) {
		return false
	}
	if b.CallID != in.CallID { // the device has started anew (RFC 3261 §10.2.4)
		b.CallID = strings.Clone(in.CallID)
	}
	b.CSeq, b.Refreshed, b.Expires = in.CSeq, c.now, c.now.Add(time.Duration(b.Granted)*time.Second)
	b.Refreshes++
	r.frame = b.appendRefresh(r.frame[:0])
	r.journal.Later(r.frame)
	return true
}

// unchanged reports whether a REGISTER asks for what its binding is but for the time.
func (b *Binding) unchanged(in *edge.Inbound, contact *checked.Contact) bool {
	return b.Granted == granted(contact, in.Expires) && b.flow.Same(in.Flow) && b.Local == in.Flow.Local && b.Contact == contact.Spec &&
		b.Q == contact.Q && b.UserAgent == in.UserAgent && b.GRUU == (in.Supported&checked.GRUU != 0) && b.Device == in.Device && len(b.Path) == 0 && !in.HasPath()
}

func (r *Registrar) findLocked(userID string, c *checked.Contact) *Binding {
	for _, b := range r.byUser[userID] {
		if b.sameDevice(c.Instance, c.RegID, c.Spec) {
			return b
		}
	}
	return nil
}

// granted returns the seconds that a contact gets; 0 removes it. RFC 3261 §10.3 item 7, not
// followed: what is too brief is prolonged, not refused with 423, since phones that are set to 30 s
// would else stay off.
func granted(c *checked.Contact, header int) int {
	asked := asked(c, header)
	if asked == 0 {
		return 0
	}
	return min(max(asked, minExpires), maxExpires)
}

func asked(c *checked.Contact, header int) int {
	switch {
	case c.Expires >= 0:
		return c.Expires
	case header >= 0:
		return header
	}
	return defaultExpires
}

func (r *Registrar) saveLocked(c *change) {
	in := c.in
	switch {
	case in.AnyContact:
		r.removeAllLocked(c)
		return
	case len(in.Contacts) == 0:
		return // a query
	}
	adding := 0
	for i := range in.Contacts {
		contact := &in.Contacts[i]
		old := r.findLocked(in.Account.ID, contact)
		switch {
		case contact.URI.Scheme != aor.SIP && contact.URI.Scheme != aor.SIPS:
			c.code, c.reason = 400, "Bad Request: Contact of another scheme"
		case old != nil && old.CallID == in.CallID && in.CSeq < old.CSeq:
			c.code, c.reason = 500, "Out of Order" // RFC 3261 §10.3 item 7
		case old == nil && granted(contact, in.Expires) > 0:
			adding++
		}
	}
	if len(r.byUser[in.Account.ID])+adding > maxBindings {
		c.code, c.reason = 403, "Too Many Devices"
	}
	for i := range in.Contacts {
		if c.code != 0 {
			return // all or nothing (RFC 3261 §10.3 item 7)
		}
		r.saveContactLocked(c, &in.Contacts[i])
	}
}

func (r *Registrar) removeAllLocked(c *change) {
	if c.in.Expires != 0 || len(c.in.Contacts) > 0 { // RFC 3261 §10.3 item 6
		c.code, c.reason = 400, "Bad Request: Contact * without Expires 0"
		return
	}
	for _, b := range slices.Clone(r.byUser[c.in.Account.ID]) {
		if b.CallID == c.in.CallID && c.in.CSeq <= b.CSeq {
			continue
		}
		r.unbindLocked(c, b)
	}
	for _, b := range slices.Clone(r.asleep[c.in.Account.ID]) {
		r.signOutLocked(c, b)
	}
}

// signOutLocked forgets a sleeping device that wants to be called no more.
func (r *Registrar) signOutLocked(c *change, b *Binding) {
	r.loseLocked(b, c.now, record.RegUnregistered)
	c.events = append(c.events, Event{Binding: *b, Lost: true})
	c.frames = append(c.frames, b.appendDrop(nil, c.now, record.RegUnregistered)) // once more, to be waited for
}

func (r *Registrar) unbindLocked(c *change, b *Binding) {
	r.dropLocked(b, c.now, record.RegUnregistered)
	c.events = append(c.events, Event{Binding: *b, Gone: record.RegUnregistered})
	c.frames = append(c.frames, b.appendDrop(nil, c.now, record.RegUnregistered)) // once more, to be waited for
}

func (r *Registrar) saveContactLocked(c *change, contact *checked.Contact) {
	in := c.in
	old := r.findLocked(in.Account.ID, contact)
	seconds := granted(contact, in.Expires)
	switch {
	case old != nil && old.CallID == in.CallID && old.CSeq == in.CSeq:
		return // a retransmission: it is done
	case seconds == 0 && old != nil:
		r.unbindLocked(c, old)
		return
	case seconds == 0:
		if b := r.asleep.find(in.Account.ID, contact); b != nil {
			r.signOutLocked(c, b)
		}
		return
	}
	b := r.bindLocked(c, old, contact)
	b.due = b.Expires
	if old == nil {
		heap.Push(&r.expiry, b)
	} else {
		heap.Fix(&r.expiry, b.heap)
	}
	c.frames = append(c.frames, b.appendSet(nil))
	if b.heap == 0 {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// bindLocked makes a binding, or changes the old one. A device that comes from another address, or
// starts anew, starts another stay in the log.
func (r *Registrar) bindLocked(c *change, old *Binding, contact *checked.Contact) *Binding {
	in, b := c.in, old
	moved := old != nil && (!old.flow.Same(in.Flow) || old.Contact != contact.Spec || old.UserAgent != in.UserAgent)
	if moved {
		c.events = append(c.events, Event{Binding: *old, Gone: record.RegMoved})
	}
	if old == nil {
		b = &Binding{ID: ids.Random(10), UserID: in.Account.ID, User: in.Account.Name}
		if slept := r.asleep.find(b.UserID, contact); slept != nil {
			b.ID = slept.ID // the same device, whoever waits for it to wake
			r.asleep.remove(slept)
		}
		r.byID[b.ID] = b
		r.byUser[b.UserID] = append(r.byUser[b.UserID], b)
	}
	if old == nil || moved {
		b.First, b.Refreshes, b.RecordID = c.now, 0, ids.Record(c.now)
	} else {
		b.Refreshes++
	}
	b.AoR = "sip:" + aor.Escape(b.User) + "@" + r.deps.Domain()
	b.Contact, b.Instance = strings.Clone(contact.Spec), strings.Clone(contact.Instance)
	b.RegID, b.Q = contact.RegID, contact.Q
	b.Path = cloneAll(in.AppendPath(nil))
	b.CallID, b.CSeq, b.UserAgent = strings.Clone(in.CallID), in.CSeq, strings.Clone(in.UserAgent)
	b.Asked, b.Granted, b.Refreshed = asked(contact, in.Expires), granted(contact, in.Expires), c.now
	b.Expires = c.now.Add(time.Duration(b.Granted) * time.Second)
	b.GRUU, b.Device = in.Supported&checked.GRUU != 0, in.Device
	b.flow, b.Transport, b.Local, b.Remote = in.Flow, in.Flow.Transport, in.Flow.Local, in.Flow.Remote
	if old == nil || moved {
		c.events = append(c.events, Event{Binding: *b, New: true})
	}
	return b
}

func cloneAll(list []string) []string {
	for i := range list {
		list[i] = strings.Clone(list[i])
	}
	return list
}

// appendBindingsLocked appends what a 200 says: all bindings.
func (r *Registrar) appendBindingsLocked(lines []byte, c *change) []byte {
	wantsGRUU := c.in.Supported&checked.GRUU != 0
	outbound := false
	for _, b := range r.byUser[c.in.Account.ID] {
		lines = b.appendContact(lines, c.now, wantsGRUU)
		outbound = outbound || b.RegID > 0
	}
	lines = append(lines, "Supported: path, outbound, gruu\r\n"...)
	if outbound && c.in.Supported&checked.Outbound != 0 {
		lines = append(lines, "Require: outbound\r\nFlow-Timer: 120\r\n"...) // RFC 5626 §6
	}
	return lines
}

// commitLocked writes what has changed; the answer leaves when the last frame is on disk.
func (r *Registrar) commitLocked(c *change, reply *checked.Reply) {
	for i, f := range c.frames {
		if i < len(c.frames)-1 {
			r.journal.Later(f) // goes with the last one
			continue
		}
		r.journal.Commit(f, committed{r, c.in.Flow, r.deps.Edge.Answer(c.in, reply)})
	}
}

// committed sends an answer when the journal has kept what it promises. A full disk is no reason to
// keep phones off: the binding is in memory, the admin is told.
type committed struct {
	r    *Registrar
	flow edge.Flow
	buf  *[]byte
}

// Committed is called by the journal.
func (c committed) Committed(error) { c.r.out.Add(c.flow, c.buf) }
