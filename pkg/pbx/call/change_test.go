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

// next returns SDP of another version.
func next(body, direction string) string {
	return strings.Replace(body, " 1 IN IP4", " 2 IN IP4", 1) + direction
}

func (r *rig) hangUp(one, two *phone) {
	r.t.Helper()
	one.request("BYE", "", "")
	one.expect("SIP/2.0 200")
	two.reply(two.expect("BYE"), 200, "", "")
}

func TestHoldAndResume(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.TCP)
		r.talk(a, b)
		a.request("INVITE", "Subject: Call on hold\n", next(sdpOf(a, 4000, ""), "a=sendonly\n"))
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE sip:bob@192.0.2.102:5060")
		if !strings.Contains(inv, "a=sendonly") || !strings.Contains(inv, "Subject: Call on hold") || !strings.Contains(inv, "To: \"Bob\" <sip:bob@pbx.test>;tag="+b.tag) {
			t.Errorf("%s", inv)
		}
		b.reply(inv, 200, "", next(sdpOf(b, 5000, ""), "a=recvonly\n"))
		b.expect("ACK")
		ok := a.expect("SIP/2.0 200")
		if !strings.Contains(ok, "a=recvonly") {
			t.Errorf("%s", ok)
		}
		a.ack(ok, "")
		if got := r.heard(); got != "192.0.2.101:4000/sendonly 192.0.2.102:5000/recvonly" {
			t.Errorf("heard: %s", got)
		}
		if v := r.eng.List(); v[0].State != ctl.CallHeld {
			t.Errorf("%+v", v)
		}
		a.request("INVITE", "", strings.Replace(sdpOf(a, 4000, ""), " 1 IN IP4", " 3 IN IP4", 1))
		a.expect("SIP/2.0 100")
		inv = b.expect("INVITE")
		b.reply(inv, 200, "", strings.Replace(sdpOf(b, 5000, ""), " 1 IN IP4", " 3 IN IP4", 1))
		b.expect("ACK")
		a.ack(a.expect("SIP/2.0 200"), "")
		if v := r.eng.List(); v[0].State != ctl.CallUp {
			t.Errorf("%+v", v)
		}
		r.hangUp(b, a)
		r.only()
		r.empty()
	})
}

func TestARefreshIsAnsweredByTheBox(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		r.talk(a, b)
		a.request("INVITE", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		a.ack(a.expect("SIP/2.0 200"), "")
		a.request("UPDATE", "", "")
		a.expect("SIP/2.0 200")
		b.quiet()
		r.hangUp(a, b)
		r.empty()
	})
}

func TestGlareIs491(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		r.talk(a, b)
		a.request("INVITE", "", next(sdpOf(a, 4000, ""), "a=sendonly\n"))
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		b.request("INVITE", "", next(sdpOf(b, 5000, ""), "a=sendonly\n"))
		b.ack(b.expect("SIP/2.0 491"), "")
		b.reply(inv, 491, "", "")
		b.expect("ACK")
		a.ack(a.expect("SIP/2.0 491"), "")
		if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.102:5000/sendrecv" {
			t.Errorf("a change that failed stays: %s", got)
		}
		r.hangUp(a, b)
		r.empty()
	})
}

func TestAddingVideoGivesItPorts(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		r.talk(a, b)
		video := "m=video %d RTP/AVP 97\na=rtpmap:97 VP8/90000\n"
		a.request("INVITE", "", next(sdpOf(a, 4000, ""), fmt.Sprintf(video, 4002)))
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		if !strings.Contains(inv, "m=audio 20002 ") || !strings.Contains(inv, "m=video 20") || strings.Contains(inv, "m=video 4002") {
			t.Errorf("%s", inv)
		}
		b.reply(inv, 200, "", next(sdpOf(b, 5000, ""), fmt.Sprintf(video, 5002)))
		b.expect("ACK")
		ok := a.expect("SIP/2.0 200")
		if !strings.Contains(ok, "m=audio 20000 ") || !strings.Contains(ok, "m=video 20") {
			t.Errorf("%s", ok)
		}
		a.ack(ok, "")
		r.hangUp(a, b)
		r.empty()
	})
}

