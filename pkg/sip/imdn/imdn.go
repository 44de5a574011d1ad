// Package imdn reads and writes disposition notifications: what a device or the box says of a
// message, and what its sender wants to hear (RFC 5438).
package imdn

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/sip/cpim"
	"github.com/coraltele/sanchar/pkg/sip/mime"
	"github.com/coraltele/sanchar/pkg/sip/xmltree"
)

// MediaType is the type of a notification (RFC 5438 §10).
const MediaType = "message/imdn+xml"

// Kinds of notification.
const (
	Delivery   = "delivery"
	Display    = "display"
	Processing = "processing"
)

// Dispositions that a sender can ask for (RFC 5438 §6.2).
const (
	PositiveDelivery = "positive-delivery"
	NegativeDelivery = "negative-delivery"
	DisplayWanted    = "display"
)

// Statuses of a notification (RFC 5438 §7.2.1).
const (
	Delivered = "delivered"
	Displayed = "displayed"
	Failed    = "failed"
	Forbidden = "forbidden"
	Error     = "error"
)

// maxNotifications bounds an aggregated one: Linphone sends one part for each message read at once.
const maxNotifications = 64

// maxID is the longest Message-ID that we take: a Call-ID may be one.
const maxID = 512

// ErrNotification is the error of a document that says of no message what became of it.
var ErrNotification = errors.New("not a disposition notification")

// Notification says what became of a message for a recipient.
type Notification struct {
	MessageID string    // of the message it is about: its imdn.Message-ID, or the Call-ID of a plain one
	DateTime  time.Time // of that message
	Kind      string
	Status    string
	Reason    string // of an error, as Linphone words it
}

// Failure reports whether the notification says that the message did not come through.
func (n *Notification) Failure() bool {
	return n.Status == Failed || n.Status == Forbidden || n.Status == Error
}

// Parse reads one notification.
func Parse(doc []byte) (n Notification, err error) {
	root, err := xmltree.Parse(doc)
	if err != nil {
		return n, err
	}
	if root.Name != "imdn" {
		return n, ErrNotification
	}
	n.MessageID = root.ChildText("message-id")
	if t, err := time.Parse(time.RFC3339, root.ChildText("datetime")); err == nil {
		n.DateTime = t.UTC()
	}
	for _, kind := range []string{Delivery, Display, Processing} {
		status := root.Child(kind + "-notification").Child("status")
		if status == nil {
			continue
		}
		n.Kind, n.Reason = kind, status.ChildText("reason")
		for _, c := range status.Children {
			if c.Name != "reason" {
				n.Status = c.Name
				break
			}
		}
	}
	if n.MessageID == "" || len(n.MessageID) > maxID || n.Status == "" {
		return n, ErrNotification
	}
	return n, nil
}

// Read returns the notifications in a body: one, or several that a device sent together (RFC 5438
// §8.2.1). It returns none for a body that is something else.
func Read(e *mime.Entity) (all []Notification, err error) {
	err = mime.Leaves(e, func(part *mime.Entity) error {
		if part.Type() != MediaType || len(all) == maxNotifications {
			return nil
		}
		n, err := Parse([]byte(part.Body))
		if err != nil {
			return err
		}
		all = append(all, n)
		return nil
	})
	return all, err
}

// Asked returns the dispositions that the sender of a message wants to hear of.
func Asked(m *cpim.Message) (list []string) {
	for one := range strings.SplitSeq(m.Get(cpim.IMDN, "Disposition-Notification"), ",") {
		one, _, _ = strings.Cut(one, ";")
		switch one = strings.ToLower(strings.TrimSpace(one)); one {
		case PositiveDelivery, NegativeDelivery, DisplayWanted, Processing:
			list = append(list, one)
		}
	}
	return list
}

// Append appends the document of a notification (RFC 5438 §7.1.1).
func (n *Notification) Append(dst []byte) []byte {
	dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?><imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>`...)
	dst = xmltree.AppendText(dst, n.MessageID)
	dst = append(dst, "</message-id><datetime>"...)
	dst = n.DateTime.UTC().AppendFormat(dst, "2006-01-02T15:04:05Z")
	return fmt.Appendf(dst, "</datetime><%[1]s-notification><status><%[2]s/></status></%[1]s-notification></imdn>", n.Kind, n.Status)
}

// Wrap returns a notification of from to to as a CPIM message made at now (RFC 5438 §8.2.1).
func (n *Notification) Wrap(from, to string, now time.Time) *cpim.Message {
	m := new(cpim.Message)
	m.Add("", cpim.Core, "From", "<"+from+">")
	m.Add("", cpim.Core, "To", "<"+to+">")
	m.Add("", cpim.Core, "DateTime", now.UTC().Format("2006-01-02T15:04:05Z"))
	body := string(n.Append(nil))
	m.Content = mime.Entity{Body: body, Headers: []mime.Header{
		{Name: "Content-Disposition", Value: "notification"}, // RFC 5438 §7.1.1: it is no content
		{Name: "Content-Type", Value: MediaType},
		{Name: "Content-Length", Value: fmt.Sprint(len(body))},
	}}
	return m
}
