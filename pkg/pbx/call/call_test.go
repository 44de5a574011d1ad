package call

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

func TestACallFromRingToBye(t *testing.T) {
	for _, tr := range []edge.Transport{edge.UDP, edge.TCP} {
		for _, callerEnds := range []bool{true, false} {
			run(t, func(r *rig) {
				a, b := r.phone("alice", 1000, tr), r.phone("bob", 1000, tr)
				a.call("sip:102@pbx.test", "Subject: lunch\n", sdpOf(a, 4000, "a=candidate:1 1 UDP 1 192.0.2.99 4000 typ host\n"))
				a.expect("SIP/2.0 100")
				inv := b.expect("INVITE sip:bob@192.0.2.102:5060 SIP/2.0")
				for _, want := range []string{
					"From: \"Alice\" <sip:alice@pbx.test>;tag=", "To: \"Bob\" <sip:bob@pbx.test>\r\n", "Subject: lunch\r\n", "Max-Forwards: 69\r\n",
					"P-Asserted-Identity: \"Alice\" <sip:alice@pbx.test>\r\n", "c=IN IP4 192.0.2.10\r\n", "m=audio 20002 RTP/AVP 0 101\r\n",
				} {
					if !strings.Contains(inv, want) {
						t.Errorf("the INVITE lacks %q:\n%s", want, inv)
					}
				}
				if strings.Contains(inv, "candidate") || strings.Contains(inv, "192.0.2.101") {
					t.Errorf("the INVITE leads around the box:\n%s", inv)
				}
				b.reply(inv, 100, "", "")
				time.Sleep(time.Second)
				b.reply(inv, 180, "", "")
				a.expect("SIP/2.0 180")
				time.Sleep(3 * time.Second)
				b.reply(inv, 200, "", sdpOf(b, 5000, ""))
				b.expect("ACK sip:bob@192.0.2.102:5060 ")
				ok := a.expect("SIP/2.0 200")
				if !strings.Contains(ok, "m=audio 20000 RTP/AVP") || !strings.Contains(ok, "c=IN IP4 192.0.2.10\r\n") {
					t.Errorf("the answer: %s", ok)
				}
				a.ack(ok, "")
				if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.102:5000/sendrecv" {
					t.Errorf("heard: %s", got)
				}
				if v := r.eng.List(); len(v) != 1 || v[0].State != ctl.CallUp || v[0].Caller.User != "alice" || v[0].Callee.User != "bob" || v[0].Codecs[0] != "PCMU" {
					t.Errorf("live: %+v", v)
				}
				time.Sleep(10 * time.Second)
				one, two, by := a, b, record.ByCaller
				if !callerEnds {
					one, two, by = b, a, record.ByCallee
				}
				one.request("BYE", "Reason: SIP;cause=200;text=\"bye\"\n", "")
				one.expect("SIP/2.0 200")
				bye := two.expect("BYE")
				if sipside.Header(bye, "Reason") == "" {
					t.Error("the reason is lost")
				}
				two.reply(bye, 200, "", "")
				rec := r.only()
				if rec.Status != record.CallAnswered || rec.EndedBy != by || rec.Duration != 10*time.Second || rec.Ring.Sub(rec.Start) != time.Second ||
					rec.Answer.Sub(rec.Start) != 4*time.Second || rec.Dialed != "102" || rec.Caller.User != "alice" || rec.Callee.User != "bob" ||
					len(rec.Legs) != 2 || rec.Legs[0].Role != record.RoleCaller || len(rec.Legs[0].Streams) != 1 || rec.MOS != 4.2 || rec.Codecs[0] != "PCMU" {
					t.Errorf("record: %+v", rec)
				}
				r.empty()
			})
		}
	}
}

