package chat

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/im"
	"github.com/coraltele/sanchar/pkg/sip/imdn"
	"github.com/coraltele/sanchar/pkg/sip/mime"
	"github.com/coraltele/sanchar/pkg/sip/wire"
)

// maxName is the longest Message-ID that is kept; a Call-ID has no more.
const maxName = 512

// retryFull is how long a sender waits when the disk is full.
const retryFull = "Retry-After: 60\r\n"

// incoming is a message on its way in.
type incoming struct {
	in     *edge.Inbound
	from   *account.Account
	to     *account.Account
	only   string // instance that it is for
	inCall bool   // it came within a call
	msg    *im.Message
	now    time.Time
}

// Message takes a MESSAGE outside of dialogs, of in.Account. It returns true if it answers later.
func (e *Engine) Message(in *edge.Inbound) bool {
	d := e.deps.Plan.Route(&in.URI)
	if d.Code != 0 {
		return e.refuse(in, &checked.Reply{Code: d.Code, Reason: d.Reason})
	}
	return e.accept(&incoming{in: in, from: in.Account, to: d.User, only: d.Instance})
}

// InDialog takes a MESSAGE within a call, of one of its users to the other. in is the engine's own.
func (e *Engine) InDialog(in *edge.Inbound, from, to string) {
	m := &incoming{in: in, from: e.deps.User(from), to: e.deps.User(to), inCall: true}
	taken := false
	if m.from == nil || m.to == nil {
		e.refuse(in, &checked.Reply{Code: 404, Reason: "Not Found"})
	} else {
		taken = e.accept(m)
	}
	if !taken {
		e.deps.Wire.Release(in)
	}
}

func (e *Engine) refuse(in *edge.Inbound, r *checked.Reply) bool {
	e.Counters.Refused.Add(1)
	e.deps.Wire.Reply(in, r)
	return false
}

// accept answers at once what cannot be taken, and passes on what is not to be kept; all else is
// answered when it is on disk.
func (e *Engine) accept(m *incoming) bool {
	in := m.in
	if r := m.read(e); r != nil {
		return e.refuse(in, r)
	}
	m.now = inbox.At(time.Now())
	if in.Expires == 0 || m.msg.Writing { // RFC 3428 §7: what expires at once is not kept
		e.post(m.to.ID, event{do: func(r *recipient) { r.pass(m) }})
		return true
	}
	switch {
	case e.Failing():
		return e.refuse(in, &checked.Reply{Code: 503, Reason: "Disk Full", Header: retryFull})
	case e.queued.Load() >= maxQueued:
		return e.refuse(in, &checked.Reply{Code: 503, Reason: "Busy", Header: "Retry-After: 5\r\n"})
	}
	e.queued.Add(1)
	item, w := e.item(m)
	device, from := e.sender(in, m.from)
	item.Rec.From = device
	var out inbox.Outcome
	e.ops.Put(op{
		do:   func(t *inbox.Tx) { out = e.take(t, item, w, m, from) },
		done: func(err error) { e.taken(m, out, err) },
	})
	return true
}

// read looks into the message. Its sender is who proved it, also where the body names one: clients show
// that name.
func (m *incoming) read(e *Engine) *checked.Reply {
	in := m.in
	if len(in.Body) > inbox.MaxBody {
		return &checked.Reply{Code: 413, Reason: "Request Entity Too Large"}
	}
	msg, err := im.Read(im.Raw{ContentType: in.Header(wire.ContentType), ContentEncoding: in.Header(wire.ContentEncoding), Body: in.Body})
	switch {
	case errors.Is(err, mime.ErrTooLong), errors.Is(err, mime.ErrTooMany):
		return &checked.Reply{Code: 413, Reason: "Request Entity Too Large"}
	case err != nil:
		return &checked.Reply{Code: 400, Reason: "Bad Request: body"}
	case msg.Wrapped && !e.names(msg.From, m.from):
		return &checked.Reply{Code: 403, Reason: "Forbidden: not your identity"}
	}
	if len(msg.ID) > maxName || strings.ContainsRune(msg.ID, 0) {
		return &checked.Reply{Code: 400, Reason: "Bad Request: Message-ID"}
	}
	m.msg = msg
	return nil
}

// names reports whether a URI names a user, by his name or a number.
func (e *Engine) names(uri string, a *account.Account) bool {
	u, err := aor.Parse(uri)
	return err == nil && u.Scheme != aor.Unknown && (u.Scheme == aor.Tel || e.deps.Plan.Ours(u.Host)) &&
		(a.Owns(u.UserText()) || a.Owns(strings.ToLower(u.UserText())))
}

