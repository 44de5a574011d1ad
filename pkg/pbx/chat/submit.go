package chat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// fromBridge stands for the device of a message that a program sends: all devices of its sender get
// a copy.
const fromBridge = "bridge"

// typeRule is what a content type must be.
const typeRule = "a media type such as text/plain;charset=UTF-8, in one line"

// Submit takes a message of a program in the name of a user, and keeps it as it keeps one of a phone.
// When it returns without error the message is on disk. One that comes again with its key is not sent
// again, also after a restart, for as long as messages are kept.
func (e *Engine) Submit(ctx context.Context, in ctl.NewMessage) (sent ctl.SentMessage, err error) {
	m, err := e.submitted(&in)
	if err != nil {
		return sent, err
	}
	switch {
	case e.Failing():
		return sent, errDiskFull(nil)
	case e.queued.Load() >= maxQueued:
		return sent, problem.New(problem.Unavailable, "message.busy", fmt.Sprintf("%d messages wait for the disk", maxQueued), "send it again in a moment")
	}
	out, same, err := e.keepSubmitted(ctx, m, &in)
	switch {
	case ctx.Err() != nil:
		return sent, ctx.Err()
	case err != nil:
		e.Counters.Refused.Add(1)
		return sent, errDiskFull(err)
	case out.Code != 0:
		e.Counters.Refused.Add(1)
		return sent, errQuota(&in, out)
	case out.Item == nil:
		return sent, problem.Fields("message.invalid", []problem.Fault{{
			Path: "content", Rule: "not a receipt for a message of the recipient's own", Cure: "send receipts to the sender of the message",
		}})
	case !same:
		e.Counters.Refused.Add(1)
		return sent, errKey(in.Key)
	case out.Again:
		e.Counters.Again.Add(1)
	default:
		e.Counters.Accepted.Add(1)
	}
	i := out.Item
	return ctl.SentMessage{
		ID: i.Rec.ID, CallID: i.Rec.CallID, MessageID: i.Rec.MessageID, From: m.from.Name, To: m.to.Name, At: i.Rec.At, Status: i.Rec.Status, Again: out.Again,
	}, nil
}

// keepSubmitted writes a message to disk and waits for that. same reports whether one that came before
// with its key is the same.
func (e *Engine) keepSubmitted(ctx context.Context, m *incoming, in *ctl.NewMessage) (out inbox.Outcome, same bool, err error) {
	m.now = inbox.At(time.Now())
	item, w := e.item(m)
	item.Rec.SentByAPI, item.Rec.Token, item.Rec.From.UserAgent = true, in.TokenName, e.deps.Product
	e.queued.Add(1)
	kept := make(chan error, 1)
	var got inbox.Outcome // of the writer until it tells
	var alike bool
	_, open := e.ops.Put(op{
		do: func(t *inbox.Tx) {
			got = e.take(t, item, w, m, fromBridge)
			alike = !got.Again || in.Key == "" || (got.Item != nil && got.Item.RecipientID == m.to.ID &&
				got.Item.Rec.ContentType == item.Rec.ContentType && bytes.Equal(t.Wire(got.Item.Seq).Body, w.Body))
		},
		done: func(err error) {
			e.queued.Add(-1)
			if err == nil {
				e.arrive(got)
			}
			kept <- err
		},
	})
	if !open {
		e.queued.Add(-1)
		return out, same, errStopping()
	}
	select {
	case err = <-kept:
		return got, alike, err
	case <-ctx.Done(): // who asked went away: he asks again, with his key
		return out, same, ctx.Err()
	}
}