func TestLostDatagramsAreSentAgain(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.UDP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		first := b.expect("INVITE")
		b.quiet()
		time.Sleep(600 * time.Millisecond)
		if again := b.expect("INVITE"); again != first {
			t.Errorf("the INVITE changed:\n%s\n%s", first, again)
		}
		a.send(a.hello + contentType(sdpOf(a, 4000, ""))) // the caller's again
		a.expect("SIP/2.0 100")
		b.reply(first, 180, "", "")
		a.expect("SIP/2.0 180")
		time.Sleep(5 * time.Second)
		b.quiet()
		b.reply(first, 200, "", sdpOf(b, 5000, ""))
		ack := b.expect("ACK")
		b.reply(first, 200, "", sdpOf(b, 5000, "")) // our ACK was lost
		if again := b.expect("ACK"); again != ack {
			t.Error("the ACK changed")
		}
		ok := a.expect("SIP/2.0 200")
		time.Sleep(2 * time.Second) // after 0.5 and 1.5 s
		a.expect("SIP/2.0 200")
		a.expect("SIP/2.0 200")
		a.ack(ok, "")
		time.Sleep(10 * time.Second)
		a.quiet()
		a.request("BYE", "", "")
		a.expect("SIP/2.0 200")
		bye := b.expect("BYE")
		time.Sleep(600 * time.Millisecond)
		b.expect("BYE")
		b.reply(bye, 200, "", "")
		r.only()
		r.empty()
	})
}

func TestACallerWhoNeverAcknowledges(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		inv := b.expect("INVITE")
		b.reply(inv, 200, "", sdpOf(b, 5000, ""))
		b.expect("ACK")
		time.Sleep(33 * time.Second)
		b.expect("BYE")
		if rec := r.only(); rec.EndedBy != record.ByBox || !strings.Contains(rec.Cause, "acknowledge") {
			t.Errorf("%+v", rec)
		}
		r.empty()
	})
}

func TestRefusals(t *testing.T) {
	for code, want := range map[int]struct {
		code   int
		status string
	}{
		486: {486, record.CallBusy}, 603: {603, record.CallDeclined}, 600: {600, record.CallBusy}, 488: {488, record.CallFailed},
		480: {480, record.CallOffline}, 503: {480, record.CallOffline}, 401: {480, record.CallOffline},
	} {
		run(t, func(r *rig) {
			a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.UDP)
			a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
			a.expect("SIP/2.0 100")
			inv := b.expect("INVITE")
			b.reply(inv, 180, "", "")
			a.expect("SIP/2.0 180")
			b.reply(inv, code, "", "")
			ack := b.expect("ACK")
			if sipside.Header(ack, "Via") != sipside.Header(inv, "Via") {
				t.Error("the ACK of a failure is not of the transaction")
			}
			fin := a.expect(fmt.Sprintf("SIP/2.0 %d", want.code))
			time.Sleep(600 * time.Millisecond)
			a.expect(fmt.Sprintf("SIP/2.0 %d", want.code))
			a.ack(fin, "")
			if rec := r.only(); rec.Status != want.status || rec.Code != want.code || rec.Duration != 0 {
				t.Errorf("%d: %+v", code, rec)
			}
			r.empty()
		})
	}
}

func TestNobodyIsThere(t *testing.T) {
	for target, want := range map[string]int{"sip:carol@pbx.test": 480, "sip:nobody@pbx.test": 404, "sip:bob@elsewhere.test": 404, "sip:bob@pbx.test;gr=urn:uuid:gone": 480} {
		run(t, func(r *rig) {
			a := r.phone("alice", 1000, edge.TCP)
			r.phone("bob", 1000, edge.TCP)
			a.call(target, "", sdpOf(a, 4000, ""))
			a.expect("SIP/2.0 100")
			fin := a.expect(fmt.Sprintf("SIP/2.0 %d", want))
			a.ack(fin, "")
			r.only()
			r.empty()
		})
	}
}

func TestCancel(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.UDP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		cancel := strings.ReplaceAll(a.hello, "INVITE", "CANCEL") + "Reason: SIP;cause=487\n"
		a.send(cancel)
		a.expect("SIP/2.0 200")
		fin := a.expect("SIP/2.0 487")
		a.ack(fin, "")
		b.quiet() // RFC 3261 §9.1: not before the callee has answered at all
		b.reply(inv, 180, "", "")
		got := b.expect("CANCEL")
		if sipside.Header(got, "Via") != sipside.Header(inv, "Via") || strings.Contains(sipside.Header(got, "To"), "tag=") || sipside.Header(got, "Reason") == "" {
			t.Errorf("CANCEL: %s", got)
		}
		b.reply(got, 200, "", "")
		b.reply(inv, 487, "", "")
		b.expect("ACK")
		if rec := r.only(); rec.Status != record.CallCancelled || rec.EndedBy != record.ByCaller {
			t.Errorf("%+v", rec)
		}
		r.empty()
	})
}