func TestUpdateAndInfoAndOptions(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		r.talk(a, b)
		a.request("UPDATE", "", next(sdpOf(a, 4000, ""), "a=inactive\n"))
		up := b.expect("UPDATE")
		b.reply(up, 200, "", next(sdpOf(b, 5000, ""), "a=inactive\n"))
		if got := a.expect("SIP/2.0 200"); !strings.Contains(got, "a=inactive") {
			t.Errorf("%s", got)
		}
		info := func(kind string) {
			a.cseq++
			a.send(fmt.Sprintf("INFO %s SIP/2.0\n%sFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %d INFO\nContent-Type: %s\n\nSignal=5\n", a.target, a.via(), a.from, a.peer, a.callID, a.cseq, kind))
		}
		info("application/dtmf-relay") // both have telephone-event: it is in the RTP already
		a.expect("SIP/2.0 200")
		b.quiet()
		info("application/media_control+xml")
		got := b.expect("INFO")
		if !strings.Contains(got, "Content-Type: application/media_control+xml") || !strings.HasSuffix(got, "Signal=5\r\n") {
			t.Errorf("%s", got)
		}
		b.reply(got, 415, "", "")
		a.expect("SIP/2.0 415")
		a.request("OPTIONS", "", "")
		a.expect("SIP/2.0 200")
		a.request("SUBSCRIBE", "Event: x\n", "")
		a.expect("SIP/2.0 405")
		a.request("NOTIFY", "Event: talk\n", "")
		a.expect("SIP/2.0 481")
		b.quiet()
		r.hangUp(b, a)
		r.empty()
	})
}

func TestDTMFByInfoWhereRTPHasNone(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		plain := func(p *phone, port int) string {
			return strings.Replace(strings.Replace(sdpOf(p, port, ""), "a=rtpmap:101 telephone-event/8000\n", "", 1), " 0 101", " 0", 1)
		}
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		inv := b.expect("INVITE")
		b.reply(inv, 200, "", plain(b, 5000))
		b.expect("ACK")
		a.expect("SIP/2.0 100")
		a.ack(a.expect("SIP/2.0 200"), "")
		a.cseq++
		a.send(fmt.Sprintf("INFO %s SIP/2.0\n%sFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %d INFO\nContent-Type: application/dtmf-relay\n\nSignal=5\n", a.target, a.via(), a.from, a.peer, a.callID, a.cseq))
		b.reply(b.expect("INFO"), 200, "", "")
		a.expect("SIP/2.0 200")
		r.hangUp(a, b)
		r.empty()
	})
}

func TestOutOfOrderAndRepeatedRequests(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.UDP)
		r.talk(a, b)
		a.request("OPTIONS", "", "")
		first := a.expect("SIP/2.0 200")
		a.cseq--
		a.request("OPTIONS", "", "")
		if again := a.expect("SIP/2.0 200"); again != first {
			t.Errorf("a retransmission is answered otherwise")
		}
		a.cseq -= 2
		a.request("OPTIONS", "", "")
		a.expect("SIP/2.0 500")
		a.cseq += 5
		peer := a.peer
		a.peer = strings.Replace(peer, ";tag=", ";tag=x", 1)
		a.request("BYE", "", "")
		a.expect("SIP/2.0 481")
		a.peer = peer
		r.hangUp(a, b)
		r.empty()
	})
}

