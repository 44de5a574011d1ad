package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/record"
)

// Reading is what who reads what messages say must tell.
type Reading struct {
	Content bool   `query:"content" doc:"with what messages say. Each such answer is written into the audit log, and needs a reason"`
	Reason  string `query:"reason" maxLength:"200" doc:"why what messages say is read; it stands in the audit log"`
}

// messageFilter is a query of messages.
type messageFilter struct {
	From      time.Time `query:"from" doc:"not before this time"`
	To        time.Time `query:"to" doc:"before this time"`
	Before    string    `query:"before" maxLength:"64" doc:"next of the page before"`
	Limit     int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Words     string    `query:"words" maxLength:"200" doc:"words that a message has all of, in any order, whatever their case and accents. One that ends in * is the beginning of a word. A search by words is a reading: it needs a reason"`
	User      string    `query:"user" doc:"sender or recipient"`
	Sender    string    `query:"sender"`
	Recipient string    `query:"recipient"`
	Number    string    `query:"number" doc:"of sender or recipient"`
	CallID    string    `query:"call_id"`
	MessageID string    `query:"message_id" doc:"imdn.Message-ID"`
	Thread    string    `query:"thread"`
	Refers    string    `query:"refers" doc:"Message-ID that it answers, corrects or takes back; of receipts, id of the message that they tell of"`
	Type      string    `query:"type" enum:"content,notification"`
	Status    string    `query:"status" enum:"stored,sent,delivered,displayed,failed"`
	Reading
}

func (f *messageFilter) ask() record.Query {
	q := Window{From: f.From, To: f.To, Before: f.Before, Limit: f.Limit}.query(record.KindMessage, map[record.Field]string{
		record.FieldUser: f.User, record.FieldSender: f.Sender, record.FieldRecipient: f.Recipient, record.FieldNumber: f.Number,
		record.FieldCallID: f.CallID, record.FieldMessageID: f.MessageID, record.FieldThread: f.Thread, record.FieldRefers: f.Refers,
		record.FieldType: f.Type, record.FieldStatus: f.Status,
	})
	q.Words, q.Content = f.Words, f.Content
	return q
}

// reads reports whether the answer tells what messages say: whether words are in them does.
func (f *messageFilter) reads() bool { return f.Content || f.Words != "" }

func (a *API) messageOperations() {
	type listOutput struct {
		Body RecordList[record.Message]
	}
	register(a, get("list-messages", "/messages", "Messages and receipts of the past"), func(ctx context.Context, who caller, in *messageFilter) (*listOutput, error) {
		q := in.ask()
		if in.reads() {
			if err := a.mayFind(ctx, q); err != nil {
				return nil, err
			}
			if err := a.reading(ctx, who, "messages.read", "", inWords(q), in.Reason); err != nil {
				return nil, err
			}
		}
		messages, next, err := a.findMessages(ctx, q)
		return &listOutput{RecordList[record.Message]{Records: messages, Next: next}}, err
	})

	type oneInput struct {
		ID string `path:"id"`
		Reading
	}
	type oneOutput struct{ Body record.Message }
	register(a, get("get-message", "/messages/{id}", "A message"), func(ctx context.Context, who caller, in *oneInput) (*oneOutput, error) {
		e, err := a.cfg.Archive.Get(ctx, record.KindMessage, in.ID)
		if err != nil {
			return nil, err
		}
		out := &oneOutput{}
		if err := decode(e, &out.Body); err != nil {
			return nil, err
		}
		if !in.Content {
			out.Body.Bare()
			return out, nil
		}
		object := fmt.Sprintf("%s to %s (%s)", out.Body.Sender.User, out.Body.Recipient.User, in.ID)
		return out, a.reading(ctx, who, "message.read", object, "", in.Reason)
	})
	a.exportMessages(format{"csv", "text/csv; charset=utf-8", Archive.ExportCSV})
	a.exportMessages(format{"json", "application/jsonl", Archive.ExportJSON})
}

// findMessages returns a page. Its list is never null.
func (a *API) findMessages(ctx context.Context, q record.Query) (messages []record.Message, next string, err error) {
	page, err := a.cfg.Archive.Find(ctx, q)
	messages = make([]record.Message, len(page.Records))
	for i, e := range page.Records {
		if err == nil {
			err = decode(e, &messages[i])
		}
	}
	return messages, page.Next, err
}

// beforeAll is a cursor that is lower than every id.
const beforeAll = "0"

// mayFind sees whether a query is a right one, without its answer: a wrong one is told before
// anything is written down or begun.
func (a *API) mayFind(ctx context.Context, q record.Query) error {
	q.Before = beforeAll
	_, err := a.cfg.Archive.Find(ctx, q)
	return err
}

// reading lets somebody read what messages say, and writes down who, what and why.
func (a *API) reading(ctx context.Context, who caller, what, object, detail, reason string) error {
	if !who.ReadsContent() {
		err := problem.New(problem.Denied, "messages.content", "your role may not read what messages say", "ask without content and words, or ask an owner")
		a.note(ctx, who, what, object, err)
		return err
	}
	reason = strings.Join(strings.Fields(strings.ToValidUTF8(reason, "?")), " ")
	if reason == "" {
		return problem.Fields("request", []problem.Fault{{
			Path: "reason", Rule: "must be present where what messages say is read", Cure: "tell why you read it: it stands in the audit log",
		}})
	}
	return a.act(ctx, who, what, object, func(entry *record.Audit) error {
		entry.Detail = strings.TrimSpace(detail + " reason=" + reason)
		return nil
	})
}

func (a *API) exportMessages(as format) {
	op := get("export-messages-"+as.name, "/messages/export."+as.name, "All messages that a query finds, as "+strings.ToUpper(as.name))
	op.Responses = fileResponse(as.contentType)
	register(a, op, func(ctx context.Context, who caller, in *messageFilter) (*huma.StreamResponse, error) {
		q := in.ask()
		err := a.mayFind(ctx, q)
		switch {
		case err != nil:
		case in.reads():
			err = a.reading(ctx, who, "messages.export", as.name, inWords(q), in.Reason)
		default:
			err = a.act(ctx, who, "messages.export", as.name, func(entry *record.Audit) error {
				entry.Detail = inWords(q)
				return nil
			})
		}
		if err != nil {
			return nil, err
		}
		return a.downloadRecords(ctx, "messages", as, q), nil
	})
}

// downloadRecords streams what a query finds.
func (a *API) downloadRecords(ctx context.Context, name string, as format, q record.Query) *huma.StreamResponse {
	file := fmt.Sprintf("%s-%s.%s", name, time.Now().UTC().Format("20060102-150405"), as.name)
	return a.download(file, as.contentType, func(w http.ResponseWriter) error {
		return as.write(a.cfg.Archive, ctx, w, q)
	})
}
