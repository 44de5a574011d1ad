package chat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// cpim wraps a text as Linphone does.
func cpim(from, to, id, text string) string {
	return fmt.Sprintf("From: <sip:%s@pbx.test>\r\nTo: <sip:%s@pbx.test>\r\nDateTime: 2026-11-23T11:47:07Z\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: %s\r\nimdn.Disposition-Notification: positive-delivery, negative-delivery, display\r\n\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", from, to, id, len(text), text)
}

// receipt is a plain receipt.
func receipt(id, kind, status string) string {
	return fmt.Sprintf(`<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>%s</message-id><datetime>2026-11-23T10:45:50Z</datetime><%[2]s-notification><status><%[3]s/></status></%[2]s-notification></imdn>`, id, kind, status)
}

func TestReceiptsJoinTheirMessage(t *testing.T) {
	run(t, func(r *rig) {
		a, b, c := r.phone("alice"), r.phone("bob"), r.phone("bob")
		plain := a.send(mail{body: "plain"})
		a.answer(202)
		wrapped := cpim("alice", "bob", "id-1", "wrapped")
		a.send(mail{kind: "message/cpim", body: wrapped})
		a.answer(202)
		for _, p := range []*phone{b, c} {
			p.takes("plain")
			p.takes(wrapped)
		}
		packed := string(deflate([]byte(receipt(plain, "delivery", "delivered"))))
		b.send(mail{to: "alice", kind: "message/imdn+xml", head: "Content-Encoding: deflate\nPriority: non-urgent\n", body: packed})
		b.answer(202)
		a.takes(packed)
		both := "From: <sip:bob@pbx.test>\r\nTo: <sip:alice@pbx.test>\r\n\r\nContent-Disposition: notification\r\nContent-Type: multipart/mixed;boundary=x\r\n\r\n" +
			"--x\r\nContent-Type: message/imdn+xml\r\n\r\n" + receipt(plain, "display", "displayed") + "\r\n--x\r\nContent-Type: message/imdn+xml\r\n\r\n" + receipt("id-1", "display", "displayed") + "\r\n--x--\r\n"
		c.send(mail{to: "alice", kind: "message/cpim", body: both})
		c.answer(202)
		a.takes(both)

		rec := r.byText("plain")
		if rec.Status != record.MessageDisplayed || len(rec.Deliveries) != 2 || rec.Deliveries[0].Status != record.MessageDelivered || rec.Deliveries[1].Status != record.MessageDisplayed {
			t.Errorf("recorded as %+v", rec)
		}
		var states []string
		for _, ch := range rec.Changes {
			states = append(states, ch.Status)
		}
		if got := strings.Join(states, " "); got != "stored sent delivered displayed" {
			t.Errorf("it went through %s", got)
		}
		if rec := r.byText("wrapped"); rec.Status != record.MessageDisplayed || rec.MessageID != "id-1" {
			t.Errorf("recorded as %+v", rec)
		}
		notice := r.find(func(m *record.Message) bool {
			return m.Type == record.MessageNotification && m.Notice == record.MessageDelivered
		})
		if notice.About != rec.ID || notice.NoticeFrom != plain || notice.Sender.User != "bob" {
			t.Errorf("the receipt is recorded as %+v", notice)
		}
		r.find(func(m *record.Message) bool { return m.NoticeFrom == "id-1" && m.Notice == record.MessageDisplayed })
	})
}

// Nobody else's word counts.
func TestReceiptOfAStrangerJoinsNothing(t *testing.T) {
	run(t, func(r *rig) {
		a, b, c := r.phone("alice"), r.phone("bob"), r.phone("carol")
		id := a.send(mail{body: "m0"})
		a.answer(202)
		b.takes("m0")
		c.send(mail{to: "alice", kind: "message/imdn+xml", body: receipt(id, "display", "displayed")})
		c.answer(202)
		if rec := r.byText("m0"); rec.Status != record.MessageSent {
			t.Errorf("a stranger's receipt made the message %s", rec.Status)
		}
	})
}

func TestWhatIsNotKept(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		const writing = `<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state><refresh>60</refresh></isComposing>`
		a.send(mail{kind: "application/im-iscomposing+xml", body: writing})
		a.quiet()
		b.takes(writing)
		a.answer(200)
		id := a.send(mail{body: "once", head: "Expires: 0\n"})
		a.send(mail{body: "once", head: "Expires: 0\n", callID: id}) // again, since no answer came yet
		b.takes("once")
		a.answer(200)
		a.quiet()
		b.quiet()
		b.leave()
		a.send(mail{kind: "application/im-iscomposing+xml", body: writing, head: "Expires: 0\n"})
		a.answer(480)
		a.send(mail{body: "now or never", head: "Expires: 0\n"})
		a.answer(480)
		b.register()
		b.quiet()
		a.send(mail{body: "now", head: "Expires: 0\n"})
		b.reply(b.gets("now"), 486)
		a.answer(486)
		if rec := r.byText("now"); rec.Status != record.MessageFailed || rec.Deliveries[0].Code != 486 {
			t.Errorf("recorded as %+v", rec)
		}
		if r.recorded() != 3 {
			t.Errorf("%d messages have records", r.recorded())
		}
	})
}

func TestMessageExpires(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		b.leave()
		a.send(mail{kind: "message/cpim", body: cpim("alice", "bob", "id-1", "soon"), head: "Expires: 60\n"})
		a.answer(202)
		a.send(mail{kind: "message/cpim", body: cpim("alice", "bob", "id-2", "later")})
		a.answer(202)
		time.Sleep(time.Minute + sweepEvery + time.Second)
		got := a.next()
		if !strings.Contains(got, "<message-id>id-1</message-id>") || !strings.Contains(got, "<delivery-notification><status><failed/>") || !strings.Contains(got, "From: <sip:bob@pbx.test>;tag=") {
			t.Fatalf("the sender got %q", got)
		}
		a.reply(got, 200)
		a.quiet()
		rec := r.byText("soon")
		if rec.Status != record.MessageFailed {
			t.Errorf("recorded as %+v", rec)
		}
		notice := r.find(func(m *record.Message) bool { return m.Type == record.MessageNotification })
		if notice.About != rec.ID || notice.Notice != record.MessageFailed || notice.Sender.User != "bob" {
			t.Errorf("the receipt is recorded as %+v", notice)
		}
		time.Sleep(r.eng.keep())
		if got := a.next(); !strings.Contains(got, "<message-id>id-2</message-id>") {
			t.Fatalf("the sender got %q", got)
		}
		b.register()
		b.quiet()
		if r.eng.Waiting() > 1 { // the receipt, which was not answered
			t.Errorf("%d messages wait", r.eng.Waiting())
		}
	})
}