func TestAStrangerCannotTouchACall(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.UDP)
		r.talk(a, b)
		thief := r.phone("carol", 1000, edge.UDP)
		forged := func(extra string) string {
			return fmt.Sprintf("BYE %s SIP/2.0\n%sFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: 99 BYE\n%s", a.target, thief.via(), a.from, a.peer, a.callID, extra)
		}
		thief.send(forged("User-Agent: stranger\n")) // no credentials
		thief.expect("SIP/2.0 407")
		thief.send(strings.Replace(forged(""), "sip:alice@", "sip:carol@", 1)) // credentials of another
		thief.expect("SIP/2.0 403")
		b.quiet()
		if r.eng.Len() != 1 {
			t.Fatal("the call was ended by a stranger")
		}
		// alice's phone comes back from another address, with her credentials
		r.mu.Lock()
		delete(r.phones, a.flow.Remote)
		a.flow.Remote = box
		r.phones[box] = a
		r.mu.Unlock()
		a.request("OPTIONS", "", "")
		a.expect("SIP/2.0 200")
		b.request("BYE", "", "")
		b.expect("SIP/2.0 200")
		a.reply(a.expect("BYE"), 200, "", "")
		r.empty()
	})
}

func TestADialogFollowsADeviceToItsNewConnection(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		r.talk(a, b)
		r.mu.Lock()
		r.dead[b.flow.Remote] = true
		old := b.flow.Remote
		b.flow.Remote = box
		r.phones[box] = b
		for i := range r.bindings {
			if r.bindings[i].Remote == old {
				r.bindings[i].Remote = box
			}
		}
		r.mu.Unlock()
		a.request("BYE", "", "")
		a.expect("SIP/2.0 200")
		b.reply(b.expect("BYE"), 200, "", "")
		r.empty()
	})
}

func TestSessionTimers(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "Supported: timer\nSession-Expires: 60\n", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		if got := a.expect("SIP/2.0 422"); sipside.Header(got, "Min-SE") != "90" {
			t.Errorf("%s", got)
		} else {
			a.ack(got, "")
		}
		a.call("sip:bob@pbx.test", "Supported: timer\nSession-Expires: 100;refresher=uac\n", sdpOf(a, 4000, ""))
		inv := b.expect("INVITE")
		b.reply(inv, 200, "Session-Expires: 120;refresher=uac\nRequire: timer\n", sdpOf(b, 5000, ""))
		b.expect("ACK")
		a.expect("SIP/2.0 100")
		ok := a.expect("SIP/2.0 200")
		if sipside.Header(ok, "Session-Expires") != "100;refresher=uac" || sipside.Header(ok, "Require") != "timer" {
			t.Errorf("%s", ok)
		}
		a.ack(ok, "")
		time.Sleep(59 * time.Second)
		a.request("UPDATE", "Supported: timer\nSession-Expires: 100;refresher=uac\n", "")
		if got := a.expect("SIP/2.0 200"); sipside.Header(got, "Session-Expires") != "100;refresher=uac" {
			t.Errorf("%s", got)
		}
		time.Sleep(2 * time.Second) // half of 120 s: our turn towards bob
		up := b.expect("UPDATE")
		if sipside.Header(up, "Session-Expires") != "120;refresher=uac" || strings.Contains(up, "m=audio") {
			t.Errorf("%s", up)
		}
		b.reply(up, 200, "Session-Expires: 120;refresher=uac\n", "")
		b.quiet()
		time.Sleep(61 * time.Second)
		b.reply(b.expect("UPDATE"), 200, "Session-Expires: 120;refresher=uac\n", "")
		time.Sleep(10 * time.Second) // alice has not refreshed for 70 s of 100
		b.expect("BYE")
		if got := a.expect("BYE"); !strings.Contains(got, "not refreshed") {
			t.Errorf("%s", got)
		}
		r.mu.Lock()
		n := len(r.records)
		r.mu.Unlock()
		if n != 2 {
			t.Errorf("%d records", n)
		}
		r.empty()
	})
}