func TestACalleeWhoAnswersACancelledCallIsHungUp(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		inv := b.expect("INVITE")
		b.reply(inv, 180, "", "")
		a.send(strings.ReplaceAll(a.hello, "INVITE", "CANCEL"))
		b.expect("CANCEL")
		b.reply(inv, 200, "", sdpOf(b, 5000, ""))
		b.expect("ACK")
		bye := b.expect("BYE")
		b.reply(bye, 200, "", "")
		r.only()
		r.empty()
	})
}

func TestAllDevicesRingAndOneAnswers(t *testing.T) {
	run(t, func(r *rig) {
		a, b1, b2, b3 := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.phone("bob", 1000, edge.UDP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		i1, i2, i3 := b1.expect("INVITE"), b2.expect("INVITE"), b3.expect("INVITE")
		b1.reply(i1, 180, "", "")
		b2.reply(i2, 180, "", "")
		a.expect("SIP/2.0 180")
		a.quiet()
		b3.reply(i3, 486, "", "") // one is busy: the others go on
		b3.expect("ACK")
		a.quiet()
		late := r.phone("bob", 1000, edge.TCP) // one more registers meanwhile
		i4 := late.expect("INVITE")
		late.reply(i4, 200, "", sdpOf(late, 5004, ""))
		late.expect("ACK")
		ok := a.expect("SIP/2.0 200")
		a.ack(ok, "")
		for i, p := range []*phone{b1, b2} {
			got := p.expect("CANCEL")
			if want := `SIP;cause=200;text="Call completed elsewhere"`; sipside.Header(got, "Reason") != want {
				t.Errorf("Reason %q, want %q", sipside.Header(got, "Reason"), want)
			}
			p.reply(got, 200, "", "")
			p.reply([]string{i1, i2}[i], 487, "", "")
			p.expect("ACK")
		}
		if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.105:5004/sendrecv" {
			t.Errorf("heard: %s", got)
		}
		a.request("BYE", "", "")
		late.reply(late.expect("BYE"), 200, "", "")
		rec := r.only()
		if len(rec.Legs) != 5 || rec.Legs[1].Cause != "answered elsewhere" || rec.Legs[3].Code != 486 {
			t.Errorf("%+v", rec.Legs)
		}
		r.empty()
	})
}

func TestADeclineEndsAllAndDevicesOfLowerQRingLater(t *testing.T) {
	run(t, func(r *rig) {
		a, b1, b2 := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.phone("bob", 500, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		i1 := b1.expect("INVITE")
		b1.reply(i1, 180, "", "")
		b2.quiet()
		time.Sleep(groupTime + time.Second)
		i2 := b2.expect("INVITE")
		b2.reply(i2, 180, "", "")
		b2.reply(i2, 603, "", "")
		got := b1.expect("CANCEL")
		if sipside.Header(got, "Reason") != "SIP;cause=603" {
			t.Errorf("Reason %q", sipside.Header(got, "Reason"))
		}
		b1.reply(got, 200, "", "")
		b1.reply(i1, 487, "", "")
		a.expect("SIP/2.0 100")
		a.expect("SIP/2.0 180")
		a.ack(a.expect("SIP/2.0 603"), "")
		if rec := r.only(); rec.Status != record.CallDeclined {
			t.Errorf("%+v", rec)
		}
		r.empty()
	})
}

func TestItRingsInVain(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		inv := b.expect("INVITE")
		b.reply(inv, 180, "", "")
		time.Sleep(ringTime + time.Second)
		b.expect("CANCEL")
		b.reply(inv, 487, "", "")
		a.expect("SIP/2.0 100")
		a.expect("SIP/2.0 180")
		a.ack(a.expect("SIP/2.0 408"), "")
		if rec := r.only(); rec.Status != record.CallNoAnswer {
			t.Errorf("%+v", rec)
		}
		r.empty()
	})
}

func TestADeviceThatIsGone(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.UDP)
		b.deaf = true
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		time.Sleep(timerB + time.Second)
		a.expect("SIP/2.0 100")
		a.ack(a.expect("SIP/2.0 408"), "")
		r.only()
		r.empty()
	})
}

