package chat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/mime"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

const hindi = "नमस्ते 👋"

func TestMessageGoesToADeviceThatIsThere(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		id := a.send(mail{body: hindi, head: "Date: Mon, 23 Nov 2026 10:45:50 GMT\nSubject: x\nX-Own: y\nProxy-Authorization: Digest realm=\"z\"\nRoute: <sip:192.0.2.1;lr>\n"})
		a.answer(202)
		got := b.takes(hindi)
		for name, want := range map[string]string{
			"Call-ID": id, "From": "<sip:alice@pbx.test>;tag=t" + id, "To": "sip:bob@pbx.test", "CSeq": "21 MESSAGE", "Max-Forwards": "69", "Content-Type": "text/plain",
			"Date": "Mon, 23 Nov 2026 10:45:50 GMT", "Subject": "x", "X-Own": "y", "Proxy-Authorization": "", "Route": "",
		} {
			if v := sipside.Header(got, name); v != want {
				t.Errorf("%s: %q, wanted %q", name, v, want)
			}
		}
		rec := r.byText(hindi)
		if rec.Status != record.MessageSent || len(rec.Deliveries) != 1 || rec.Deliveries[0].Device.Instance != b.instance || rec.Deliveries[0].Code != 200 ||
			rec.From.Instance != a.instance || string(rec.Content) != hindi || rec.Sender.User != "alice" || rec.Recipient.AoR != "sip:bob@pbx.test" || rec.Thread != "id-alice id-bob" {
			t.Errorf("recorded as %+v", rec)
		}
		if r.writes != 1 {
			t.Errorf("%d records were written of a message that was sent at once", r.writes)
		}
		a.quiet()
		b.quiet()
		if r.eng.Waiting() != 0 {
			t.Errorf("%d messages wait", r.eng.Waiting())
		}
	})
}

func TestAnyBodyPassesUnchanged(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		for kind, body := range map[string]string{
			"application/x-unknown": "\x00\xff", "text/plain;charset=UTF-8": "", "multipart/mixed;boundary=x": "broken",
		} {
			a.send(mail{kind: kind, body: body})
			a.answer(202)
			if got := b.takes(body); sipside.Header(got, "Content-Type") != kind {
				t.Errorf("%s came as %q", kind, got)
			}
		}
		packed := string(mime.Deflate([]byte("packed")))
		a.send(mail{head: "Content-Encoding: deflate\n", body: packed})
		a.answer(202)
		if got := b.takes(packed); sipside.Header(got, "Content-Encoding") != "deflate" {
			t.Errorf("came as %q", got)
		}
		if rec := r.byText("packed"); string(rec.Content) != "packed" {
			t.Errorf("recorded as %+v", rec)
		}
	})
}

func TestMessagesWaitForADevice(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		b.leave()
		for i := range 3 {
			a.send(mail{body: fmt.Sprint("m", i)})
			a.answer(202)
		}
		if r.eng.Waiting() != 3 || len(r.woken) != 3 || r.woken[0] != "id-bob "+b.instance {
			t.Errorf("%d messages wait, %v were woken", r.eng.Waiting(), r.woken)
		}
		a.send(mail{body: "late receipt", head: "Priority: non-urgent\n"})
		a.answer(202)
		if len(r.woken) != 3 {
			t.Error("a message that is not urgent woke a device")
		}
		r.restart()
		b.register()
		first := b.gets("m0")
		b.quiet() // one at a time
		b.reply(first, 200)
		b.takes("m1")
		b.takes("m2")
		b.takes("late receipt")
		b.quiet()
		b.leave()
		b.register()
		b.quiet()
	})
}

func TestWhoWasNeverThereGetsAll(t *testing.T) {
	run(t, func(r *rig) {
		a := r.phone("alice")
		a.send(mail{body: "m0"})
		a.answer(202)
		a.send(mail{body: "m1"})
		a.answer(202)
		b := r.phone("bob")
		b.takes("m0")
		b.takes("m1")
		second := r.phone("bob") // all of it was taken by another device
		second.quiet()
		a.send(mail{body: "m2"})
		a.answer(202)
		b.takes("m2")
		second.takes("m2")
	})
}