func TestADeadCallIsFound(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		r.talk(a, b)
		id := r.eng.List()[0].ID
		time.Sleep(10 * time.Minute)
		b.quiet()
		r.eng.Media(ctl.MediaEvent{Session: id, Leg: "m2", Kind: ctl.MediaSilent})
		time.Sleep(61 * time.Second)
		ask := b.expect("OPTIONS")
		a.quiet()
		b.reply(ask, 200, "", "") // it lives: it is muted
		time.Sleep(2 * time.Minute)
		b.expect("OPTIONS") // and answers no more
		time.Sleep(40 * time.Second)
		a.reply(a.expect("BYE"), 200, "", "")
		if rec := r.only(); rec.EndedBy != record.ByBox || !strings.Contains(rec.Cause, "callee") {
			t.Errorf("%+v", rec)
		}
		r.empty()
	})
}

func TestABlindTransfer(t *testing.T) {
	for _, byCallee := range []bool{true, false} {
		run(t, func(r *rig) {
			a, b, c := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.UDP), r.phone("carol", 1000, edge.TCP)
			r.talk(a, b)
			from, stay := b, a
			if !byCallee {
				from, stay = a, b
			}
			from.request("REFER", "Refer-To: sip:carol@pbx.test\nReferred-By: sip:"+from.user+"@pbx.test\n", "")
			from.expect("SIP/2.0 202")
			n := from.expect("NOTIFY")
			if !strings.HasSuffix(n, "SIP/2.0 100 Trying\r\n") || sipside.Header(n, "Event") != "refer" || !strings.HasPrefix(sipside.Header(n, "Subscription-State"), "active") {
				t.Errorf("%s", n)
			}
			from.reply(n, 200, "", "")
			inv := c.expect("INVITE")
			if !strings.Contains(inv, "<sip:"+stay.user+"@pbx.test>") || sipside.Header(inv, "Referred-By") != "<sip:"+from.user+"@pbx.test>" || !strings.Contains(inv, "m=audio 20004 ") {
				t.Errorf("%s", inv)
			}
			c.reply(inv, 180, "", "")
			n = from.expect("NOTIFY")
			from.reply(n, 200, "", "")
			c.reply(inv, 200, "", sdpOf(c, 6000, ""))
			c.expect("ACK")
			re := stay.expect("INVITE")
			stay.reply(re, 200, "", next(sdpOf(stay, map[string]int{"alice": 4000, "bob": 5000}[stay.user], ""), ""))
			stay.expect("ACK")
			n = from.expect("NOTIFY")
			if !strings.HasSuffix(n, "SIP/2.0 200 OK\r\n") || !strings.HasPrefix(sipside.Header(n, "Subscription-State"), "terminated") {
				t.Errorf("%s", n)
			}
			from.reply(n, 200, "", "")
			from.request("BYE", "", "")
			from.expect("SIP/2.0 200")
			if got, want := r.heard(), map[bool]string{true: "192.0.2.101:4000/sendrecv 192.0.2.103:6000/sendrecv", false: "192.0.2.102:5000/sendrecv 192.0.2.103:6000/sendrecv"}[byCallee]; got != want {
				t.Errorf("heard: %s, want %s", got, want)
			}
			c.request("BYE", "", "")
			c.expect("SIP/2.0 200")
			stay.reply(stay.expect("BYE"), 200, "", "")
			if rec := r.only(); len(rec.Legs) != 3 || rec.Legs[2].Role != record.RoleTarget || rec.Callee.User != "bob" {
				t.Errorf("%+v", rec)
			}
			r.empty()
		})
	}
}

