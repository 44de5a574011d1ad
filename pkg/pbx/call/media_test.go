package call

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
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

const (
	opusOnly = "a=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=0\na=rtpmap:97 telephone-event/48000"
	pcmuOnly = "a=rtpmap:101 telephone-event/8000"
)

func TestCodecsAreAddedWhereNoneIsShared(t *testing.T) {
	run(t, func(r *rig) {
		rules := wants(ctl.EncryptionOff)
		r.site(rules)
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", codecs(sdpOf(a, 4000, ""), "96 97", opusOnly))
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		r.has(inv, "RTP/AVP 96 97\r\n", "!PCMU")
		b.reply(inv, 488, "Warning: 305 bob \"Incompatible media format\"\n", "")
		b.expect("ACK")
		inv = b.expect("INVITE")
		r.has(inv, "RTP/AVP 96 97 9 8 0 98\r\n", "a=rtpmap:0 PCMU/8000", "a=rtpmap:98 telephone-event/8000", "a=fmtp:96 useinbandfec=0")
		b.reply(inv, 200, "", codecs(sdpOf(b, 5000, ""), "0 98", "a=rtpmap:98 telephone-event/8000", "a=ptime:30"))
		b.expect("ACK")
		ok := a.expect("SIP/2.0 200")
		r.has(ok, "RTP/AVP 96 97\r\n", "a=rtpmap:96 opus/48000/2", "a=fmtp:96 useinbandfec=1", "a=rtpmap:97 telephone-event/48000", "!PCMU")
		a.ack(ok, "")
		if l := r.leg(5000); l.Streams[0].Ptime != 30 || len(l.Streams[0].Formats) != 2 {
			t.Errorf("%+v", l)
		}
		a.request("INVITE", "", next(codecs(sdpOf(a, 4000, ""), "96 97", opusOnly), "a=sendonly\n")) // what was added stays
		a.expect("SIP/2.0 100")
		inv = b.expect("INVITE")
		r.has(inv, "RTP/AVP 96 97 9 8 0 98\r\n", "a=sendonly")
		b.reply(inv, 200, "", next(codecs(sdpOf(b, 5000, ""), "0 98", "a=rtpmap:98 telephone-event/8000"), "a=recvonly\n"))
		b.expect("ACK")
		a.ack(a.expect("SIP/2.0 200"), "")
		r.hangUp(a, b)
		time.Sleep(time.Second)

		// Now it is known what bob speaks.
		inv, ok = r.upWith(a, b, codecs(sdpOf(a, 4100, ""), "96 97", opusOnly), codecs(sdpOf(b, 5100, ""), "0", "a=ptime:20"))
		r.has(inv, "RTP/AVP 96 97 9 8 0 98\r\n")
		r.has(ok, "RTP/AVP 96 97\r\n")
		r.hangUp(b, a)
		time.Sleep(time.Second)
		inv, ok = r.upWith(b, a, codecs(sdpOf(b, 5200, ""), "0 101", pcmuOnly), codecs(sdpOf(a, 4200, ""), "0", "a=x"))
		r.has(inv, "RTP/AVP 0 101 96 9 8 97\r\n", "a=rtpmap:96 opus/48000/2", "a=rtpmap:97 telephone-event/48000") // of alice opus alone is known
		r.has(ok, "RTP/AVP 0\r\n")
		r.hangUp(a, b)
		r.empty()
	})
}

func TestPartiesThatShareNoCodec(t *testing.T) {
	run(t, func(r *rig) {
		rules := wants(ctl.EncryptionOff)
		rules.Transcoding = ctl.Off
		r.site(rules)
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", codecs(sdpOf(a, 4000, ""), "96 97", opusOnly))
		a.expect("SIP/2.0 100")
		b.reply(b.expect("INVITE"), 200, "", sdpOf(b, 5000, ""))
		b.expect("ACK")
		b.reply(b.expect("BYE"), 200, "", "")
		r.refused(a, 488, "no codec in common")
		r.empty()
	})
}

// The policy has an order of codecs; an answer with more than was offered is cut to what the caller has.
func TestThePolicysCodecs(t *testing.T) {
	run(t, func(r *rig) {
		rules := wants(ctl.EncryptionOff)
		r.site(rules)
		rules.Codecs = []string{"PCMA", "opus"}
		r.mediaRules["bob"] = rules
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		inv, ok := r.upWith(a, b, codecs(sdpOf(a, 4000, ""), "0 8 96 101 97", opusOnly, pcmuOnly), codecs(sdpOf(b, 5000, ""), "111 8 3 101", "a=rtpmap:111 opus/48000/2", pcmuOnly))
		r.has(inv, "RTP/AVP 8 96 101 97\r\n", "!PCMU")
		r.has(ok, "RTP/AVP 96 8 101\r\n", "a=rtpmap:96 opus/48000/2", "!GSM", "!111")
		if l := r.leg(4000); len(l.Streams[0].Told) != 0 {
			t.Errorf("told what agrees with what she said: %+v", l.Streams[0].Told)
		}
		if l := r.leg(5000); len(l.Streams[0].Told) != 4 {
			t.Errorf("bob sends by the numbers of the offer: %+v", l.Streams[0])
		}
		r.hangUp(a, b)
		r.empty()
	})
}

