package call

import (
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

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

// Who stays is offered codecs of the box when the one whom he is given shares none with him.
func TestATransferToAPhoneOfOtherCodecs(t *testing.T) {
	run(t, func(r *rig) {
		r.site(wants(ctl.EncryptionOff))
		a, b, c := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.phone("carol", 1000, edge.TCP)
		alice := codecs(sdpOf(a, 4000, ""), "96", "a=rtpmap:96 opus/48000/2")
		r.upWith(a, b, alice, codecs(sdpOf(b, 5000, ""), "96", "a=rtpmap:96 opus/48000/2"))
		b.request("REFER", "Refer-To: <sip:carol@pbx.test>\n", "")
		b.expect("SIP/2.0 202")
		b.reply(b.expect("NOTIFY"), 200, "", "")
		inv := c.expect("INVITE")
		r.has(inv, "RTP/AVP 96\r\n")
		c.reply(inv, 488, "Warning: 305 carol \"no\"\n", "")
		c.expect("ACK")
		inv = c.expect("INVITE")
		r.has(inv, "RTP/AVP 96 9 8 0\r\n")
		c.reply(inv, 200, "", codecs(sdpOf(c, 6000, ""), "0", "a=ptime:20"))
		c.expect("ACK")
		inv = a.expect("INVITE")
		r.has(inv, "RTP/AVP 0 96 9 8\r\n", "a=rtpmap:96 opus/48000/2")
		a.reply(inv, 200, "", version(alice, "1", "2"))
		a.expect("ACK")
		if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.103:6000/sendrecv" {
			t.Errorf("heard: %s", got)
		}
		if l := r.leg(4000); len(l.Streams[0].Formats) != 1 || l.Streams[0].Formats[0].Encoding != "opus" {
			t.Errorf("%+v", l)
		}
		b.reply(b.expect("NOTIFY"), 200, "", "")
		b.request("BYE", "", "")
		b.expect("SIP/2.0 200")
		r.hangUp(a, c)
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