func TestABlindTransferThatFails(t *testing.T) {
	for _, left := range []bool{false, true} {
		run(t, func(r *rig) {
			a, b, c := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.phone("carol", 1000, edge.TCP)
			r.talk(a, b)
			b.request("REFER", "Refer-To: <sip:carol@pbx.test>\n", "")
			b.expect("SIP/2.0 202")
			b.reply(b.expect("NOTIFY"), 200, "", "")
			inv := c.expect("INVITE")
			if left {
				b.request("BYE", "", "")
				b.expect("SIP/2.0 200")
				a.quiet()
			}
			c.reply(inv, 486, "", "")
			c.expect("ACK")
			if left {
				a.reply(a.expect("BYE"), 200, "", "")
				r.only()
			} else {
				n := b.expect("NOTIFY")
				if !strings.Contains(n, "SIP/2.0 486") {
					t.Errorf("%s", n)
				}
				b.reply(n, 200, "", "")
				a.quiet()
				if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.102:5000/sendrecv" {
					t.Errorf("heard: %s", got)
				}
				b.request("REFER", "Refer-To: <sip:nobody@pbx.test>\n", "")
				b.expect("SIP/2.0 202")
				b.reply(b.expect("NOTIFY"), 200, "", "")
				if n := b.expect("NOTIFY"); !strings.Contains(n, "SIP/2.0 404") {
					t.Errorf("%s", n)
				} else {
					b.reply(n, 200, "", "")
				}
				r.hangUp(a, b)
			}
			r.empty()
		})
	}
}

// consult makes b hold a call with a and call c.
func (r *rig) consult(b, c *phone) (first, second phone) {
	r.t.Helper()
	first = *b
	b.cseq += 100
	b.call("sip:"+c.user+"@pbx.test", "", sdpOf(b, 5002, ""))
	b.expect("SIP/2.0 100")
	inv := c.expect("INVITE")
	c.reply(inv, 200, "", sdpOf(c, 6000, ""))
	c.expect("ACK")
	b.ack(b.expect("SIP/2.0 200"), "")
	return first, *b
}

func (p *phone) dialog(other phone) {
	p.cseq, p.callID, p.from, p.peer, p.target = other.cseq+200, other.callID, other.from, other.peer, other.target
}

func tagOf(address string) string {
	_, tag, _ := strings.Cut(address, ";tag=")
	return tag
}

func TestAnAttendedTransfer(t *testing.T) {
	run(t, func(r *rig) {
		a, b, c := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.phone("carol", 1000, edge.TCP)
		r.talk(a, b)
		first, second := r.consult(b, c)
		b.dialog(first)
		replaces := fmt.Sprintf("%s%%3bfrom-tag%%3d%s%%3bto-tag%%3d%s", second.callID, tagOf(second.from), tagOf(second.peer))
		b.request("REFER", "Refer-To: <sip:carol@pbx.test?Replaces="+replaces+">\n", "")
		b.expect("SIP/2.0 202")
		n := b.take()
		bye := b.take()
		if strings.HasPrefix(n, "BYE") {
			n, bye = bye, n
		}
		b.reply(n, 200, "", "")
		b.dialog(second)
		b.reply(bye, 200, "", "") // the consultation is over
		re := c.expect("INVITE")
		if !strings.Contains(re, "m=audio 20004 ") && !strings.Contains(re, "m=audio 20008 ") {
			t.Errorf("%s", re)
		}
		c.reply(re, 200, "", next(sdpOf(c, 6000, ""), ""))
		c.expect("ACK")
		re = a.expect("INVITE")
		a.reply(re, 200, "", next(sdpOf(a, 4000, ""), ""))
		a.expect("ACK")
		n = b.expect("NOTIFY")
		if !strings.HasSuffix(n, "SIP/2.0 200 OK\r\n") {
			t.Errorf("%s", n)
		}
		b.reply(n, 200, "", "")
		time.Sleep(leaveTime + time.Second) // bob's phone does not hang up by itself
		b.reply(b.expect("BYE"), 200, "", "")
		if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.103:6000/sendrecv" {
			t.Errorf("heard: %s", got)
		}
		c.request("BYE", "", "")
		c.expect("SIP/2.0 200")
		a.reply(a.expect("BYE"), 200, "", "")
		r.mu.Lock()
		recs := r.records
		r.mu.Unlock()
		if len(recs) != 2 || recs[0].Cause != "transferred" || len(recs[0].Legs) != 2 || len(recs[1].Legs) != 3 {
			t.Errorf("%+v", recs)
		}
		r.empty()
	})
}