func TestVideoByPolicy(t *testing.T) {
	for _, off := range []bool{true, false} {
		run(t, func(r *rig) {
			rules := wants(ctl.EncryptionOff)
			r.site(rules)
			rules.VideoKbits = 512
			if off {
				rules.Video = ctl.Off
			}
			r.mediaRules["bob"] = rules
			a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
			video := "m=video 4002 RTP/AVP 97\nb=AS:900\na=rtpmap:97 VP8/90000\n"
			inv, ok := r.upWith(a, b, sdpOf(a, 4000, video), sdpOf(b, 5000, strings.Replace(video, "4002", "5002", 1)))
			if off {
				r.has(inv, "m=video 0 RTP/AVP 97\r\n")
				r.has(ok, "m=video 0 RTP/AVP 97\r\n")
			} else {
				r.has(inv, "b=AS:512\r\n", "!AS:900")
				r.has(ok, "b=AS:512\r\n", "!m=video 0 ")
				if r.leg(5000).Streams[1].Bandwidth != 512 {
					t.Error("the relay does not know the limit")
				}
			}
			r.hangUp(a, b)
			r.empty()
		})
	}
}

// A caller who checks connectivity is answered as by an agent that is reachable; the INVITE that
// tells of the outcome is answered by the box alone.
func TestICELite(t *testing.T) {
	run(t, func(r *rig) {
		r.site(wants(ctl.EncryptionPreferred, "sdes"))
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.TCP)
		candidates := "a=candidate:1 1 UDP 2130706303 192.0.2.101 4000 typ host\na=candidate:1 2 UDP 2130706302 192.0.2.101 4001 typ host\n"
		inv, ok := r.upWith(a, b, sdpOf(a, 4000, iceLines+candidates), sdes(b, 5000, 2, crypto80))
		r.has(inv, "!a=ice", "!candidate")
		r.has(ok, "a=ice-lite\r\n", "a=ice-ufrag:boxu\r\n", "a=candidate:box 1 UDP 2130706431 192.0.2.10 20000 typ host\r\n", "a=candidate:box 2 UDP 2130706430 192.0.2.10 20001 typ host\r\n")
		if l := r.leg(4000); l.Ours.ICE != ctl.ICELite || len(l.Streams[0].ICE.Candidates) != 2 || l.Streams[0].ICE.Pwd == "" {
			t.Errorf("%+v", l)
		}
		concluded := version(sdpOf(a, 4000, iceLines+candidates+"a=remote-candidates:1 192.0.2.10 20000 2 192.0.2.10 20001\n"), "1", "2")
		a.request("INVITE", "Subject: ICE processing concluded\n", concluded)
		a.expect("SIP/2.0 100")
		ok = a.expect("SIP/2.0 200")
		r.has(ok, "a=ice-lite\r\n", "a=ice-ufrag:boxu\r\n")
		a.ack(ok, "")
		b.quiet()
		r.hangUp(b, a)
		time.Sleep(time.Second)
		inv, _ = r.upWith(b, a, sdpOf(b, 5100, ""), sdpOf(a, 4100, iceLines+candidates)) // she is known to check
		r.has(inv, "a=ice-lite\r\n", "a=ice-ufrag:boxu\r\n")
		if rec := r.records[0]; rec.Direct {
			t.Error("media that came through the box is called direct")
		}
		r.hangUp(a, b)
		r.empty()
	})
}

