package chat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
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
		if r.writes.Load() != 1 {
			t.Errorf("%d records were written of a message that was sent at once", r.writes.Load())
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
		packed := string(deflate([]byte("packed")))
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
		if r.eng.Waiting() != 3 || len(r.asked()) != 3 || r.asked()[0] != "id-bob "+b.instance {
			t.Errorf("%d messages wait, %v were woken", r.eng.Waiting(), r.asked())
		}
		a.send(mail{body: "late receipt", head: "Priority: non-urgent\n"})
		a.answer(202)
		if len(r.asked()) != 3 {
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

func TestBranchesDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, parts := range [][]any{
		{"a", "b", uint64(1), 0}, {"a", "b", uint64(1), 1}, {"a", "b", uint64(1 << 40), 0}, {"a", "b", uint64(1<<40 + 1), 0}, {"a b", uint64(1), 0}, {"a", "b\x00"}, {"a\x00", "b"},
	} {
		b := branchOf(parts...)
		if seen[b] || b != branchOf(parts...) || !strings.HasPrefix(b, checked.Cookie) {
			t.Errorf("%v is named %s", parts, b)
		}
		seen[b] = true
	}
}