func TestAnAttendedTransferToSomebodyWhoStillRings(t *testing.T) {
	run(t, func(r *rig) {
		a, b, c := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.phone("carol", 1000, edge.TCP)
		r.talk(a, b)
		first := *b
		b.cseq += 100
		b.call("sip:carol@pbx.test", "", sdpOf(b, 5002, ""))
		b.expect("SIP/2.0 100")
		inv := c.expect("INVITE")
		c.reply(inv, 180, "", "")
		prog := b.expect("SIP/2.0 180")
		second := *b
		b.dialog(first)
		b.request("REFER", fmt.Sprintf("Refer-To: <sip:carol@pbx.test?Replaces=%s%%3Bto-tag%%3D%s%%3Bfrom-tag%%3D%s>\n", second.callID, tagOf(sipside.Header(prog, "To")), tagOf(second.from)), "")
		b.expect("SIP/2.0 202")
		var fin string
		for m := b.take(); m != ""; m = b.take() {
			if strings.HasPrefix(m, "NOTIFY") {
				b.reply(m, 200, "", "")
			} else {
				fin = m
			}
		}
		if sipside.Status(fin) != 487 {
			t.Fatalf("%q", fin)
		}
		mine := *b
		b.dialog(second)
		b.cseq = second.cseq
		b.ack(fin, "")
		b.dialog(mine)
		cancel := c.expect("CANCEL")
		c.reply(cancel, 200, "", "")
		c.reply(inv, 487, "", "")
		var again string
		for m := c.take(); m != ""; m = c.take() {
			if strings.HasPrefix(m, "INVITE") {
				again = m
			}
		}
		c.reply(again, 200, "", sdpOf(c, 6000, ""))
		c.expect("ACK")
		a.reply(a.expect("INVITE"), 200, "", next(sdpOf(a, 4000, ""), ""))
		a.expect("ACK")
		if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.103:6000/sendrecv" {
			t.Errorf("heard: %s", got)
		}
		a.request("BYE", "", "")
		c.reply(c.expect("BYE"), 200, "", "")
		for m := b.take(); m != ""; m = b.take() {
			b.reply(m, 200, "", "")
		}
		r.empty()
	})
}

func TestAnInviteThatReplaces(t *testing.T) {
	run(t, func(r *rig) {
		a, b, d := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.phone("dave", 1000, edge.TCP)
		r.talk(a, b)
		// dave takes bob's place
		d.call("sip:alice@pbx.test", fmt.Sprintf("Require: replaces\nReplaces: %s;to-tag=%s;from-tag=%s\n", b.callID, tagOf(b.peer), tagOf(b.from)), sdpOf(d, 7000, ""))
		d.expect("SIP/2.0 100")
		b.reply(b.expect("BYE"), 200, "", "")
		re := a.expect("INVITE")
		a.reply(re, 200, "", next(sdpOf(a, 4000, ""), ""))
		a.expect("ACK")
		ok := d.expect("SIP/2.0 200")
		d.ack(ok, "")
		if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.103:7000/sendrecv" {
			t.Errorf("heard: %s", got)
		}
		a.request("BYE", "", "")
		a.expect("SIP/2.0 200")
		d.reply(d.expect("BYE"), 200, "", "")
		d.call("sip:alice@pbx.test", "Replaces: nothing;to-tag=1;from-tag=2\n", sdpOf(d, 7000, ""))
		d.expect("SIP/2.0 100")
		d.ack(d.expect("SIP/2.0 481"), "")
		r.empty()
	})
}