func TestARedirectionIsFollowedByTheBox(t *testing.T) {
	run(t, func(r *rig) {
		a, b, c := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.phone("carol", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		b.send(strings.Replace(strings.Replace("SIP/2.0 302 Moved\nVia: V\nFrom: F\nTo: T;tag=x\nCall-ID: I\nCSeq: 1 INVITE\nContact: sip:carol@pbx.test\n",
			"V", sipside.Header(inv, "Via"), 1), "F", sipside.Header(inv, "From"), 1)[:0] + "SIP/2.0 302 Moved\nVia: " + sipside.Header(inv, "Via") +
			"\nFrom: " + sipside.Header(inv, "From") + "\nTo: " + sipside.Header(inv, "To") + ";tag=x\nCall-ID: " + sipside.Header(inv, "Call-ID") + "\nCSeq: 1 INVITE\nContact: sip:carol@pbx.test\n")
		b.expect("ACK")
		a.expect("SIP/2.0 181")
		i2 := c.expect("INVITE")
		c.reply(i2, 200, "", sdpOf(c, 5000, ""))
		c.expect("ACK")
		a.ack(a.expect("SIP/2.0 200"), "")
		c.request("BYE", "", "")
		a.reply(a.expect("BYE"), 200, "", "")
		if rec := r.only(); rec.Callee.User != "carol" || rec.Dialed != "bob" || len(rec.Legs) != 3 {
			t.Errorf("%+v", rec)
		}
		r.empty()
	})
}

func TestARedirectionInACircleEnds(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		for range maxRedirects + 1 {
			inv := b.expect("INVITE")
			b.send("SIP/2.0 302 Moved\nVia: " + sipside.Header(inv, "Via") + "\nFrom: " + sipside.Header(inv, "From") + "\nTo: " + sipside.Header(inv, "To") +
				";tag=x\nCall-ID: " + sipside.Header(inv, "Call-ID") + "\nCSeq: 1 INVITE\nContact: <sip:bob@pbx.test>\n")
			b.expect("ACK")
		}
		for m := a.take(); ; m = a.take() {
			if sipside.Status(m) == 480 {
				a.ack(m, "")
				break
			}
			if m == "" {
				t.Fatal("no final response")
			}
		}
		r.empty()
	})
}

func TestEarlyMedia(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		b.reply(inv, 183, "", sdpOf(b, 5000, ""))
		if got := a.expect("SIP/2.0 183"); !strings.Contains(got, "m=audio 20000 ") {
			t.Errorf("%s", got)
		}
		if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.102:5000/sendrecv" {
			t.Errorf("heard: %s", got)
		}
		b.reply(inv, 200, "", sdpOf(b, 5000, ""))
		b.expect("ACK")
		a.ack(a.expect("SIP/2.0 200"), "")
		a.request("BYE", "", "")
		b.reply(b.expect("BYE"), 200, "", "")
		r.only()
		r.empty()
	})
}

func TestReliableProvisionalResponses(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.UDP)
		a.call("sip:bob@pbx.test", "Supported: 100rel\n", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		if !strings.Contains(inv, "Supported: 100rel") {
			t.Errorf("%s", inv)
		}
		b.reply(inv, 183, "Require: 100rel\nRSeq: 7\n", sdpOf(b, 5000, ""))
		p := b.expect("PRACK")
		if sipside.Header(p, "RAck") != "7 1 INVITE" {
			t.Errorf("RAck %q", sipside.Header(p, "RAck"))
		}
		b.reply(p, 200, "", "")
		prog := a.expect("SIP/2.0 183")
		if sipside.Header(prog, "Require") != "100rel" {
			t.Errorf("%s", prog)
		}
		time.Sleep(600 * time.Millisecond)
		a.expect("SIP/2.0 183") // not acknowledged yet
		b.reply(inv, 200, "", "")
		b.expect("ACK")
		a.quiet() // RFC 3262 §3: the 200 waits for the PRACK
		a.learnDialog(prog)
		a.request("PRACK", "RAck: 999 1 INVITE\n", "")
		a.expect("SIP/2.0 481")
		a.request("PRACK", "RAck: "+sipside.Header(prog, "RSeq")+" 1 INVITE\n", "")
		a.expect("SIP/2.0 200")
		ok := a.expect("SIP/2.0 200")
		if !strings.Contains(ok, "INVITE") || !strings.Contains(ok, "m=audio 20000 ") {
			t.Errorf("%s", ok)
		}
		seq := a.cseq
		a.cseq = 1
		a.ack(ok, "")
		a.cseq = seq
		a.request("BYE", "", "")
		a.expect("SIP/2.0 200")
		b.reply(b.expect("BYE"), 200, "", "")
		r.only()
		r.empty()
	})
}