// sender finds the device that a message came from: the one that registered on the same way.
func (e *Engine) sender(in *edge.Inbound, a *account.Account) (d record.Device, key string) {
	for _, b := range e.deps.Devices.Lookup(a.ID) {
		if b.Transport == in.Flow.Transport && b.Remote == in.Flow.Remote {
			dev := deviceOf(&b)
			return dev.Record(), dev.Key
		}
	}
	return record.Device{Source: in.Flow.Remote, Transport: in.Flow.Transport.Param(), UserAgent: in.UserAgent}, ""
}

// item makes what is kept of a message.
func (e *Engine) item(m *incoming) (*inbox.Item, *inbox.Wire) {
	in, msg := m.in, m.msg
	keep := m.now.Add(e.keep())
	i := &inbox.Item{
		SenderID: m.from.ID, RecipientID: m.to.ID, From: in.FromText, To: in.ToText, CallID: in.CallID, Tag: in.FromTag, CSeq: in.CSeq,
		Forwards: in.MaxForwards - 1, Only: m.only, Quiet: strings.EqualFold(in.Priority, "non-urgent"), Delete: keep,
	}
	i.Rec = record.Message{
		ID: ids.Record(m.now), Type: record.MessageContent, MessageID: msg.ID, CallID: in.CallID, Thread: thread(m.from.ID, m.to.ID),
		Sender: e.party(m.from), Recipient: e.party(m.to), At: m.now, Composed: msg.Composed, ContentType: msg.ContentType, Text: searched(msg.Text),
		Reply: msg.Reply, Reaction: msg.Reaction, Replaces: msg.Replaces, Retracts: msg.Retracts, Ephemeral: msg.Ephemeral, Asked: msg.Asked,
		Expires: keep, Status: record.MessageStored, Changes: []record.Change{{At: m.now, Status: record.MessageStored}},
	}
	for _, f := range msg.Files {
		i.Rec.Files = append(i.Rec.Files, record.File{Name: f.Name, ContentType: f.ContentType, Size: f.Size, URL: f.URL, Until: f.Until})
	}
	if in.Expires > 0 {
		if at := m.now.Add(time.Duration(in.Expires) * time.Second); at.Before(keep) {
			i.Rec.Expires = at
		}
	}
	if msg.Notification() {
		i.Rec.Type = record.MessageNotification
	}
	if m.inCall {
		e.outOfDialog(i, m)
	}
	return i, e.wireOf(in, m.now)
}

// outOfDialog makes a message of its own of one within a call: its dialog is the box's with the sender,
// and several messages in it share a Call-ID, which a plain receipt would name.
func (e *Engine) outOfDialog(i *inbox.Item, m *incoming) {
	i.From = "<" + i.Rec.Sender.AoR + ">;tag=" + ids.Tag()
	i.To = "<" + i.Rec.Recipient.AoR + ">"
	i.CallID = ids.CallID()
}

// wireOf keeps what devices get. RFC 3428 §7: who gets it late sees by its Date when it was sent.
func (e *Engine) wireOf(in *edge.Inbound, now time.Time) *inbox.Wire {
	w := &inbox.Wire{Head: in.AppendEndToEnd(nil), Body: []byte(in.Body)}
	if in.Header(wire.Date) == "" {
		w.Head = now.AppendFormat(append(w.Head, "Date: "...), dateFormat+"\r\n")
	}
	return w
}

// dateFormat is of SIP's Date (RFC 3261 §20.17).
const dateFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// thread names who talks: the same for both directions.
func thread(a, b string) string {
	if b < a {
		a, b = b, a
	}
	return a + " " + b
}

func (e *Engine) party(a *account.Account) record.Party {
	return record.Party{AoR: "sip:" + aor.Escape(a.Name) + "@" + e.deps.Domain(), User: a.Name, Number: a.Number(), Name: a.DisplayName}
}

