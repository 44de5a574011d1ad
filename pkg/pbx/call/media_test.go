package call

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// upWith sets a call up between an offer and an answer, and returns the INVITE that the callee got and
// the answer that the caller got.
func (r *rig) upWith(a, b *phone, offer, answer string) (inv, ok string) {
	r.t.Helper()
	a.call("sip:"+b.user+"@"+domain, "", offer)
	a.expect("SIP/2.0 100")
	inv = b.expect("INVITE")
	b.reply(inv, 200, "", answer)
	b.expect("ACK")
	ok = a.expect("SIP/2.0 200")
	a.ack(ok, "")
	return inv, ok
}

func version(body, from, to string) string {
	return strings.Replace(body, " "+from+" IN IP4", " "+to+" IN IP4", 1)
}

// A browser's offer is answered with one port, one certificate and one set of credentials; the phone
// that it calls sees none of it.
func TestABrowserCallsAPhone(t *testing.T) {
	text, err := os.ReadFile("../../sip/sdp/testdata/chromium-offer.sdp")
	if err != nil {
		t.Fatal(err)
	}
	offer := strings.ReplaceAll(string(text), "\r\n", "\n")
	run(t, func(r *rig) {
		r.site(wants(ctl.EncryptionPreferred, "dtls", "sdes"))
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", offer)
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		r.has(inv, "m=audio 20004 UDP/TLS/RTP/SAVPF 111 63 9 0 8", "!BUNDLE", "!a=mid", "!sdes:mid", "!rtcp-mux\r\n", "!a=ice-", "!a=candidate", "!sendonly", "!inactive")
		b.reply(inv, 488, "", "")
		b.expect("ACK")
		r.has(b.expect("INVITE"), " RTP/SAVPF ")
		b.reply(b.invite, 488, "", "")
		b.expect("ACK")
		r.has(b.expect("INVITE"), " RTP/AVPF ")
		b.reply(b.invite, 200, "", codecs(sdpOf(b, 5000, "m=video 5002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n"), "0 126", "a=rtpmap:126 telephone-event/8000"))
		b.expect("ACK")
		ok := a.expect("SIP/2.0 200")
		r.has(ok, "a=group:BUNDLE 0 1\r\n", "a=ice-lite\r\n", "UDP/TLS/RTP/SAVPF 0 126\r\n", "a=setup:passive\r\n", "a=fingerprint:sha-256 BB:", "a=mid:0\r\n", "a=mid:1\r\n", "a=rtcp-mux\r\n",
			"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n", "a=candidate:box 1 UDP 2130706431 192.0.2.10 20000 typ host\r\n", "!a=candidate:box 2", "!a=rtcp:")
		a.ack(ok, "")
		at, bt := r.leg(9), r.leg(5000)
		if !at.Ours.Bundle || !at.Ours.Mux || at.Ours.ICE != ctl.ICELite || at.Streams[1].BundleOn != 1 || at.Streams[0].BundleOn != 0 || at.Streams[1].MID != "1" ||
			at.Streams[0].MIDExt != 4 || len(at.Streams[0].SSRCs) != 1 || !at.Streams[0].Feedback {
			t.Errorf("%+v", at)
		}
		if bt.Ours.Bundle || bt.Ours.Mux || bt.Streams[1].BundleOn != 0 {
			t.Errorf("%+v", bt)
		}
		r.hangUp(a, b)
		time.Sleep(time.Second)
		inv, _ = r.upWith(b, a, sdpOf(b, 5100, ""), strings.Replace(offer[:strings.Index(offer, "m=video")], "actpass", "active", 1)) // now she is known
		r.has(inv, "a=group:BUNDLE 0\r\n", "UDP/TLS/RTP/SAVPF", "a=rtcp-mux\r\n", "a=ice-lite\r\n", "a=mid:0\r\n", "a=setup:actpass\r\n", "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n")
		r.hangUp(a, b)
		r.empty()
	})
}

