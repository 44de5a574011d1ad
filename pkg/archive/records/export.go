package records

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// exportPage is how many records one read transaction of an export covers: a long one would keep
// the space of every page that is written meanwhile.
const exportPage = MaxLimit

// each calls use for every record that q finds, page by page.
func (a *Archive) each(ctx context.Context, q record.Query, use func(record.Envelope) error) error {
	q.Limit = exportPage
	for {
		page, err := a.Find(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range page.Records {
			if err := use(e); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		q.Before = page.Next
	}
}

// ExportJSON writes what q finds as a line of JSON each. A wrong query fails before the first byte.
func (a *Archive) ExportJSON(ctx context.Context, w io.Writer, q record.Query) error {
	var line bytes.Buffer
	return a.each(ctx, q, func(e record.Envelope) error {
		line.Reset()
		if err := json.Compact(&line, e.Data); err != nil {
			return fmt.Errorf("record %s: %w", e.ID, err)
		}
		line.WriteByte('\n')
		_, err := w.Write(line.Bytes())
		return err
	})
}

// ExportCSV writes what q finds as a table with a header row.
func (a *Archive) ExportCSV(ctx context.Context, w io.Writer, q record.Query) error {
	if err := checkQuery(q); err != nil {
		return err
	}
	out := csv.NewWriter(w)
	if err := out.Write(header(q.Kind)); err != nil {
		return err
	}
	err := a.each(ctx, q, func(e record.Envelope) error {
		cells, err := row(e)
		if err != nil {
			return fmt.Errorf("record %s: %w", e.ID, err)
		}
		for i, c := range cells {
			cells[i] = record.SafeCell(c)
		}
		return out.Write(cells)
	})
	out.Flush()
	if err == nil {
		err = out.Error()
	}
	return err
}

func header(k record.Kind) []string {
	switch k {
	case record.KindCall:
		return []string{
			"id", "start", "ring", "answer", "end", "duration_s", "status", "code", "cause", "ended_by", "admin",
			"caller_user", "caller_number", "caller_name", "caller_aor", "dialed",
			"callee_user", "callee_number", "callee_name", "callee_aor", "codecs", "mos", "call_id", "referred", "legs",
		}
	case record.KindRegistration:
		return []string{
			"id", "first", "last", "end", "result", "user", "aor", "contact", "source", "transport", "user_agent",
			"instance", "asked_s", "expires_s", "refreshes", "features", "call_id",
		}
	case record.KindAuthFailure:
		return []string{"id", "first", "last", "count", "source", "transport", "method", "username", "claimed", "reason", "user_agent"}
	case record.KindAudit:
		return []string{"id", "at", "who", "from", "act", "object", "detail", "ok"}
	case record.KindMessage:
		return []string{
			"id", "at", "composed", "type", "status", "sender_user", "sender_number", "sender_name", "sender_aor",
			"recipient_user", "recipient_number", "recipient_name", "recipient_aor", "text", "content_type", "files", "deliveries", "changes",
			"notice", "about", "reply", "replaces", "retracts", "ephemeral_s", "expires", "user_agent", "source", "transport", "thread", "message_id", "call_id",
		}
	case record.KindRecording:
		return []string{
			"id", "start", "end", "duration_s", "caller_user", "caller_number", "callee_user", "callee_number", "why", "by", "broken",
			"content_type", "size", "sha256", "until", "erased", "erased_by", "call",
		}
	}
	return nil
}

func row(e record.Envelope) (cells []string, err error) {
	switch e.Kind {
	case record.KindCall:
		err = read(e.Data, func(c *record.Call) { cells = callRow(c) })
	case record.KindRegistration:
		err = read(e.Data, func(r *record.Registration) { cells = registrationRow(r) })
	case record.KindAuthFailure:
		err = read(e.Data, func(f *record.AuthFailure) {
			cells = []string{
				f.ID, stamp(f.First), stamp(f.Last), strconv.FormatUint(f.Count, 10), stringOf(f.Source), f.Transport,
				f.Method, f.Username, f.Claimed, f.Reason, f.UserAgent,
			}
		})
	case record.KindAudit:
		err = read(e.Data, func(a *record.Audit) {
			cells = []string{a.ID, stamp(a.At), a.Who, stringOf(a.From), a.Act, a.Object, a.Detail, strconv.FormatBool(a.OK)}
		})
	case record.KindMessage:
		err = read(e.Data, func(m *record.Message) { cells = messageRow(m) })
	case record.KindRecording:
		err = read(e.Data, func(r *record.Recording) { cells = recordingRow(r) })
	}
	return cells, err
}

func callRow(c *record.Call) []string {
	var legs []string
	for _, l := range c.Legs {
		legs = append(legs, fmt.Sprintf("%s %s %s %d %s", l.Role, l.Party.AoR, stringOf(l.Remote), l.Code, l.Cause))
	}
	return []string{
		c.ID, stamp(c.Start), stamp(c.Ring), stamp(c.Answer), stamp(c.End), seconds(c.Duration), c.Status,
		strconv.Itoa(c.Code), c.Cause, c.EndedBy, c.Admin,
		c.Caller.User, c.Caller.Number, c.Caller.Name, c.Caller.AoR, c.Dialed,
		c.Callee.User, c.Callee.Number, c.Callee.Name, c.Callee.AoR,
		strings.Join(c.Codecs, " "), mos(c.MOS), c.CallID, c.Referred, strings.Join(legs, "; "),
	}
}

func registrationRow(r *record.Registration) []string {
	return []string{
		r.ID, stamp(r.First), stamp(r.Last), stamp(r.End), r.Result, r.User, r.AoR, r.Contact, stringOf(r.Source),
		r.Transport, r.UserAgent, r.Instance, strconv.Itoa(r.Asked), strconv.Itoa(r.Expires),
		strconv.FormatUint(r.Refreshes, 10), strings.Join(r.Features, " "), r.CallID,
	}
}

func messageRow(m *record.Message) []string {
	var files, deliveries, changes []string
	for _, f := range m.Files {
		files = append(files, strings.TrimSpace(fmt.Sprintf("%s %s %d", f.Name, f.ContentType, f.Size)))
	}
	for _, d := range m.Deliveries {
		deliveries = append(deliveries, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", d.User, cmp.Or(d.Device.Instance, d.Device.Contact), d.Status, d.Reason)))
	}
	for _, c := range m.Changes {
		changes = append(changes, stamp(c.At)+" "+c.Status)
	}
	ephemeral := ""
	if m.Ephemeral > 0 {
		ephemeral = strconv.Itoa(m.Ephemeral)
	}
	return []string{
		m.ID, stamp(m.At), stamp(m.Composed), m.Type, m.Status, m.Sender.User, m.Sender.Number, m.Sender.Name, m.Sender.AoR,
		m.Recipient.User, m.Recipient.Number, m.Recipient.Name, m.Recipient.AoR, m.Text, m.ContentType,
		strings.Join(files, "; "), strings.Join(deliveries, "; "), strings.Join(changes, "; "),
		m.Notice, m.About, m.Reply, m.Replaces, m.Retracts, ephemeral, stamp(m.Expires), m.From.UserAgent, stringOf(m.From.Source), m.From.Transport,
		m.Thread, m.MessageID, m.CallID,
	}
}

func recordingRow(r *record.Recording) []string {
	return []string{
		r.ID, stamp(r.Start), stamp(r.End), seconds(r.Duration), r.Caller.User, r.Caller.Number, r.Callee.User, r.Callee.Number, r.Why, r.By,
		strconv.FormatBool(r.Broken), r.ContentType, strconv.FormatInt(r.Size, 10), r.SHA256, stamp(r.Until), stamp(r.Erased), r.ErasedBy, r.Call,
	}
}

// stringOf writes an address, and nothing for none.
func stringOf(a interface {
	String() string
	IsValid() bool
},
) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

func mos(v float64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
