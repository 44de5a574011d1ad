package admind

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/console/api"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

func (c *browser) audit(act string) (found []record.Audit) {
	c.b.t.Helper()
	var list struct {
		Records []record.Audit `json:"records"`
	}
	c.api(200, "GET", "/records/audit?act="+url.QueryEscape(act), nil, &list)
	return list.Records
}

// script is a client with an API token.
func (c *browser) script(spec m) *browser {
	c.b.t.Helper()
	var tok api.TokenWithSecret
	c.api(201, "POST", "/tokens", spec, &tok)
	s := c.b.browser()
	s.header.Set("Authorization", "Bearer "+tok.Secret)
	return s
}

// A token of a sender sends messages in its users' names, and can do nothing else.
func TestProgramsSendMessages(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	c.api(201, "POST", "/users", m{"name": "helpdesk", "numbers": []string{"200"}}, nil)
	if a := c.api(422, "POST", "/tokens", m{"name": "crm", "role": "sender", "senders": []string{"nobody"}}, nil); len(a.Faults) != 1 || a.Faults[0].Path != "senders" {
		t.Errorf("%s", a.body)
	}
	if a := c.api(422, "POST", "/tokens", m{"name": "crm", "role": "sender"}, nil); len(a.Faults) != 1 || a.Faults[0].Path != "senders" {
		t.Errorf("%s", a.body)
	}
	s := c.script(m{"name": "crm", "role": "sender", "senders": []string{"Helpdesk"}})
	var sent ctl.SentMessage
	s.api(202, "POST", "/messages", m{"from": "200", "to": "asha", "text": "नमस्ते"}, &sent, "Idempotency-Key", "k1")
	s.api(202, "POST", "/messages", m{"from": "200", "to": "asha", "content_type": "image/png", "content": base64.StdEncoding.EncodeToString([]byte{1, 2})}, nil)
	got := b.sw.Sent()
	if len(got) != 2 || string(got[0].Body) != "नमस्ते" || got[0].ContentType != "text/plain;charset=UTF-8" || got[0].Key != "k1" || got[0].TokenName != "crm" || got[0].Token == "" ||
		!slices.Equal(got[0].Senders, []string{"helpdesk"}) || got[1].ContentType != "image/png" || string(got[1].Body) != "\x01\x02" || got[1].Key != "" {
		t.Errorf("%+v", got)
	}
	if sent.ID == "" || sent.Status != record.MessageStored {
		t.Errorf("%+v", sent)
	}
	for _, in := range []struct {
		body m
		path string
	}{
		{m{"from": "200", "to": "asha"}, "text"},
		{m{"from": "200", "to": "asha", "text": "x", "content": "eA=="}, "content"},
		{m{"from": "200", "to": "asha", "content": "eA=="}, "content_type"},
		{m{"to": "asha", "text": "x"}, "from"},
	} {
		if a := s.api(422, "POST", "/messages", in.body, nil); len(a.Faults) != 1 || a.Faults[0].Path != in.path || a.Faults[0].Cure == "" {
			t.Errorf("%+v: %s", in.body, a.body)
		}
	}
	for _, path := range []string{"/messages", "/users", "/hooks", "/tokens", "/overview", "/records/audit", "/events"} {
		if a := s.api(403, "GET", path, nil, nil); a.Code != "token.role" || a.Cure == "" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	c.api(202, "POST", "/messages", m{"from": "200", "to": "asha", "text": "of the owner"}, nil)
	acts := c.audit("messages.send")
	if len(acts) != 2 || acts[1].Who != "crm" || acts[0].Who != owner || !acts[1].OK { // once for each, not for each message
		t.Errorf("%+v", acts)
	}
	b.sw.Leave()
	if a := s.api(503, "POST", "/messages", m{"from": "200", "to": "asha", "text": "x"}, nil); a.Code != "switchd.away" {
		t.Errorf("%s", a.body)
	}
}

func TestHooksByTheAPI(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	c.api(201, "POST", "/users", m{"name": "asha"}, nil)
	spec := m{"name": "CRM", "url": "https://localhost:" + strings.Split(b.address(), ":")[1] + "/key/s3cret", "events": []string{"message.new"}, "users": []string{"ASHA"}, "content": true}
	var made api.HookWithSecret
	c.api(201, "POST", "/hooks", spec, &made)
	if !strings.HasPrefix(made.Secret, "whsec_") || !slices.Equal(made.Users, []string{"asha"}) || made.By != owner || made.Health.State != ctl.HookWorking {
		t.Errorf("%+v", made)
	}
	if a := c.api(422, "POST", "/hooks", m{"name": "CRM", "url": "http://x", "events": []string{}}, nil); len(a.Faults) != 3 {
		t.Errorf("%s", a.body)
	}
	if a := c.api(422, "POST", "/hooks", m{"name": "x", "url": "https://x", "events": []string{"message.new"}, "users": []string{"nobody"}}, nil); len(a.Faults) != 1 || a.Faults[0].Path != "users" {
		t.Errorf("%s", a.body)
	}
	var res ctl.HookResult
	c.api(200, "POST", "/hooks/"+made.ID+"/test", nil, &res)
	if res.OK || res.Failure == nil || !strings.Contains(res.Failure.Text, "box itself") { // its own page is no target
		t.Errorf("%+v", res)
	}
	var one ctl.Hook
	a := c.api(200, "GET", "/hooks/"+made.ID, nil, &one)
	if strings.Contains(string(a.body), made.Secret) || a.header.Get("ETag") != `"1"` {
		t.Errorf("%s", a.body)
	}
	spec["disabled"] = true
	if a := c.api(409, "PUT", "/hooks/"+made.ID, spec, nil, "If-Match", `"7"`); a.Code != "hook.changed" {
		t.Errorf("%s", a.body)
	}
	c.api(200, "PUT", "/hooks/"+made.ID, spec, &one, "If-Match", `"1"`)
	if one.Revision != 2 || one.Health.State != ctl.HookOff {
		t.Errorf("%+v", one)
	}
	var second api.HookSecret
	c.api(200, "POST", "/hooks/"+made.ID+"/secret", nil, &second)
	if second.Secret == made.Secret || second.Until.Before(time.Now().Add(23*time.Hour)) {
		t.Errorf("%+v", second)
	}
	c.api(200, "POST", "/hooks/"+made.ID+"/resume", m{}, &one)
	var list api.HookList
	c.api(200, "GET", "/hooks", nil, &list)
	if len(list.Hooks) != 1 || list.Hooks[0].Revision != 3 {
		t.Errorf("%+v", list)
	}
	c.api(204, "DELETE", "/hooks/"+made.ID, nil, nil)
	c.api(404, "DELETE", "/hooks/"+made.ID, nil, nil)
	acts := c.audit("hook.add")
	if len(acts) != 3 || strings.Contains(acts[2].Detail, "s3cret") || !strings.Contains(acts[2].Detail, "content=true") {
		t.Errorf("%+v", acts)
	}
	b.stop()
	b.run()
	b.certified()
}

// A hook that fails for long stands among the box's alarms, and keeps nothing of a restart back.
func TestAHookFollowsTheArchive(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	var made api.HookWithSecret
	c.api(201, "POST", "/hooks", m{"name": "CRM", "url": "https://localhost:1/", "events": []string{"message.new", "message.status"}}, &made)
	id := ids.Record(time.Now())
	keep := func(status string) {
		msg := record.Message{ID: id, Type: record.MessageContent, Thread: "a b", Status: status, At: time.Now()}
		b.put(envelope(record.KindMessage, msg.ID, msg))
	}
	keep(record.MessageStored)
	keep(record.MessageSent)
	var h ctl.Hook
	for range 3000 {
		if c.api(200, "GET", "/hooks/"+made.ID, nil, &h); h.Health.Failure != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if h.Health.Waiting != 2 || h.Health.State != ctl.HookRetry || h.Health.Failure == nil || h.Health.Failure.Cure == "" {
		t.Fatalf("%+v", h.Health)
	}
	b.stop()
	b.run()
	c = b.browser()
	c.api(200, "POST", "/session", m{"name": owner, "password": password}, nil)
	c.api(200, "GET", "/hooks/"+made.ID, nil, &h)
	if h.Health.Waiting != 2 || h.Health.Tries == 0 {
		t.Errorf("%+v", h.Health)
	}
}