// Keys change with an offer of their owner; the other side hears nothing of it.
func TestKeysAreChangedByAnOffer(t *testing.T) {
	run(t, func(r *rig) {
		r.site(wants(ctl.EncryptionRequired, "sdes"))
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		r.upWith(a, b, sdes(a, 4000, 1, crypto80), sdes(b, 5000, 1, crypto256))
		before := r.leg(4000).Streams[0].Crypto[0]
		r.restart()
		a.request("INVITE", "", version(sdes(a, 4000, 9, strings.Replace(crypto80, "WVNf", "AAAA", 1)), "1", "2"))
		a.expect("SIP/2.0 100")
		ok := a.expect("SIP/2.0 200")
		r.has(ok, " RTP/SAVP ", "a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:")
		a.ack(ok, "")
		b.quiet()
		if after := r.leg(4000).Streams[0].Crypto[0]; string(after.Key) == string(before.Key) || after.Tag != 9 {
			t.Errorf("the relay was not told: %+v", after)
		}
		b.request("INVITE", "", version(sdes(b, 5000, 1, crypto256), "1", "2")+"a=sendonly\n") // hold, after it
		b.expect("SIP/2.0 100")
		inv := a.expect("INVITE")
		r.has(inv, " RTP/SAVP ", "a=crypto:9 ", "a=sendonly")
		a.reply(inv, 488, "", "") // who does not take it keeps what was
		a.expect("ACK")
		b.ack(b.expect("SIP/2.0 488"), "")
		if l := r.leg(5000); l.Streams[0].Direction != ctl.SendRecv || l.Ours.Protection != ctl.SDES {
			t.Errorf("%+v", l)
		}
		a.request("INVITE", "", version(sdpOf(a, 4000, ""), "1", "3")) // in clear, where it is required
		a.expect("SIP/2.0 100")
		bad := a.expect("SIP/2.0 488")
		r.has(bad, "encryption is required")
		a.ack(bad, "")
		b.quiet()
		r.hangUp(a, b)
		r.empty()
	})
}

// A caller without an offer gets the callee's, in terms of his own.
func TestALateOfferWithKeys(t *testing.T) {
	for encryption, proto := range map[string]string{ctl.EncryptionPreferred: " RTP/AVP ", ctl.EncryptionRequired: " RTP/SAVP "} {
		run(t, func(r *rig) {
			r.site(wants(encryption, "sdes"))
			a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
			a.call("sip:bob@pbx.test", "", "")
			a.expect("SIP/2.0 100")
			inv := b.expect("INVITE")
			b.reply(inv, 200, "", sdes(b, 5000, 3, crypto80))
			ok := a.expect("SIP/2.0 200")
			r.has(ok, proto)
			if encryption == ctl.EncryptionRequired {
				a.ack(ok, sdes(a, 4000, 2, crypto80))
			} else {
				a.ack(ok, sdpOf(a, 4000, ""))
			}
			r.has(b.expect("ACK"), " RTP/SAVP ", "a=crypto:3 AES_CM_128_HMAC_SHA1_80 ")
			a.request("INVITE", "", "") // and again, within the call
			a.expect("SIP/2.0 100")
			ok = a.expect("SIP/2.0 200")
			r.has(ok, proto)
			if encryption == ctl.EncryptionRequired {
				a.ack(ok, sdes(a, 4000, 2, crypto80))
			} else {
				a.ack(ok, sdpOf(a, 4000, ""))
			}
			b.quiet()
			r.hangUp(a, b)
			r.empty()
		})
	}
}

// Each leg keeps its protection when the other is exchanged by a transfer.
func TestATransferBetweenKinds(t *testing.T) {
	run(t, func(r *rig) {
		r.site(wants(ctl.EncryptionPreferred, "dtls", "sdes"))
		a, b, c := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.phone("carol", 1000, edge.TCP)
		r.upWith(a, b, sdes(a, 4000, 1, crypto80), dtls(b, 5000, "active"))
		b.request("REFER", "Refer-To: <sip:carol@pbx.test>\n", "")
		b.expect("SIP/2.0 202")
		b.reply(b.expect("NOTIFY"), 200, "", "")
		inv := c.expect("INVITE")
		r.has(inv, " UDP/TLS/RTP/SAVP ")
		c.reply(inv, 488, "", "")
		c.expect("ACK")
		inv = c.expect("INVITE")
		r.has(inv, " RTP/SAVP ", "!a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNf")
		c.reply(inv, 200, "", sdes(c, 6000, 2, crypto80))
		c.expect("ACK")
		inv = a.expect("INVITE")
		r.has(inv, " RTP/SAVP ", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:", "!a=crypto:2")
		a.reply(inv, 200, "", version(sdes(a, 4000, 1, crypto80), "1", "2"))
		a.expect("ACK")
		if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.103:6000/sendrecv" {
			t.Errorf("heard: %s", got)
		}
		if r.leg(6000).Ours.Protection != ctl.SDES || r.leg(4000).Ours.Protection != ctl.SDES {
			t.Errorf("%+v %+v", r.leg(4000), r.leg(6000))
		}
		b.reply(b.expect("NOTIFY"), 200, "", "")
		b.request("BYE", "", "")
		b.expect("SIP/2.0 200")
		r.hangUp(a, c)
		r.empty()
	})
}

