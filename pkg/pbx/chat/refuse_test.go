package chat

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

func TestRefusals(t *testing.T) {
	run(t, func(r *rig) {
		a := r.phone("alice")
		a.send(mail{to: "nobody", body: "x"})
		a.answer(404)
		a.send(mail{body: strings.Repeat("x", 49<<10)})
		a.answer(413)
		a.send(mail{head: "Content-Encoding: deflate\n", body: string(deflate(make([]byte, 1<<20)))})
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
		n := r.writes.Load()
		time.Sleep(time.Hour)
		if r.writes.Load() != n {
			t.Errorf("a record that is kept was written %d times more", r.writes.Load()-n)
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

// No 202 for what is not on disk; and when the disk is well again, that is found out.
func TestDiskThatTakesNoMessages(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice"), r.phone("bob")
		r.eng.failing.Store(true)
		a.send(mail{body: "m0"})
		if got := a.next(); sipside.Status(got) != 503 || sipside.Header(got, "Retry-After") == "" {
			t.Errorf("a message for a full disk was answered %q", got)
		}
		time.Sleep(sweepEvery + time.Second)
		a.send(mail{body: "m1"})
		a.answer(202)
		b.takes("m1")
		r.eng.ops.Put(op{do: func(*inbox.Tx) {}, done: func(error) {
			if err := r.eng.store.Close(); err != nil {
				t.Error(err)
			}
		}})
		time.Sleep(time.Second)
		a.send(mail{body: "m2"})
		if got := a.next(); sipside.Status(got) != 503 || sipside.Header(got, "Retry-After") == "" {
			t.Errorf("a message that could not be kept was answered %q", got)
		}
		if !r.eng.Failing() {
			t.Error("no alarm")
		}
		b.quiet()
		before := r.lookups.Load()
		r.phone("bob")
		time.Sleep(time.Minute)
		if n := r.lookups.Load() - before; n > 60 {
			t.Errorf("a device that the disk does not take was looked for %d times in a minute", n)
		}
	})
}

// A file that cannot be opened stops messages, and what is passed on goes on.
func TestFileThatCannotBeOpened(t *testing.T) {
	run(t, func(r *rig) {
		r.stop()
		file := filepath.Join(r.dir, "chat.db")
		if err := errors.Join(os.Rename(file, file+".away"), os.Mkdir(file, 0o700)); err != nil {
			t.Fatal(err)
		}
		r.start()
		a, b := r.phone("alice"), r.phone("bob")
		a.send(mail{body: "m0"})
		a.answer(503)
		a.send(mail{body: "now", head: "Expires: 0\n"})
		b.takes("now")
		a.answer(200)
		if err := errors.Join(os.Remove(file), os.Rename(file+".away", file)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * sweepEvery)
		a.send(mail{body: "m1"})
		a.answer(202)
		b.takes("m1")
	})
}