// Taken notes that a program has a message in the place of its recipient's phone.
func (e *Engine) Taken(ctx context.Context, in ctl.TakenMessage) error {
	from, to := e.deps.Plan.Lookup(in.Sender), e.deps.Plan.Lookup(in.Recipient)
	if from == nil || to == nil {
		return nil // who is no more waits for nothing
	}
	by := record.Device{Contact: fromBridge + " " + in.By, UserAgent: in.By}
	kept := make(chan error, 1)
	_, open := e.ops.Put(op{
		do: func(t *inbox.Tx) {
			t.TakenFor(in.ID, in.CallID, from.ID, to.ID, to.Name, by, inbox.At(time.Now()))
		},
		done: func(err error) { kept <- err },
	})
	if !open {
		return errStopping()
	}
	select {
	case err := <-kept:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func errStopping() error {
	return problem.New(problem.Unavailable, "chat.away", "the box is being stopped", "try again in a moment")
}

// submitted reads what a program sends, as if a phone had sent it. All that is wrong is told at once.
func (e *Engine) submitted(in *ctl.NewMessage) (*incoming, error) {
	var faults []problem.Fault
	bad := func(path, value, rule, cure string) {
		faults = append(faults, problem.Fault{Path: path, Value: value, Rule: rule, Cure: cure})
	}
	from, instance := e.partyNamed(in.From)
	if from == nil || instance != "" {
		bad("from", in.From, "the name or a number of a user of this box who is not disabled", "look at the list of users")
	}
	to, only := e.partyNamed(in.To)
	if to == nil {
		bad("to", in.To, "the name or a number of a user of this box who is not disabled", "look at the list of users")
	}
	if n := len(in.Body); n == 0 || n > inbox.MaxBody {
		bad("content", fmt.Sprintf("%d bytes", n), fmt.Sprintf("from 1 to %d bytes", inbox.MaxBody), "send a shorter one; files go by HTTP")
	}
	if !oneLine(in.ContentType) {
		bad("content_type", in.ContentType, typeRule, "correct it")
	}
	if faults != nil {
		return nil, problem.Fields("message.invalid", faults)
	}
	if len(in.Senders) > 0 && !slices.Contains(in.Senders, from.Name) {
		return nil, &problem.Error{
			Kind: problem.Denied, Code: "message.sender", Text: "this API token may not send in the name of that user", Cure: "use a token that may",
			Faults: []problem.Fault{{Path: "from", Value: in.From, Rule: "one of " + strings.Join(in.Senders, ", "), Cure: "send in the name of one of them, or make another token"}},
		}
	}
	m := &incoming{from: from, to: to, only: only}
	return m, e.readSubmitted(m, in)
}

// readSubmitted makes a request of the message: what holds for a phone's holds for it.
func (e *Engine) readSubmitted(m *incoming, in *ctl.NewMessage) error {
	m.in = new(edge.Inbound)
	if err := m.in.Read(e.requestOf(m, in)); err != nil {
		return fault("content_type", in.ContentType, typeRule, "correct it")
	}
	if refusal := m.in.Check(); refusal != nil {
		return fault("content_type", in.ContentType, typeRule, "correct it")
	}
	r := m.read(e)
	switch {
	case r == nil && m.msg.Writing:
		return fault("content_type", in.ContentType, "what the box keeps: that somebody writes is not kept", "send messages only")
	case r == nil:
		return nil
	case r.Code == 413:
		return fault("content", fmt.Sprintf("%d bytes", len(in.Body)), "not longer, when it is unpacked, and of no more parts than the box reads", "send less at once")
	case r.Code == 403:
		return fault("content", "", "the From of a CPIM message names its sender", "write the user's own address there")
	}
	return fault("content", "", "a body that is what its type says: "+r.Reason, "correct it")
}

// requestOf writes the message as a phone would.
func (e *Engine) requestOf(m *incoming, in *ctl.NewMessage) []byte {
	callID, tag := ids.CallID(), ids.Tag()
	if in.Key != "" { // the same request again, whenever it comes
		sum := sha256.Sum256([]byte(in.Token + "\x00" + in.Key))
		text := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
		callID, tag = "key-"+text[:32], text[32:]
	}
	var b bytes.Buffer
	from, to := e.party(m.from).AoR, e.party(m.to).AoR
	fmt.Fprintf(&b, "MESSAGE %s SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=%s%s\r\nMax-Forwards: 70\r\nFrom: <%s>;tag=%s\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: 1 MESSAGE\r\n",
		to, checked.Cookie, tag, from, tag, to, callID)
	fmt.Fprintf(&b, "User-Agent: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", e.deps.Product, in.ContentType, len(in.Body))
	b.Write(in.Body)
	return b.Bytes()
}

// partyNamed finds a user by his name, a number or a URI.
func (e *Engine) partyNamed(text string) (a *account.Account, instance string) {
	if !strings.HasPrefix(text, "sip:") && !strings.HasPrefix(text, "sips:") && !strings.HasPrefix(text, "tel:") {
		text = "sip:" + aor.Escape(text) + "@" + e.deps.Domain()
	}
	u, err := aor.Parse(text)
	if err != nil {
		return nil, ""
	}
	d := e.deps.Plan.Route(&u)
	return d.User, d.Instance
}

// oneLine reports whether a text can stand in a header line.
func oneLine(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func fault(path, value, rule, cure string) error {
	return problem.Fields("message.invalid", []problem.Fault{{Path: path, Value: value, Rule: rule, Cure: cure}})
}

func errDiskFull(cause error) error {
	if p := (*problem.Error)(nil); errors.As(cause, &p) {
		return p
	}
	return problem.Wrap(cause, problem.Full, "message.disk", "the disk takes no messages", "make room on the disk of the box, then send it again")
}

// errQuota tells which bound a message met.
func errQuota(in *ctl.NewMessage, out inbox.Outcome) error {
	f := problem.Fault{Path: "to", Value: in.To, Rule: "fewer messages wait for a user: " + out.Reason, Cure: "wait until a device of this user has taken some"}
	if out.Code == 403 {
		f = problem.Fault{Path: "from", Value: in.From, Rule: "fewer messages of a user wait: " + out.Reason, Cure: "wait until the recipients have taken some"}
	}
	if out.Code == 503 {
		f = problem.Fault{Path: "content", Rule: "fewer messages wait on the box: " + out.Reason, Cure: "wait until devices have taken some"}
	}
	return &problem.Error{Kind: problem.Full, Code: "message.quota", Text: "too many messages wait", Cure: "send it again later", Faults: []problem.Fault{f}}
}

func errKey(key string) error {
	return &problem.Error{
		Kind: problem.Conflict, Code: "message.key", Text: "another message was sent with this key", Cure: "give each message a key of its own",
		Faults: []problem.Fault{{Path: "Idempotency-Key", Value: key, Rule: "the key of this message alone", Cure: "choose a new one"}},
	}
}
