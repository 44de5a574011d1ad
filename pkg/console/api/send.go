package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	// maxSent bounds a request: 48 KB of content, which base64 makes a third longer.
	maxSent = 128 << 10
	// plainText is the type of a message that names none.
	plainText = "text/plain;charset=UTF-8"
	// sendingEvery is how often the audit log says that a token sends: each message stands in the
	// message log with the token's name.
	sendingEvery = time.Hour
)

// MessageRequest asks for a message from a user to a user.
type MessageRequest struct {
	From        string `json:"from" doc:"name, number or SIP URI of the user in whose name it is sent" example:"helpdesk"`
	To          string `json:"to" doc:"name, number or SIP URI of the user who gets it" example:"101"`
	Text        string `json:"text,omitempty" doc:"what it says; either this or content" example:"Ticket 4711 is yours."`
	ContentType string `json:"content_type,omitempty" maxLength:"200" doc:"media type; of a text that names none it is text/plain;charset=UTF-8"`
	Content     []byte `json:"content,omitempty" doc:"a body of any type, up to 48 KB, base64"`
}

// sendings are when the audit log said last that somebody sends.
type sendings struct {
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

func (a *API) sendOperation() {
	type input struct {
		Key  string `header:"Idempotency-Key" maxLength:"255" doc:"of your choice, for instance a random UUID: a request that comes again with it is not sent again, for as long as messages are kept"`
		Body MessageRequest
	}
	type output struct{ Body ctl.SentMessage }
	op := with(http.MethodPost, get("send-message", "/messages", "Send a message in the name of a user"))
	op.Description = "The message goes the way of one from a phone: it waits for each device of the recipient, comes as a copy to the devices of the sender, and stands in the log. " +
		"202 says that it is on disk. A token of role sender may do this and nothing else, in the name of its users."
	op.DefaultStatus, op.MaxBodyBytes = http.StatusAccepted, maxSent
	op.Metadata = map[string]any{senderKey: true}
	register(a, op, func(ctx context.Context, who caller, in *input) (*output, error) {
		m, err := in.Body.message()
		if err != nil {
			return nil, err
		}
		m.Key, m.Token, m.TokenName, m.Senders = in.Key, who.Token, who.Name, who.Senders
		if err := a.sends(ctx, who); err != nil {
			return nil, err
		}
		out := &output{}
		out.Body, err = a.cfg.Switch.SendMessage(ctx, m)
		return out, in.Body.named(err)
	})
}

// message is what switchd is asked for.
func (r *MessageRequest) message() (ctl.NewMessage, error) {
	m := ctl.NewMessage{From: r.From, To: r.To, ContentType: r.ContentType, Body: r.Content}
	switch {
	case r.Text != "" && r.Content != nil:
		return m, problem.Fields("message.invalid", []problem.Fault{{Path: "content", Rule: "either text or content", Cure: "leave one of them out"}})
	case r.Content != nil && r.ContentType == "":
		return m, problem.Fields("message.invalid", []problem.Fault{{Path: "content_type", Rule: "must be present with content", Cure: "say what the content is"}})
	case r.Content == nil:
		m.Body = []byte(r.Text)
		if m.ContentType == "" {
			m.ContentType = plainText
		}
	}
	return m, nil
}

// named calls a wrong body what the request called it.
func (r *MessageRequest) named(err error) error {
	if err == nil || r.Content != nil {
		return err
	}
	p := *problem.Of(err)
	faults := append([]problem.Fault(nil), p.Faults...)
	for i := range faults {
		if faults[i].Path == "content" {
			faults[i].Path = "text"
		}
	}
	p.Faults = faults
	return &p
}

// sends writes down that somebody sends messages, before the first and then once an hour.
func (a *API) sends(ctx context.Context, who caller) error {
	key, now := who.Token+" "+who.Name, time.Now()
	a.sent.mu.Lock()
	fresh := now.Sub(a.sent.last[key]) < sendingEvery
	a.sent.mu.Unlock()
	if fresh {
		return nil
	}
	entry := newAudit(who, "messages.send", who.Name)
	entry.OK, entry.Detail = true, "each stands in the message log with this name"
	if err := a.keep(ctx, entry); err != nil {
		return err
	}
	a.sent.mu.Lock()
	defer a.sent.mu.Unlock()
	a.sent.last[key] = now
	return nil
}

// userNames returns names as the accounts have them. Those that are already in known are not looked up.
func (a *API) userNames(ctx context.Context, path string, names, known []string) (found []string, err error) {
	var faults []problem.Fault
	for _, name := range names {
		exact, err := a.userName(ctx, name, known)
		if err != nil {
			return nil, err
		}
		if exact == "" {
			faults = append(faults, problem.Fault{Path: path, Value: name, Rule: "the name of a user of this box", Cure: "look at the list of users"})
		}
		found = append(found, exact)
	}
	return found, problem.Fields("request", faults)
}

// userName returns a user's name as his account has it, "" if there is none.
func (a *API) userName(ctx context.Context, name string, known []string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || slices.Contains(known, name) {
		return name, nil
	}
	q := ctl.UserQuery{Text: strings.ToLower(name), Limit: maxUsers}
	for {
		page, err := a.cfg.Switch.Users(ctx, q)
		if err != nil {
			return "", err
		}
		for _, u := range page.Users {
			if strings.EqualFold(u.Name, name) {
				return u.Name, nil
			}
		}
		if q.After = page.Next; q.After == "" {
			return "", nil
		}
	}
}
