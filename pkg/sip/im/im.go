// Package im says what an instant message is and what is in it, whatever it is wrapped in: a text, a
// file, a receipt, the news that somebody is writing.
package im

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coraltele/sanchar/pkg/sip/composing"
	"github.com/coraltele/sanchar/pkg/sip/cpim"
	"github.com/coraltele/sanchar/pkg/sip/ftxml"
	"github.com/coraltele/sanchar/pkg/sip/imdn"
	"github.com/coraltele/sanchar/pkg/sip/mime"
)

// Raw is a message as SIP carried it.
type Raw struct {
	ContentType     string // with its parameters
	ContentEncoding string
	Body            string
}

// Message is what is in one.
type Message struct {
	ContentType string // of the body as it came, without parameters
	Body        []byte // as it came, inflated if we could
	Wrapped     bool   // in CPIM
	From        string // URI that a CPIM message names as its sender
	ID          string // imdn.Message-ID, "" if it has none
	Composed    time.Time
	Asked       []string // dispositions that the sender wants to hear of

	Text     string       // the words in it
	Files    []ftxml.File // that it tells of
	Receipts []imdn.Notification
	Writing  bool // it only says that somebody writes, or does no more

	Reply     string // Message-ID of what it answers
	Reaction  bool   // it is no more than a reaction to that
	Replaces  string // Message-ID of what it corrects
	Retracts  string // Message-ID of what it takes back
	Ephemeral int    // seconds that clients show it after it was read
}

// maxText bounds the words of one message.
const maxText = 64 << 10

// ErrWrapped is the error of a CPIM message that cannot be read: nobody could say whom it names as
// its sender.
var ErrWrapped = errors.New("CPIM message cannot be read")

// Read reads a message. A body of a type that it does not know, or that is damaged, is passed on
// without being understood; only what wraps it must be sound, because clients believe the sender
// named there.
func Read(raw Raw) (*Message, error) {
	e := mime.Entity{Headers: []mime.Header{{Name: "Content-Type", Value: raw.ContentType}}, Body: raw.Body}
	m := &Message{ContentType: e.Type(), Body: []byte(raw.Body)}
	switch strings.ToLower(strings.TrimSpace(raw.ContentEncoding)) {
	case "", "identity":
	case "deflate":
		plain, err := mime.Inflate(m.Body)
		if err != nil {
			return nil, err
		}
		m.Body, e.Body = plain, string(plain)
	default:
		if m.ContentType == cpim.MediaType {
			return nil, fmt.Errorf("%w: encoding %q", ErrWrapped, raw.ContentEncoding)
		}
		return m, nil
	}
	if m.ContentType == cpim.MediaType {
		inner, err := m.unwrap(e.Body)
		if err != nil {
			return nil, err
		}
		e = inner
	}
	return m, m.look(&e)
}

// unwrap reads what a CPIM message says of itself and returns what is in it.
func (m *Message) unwrap(body string) (mime.Entity, error) {
	c, err := cpim.Parse(body)
	if err != nil {
		return mime.Entity{}, fmt.Errorf("%w: %w", ErrWrapped, err)
	}
	m.Wrapped = true
	m.From, m.ID, m.Composed, m.Asked = c.From(), c.Get(cpim.IMDN, "Message-ID"), c.DateTime(), imdn.Asked(c)
	m.Reply = c.Get(cpim.Linphone, "Replying-To-Message-ID")
	if to := c.Get(cpim.Linphone, "In-Reply-To"); to != "" {
		m.Reply = to
	}
	m.Replaces, m.Retracts = c.Get(cpim.Linphone, "Replaces"), c.Get(cpim.Linphone, "Retracts")
	if n, err := strconv.ParseUint(c.Get(cpim.Linphone, "Ephemeral-Time"), 10, 31); err == nil {
		m.Ephemeral = int(n)
	}
	m.Reaction = strings.EqualFold(c.Content.Header("Content-Disposition"), "reaction")
	return c.Content, nil
}

// look goes through the parts. Too many of them are an error: they would cost every device what they
// cost us. What is damaged in another way is not understood, and passed on.
func (m *Message) look(e *mime.Entity) error {
	err := mime.Leaves(e, func(part *mime.Entity) error {
		switch part.Type() {
		case "text/plain":
			m.addText(part.Body)
		case ftxml.MediaType:
			if files, err := ftxml.Parse([]byte(part.Body)); err == nil {
				m.Files = append(m.Files, files...)
			}
		case composing.MediaType:
			_, err := composing.Parse([]byte(part.Body))
			m.Writing = err == nil
		}
		return nil
	})
	if errors.Is(err, mime.ErrTooMany) || errors.Is(err, mime.ErrTooLong) {
		return err
	}
	if receipts, err := imdn.Read(e); err == nil {
		m.Receipts = receipts
	}
	return nil
}

func (m *Message) addText(text string) {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	if len(m.Text)+len(text) >= maxText {
		return
	}
	if m.Text != "" {
		m.Text += "\n"
	}
	m.Text += text
}

// Notification reports whether the message is about other messages and shown to nobody as one.
func (m *Message) Notification() bool { return len(m.Receipts) > 0 }

// Wants reports whether the sender asked for a disposition.
func (m *Message) Wants(disposition string) bool {
	for _, a := range m.Asked {
		if a == disposition {
			return true
		}
	}
	return false
}