func TestMediaThatGoesDirect(t *testing.T) {
	for _, kind := range []string{"plain", "sdes"} {
		run(t, func(r *rig) {
			rules := wants(ctl.EncryptionPreferred, "sdes")
			rules.Path = ctl.PathDirect
			r.site(rules)
			a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
			say := func(p *phone, port int, lines string) string {
				body := sdpOf(p, port, iceLines+lines)
				if kind == "sdes" {
					body = sdes(p, port, 1, crypto80) + iceLines + lines
				}
				return body
			}
			ac, bc := "a=candidate:1 1 UDP 2130706303 192.0.2.101 4000 typ host\n", "a=candidate:1 1 UDP 2130706303 192.0.2.102 5000 typ host\n"
			inv, ok := r.upWith(a, b, say(a, 4000, ac), say(b, 5000, bc))
			r.has(inv, "m=audio 20002 ", "c=IN IP4 192.0.2.10\r\n", "a=ice-ufrag:3568e848\r\n", "a=candidate:1 1 UDP 2130706303 192.0.2.101 4000 typ host\r\n",
				"a=candidate:box 1 UDP 255 192.0.2.10 20002 typ relay raddr 192.0.2.10 rport 20002\r\n", "!ice-lite")
			r.has(ok, "m=audio 20000 ", "a=candidate:1 1 UDP 2130706303 192.0.2.102 5000 typ host\r\n", "a=candidate:box 1 UDP 255 192.0.2.10 20000 typ relay")
			if kind == "sdes" {
				r.has(inv, "a=crypto:1 "+crypto80)
				r.has(ok, "a=crypto:1 "+crypto80)
			}
			at, bt := r.leg(4000), r.leg(5000)
			if at.Ours.ICE != ctl.ICEThrough || bt.Ours.ICE != ctl.ICEThrough || at.Ours.Protection != bt.Ours.Protection || (at.Ours.Protection == ctl.Through) != (kind == "sdes") {
				t.Errorf("%+v %+v", at.Ours, bt.Ours)
			}
			concluded := say(a, 4000, ac+"a=remote-candidates:1 192.0.2.102 5000\n")
			a.request("INVITE", "", version(concluded, map[string]string{"plain": "1", "sdes": "1"}[kind], "2"))
			a.expect("SIP/2.0 100")
			inv = b.expect("INVITE")
			r.has(inv, "m=audio 4000 ", "c=IN IP4 192.0.2.101\r\n", "a=remote-candidates:1 192.0.2.102 5000\r\n")
			b.reply(inv, 200, "", version(say(b, 5000, bc), "1", "2"))
			b.expect("ACK")
			ok = a.expect("SIP/2.0 200")
			r.has(ok, "m=audio 5000 ", "c=IN IP4 192.0.2.102\r\n")
			a.ack(ok, "")
			r.hangUp(a, b)
			if rec := r.only(); !rec.Direct || rec.Protection != map[string]string{"plain": "none", "sdes": "through"}[kind] {
				t.Errorf("record: direct %v, %s", rec.Direct, rec.Protection)
			}
			r.empty()
		})
	}
}

// Direct media needs two sides that can: otherwise the box is between, whoever of them cannot.
func TestWhereMediaDoesNotGoDirect(t *testing.T) {
	for _, c := range []struct {
		name          string
		alice         func(*ctl.MediaRules)
		offer, answer string
	}{
		{"the caller's policy", func(r *ctl.MediaRules) { r.Path = ctl.PathRelay }, iceLines, ""},
		{"codecs of the policy", func(r *ctl.MediaRules) { r.Codecs = []string{"PCMU"} }, iceLines, ""},
		{"a caller without ICE", func(*ctl.MediaRules) {}, "", ""},
		{"a callee without ICE", func(*ctl.MediaRules) {}, iceLines, "through"},
	} {
		run(t, func(r *rig) {
			rules := wants(ctl.EncryptionOff)
			rules.Path = ctl.PathDirect
			r.site(rules)
			c.alice(&rules)
			r.mediaRules["alice"] = rules
			a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
			inv, ok := r.upWith(a, b, sdpOf(a, 4000, c.offer), sdpOf(b, 5000, ""))
			if c.answer == "" {
				r.has(inv, "!a=ice-ufrag")
			} else {
				r.has(inv, "a=ice-ufrag:3568e848")
				r.has(ok, "a=ice-lite", "a=ice-ufrag:boxu")
			}
			if r.leg(5000).Ours.ICE != ctl.NoICE {
				t.Errorf("%s: %+v", c.name, r.leg(5000).Ours)
			}
			r.hangUp(a, b)
			if r.only().Direct {
				t.Errorf("%s: called direct", c.name)
			}
			r.empty()
		})
	}
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

// Those who talk past the box are transferred to one who cannot: the box becomes an end to each.
func TestATransferOutOfADirectCall(t *testing.T) {
	run(t, func(r *rig) {
		rules := wants(ctl.EncryptionPreferred, "sdes")
		rules.Path = ctl.PathDirect
		r.site(rules)
		a, b, c := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.phone("carol", 1000, edge.TCP)
		inv, _ := r.upWith(a, b, sdes(a, 4000, 1, crypto80)+iceLines, sdes(b, 5000, 1, crypto80)+iceLines)
		r.has(inv, "a=crypto:1 "+crypto80)
		b.request("REFER", "Refer-To: <sip:carol@pbx.test>\n", "")
		b.expect("SIP/2.0 202")
		b.reply(b.expect("NOTIFY"), 200, "", "")
		inv = c.expect("INVITE")
		r.has(inv, " RTP/SAVP ", "!inline:WVNf", "!a=ice-ufrag:3568e848")
		c.reply(inv, 200, "", sdes(c, 6000, 1, crypto256))
		c.expect("ACK")
		inv = a.expect("INVITE")
		r.has(inv, " RTP/SAVP ", "!inline:DieDKw91Kw")
		if crypto := regexp.MustCompile(`a=crypto:(\d) AES_CM_128_HMAC_SHA1_80`).FindStringSubmatch(inv); crypto == nil {
			t.Errorf("no keys of the box:\n%s", inv)
		}
		a.reply(inv, 200, "", version(sdes(a, 4000, 2, crypto80), "1", "2"))
		a.expect("ACK")
		if at, ct := r.leg(4000), r.leg(6000); at.Ours.Protection != ctl.SDES || ct.Ours.Protection != ctl.SDES || at.Ours.ICE == ctl.ICEThrough {
			t.Errorf("%+v %+v", at.Ours, ct.Ours)
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