func TestCallsOutliveARestart(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.UDP)
		c, d := r.phone("carol", 1000, edge.UDP), r.phone("dave", 1000, edge.UDP)
		r.talk(a, b)
		c.call("sip:dave@pbx.test", "", sdpOf(c, 6000, "")) // this one still rings
		c.expect("SIP/2.0 100")
		inv := d.expect("INVITE")
		d.reply(inv, 180, "", "")
		c.expect("SIP/2.0 180")
		before := r.relay.len()

		r.restart()
		if len(r.eng.List()) == 0 || r.relay.len() != before-1 {
			t.Errorf("%d live calls, %d sessions", len(r.eng.List()), r.relay.len())
		}
		cancel := d.expect("CANCEL")
		if sipside.Header(cancel, "Via") != sipside.Header(inv, "Via") {
			t.Errorf("%s", cancel)
		}
		d.reply(cancel, 200, "", "")
		d.reply(inv, 487, "", "")
		d.expect("ACK")
		c.ack(c.expect("SIP/2.0 500"), "")

		a.request("INVITE", "", next(sdpOf(a, 4000, ""), "a=sendonly\n")) // and goes on as if nothing had been
		a.expect("SIP/2.0 100")
		re := b.expect("INVITE")
		if seq := sipside.Header(re, "CSeq"); seq != "2 INVITE" {
			t.Errorf("CSeq %s", seq)
		}
		b.reply(re, 200, "", next(sdpOf(b, 5000, ""), "a=recvonly\n"))
		b.expect("ACK")
		a.ack(a.expect("SIP/2.0 200"), "")
		r.restart()
		time.Sleep(time.Minute)
		r.hangUp(b, a)
		r.mu.Lock()
		recs := map[string]record.Call{} // a record that a restart found unfinished comes again, with the same id
		for _, rec := range r.records {
			recs[rec.Caller.User] = rec
		}
		ids := map[string]bool{}
		for _, rec := range r.records {
			ids[rec.ID] = true
		}
		r.mu.Unlock()
		if len(ids) != 2 {
			t.Fatalf("records of %d calls, want 2", len(ids))
		}
		if rec := recs["alice"]; rec.Duration < time.Minute || rec.EndedBy != record.ByCallee || rec.Caller.User != "alice" || len(rec.Legs) != 2 || rec.Dialed != "bob" {
			t.Errorf("%+v", rec)
		}
		r.empty()
		r.restart()
		if n := r.eng.Len(); n != 0 {
			t.Errorf("%d calls came back that were over", n)
		}
	})
}

func TestAdminsEndCalls(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		r.talk(a, b)
		if r.eng.HangUp("nothing", "root") {
			t.Error("a call that is not there was ended")
		}
		if !r.eng.HangUp(r.eng.List()[0].ID, "root") {
			t.Error("the call is not found")
		}
		a.reply(a.expect("BYE"), 200, "", "")
		b.reply(b.expect("BYE"), 200, "", "")
		if rec := r.only(); rec.EndedBy != record.ByAdmin || rec.Admin != "root" {
			t.Errorf("%+v", rec)
		}
		r.records = nil
		r.talk(a, b)
		r.eng.EndUser("id-bob")
		a.reply(a.expect("BYE"), 200, "", "")
		b.reply(b.expect("BYE"), 200, "", "")
		r.only()
		r.empty()
	})
}

// A message within a call is one between its users; it may come again before it was answered.
func TestMessageWithinACall(t *testing.T) {
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.TCP)
		r.talk(a, b)
		a.request("MESSAGE", "Content-Type: text/plain\n\nhello", "")
		a.expect("SIP/2.0 202")
		a.cseq--
		a.request("MESSAGE", "Content-Type: text/plain\n\nhello", "")
		a.expect("SIP/2.0 202")
		b.request("MESSAGE", "Content-Type: text/plain\n\nback", "")
		b.expect("SIP/2.0 202")
		if got := strings.Join(r.messages, ", "); got != "id-alice id-bob hello, id-alice id-bob hello, id-bob id-alice back" {
			t.Errorf("chat got %s", got)
		}
		r.hangUp(b, a)
		r.empty()
	})
}
