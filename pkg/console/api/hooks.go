package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// HookList is all hooks.
type HookList struct {
	Hooks []ctl.Hook `json:"hooks"`
}

// HookWithSecret is a new hook; its secret is shown this once.
type HookWithSecret struct {
	ctl.Hook
	Secret string `json:"secret" doc:"shown this once; what signs the requests"`
}

// HookSecret is a new secret, shown this once.
type HookSecret struct {
	Secret string    `json:"secret" doc:"shown this once; what signs the requests"`
	Until  time.Time `json:"until" doc:"so long the secret before it signs as well"`
}

// HookResume says what is skipped.
type HookResume struct {
	Skip string `json:"skip,omitempty" enum:"none,one,all" default:"none" doc:"one: the event that failed. all: all that waits"`
}

type hookInput struct {
	ID string `path:"id"`
}

type hookOutput struct {
	ETag string `header:"ETag" doc:"the revision: send it as If-Match with a change"`
	Body ctl.Hook
}

func hookAnswer(h ctl.Hook, err error) (*hookOutput, error) {
	if err != nil {
		return nil, err
	}
	return &hookOutput{ETag: etag(h.Revision), Body: h}, nil
}

func (a *API) hookOperations() {
	type listOutput struct{ Body HookList }
	register(a, get("list-hooks", "/hooks", "Hooks, by which other systems are told of messages, and how they do"), func(ctx context.Context, _ caller, _ *struct{}) (*listOutput, error) {
		list, err := a.cfg.Hooks.List(ctx)
		return &listOutput{HookList{list}}, err
	})
	register(a, get("get-hook", "/hooks/{id}", "A hook"), func(ctx context.Context, _ caller, in *hookInput) (*hookOutput, error) {
		return hookAnswer(a.cfg.Hooks.Get(ctx, in.ID))
	})

	type newInput struct{ Body ctl.HookSpec }
	type newOutput struct{ Body HookWithSecret }
	op := with(http.MethodPost, get("add-hook", "/hooks", "Add a hook; it is told of what comes from now on"))
	op.DefaultStatus = http.StatusCreated
	register(a, op, func(ctx context.Context, who caller, in *newInput) (*newOutput, error) {
		out := &newOutput{}
		return out, a.act(ctx, who, "hook.add", in.Body.Name, func(entry *record.Audit) (err error) {
			entry.Detail = hookDetail(&in.Body)
			if in.Body.Users, err = a.userNames(ctx, "users", in.Body.Users, nil); err != nil {
				return err
			}
			out.Body.Hook, out.Body.Secret, err = a.cfg.Hooks.Add(ctx, in.Body, who.Name)
			return err
		})
	})

	type changeInput struct {
		ID      string `path:"id"`
		IfMatch string `header:"If-Match" doc:"ETag of the hook as it was read, or * for whatever it is now"`
		Body    ctl.HookSpec
	}
	op = with(http.MethodPut, get("change-hook", "/hooks/{id}", "Change a hook; nobody else may have changed it meanwhile"))
	register(a, op, func(ctx context.Context, who caller, in *changeInput) (out *hookOutput, err error) {
		err = a.act(ctx, who, "hook.change", in.ID, func(entry *record.Audit) (err error) {
			entry.Detail = hookDetail(&in.Body)
			out, err = a.changeHook(ctx, in.ID, in.IfMatch, in.Body)
			return err
		})
		return out, err
	})

	op = with(http.MethodDelete, get("remove-hook", "/hooks/{id}", "Remove a hook, and forget what waits for it"))
	register(a, op, func(ctx context.Context, who caller, in *hookInput) (*struct{}, error) {
		return nil, a.act(ctx, who, "hook.remove", in.ID, func(*record.Audit) error { return a.cfg.Hooks.Remove(in.ID) })
	})
	a.hookActs()
}

func (a *API) changeHook(ctx context.Context, id, ifMatch string, spec ctl.HookSpec) (*hookOutput, error) {
	before, err := a.cfg.Hooks.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	was, err := revision(before.Revision, ifMatch)
	if err != nil {
		return nil, err
	}
	if spec.Users, err = a.userNames(ctx, "users", spec.Users, before.Users); err != nil {
		return nil, err
	}
	return hookAnswer(a.cfg.Hooks.Change(ctx, id, was, spec))
}

