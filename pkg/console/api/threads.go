package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// ThreadList is who talks with whom, the latest first.
type ThreadList struct {
	Threads []record.Thread `json:"threads"`
	Next    string          `json:"next,omitempty" doc:"send it as before for the next page"`
}

// ThreadPart is a part of a conversation, in the order of time.
type ThreadPart struct {
	Messages []ThreadMessage `json:"messages"`
	Next     string          `json:"next,omitempty" doc:"send it as before for what was earlier"`
}

// ThreadMessage is a message with what others say of it.
type ThreadMessage struct {
	record.Message
	Quote     *Mark  `json:"quote,omitempty" doc:"the message that it answers, corrects or takes back"`
	Edits     []Mark `json:"edits,omitempty" doc:"what its sender corrected later, oldest first"`
	Retracted *Mark  `json:"retracted,omitempty" doc:"its sender took it back"`
	Reactions []Mark `json:"reactions,omitempty"`
}

// Mark is what one message is to another.
type Mark struct {
	ID   string    `json:"id" doc:"of that message's record"`
	User string    `json:"user" doc:"its sender"`
	At   time.Time `json:"at"`
	Text string    `json:"text,omitempty"`
}

func markOf(m record.Message) Mark {
	return Mark{ID: m.ID, User: m.Sender.User, At: m.At, Text: m.Text}
}

// marksLimit bounds what is told of one message.
const marksLimit = 100

func (a *API) threadOperations() {
	type threadsInput struct {
		User   string `query:"user" doc:"who talks"`
		Before string `query:"before" maxLength:"64" doc:"next of the page before"`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	type threadsOutput struct{ Body ThreadList }
	register(a, get("list-threads", "/threads", "Who talks with whom"), func(ctx context.Context, _ caller, in *threadsInput) (*threadsOutput, error) {
		page, err := a.cfg.Archive.Threads(ctx, record.ThreadQuery{User: in.User, Before: in.Before, Limit: in.Limit})
		return &threadsOutput{ThreadList{Threads: append([]record.Thread{}, page.Threads...), Next: page.Next}}, err
	})

	type threadInput struct {
		Thread string `path:"thread" doc:"its id, as messages and threads have it"`
		Before string `query:"before" maxLength:"64" doc:"next of the part after this"`
		Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
		Reading
	}
	type threadOutput struct{ Body ThreadPart }
	register(a, get("get-thread", "/threads/{thread}", "A conversation: its latest messages, or what was before them"), func(ctx context.Context, who caller, in *threadInput) (*threadOutput, error) {
		if in.Content {
			if err := a.readingThread(ctx, who, in.Thread, in.Before, in.Reason); err != nil {
				return nil, err
			}
		}
		messages, next, err := a.findMessages(ctx, record.Query{
			Kind: record.KindMessage, Before: in.Before, Limit: in.Limit, Content: in.Content,
			Match: map[record.Field]string{record.FieldThread: in.Thread, record.FieldType: record.MessageContent},
		})
		if err != nil {
			return nil, err
		}
		slices.Reverse(messages)
		part := ThreadPart{Messages: make([]ThreadMessage, len(messages)), Next: next}
		for i, m := range messages {
			if part.Messages[i], err = a.marked(ctx, m, in.Content); err != nil {
				return nil, err
			}
		}
		return &threadOutput{part}, nil
	})
}

// readingThread is reading for a conversation: whoever looks into the audit log knows people by
// their names.
func (a *API) readingThread(ctx context.Context, who caller, thread, before, reason string) error {
	latest, _, err := a.findMessages(ctx, record.Query{
		Kind: record.KindMessage, Limit: 1, Match: map[record.Field]string{record.FieldThread: thread},
	})
	if err != nil {
		return err
	}
	object, detail := thread, ""
	if len(latest) > 0 {
		users := []string{latest[0].Sender.User, latest[0].Recipient.User}
		slices.Sort(users)
		object = strings.Join(users, ", ") + " (" + thread + ")"
	}
	if before != "" {
		detail = "before=" + before
	}
	return a.reading(ctx, who, "thread.read", object, detail, reason)
}

// marked adds what others of its thread say of a message. Only its sender corrects it or takes it
// back: another's word for it changes nothing.
func (a *API) marked(ctx context.Context, m record.Message, content bool) (ThreadMessage, error) {
	t := ThreadMessage{Message: m}
	related := func(f record.Field, id string) ([]record.Message, error) {
		if id == "" {
			return nil, nil
		}
		found, _, err := a.findMessages(ctx, record.Query{
			Kind: record.KindMessage, Limit: marksLimit, Content: content,
			Match: map[record.Field]string{f: id, record.FieldThread: m.Thread, record.FieldType: record.MessageContent},
		})
		slices.Reverse(found)
		return found, err
	}
	quoted, err := related(record.FieldMessageID, strings.Join([]string{m.Reply, m.Replaces, m.Retracts}, ""))
	if err != nil {
		return t, err
	}
	if len(quoted) > 0 {
		q := markOf(quoted[0])
		t.Quote = &q
	}
	others, err := related(record.FieldRefers, m.MessageID)
	for _, o := range others {
		mark, same := markOf(o), o.Sender.User == m.Sender.User
		switch m.MessageID {
		case o.Replaces:
			if same {
				t.Edits = append(t.Edits, mark)
			}
		case o.Retracts:
			if same {
				t.Retracted = &mark
			}
		case o.Reply:
			if o.Reaction {
				t.Reactions = append(t.Reactions, mark)
			}
		}
	}
	return t, err
}