func TestEachDeviceGetsItOnce(t *testing.T) {
	run(t, func(r *rig) {
		a, b, c := r.phone("alice"), r.phone("bob"), r.phone("bob")
		c.leave()
		a.send(mail{body: "m0"})
		a.answer(202)
		b.takes("m0")
		a.send(mail{body: "m1"})
		a.answer(202)
		b.takes("m1")
		c.register()
		c.takes("m0")
		c.takes("m1")
		c.quiet()
		b.quiet()
		rec := r.byText("m0")
		if len(rec.Deliveries) != 2 || rec.Deliveries[0].Status != record.MessageSent || rec.Deliveries[1].Status != record.MessageSent {
			t.Errorf("recorded as %+v", rec)
		}
	})
}

func TestCopyGoesToOtherDevicesOfTheSender(t *testing.T) {
	run(t, func(r *rig) {
		a, other, b := r.phone("alice"), r.phone("alice"), r.phone("bob")
		a.send(mail{body: "m0"})
		a.answer(202)
		b.takes("m0")
		if got := other.takes("m0"); sipside.Header(got, "To") != "sip:bob@pbx.test" || sipside.Header(got, "From")[:22] != "<sip:alice@pbx.test>;t" {
			t.Errorf("the copy is %q", got)
		}
		a.quiet()
		other.send(mail{body: "m1"})
		other.answer(202)
		b.takes("m1")
		a.takes("m1")
		other.quiet()
		if rec := r.byText("m0"); rec.Status != record.MessageSent || len(rec.Deliveries) != 2 {
			t.Errorf("recorded as %+v", rec)
		}
		// What the other device says of the copy is no word of the recipient.
		other.send(mail{to: "alice", kind: "message/imdn+xml", body: receipt(sipside.Header("Call-ID: "+a.user+a.instance+"-1", "Call-ID"), "delivery", "delivered")})
		other.answer(202)
		a.quiet()
		if rec := r.byText("m0"); rec.Status != record.MessageSent {
			t.Errorf("a receipt for a copy made the message %s", rec.Status)
		}
		c := r.phone("carol")
		c.send(mail{to: "alice", body: "m2"})
		c.answer(202)
		a.takes("m2")
		other.takes("m2")
	})
}

func TestSameRequestAgain(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		id := a.send(mail{body: "m0"})
		a.answer(202)
		a.send(mail{body: "m0", callID: id})
		a.answer(202)
		b.takes("m0")
		b.quiet()
		r.restart()
		a.send(mail{body: "m0", callID: id})
		a.answer(202)
		b.quiet()
		// The crash has made the box forget the nonce: the request is challenged, and comes with a new CSeq.
		a.send(mail{body: "m0", callID: id, cseq: 22})
		a.answer(202)
		b.quiet()
		time.Sleep(time.Minute)
		a.send(mail{body: "m0", callID: id, cseq: 23}) // of a phone that uses a Call-ID for long
		a.answer(202)
		b.takes("m0")
		// The user pressed "send again", since he saw no answer: the message is the same.
		a.send(mail{kind: "message/cpim", body: cpim("alice", "bob", "id-1", "text")})
		a.answer(202)
		b.takes(cpim("alice", "bob", "id-1", "text"))
		a.send(mail{kind: "message/cpim", body: cpim("alice", "bob", "id-1", "text")})
		a.answer(202)
		b.quiet()
		a.send(mail{to: "carol", kind: "message/cpim", body: cpim("alice", "carol", "id-1", "text")})
		a.answer(202)
		r.phone("carol").takes(cpim("alice", "carol", "id-1", "text"))
	})
}

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
		packed := string(mime.Deflate([]byte(receipt(plain, "delivery", "delivered"))))
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
		if len(r.records) != 2 {
			t.Errorf("records of %+v", r.records)
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

func TestDeviceThatDoesNotAnswer(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.device("bob", edge.UDP)
		a.send(mail{body: "m0"})
		a.answer(202)
		first := b.gets("m0")
		time.Sleep(timerF - time.Second)
		for range 9 { // after 0.5, 1, 2, then every 4 s (RFC 3261 §17.1.2.2)
			if again := b.gets("m0"); again != first {
				t.Fatalf("sent again as %q, not %q", again, first)
			}
		}
		b.quiet()
		time.Sleep(retryFirst + 2*time.Second)
		for range 2 { // for the last time, and then anew: nobody has answered, so it is the same request
			if again := b.gets("m0"); again != first {
				t.Errorf("tried again as %q", again)
			}
		}
		b.deafen(true)
		time.Sleep(time.Hour)
		b.deafen(false)
		time.Sleep(retryLast + time.Minute)
		b.takes("m0")
	})
}