// hookActs are what an admin does with a hook.
func (a *API) hookActs() {
	type secretOutput struct{ Body HookSecret }
	op := with(http.MethodPost, get("rotate-hook-secret", "/hooks/{id}/secret", "Give a hook a new secret; the one before signs as well for a day"))
	register(a, op, func(ctx context.Context, who caller, in *hookInput) (*secretOutput, error) {
		out := &secretOutput{}
		return out, a.act(ctx, who, "hook.secret", in.ID, func(*record.Audit) (err error) {
			out.Body.Secret, err = a.cfg.Hooks.Rotate(in.ID)
			out.Body.Until = time.Now().UTC().Add(ctl.HookOverlap)
			return err
		})
	})

	type testOutput struct{ Body ctl.HookResult }
	op = with(http.MethodPost, get("test-hook", "/hooks/{id}/test", "Send a hook.test event now, and tell what became of it"))
	register(a, op, func(ctx context.Context, who caller, in *hookInput) (*testOutput, error) {
		out := &testOutput{}
		return out, a.act(ctx, who, "hook.test", in.ID, func(entry *record.Audit) (err error) {
			out.Body, err = a.cfg.Hooks.Test(ctx, in.ID)
			if out.Body.Failure != nil {
				entry.Detail = out.Body.Failure.Text
			}
			return err
		})
	})

	type resumeInput struct {
		ID   string `path:"id"`
		Body HookResume
	}
	op = with(http.MethodPost, get("resume-hook", "/hooks/{id}/resume", "Try a hook again at once, also one that is parked"))
	register(a, op, func(ctx context.Context, who caller, in *resumeInput) (out *hookOutput, err error) {
		err = a.act(ctx, who, "hook.resume", in.ID, func(entry *record.Audit) (err error) {
			entry.Detail = "skip=" + in.Body.Skip
			out, err = hookAnswer(a.cfg.Hooks.Resume(ctx, in.ID, in.Body.Skip))
			return err
		})
		return out, err
	})
}

// hookDetail is what the audit log tells of a hook. What is behind the host may be secret.
func hookDetail(s *ctl.HookSpec) string {
	target := ""
	if u, err := url.Parse(s.URL); err == nil {
		target = u.Scheme + "://" + u.Host
	}
	return firstWords(fmt.Sprintf("target=%s events=%s content=%t users=%s", target, strings.Join(s.Events, ","), s.Content, strings.Join(s.Users, ",")))
}

const hookDescription = "What a hook's target gets. A target answers 2xx, within 15 seconds, when it has the event; anything else makes it come again, after pauses that grow to an hour, " +
	"and after a day the hook is parked. Events come in order, each at least once: one that comes again has the same webhook-id. " +
	"410 parks the hook at once; Retry-After of up to an hour is kept to; redirects are not followed. " +
	"Requests are signed as Standard Webhooks 1.0 has it: webhook-signature holds, after v1 and a comma, the base64 of the HMAC-SHA256 over " +
	"webhook-id, webhook-timestamp and body, joined by full stops; the key is what the base64 behind whsec_ in the secret stands for. " +
	"For a day after a new secret there are two signatures, separated by a blank. Refuse timestamps that are minutes old."

// hookDocument describes what hooks send.
func (a *API) hookDocument() {
	doc := a.huma.OpenAPI()
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[ctl.HookEvent](), true, "HookEvent")
	text := &huma.Schema{Type: huma.TypeString}
	header := func(name, what string) *huma.Param {
		return &huma.Param{Name: name, In: "header", Required: true, Description: what, Schema: text}
	}
	doc.Webhooks = map[string]*huma.PathItem{}
	for kind, summary := range map[string]string{
		ctl.HookNew: "Somebody wrote", ctl.HookStatus: "A message came to another state", ctl.HookReceipt: "A device gave a receipt", ctl.HookTest: "An admin tries the hook",
	} {
		doc.Webhooks[kind] = &huma.PathItem{Post: &huma.Operation{
			OperationID: "hook-" + strings.ReplaceAll(kind, ".", "-"), Summary: summary, Description: hookDescription, Tags: []string{"hooks"},
			Security: []map[string][]string{},
			Parameters: []*huma.Param{
				header("webhook-id", "names the event; the same when it comes again"),
				header("webhook-timestamp", "when this request was made, in seconds since 1970"),
				header("webhook-signature", "v1, and base64 of an HMAC-SHA256; one or two"),
			},
			RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema, Example: hookExample(kind)}}},
			Responses:   map[string]*huma.Response{"2XX": {Description: "the target has the event"}, "410": {Description: "the target wants no more"}},
		}}
	}
}

// hookExample is an event as it is sent.
func hookExample(kind string) ctl.HookEvent {
	at := time.Date(2026, 11, 23, 10, 45, 50, 0, time.UTC)
	asha, desk := record.Party{AoR: "sip:asha@pbx.example.com", User: "asha", Number: "101", Name: "Asha Rao"}, record.Party{AoR: "sip:helpdesk@pbx.example.com", User: "helpdesk", Number: "200", Name: "Helpdesk"}
	m := &record.Message{
		ID: "06tq3w8m1c00a2b4c6d8e0f2g4", Type: record.MessageContent, CallID: "Kx7pQ2", Thread: "asha helpdesk", Sender: asha, Recipient: desk, At: at,
		ContentType: "text/plain", Status: record.MessageStored, Changes: []record.Change{{At: at, Status: record.MessageStored}},
	}
	ev := ctl.HookEvent{Type: kind, Timestamp: at, Data: ctl.HookEventData{Message: m}}
	switch kind {
	case ctl.HookNew:
		m.Content, m.Text = []byte("Thank you, it works."), "Thank you, it works."
	case ctl.HookStatus:
		m.Status, ev.Data.Status = record.MessageSent, record.MessageSent
	case ctl.HookReceipt:
		m.Type, m.About, m.Notice, m.NoticeFrom, m.ContentType = record.MessageNotification, "06tq3w8m1c00a2b4c6d8e0f2g0", record.MessageDelivered, "key-abc", "message/imdn+xml"
		ev.Data.Status = record.MessageDelivered
	case ctl.HookTest:
		ev.Data.Message = nil
	}
	return ev
}