func TestWhatTheRelayTells(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []string
		ends   bool
		check  func(rec record.Call) bool
	}{
		{"a handshake that fails", []string{ctl.MediaInsecure}, true, func(rec record.Call) bool {
			return strings.Contains(rec.Cause, "could not be encrypted: the certificate is another") && rec.EndedBy == record.ByBox
		}},
		{"packets that are not authentic, later", []string{ctl.MediaSecured, ctl.MediaInsecure}, false, func(rec record.Call) bool { return rec.EndedBy == record.ByCaller }},
		{"ZRTP", []string{ctl.MediaZRTP}, false, func(rec record.Call) bool { return rec.EndToEnd }},
		{"direct media", []string{ctl.MediaDirect}, false, func(rec record.Call) bool { return rec.Direct }},
	} {
		run(t, func(r *rig) {
			r.site(wants(ctl.EncryptionPreferred, "dtls"))
			a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
			r.upWith(a, b, sdpOf(a, 4000, ""), dtls(b, 5000, "active"))
			leg := r.leg(5000).ID
			for _, kind := range c.events {
				r.eng.Media(ctl.MediaEvent{Session: r.eng.List()[0].ID, Leg: leg, Kind: kind, Text: "the certificate is another"})
			}
			if c.ends {
				a.reply(a.expect("BYE"), 200, "", "")
				b.reply(b.expect("BYE"), 200, "", "")
			} else {
				r.hangUp(a, b)
			}
			if rec := r.only(); !c.check(rec) {
				t.Errorf("%s: %+v", c.name, rec)
			}
			r.empty()
		})
	}
}

// Reliable early media and an UPDATE before the answer are of each side's own protection.
func TestEarlyMediaWithKeys(t *testing.T) {
	run(t, func(r *rig) {
		r.site(wants(ctl.EncryptionPreferred, "sdes"))
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "Supported: 100rel\n", dtlsOr(a, 4000))
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		b.reply(inv, 183, "Require: 100rel\nRSeq: 7\n", sdes(b, 5000, 2, crypto80))
		b.reply(b.expect("PRACK"), 200, "", "")
		prog := a.expect("SIP/2.0 183")
		r.has(prog, " RTP/SAVP ", "a=crypto:5 AES_CM_128_HMAC_SHA1_80 ", "!a=crypto:6")
		a.learnDialog(prog)
		a.request("PRACK", "RAck: "+sipside.Header(prog, "RSeq")+" 1 INVITE\n", "")
		a.expect("SIP/2.0 200")
		a.request("UPDATE", "", version(dtlsOr(a, 4000), "1", "2")+"a=sendonly\n")
		up := b.expect("UPDATE")
		r.has(up, " RTP/SAVP ", "a=crypto:2 AES_CM_128_HMAC_SHA1_80 ", "a=sendonly")
		b.reply(up, 200, "", version(sdes(b, 5000, 2, crypto80), "1", "2")+"a=recvonly\n")
		r.has(a.expect("SIP/2.0 200"), "a=crypto:5 ", "a=recvonly")
		b.reply(inv, 200, "", "")
		b.expect("ACK")
		ok := a.expect("SIP/2.0 200")
		r.has(ok, " RTP/SAVP ", "a=crypto:5 ")
		a.ack(ok, "")
		if at, bt := r.leg(4000), r.leg(5000); at.Ours.Protection != ctl.SDES || bt.Ours.Protection != ctl.SDES {
			t.Errorf("%+v %+v", at.Ours, bt.Ours)
		}
		r.hangUp(a, b)
		r.empty()
	})
}

// dtlsOr offers keys of both kinds, as RTP/SAVP lets one.
func dtlsOr(p *phone, port int) string {
	return sdes(p, port, 5, crypto80, crypto256) + "a=setup:actpass\n" + print256
}