// take keeps a message, and first joins the receipts in it to what they are about. What a device says
// of its user's own message, which it got as a copy, goes no further: the sender would take it for the
// recipient's word.
func (e *Engine) take(t *inbox.Tx, i *inbox.Item, w *inbox.Wire, m *incoming, from string) inbox.Outcome {
	own := 0
	for n, rc := range m.msg.Receipts {
		state := stateOf(&rc)
		if state == "" {
			continue
		}
		about := t.Receive(inbox.Receipt{
			Names: rc.MessageID, Sender: i.RecipientID, User: i.SenderID, Name: m.from.Name, Device: i.Rec.From, State: state, Reason: rc.Reason, At: m.now,
		})
		if about.Own {
			own++
		}
		id := i.Rec.ID
		if n > 0 {
			id = ids.Record(m.now)
		}
		i.Notices = append(i.Notices, inbox.Notice{RecordID: id, About: about.Record, State: state, From: rc.MessageID})
	}
	if own > 0 && own == len(m.msg.Receipts) && i.RecipientID == i.SenderID {
		return inbox.Outcome{}
	}
	return t.Put(i, w, from)
}

// stateOf returns what a receipt says as a state, "" for what is none.
func stateOf(n *imdn.Notification) string {
	switch {
	case n.Failure():
		return record.MessageFailed
	case n.Status == imdn.Delivered:
		return record.MessageDelivered
	case n.Status == imdn.Displayed:
		return record.MessageDisplayed
	}
	return ""
}

// taken answers a message whose fate on disk is known, and lets its recipient have it.
func (e *Engine) taken(m *incoming, out inbox.Outcome, err error) {
	e.queued.Add(-1)
	reply := checked.Reply{Code: 202, Reason: "Accepted"} // RFC 3428 §7
	switch {
	case err != nil:
		e.Counters.Refused.Add(1)
		reply = checked.Reply{Code: 503, Reason: "Disk Full", Header: retryFull}
	case out.Code != 0:
		e.Counters.Refused.Add(1)
		reply = checked.Reply{Code: out.Code, Reason: out.Reason}
		if out.Code == 503 {
			reply.Header = retryFull
		}
	case out.Again:
		e.Counters.Again.Add(1)
	default:
		e.Counters.Accepted.Add(1)
	}
	e.deps.Out.Add(m.in.Flow, e.deps.Wire.Answer(m.in, &reply))
	e.deps.Wire.Release(m.in)
	if err == nil {
		e.arrive(out)
	}
}

// arrive lets users have a message that is on disk.
func (e *Engine) arrive(out inbox.Outcome) {
	if out.Item == nil || out.Again {
		return
	}
	e.post(out.Item.RecipientID, event{do: func(r *recipient) { r.arrived(out.Item) }})
	if out.Item.Inboxes > 1 {
		e.post(out.Item.SenderID, event{do: func(r *recipient) { r.look() }})
	}
}

// negative makes the receipt that a message reached nobody. It seems to come from the recipient:
// clients find the message by that.
func (e *Engine) negative(about *inbox.Item, now time.Time) (*inbox.Item, *inbox.Wire) {
	at := inbox.At(now)
	name := about.Rec.MessageID
	if name == "" {
		name = about.Rec.CallID
	}
	sent := about.Rec.Composed
	if sent.IsZero() {
		sent = about.Rec.At
	}
	n := imdn.Notification{MessageID: name, DateTime: sent, Kind: imdn.Delivery, Status: imdn.Failed}
	from, to := about.Rec.Recipient, about.Rec.Sender
	body := n.Wrap(from.AoR, to.AoR, at).Append(nil)
	i := &inbox.Item{
		SenderID: about.RecipientID, RecipientID: about.SenderID, From: "<" + from.AoR + ">;tag=" + ids.Tag(), To: "<" + to.AoR + ">",
		CallID: ids.CallID(), CSeq: 1, Forwards: 70, Quiet: true, OwnWord: true, Delete: at.Add(e.keep()),
	}
	i.Rec = record.Message{
		ID: ids.Record(at), Type: record.MessageNotification, CallID: i.CallID, Thread: about.Rec.Thread, Sender: from, Recipient: to, At: at,
		ContentType: "message/cpim", Expires: i.Delete, Status: record.MessageStored, Changes: []record.Change{{At: at, Status: record.MessageStored}},
	}
	i.Notices = []inbox.Notice{{RecordID: i.Rec.ID, About: about.Rec.ID, State: record.MessageFailed, From: name}}
	var head bytes.Buffer
	fmt.Fprintf(&head, "Date: %s\r\nPriority: non-urgent\r\nContent-Type: message/cpim\r\nUser-Agent: %s\r\n", at.Format(dateFormat), e.deps.Product)
	return i, &inbox.Wire{Head: head.Bytes(), Body: body}
}

// isFor reports whether a message is for a device.
func (m *incoming) isFor(instance string) bool {
	return slices.Contains([]string{"", instance}, m.only)
}