func TestDeviceThatRefuses(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		a.send(mail{body: "m0"})
		a.answer(202)
		first := b.gets("m0")
		a.send(mail{body: "m1"})
		a.answer(202)
		b.reply(first, 500)
		b.quiet()
		time.Sleep(retryFirst + time.Second)
		again := b.gets("m0")
		if sipside.Header(again, "Via") == sipside.Header(first, "Via") {
			t.Error("a request that was answered came again in the same transaction")
		}
		b.reply(again, 415) // of the message: it is no use to try again
		b.takes("m1")
		if rec := r.byText("m0"); rec.Status != record.MessageFailed || rec.Deliveries[0].Status != record.MessageFailed || rec.Deliveries[0].Code != 415 || rec.Deliveries[0].Tries != 2 {
			t.Errorf("recorded as %+v", rec)
		}
		a.send(mail{body: "m2"})
		a.answer(202)
		for n := range maxRefused {
			b.reply(b.gets("m2"), 503)
			time.Sleep(min(retryFirst<<n, retryLast) + time.Second)
		}
		b.quiet()
	})
}

func TestDeviceComesByAnotherWay(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		a.send(mail{body: "m0"})
		a.answer(202)
		first := b.gets("m0")
		b.register() // it connected anew
		again := b.gets("m0")
		if again != first {
			t.Errorf("sent again as %q", again)
		}
		b.reply(again, 200)
		b.quiet()
		b.deafen(true)
		a.send(mail{body: "m1"})
		a.answer(202)
		time.Sleep(time.Hour)
		b.register()
		b.takes("m1")
	})
}

// A message that a device has, of which a crash made us forget the answer, goes out the same again.
func TestRestartSendsTheSameRequest(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		a.send(mail{body: "m0"})
		a.answer(202)
		first := b.gets("m0")
		r.restart()
		if again := b.gets("m0"); again != first {
			t.Errorf("%q was sent again as %q", first, again)
		}
		b.reply(first, 200)
		b.quiet()
		r.restart()
		b.quiet()
	})
}

func TestRefusals(t *testing.T) {
	run(t, func(r *rig) {
		a := r.phone("alice")
		a.send(mail{to: "nobody", body: "x"})
		a.answer(404)
		a.send(mail{body: strings.Repeat("x", 49<<10)})
		a.answer(413)
		a.send(mail{head: "Content-Encoding: deflate\n", body: string(mime.Deflate(make([]byte, 1<<20)))})
		a.answer(413)
		a.send(mail{kind: "multipart/mixed;boundary=x", body: strings.Repeat("--x\r\n\r\n1\r\n", 100)})
		a.answer(413)
		a.send(mail{kind: "message/cpim", body: cpim("bob", "carol", "id", "not from bob")})
		a.answer(403)
		a.send(mail{kind: "message/cpim", body: "no header"})
		a.answer(400)
		a.send(mail{kind: "message/cpim", body: cpim("alice", "bob", strings.Repeat("i", 600), "x")})
		a.answer(400)
		a.send(mail{to: "102", kind: "message/cpim", body: cpim("101", "bob", "id", "by number")})
		a.answer(202)
		a.quiet()
	})
}

func TestFullDiskOfRecords(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		r.mu.Lock()
		r.refuse = errDisk
		r.mu.Unlock()
		a.send(mail{body: "m0"})
		a.answer(202)
		b.takes("m0")
		time.Sleep(time.Minute)
		r.restart()
		r.mu.Lock()
		r.refuse = nil
		r.mu.Unlock()
		time.Sleep(2 * sweepEvery)
		if rec := r.byText("m0"); rec.Status != record.MessageSent {
			t.Errorf("recorded as %+v", rec)
		}
		n := r.writes
		time.Sleep(time.Hour)
		if r.writes != n {
			t.Errorf("a record that is kept was written %d times more", r.writes-n)
		}
	})
}

