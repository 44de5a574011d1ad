package admind

import (
	"encoding/csv"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/console/api"
	"github.com/coraltele/sanchar/pkg/console/auth"
	"github.com/coraltele/sanchar/pkg/console/events"
	"github.com/coraltele/sanchar/pkg/record"
)

func pastMessage(from, to, text string) record.Message {
	time.Sleep(time.Millisecond) // ids of one millisecond have no order
	id := ids.Record(time.Now())
	users := []string{from, to}
	slices.Sort(users)
	return record.Message{
		ID: id, Type: record.MessageContent, MessageID: "mid-" + id, CallID: id + "@app", Thread: strings.Join(users, " "), At: time.Now(),
		Sender: record.Party{User: from}, Recipient: record.Party{User: to}, ContentType: "text/plain", Content: []byte(text), Text: text, Status: record.MessageStored,
	}
}

func (b *box) putMessages(all ...record.Message) {
	b.t.Helper()
	for _, m := range all {
		b.put(envelope(record.KindMessage, m.ID, m))
	}
}

type messagePage struct {
	Records []record.Message
	Next    string
}

// audited are the audit records of an act, in the order of their text: within one millisecond they
// have no other.
func (c *browser) audited(act string) (details []string) {
	c.b.t.Helper()
	var p struct{ Records []record.Audit }
	c.api(200, "GET", "/records/audit?act="+act, nil, &p)
	for _, r := range p.Records {
		if !r.OK || r.Who != owner {
			c.b.t.Errorf("%+v", r)
		}
		details = append(details, strings.TrimSpace(r.Object+" "+r.Detail))
	}
	slices.Sort(details)
	return details
}