func TestDelayedOffer(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", "")
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		if strings.Contains(inv, "m=audio") || strings.Contains(inv, "100rel") {
			t.Errorf("%s", inv)
		}
		b.reply(inv, 200, "", sdpOf(b, 5000, ""))
		b.quiet() // its ACK waits for the caller's answer
		ok := a.expect("SIP/2.0 200")
		a.ack(ok, sdpOf(a, 4000, ""))
		if ack := b.expect("ACK"); !strings.Contains(ack, "m=audio 20000 ") {
			t.Errorf("%s", ack)
		}
		if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.102:5000/sendrecv" {
			t.Errorf("heard: %s", got)
		}
		b.request("BYE", "", "")
		a.reply(a.expect("BYE"), 200, "", "")
		r.only()
		r.empty()
	})
}

func TestNoNewCallsBeforeARestart(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		r.eng.Refuse(time.Now().Add(time.Minute))
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		if got := a.expect("SIP/2.0 503"); sipside.Header(got, "Retry-After") == "" {
			t.Errorf("%s", got)
		} else {
			a.ack(got, "")
		}
		b.quiet()
		time.Sleep(2 * time.Minute)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		b.expect("INVITE")
	})
}

func TestMediaIsDown(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		r.relay.down = true
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		if got := a.expect("SIP/2.0 503"); sipside.Header(got, "Retry-After") == "" {
			t.Errorf("%s", got)
		} else {
			a.ack(got, "")
		}
		b.quiet()
		r.only()
		r.empty()
	})
}

func TestBadOffersAndAnswers(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", "v=0\nnonsense\n")
		a.expect("SIP/2.0 100")
		got := a.expect("SIP/2.0 488")
		if !strings.Contains(got, "Warning: 399") {
			t.Errorf("%s", got)
		}
		a.ack(got, "")
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		inv := b.expect("INVITE")
		b.reply(inv, 200, "", strings.Replace(sdpOf(b, 5000, ""), "m=audio", "m=audio 6000 RTP/AVP 0\nm=audio", 1))
		b.expect("ACK")
		b.reply(b.expect("BYE"), 200, "", "")
		a.expect("SIP/2.0 100")
		a.ack(a.expect("SIP/2.0 488"), "")
		r.empty()
	})
}

func TestLoopsAndMergedRequests(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		hello := a.hello
		a.send(strings.Replace(hello, "z9hG4bK-", "z9hG4bK-other", 1) + contentType(sdpOf(a, 4000, "")))
		a.expect("SIP/2.0 482") // RFC 3261 §8.2.2.2
		// bob's phone sends the call back to bob
		b.call("sip:bob@pbx.test", "Via: "+sipside.Header(inv, "Via")+"\n", sdpOf(b, 5000, ""))
		b.expect("SIP/2.0 100")
		b.ack(b.expect("SIP/2.0 482"), "")
		b.reply(inv, 486, "", "")
		a.ack(a.expect("SIP/2.0 486"), "")
		r.empty()
	})
}

func TestMediaOfAnotherIPVersionThanSignalling(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		six := strings.ReplaceAll(strings.ReplaceAll(sdpOf(a, 4000, ""), "IN IP4", "IN IP6"), "192.0.2.101", "2001:db8::7")
		a.call("sip:bob@pbx.test", "", six)
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		if !strings.Contains(inv, "c=IN IP4 192.0.2.10\r\n") {
			t.Errorf("%s", inv)
		}
		b.reply(inv, 200, "", sdpOf(b, 5000, ""))
		b.expect("ACK")
		ok := a.expect("SIP/2.0 200")
		if !strings.Contains(ok, "c=IN IP6 2001:db8::10\r\n") {
			t.Errorf("%s", ok)
		}
		a.ack(ok, "")
		r.hangUp(a, b)
		r.empty()
	})
}