func TestOneDeviceIsMeant(t *testing.T) {
	run(t, func(r *rig) {
		a, b, c := r.phone("alice"), r.phone("bob"), r.phone("bob")
		text := fmt.Sprintf("MESSAGE sip:bob@%s;gr=%s SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bKg\r\nFrom: <sip:alice@%[1]s>;tag=t\r\nTo: <sip:bob@%[1]s>\r\nCall-ID: gruu\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx", domain, c.instance)
		in := r.read(text, a)
		in.Account = r.users["id-alice"]
		r.eng.Message(in)
		time.Sleep(100 * time.Millisecond)
		a.answer(202)
		c.takes("x")
		b.quiet()
		a.send(mail{body: "both"})
		a.answer(202)
		b.takes("both")
		c.takes("both")
	})
}

func TestMessageWithinACall(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		for i := range 2 { // two in one dialog: each is a message of its own
			text := fmt.Sprintf("MESSAGE sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bKd%d\r\nFrom: <sip:alice@pbx.test>;tag=t\r\nTo: <sip:bob@pbx.test>;tag=box\r\nCall-ID: dialog\r\nCSeq: %[1]d MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nm%[1]d", i+1)
			r.eng.InDialog(r.read(text, a), "id-alice", "id-bob")
			time.Sleep(100 * time.Millisecond)
			a.answer(202)
			got := b.takes(fmt.Sprint("m", i+1))
			if id := sipside.Header(got, "Call-ID"); id == "dialog" || strings.Contains(sipside.Header(got, "To"), "tag") {
				t.Errorf("came as %q", got)
			}
			b.send(mail{to: "alice", kind: "message/imdn+xml", body: receipt(sipside.Header(got, "Call-ID"), "delivery", "delivered")})
			b.answer(202)
			a.reply(a.next(), 200)
			if rec := r.byText(fmt.Sprint("m", i+1)); rec.Status != record.MessageDelivered || rec.CallID != "dialog" {
				t.Errorf("recorded as %+v", rec)
			}
		}
		r.eng.InDialog(r.read("MESSAGE sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bKd9\r\nFrom: <sip:alice@pbx.test>;tag=t\r\nTo: <sip:bob@pbx.test>;tag=box\r\nCall-ID: dialog\r\nCSeq: 9 MESSAGE\r\nContent-Length: 0\r\n\r\n", a), "id-alice", "id-gone")
		a.answer(404)
	})
}

func TestRemovedUserAndStaleDevice(t *testing.T) {
	run(t, func(r *rig) {
		a, b, c := r.phone("alice"), r.phone("bob"), r.phone("bob")
		c.leave()
		a.send(mail{body: "m0"})
		a.answer(202)
		b.takes("m0")
		time.Sleep(r.eng.keep() + 2*staleEvery)
		a.send(mail{body: "m1"})
		a.answer(202)
		b.takes("m1")
		c.register() // it was forgotten: it gets what nobody has, and that is nothing
		c.quiet()
		b.leave()
		c.leave()
		a.send(mail{body: "m2"})
		a.answer(202)
		r.eng.RemoveUser("id-bob")
		time.Sleep(time.Second)
		if r.eng.Waiting() != 0 {
			t.Errorf("%d messages wait for nobody", r.eng.Waiting())
		}
		b.register()
		b.quiet()
	})
}

func TestPolicy(t *testing.T) {
	run(t, func(r *rig) {
		for _, days := range []int{0, 31, -1} {
			if err := r.eng.SetPolicy(ctl.ChatPolicy{KeepDays: days}); !problem.Is(err, problem.Invalid) {
				t.Errorf("%d days: %v", days, err)
			}
		}
		if err := r.eng.SetPolicy(ctl.ChatPolicy{KeepDays: 1}); err != nil {
			t.Fatal(err)
		}
		r.restart()
		if got := r.eng.Policy().KeepDays; got != 1 {
			t.Errorf("kept %d days", got)
		}
		a := r.phone("alice")
		a.send(mail{body: "m0"})
		a.answer(202)
		time.Sleep(day + time.Minute)
		if r.eng.Waiting() != 0 {
			t.Error("a message waits longer than a day")
		}
	})
}