func TestMessagesAreListedBareAndReadForAReason(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	hello := pastMessage("asha", "vikram", "the secret plan")
	hello.Files = []record.File{{Name: "secret.pdf", ContentType: "application/pdf", Size: 9, URL: "https://box/secret"}}
	other := pastMessage("vikram", "meera", "nothing")
	b.putMessages(hello, other)
	for path, want := range map[string]int{
		"":                               2,
		"?user=vikram":                   2,
		"?sender=asha&recipient=vikram":  1,
		"?status=failed":                 0,
		"?type=content&status=stored":    2,
		"?call_id=" + hello.CallID:       1,
		"?message_id=" + hello.MessageID: 1,
		"?thread=" + url.QueryEscape("asha vikram"): 1,
		"?from=2020-01-01T00:00:00Z":                2,
		"?to=2020-01-01T00:00:00Z":                  0,
	} {
		var p messagePage
		a := c.api(200, "GET", "/messages"+path, nil, &p)
		if len(p.Records) != want || p.Records == nil || strings.Contains(string(a.body), "secret") {
			t.Errorf("%s: %d, want %d: %s", path, len(p.Records), want, a.body)
		}
	}
	if a := c.api(200, "GET", "/messages/"+hello.ID, nil, nil); strings.Contains(string(a.body), "secret") {
		t.Errorf("%s", a.body)
	}
	if all := append(c.audited("messages.read"), c.audited("message.read")...); all != nil {
		t.Errorf("who reads nothing is audited: %q", all)
	}

	for _, path := range []string{"/messages?words=plan", "/messages?content=true", "/messages/" + hello.ID + "?content=true", "/threads/asha%20vikram?content=true", "/messages/export.csv?content=true&reason=%20"} {
		a := c.api(422, "GET", path, nil, nil)
		if len(a.Faults) != 1 || a.Faults[0].Path != "reason" || a.Faults[0].Cure == "" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	var p messagePage
	c.api(200, "GET", "/messages?words=PLAN+sec*&reason=leak+of+plans", nil, &p)
	if len(p.Records) != 1 || p.Records[0].Text != "" {
		t.Errorf("%+v", p)
	}
	c.api(200, "GET", "/messages?content=true&user=asha&reason=leak+of+plans", nil, &p)
	if len(p.Records) != 1 || p.Records[0].Text != "the secret plan" || string(p.Records[0].Content) != "the secret plan" {
		t.Errorf("%+v", p)
	}
	var one record.Message
	c.api(200, "GET", "/messages/"+hello.ID+"?content=true&reason=leak", nil, &one)
	if one.Files[0].Name != "secret.pdf" {
		t.Errorf("%+v", one)
	}
	if got := c.audited("messages.read"); !slices.Equal(got, []string{"user=asha content=true reason=leak of plans", "words=PLAN sec* reason=leak of plans"}) {
		t.Errorf("%q", got)
	}
	if got := c.audited("message.read"); !slices.Equal(got, []string{"asha to vikram (" + hello.ID + ") reason=leak"}) {
		t.Errorf("%q", got)
	}
}

func TestAWrongQueryOfMessagesIsRefusedByField(t *testing.T) {
	t.Parallel()
	_, c := owned(t)
	for query, path := range map[string]string{
		"words=...&reason=x": "words", "status=lost": "status", "type=x": "type", "limit=0": "limit", "text=x": "text",
		"from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z&content=true&reason=x": "to",
	} {
		a := c.api(422, "GET", "/messages?"+query, nil, nil)
		if len(a.Faults) != 1 || a.Faults[0].Path != path || a.Faults[0].Rule == "" || a.Faults[0].Cure == "" {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	c.api(404, "GET", "/messages/"+ids.Record(time.Now())+"?content=true&reason=x", nil, nil)
	if got := append(c.audited("messages.read"), c.audited("message.read")...); got != nil {
		t.Errorf("what was refused is audited as read: %q", got)
	}
}

func TestAThreadTellsWhatBecameOfItsMessages(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	hello := pastMessage("asha", "vikram", "hello")
	answer := pastMessage("vikram", "asha", "what?")
	answer.Reply = hello.MessageID
	like := pastMessage("vikram", "asha", "👍")
	like.Reply, like.Reaction = hello.MessageID, true
	edit := pastMessage("asha", "vikram", "hello, Vikram")
	edit.Replaces = hello.MessageID
	back := pastMessage("vikram", "asha", "")
	back.Retracts = answer.MessageID
	forged := pastMessage("vikram", "asha", "")
	forged.Retracts = hello.MessageID
	receipt := pastMessage("vikram", "asha", "")
	receipt.Type, receipt.About, receipt.Notice = record.MessageNotification, hello.ID, record.MessageDelivered
	elsewhere := pastMessage("asha", "meera", "elsewhere")
	b.putMessages(hello, answer, like, edit, back, forged, receipt, elsewhere)

	var threads api.ThreadList
	c.api(200, "GET", "/threads", nil, &threads)
	if len(threads.Threads) != 2 || threads.Threads[0].ID != "asha meera" || threads.Threads[1].Count != 6 || threads.Threads[1].Latest.ID != forged.ID {
		t.Errorf("%+v", threads)
	}
	c.api(200, "GET", "/threads?user=meera", nil, &threads)
	if len(threads.Threads) != 1 {
		t.Errorf("%+v", threads)
	}

	var part api.ThreadPart
	path := "/threads/" + url.PathEscape("asha vikram")
	if a := c.api(200, "GET", path, nil, &part); len(part.Messages) != 6 || strings.Contains(string(a.body), "Vikram") {
		t.Errorf("bare: %s", a.body)
	}
	c.api(200, "GET", path+"?content=true&reason=complaint", nil, &part)
	first, second := part.Messages[0], part.Messages[1]
	if first.Text != "hello" || len(first.Edits) != 1 || first.Edits[0].Text != "hello, Vikram" || first.Retracted != nil || len(first.Reactions) != 1 || first.Reactions[0].Text != "👍" {
		t.Errorf("%+v", first)
	}
	if second.Text != "what?" || second.Quote == nil || second.Quote.Text != "hello" || second.Retracted == nil || second.Retracted.ID != back.ID {
		t.Errorf("%+v", second)
	}
	var newest, earlier api.ThreadPart
	c.api(200, "GET", path+"?limit=4", nil, &newest)
	c.api(200, "GET", path+"?limit=4&before="+newest.Next, nil, &earlier)
	if len(newest.Messages) != 4 || len(earlier.Messages) != 2 || earlier.Messages[0].ID != hello.ID || newest.Messages[3].ID != forged.ID || earlier.Next != "" {
		t.Errorf("%d, then %d", len(newest.Messages), len(earlier.Messages))
	}
	if got := c.audited("thread.read"); !slices.Equal(got, []string{"asha, vikram (asha vikram) reason=complaint"}) {
		t.Errorf("%q", got)
	}
}

func TestMessagesAreExportedForAReason(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	b.putMessages(pastMessage("asha", "vikram", "=secret"), pastMessage("asha", "meera", "नमस्ते"))
	bare := c.api(200, "GET", "/messages/export.csv?user=vikram", nil, nil)
	if rows, err := csv.NewReader(strings.NewReader(string(bare.body))).ReadAll(); err != nil || len(rows) != 2 || strings.Contains(string(bare.body), "secret") {
		t.Errorf("%s %v", bare.body, err)
	}
	full := c.api(200, "GET", "/messages/export.csv?content=true&reason=court+order", nil, nil)
	if !strings.Contains(string(full.body), "'=secret") || !strings.Contains(full.header.Get("Content-Disposition"), "messages-") {
		t.Errorf("%s %v", full.body, full.header)
	}
	found := c.api(200, "GET", "/messages/export.json?content=true&words="+url.QueryEscape("नम*")+"&reason=court+order", nil, nil)
	if strings.Count(string(found.body), "\n") != 1 || !strings.Contains(string(found.body), "नमस्ते") {
		t.Errorf("%s", found.body)
	}
	want := []string{"csv content=true reason=court order", "csv user=vikram", "json words=नम* content=true reason=court order"}
	if got := c.audited("messages.export"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestANewMessageIsToldOfWithoutWhatItSays(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	ch := c.sse(t.Context())
	awaitEvent(t, ch, events.Changed, "")
	m := pastMessage("asha", "vikram", "the secret plan")
	b.putMessages(m)
	for ev := range ch {
		if strings.Contains(string(ev.Data), "secret") {
			t.Errorf("%s", ev.Data)
		}
		if ev.Name == events.Recorded && strings.Contains(string(ev.Data), m.ID) {
			return
		}
	}
	t.Error("nothing was told")
}

// TestARoleThatMayNotReadSeesThatPeopleTalk gives a token a role that is not the owner's.
func TestARoleThatMayNotReadSeesThatPeopleTalk(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	b.putMessages(pastMessage("asha", "vikram", "the secret plan"))
	var made struct{ Secret string }
	c.api(201, "POST", "/tokens", m{"name": "watcher"}, &made)
	b.stop()
	path := filepath.Join(b.cfg.DataDir, "auth.json")
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(doc), `"watcher"`)
	changed := string(doc)[:at] + strings.Replace(string(doc)[at:], `"`+auth.RoleOwner+`"`, `"viewer"`, 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run()
	w := b.browser()
	w.header.Set("Authorization", "Bearer "+made.Secret)
	var p messagePage
	if a := w.api(200, "GET", "/messages", nil, &p); len(p.Records) != 1 || strings.Contains(string(a.body), "secret") {
		t.Errorf("%s", a.body)
	}
	for _, path := range []string{"/messages?words=secret&reason=x", "/messages?content=true&reason=x", "/threads/asha%20vikram?content=true&reason=x", "/messages/export.json?content=true&reason=x", "/messages/" + p.Records[0].ID + "?content=true&reason=x"} {
		if a := w.api(403, "GET", path, nil, nil); a.Code != "messages.content" || a.Cure == "" || strings.Contains(string(a.body), "plan") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	var audit struct{ Records []record.Audit }
	w.api(200, "GET", "/records/audit?act=thread.read", nil, &audit)
	if len(audit.Records) != 1 || audit.Records[0].OK || audit.Records[0].Who != "watcher" || audit.Records[0].Object != "asha, vikram (asha vikram)" {
		t.Errorf("%+v", audit)
	}
}

func TestTheSiteMayKeepNoContent(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	var policy record.Policy
	a := c.api(200, "GET", "/settings/archive", nil, &policy)
	if policy != record.DefaultPolicy() {
		t.Errorf("%+v", policy)
	}
	bad := c.api(422, "PUT", "/settings/archive", m{"keep_days": 10, "recording_days": 90, "message_content": "keep"}, nil, "If-Match", "*")
	if len(bad.Faults) != 1 || bad.Faults[0].Path != "keep_days" || bad.Faults[0].Value != "10" {
		t.Errorf("%s", bad.body)
	}
	policy.MessageContent = record.ContentDrop
	c.api(422, "PUT", "/settings/archive", policy, nil)
	c.api(200, "PUT", "/settings/archive", policy, nil, "If-Match", a.header.Get("ETag"))
	c.api(409, "PUT", "/settings/archive", policy, nil, "If-Match", a.header.Get("ETag"))
	b.putMessages(pastMessage("asha", "vikram", "the secret plan"))
	b.stop()
	b.run()
	c = b.browser()
	c.api(200, "POST", "/session", m{"name": owner, "password": password}, nil)
	var p messagePage
	c.api(200, "GET", "/messages?content=true&reason=x", nil, &p)
	if len(p.Records) != 1 || p.Records[0].Text != "" || p.Records[0].Content != nil || !p.Records[0].Dropped {
		t.Errorf("%+v", p)
	}
	c.api(200, "GET", "/settings/archive", nil, &policy)
	if policy.MessageContent != record.ContentDrop {
		t.Errorf("%+v", policy)
	}
	var audit struct{ Records []record.Audit }
	c.api(200, "GET", "/records/audit?act=archive.policy", nil, &audit)
	done := slices.DeleteFunc(audit.Records, func(r record.Audit) bool { return !r.OK })
	if len(done) != 1 || done[0].Detail != "keep_days=365 recording_days=90 message_content=drop" {
		t.Errorf("%+v", audit)
	}
}
