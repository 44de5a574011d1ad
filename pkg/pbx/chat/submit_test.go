package chat

import (
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// text is a message of a program.
func text(from, to, body string) ctl.NewMessage {
	return ctl.NewMessage{From: from, To: to, ContentType: "text/plain;charset=UTF-8", Body: []byte(body), Token: "t1", TokenName: "crm"}
}

func (r *rig) submit(in ctl.NewMessage) ctl.SentMessage {
	r.t.Helper()
	sent, err := r.eng.Submit(r.t.Context(), in)
	if err != nil {
		r.t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	return sent
}

// A program's message comes to all devices of its recipient and as a copy to all of its sender's, and its
// record names the token.
func TestSubmitted(t *testing.T) {
	run(t, func(r *rig) {
		alice, bob := r.phone("alice"), r.phone("bob")
		sent := r.submit(text("alice", "102", "नमस्ते"))
		got := bob.takes("नमस्ते")
		if sipside.Header(got, "From") != "<sip:alice@pbx.test>;tag="+tagOf(got) || sipside.Header(got, "Call-ID") != sent.CallID || sipside.Header(got, "Date") == "" {
			t.Errorf("%q", got)
		}
		alice.takes("नमस्ते")
		rec := r.byText("नमस्ते")
		if rec.ID != sent.ID || !rec.SentByAPI || rec.Token != "crm" || rec.Status != record.MessageSent || len(rec.Deliveries) != 2 || rec.From.UserAgent != "Test/1" {
			t.Errorf("%+v", rec)
		}
		if sent.From != "alice" || sent.To != "bob" || sent.Again || sent.Status != record.MessageStored || sent.At.IsZero() {
			t.Errorf("%+v", sent)
		}
	})
}

func tagOf(request string) string {
	_, tag, _ := strings.Cut(sipside.Header(request, "From"), ";tag=")
	return tag
}

// A key is known through restarts. Each token has keys of its own.
func TestSubmittedOnceWithAKey(t *testing.T) {
	run(t, func(r *rig) {
		in := text("alice", "bob", "once")
		in.Key = "order 4711"
		first := r.submit(in)
		r.restart()
		if again := r.submit(in); !again.Again || again.ID != first.ID || again.CallID != first.CallID {
			t.Errorf("%+v after %+v", again, first)
		}
		bob := r.phone("bob")
		bob.takes("once")
		bob.quiet()
		if again := r.submit(in); again.Status != record.MessageSent {
			t.Errorf("%+v", again)
		}
		for _, change := range []func(*ctl.NewMessage){
			func(m *ctl.NewMessage) { m.Body = []byte("twice") }, func(m *ctl.NewMessage) { m.To = "carol" }, func(m *ctl.NewMessage) { m.ContentType = "text/html" },
		} {
			other := in
			change(&other)
			if _, err := r.eng.Submit(r.t.Context(), other); problem.Of(err).Code != "message.key" {
				t.Errorf("%v for %+v", err, other)
			}
		}
		in.Token = "t2"
		if other := r.submit(in); other.Again || other.ID == first.ID {
			t.Errorf("of another token: %+v", other)
		}
	})
}

func TestSubmittedOfAnyType(t *testing.T) {
	run(t, func(r *rig) {
		bob := r.phone("bob")
		in := text("alice", "sip:bob@pbx.test", "From: <sip:alice@pbx.test>\r\nTo: <sip:bob@pbx.test>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: m17\r\n\r\nContent-Type: text/plain\r\n\r\nhello")
		in.ContentType = "message/cpim"
		sent := r.submit(in)
		if sent.MessageID != "m17" {
			t.Errorf("%+v", sent)
		}
		bob.takes(string(in.Body))
		if again := r.submit(in); !again.Again || again.ID != sent.ID { // by its Message-ID
			t.Errorf("%+v", again)
		}
		bob.quiet()
	})
}

func TestSubmitRefuses(t *testing.T) {
	run(t, func(r *rig) {
		r.users["id-carol"].Disabled = true
		cpim := "From: <sip:bob@pbx.test>\r\nTo: <sip:bob@pbx.test>\r\n\r\nContent-Type: text/plain\r\n\r\nhello"
		for _, c := range []struct {
			in    ctl.NewMessage
			code  string
			paths string
		}{
			{text("nobody", "nobody", ""), "message.invalid", "from to content"},
			{text("alice", "carol", "x"), "message.invalid", "to"},
			{text("alice", "sip:bob@other.test", "x"), "message.invalid", "to"},
			{text("sip:alice@pbx.test;gr=urn:uuid:1", "bob", "x"), "message.invalid", "from"},
			{text("", "\r\n", "x"), "message.invalid", "from to"},
			{text("alice", "bob", strings.Repeat("x", inbox.MaxBody+1)), "message.invalid", "content"},
			{ctl.NewMessage{From: "alice", To: "bob", ContentType: "text/plain\r\nEvil: 1", Body: []byte("x")}, "message.invalid", "content_type"},
			{ctl.NewMessage{From: "alice", To: "bob", ContentType: "text", Body: []byte("x")}, "message.invalid", "content_type"},
			{ctl.NewMessage{From: "alice", To: "bob", ContentType: "message/cpim", Body: []byte(cpim)}, "message.invalid", "content"},
			{ctl.NewMessage{From: "alice", To: "bob", ContentType: "message/cpim", Body: []byte("no")}, "message.invalid", "content"},
			{ctl.NewMessage{From: "alice", To: "bob", ContentType: "application/im-iscomposing+xml", Body: []byte("<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>active</state></isComposing>")}, "message.invalid", "content_type"},
			{ctl.NewMessage{From: "101", To: "bob", ContentType: "text/plain", Body: []byte("x"), Senders: []string{"bob"}}, "message.sender", "from"},
		} {
			_, err := r.eng.Submit(r.t.Context(), c.in)
			p := problem.Of(err)
			var paths []string
			for _, f := range p.Faults {
				paths = append(paths, f.Path)
				if f.Rule == "" || f.Cure == "" {
					t.Errorf("%+v", f)
				}
			}
			if err == nil || p.Code != c.code || strings.Join(paths, " ") != c.paths {
				t.Errorf("%+v: %v, want %s of %s", c.in, err, c.code, c.paths)
			}
		}
		if n := r.eng.Waiting(); n != 0 {
			t.Errorf("%d messages are kept", n)
		}
	})
}

// Who reaches a bound is told which, and a disk that is full takes nothing.
func TestSubmitMeetsBounds(t *testing.T) {
	run(t, func(r *rig) {
		body := strings.Repeat("x", inbox.MaxBody)
		var p *problem.Error
		for range 1000 {
			if _, err := r.eng.Submit(r.t.Context(), text("alice", "bob", body)); err != nil {
				p = problem.Of(err)
				break
			}
		}
		if p == nil || p.Kind != problem.Full || p.Code != "message.quota" || len(p.Faults) != 1 || p.Faults[0].Path != "from" {
			t.Errorf("%+v", p)
		}
		r.eng.full.Store(true)
		if _, err := r.eng.Submit(r.t.Context(), text("carol", "bob", "x")); problem.Of(err).Code != "message.disk" {
			t.Error(err)
		}
	})
}

// What a program has taken for a user without a phone waits no more. With a phone, that gets it too.
func TestTakenByAProgram(t *testing.T) {
	run(t, func(r *rig) {
		alice := r.phone("alice")
		callID := alice.send(mail{body: "for the program"})
		alice.answer(202)
		if n := r.eng.Waiting(); n != 1 {
			t.Fatalf("%d wait", n)
		}
		id := r.byText("for the program").ID
		taken := ctl.TakenMessage{ID: id, CallID: callID, Sender: "alice", Recipient: "bob", By: "CRM"}
		for range 2 {
			if err := r.eng.Taken(r.t.Context(), taken); err != nil {
				t.Fatal(err)
			}
		}
		if n := r.eng.Waiting(); n != 0 {
			t.Errorf("%d wait", n)
		}
		if rec := r.byText("for the program"); rec.Status != record.MessageSent || len(rec.Deliveries) != 1 || rec.Deliveries[0].Device.UserAgent != "CRM" {
			t.Errorf("%+v", rec)
		}
		for _, other := range []ctl.TakenMessage{
			{ID: "x", CallID: callID, Sender: "alice", Recipient: "bob"}, {ID: id, CallID: callID, Sender: "bob", Recipient: "alice"}, {ID: id, CallID: callID, Sender: "nobody", Recipient: "bob"},
		} {
			if err := r.eng.Taken(r.t.Context(), other); err != nil {
				t.Errorf("%+v: %v", other, err)
			}
		}
		bob := r.phone("bob")
		bob.quiet()
		bob.leave()
		second := alice.send(mail{body: "for both"})
		alice.answer(202)
		both := r.byText("for both").ID
		if err := r.eng.Taken(r.t.Context(), ctl.TakenMessage{ID: both, CallID: "shared with others: " + second, Sender: "alice", Recipient: "bob", By: "CRM"}); err != nil {
			t.Fatal(err)
		}
		if n := r.eng.Waiting(); n != 0 {
			t.Errorf("%d wait", n)
		}
		r.restart()
		bob.register()
		bob.takes("for both")
		time.Sleep(8 * day)
		if rec := r.byText("for the program"); rec.Status != record.MessageSent {
			t.Errorf("%+v", rec)
		}
	})
}
