package call

import (
	"regexp"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

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
			for _, leg := range []string{at.ID, bt.ID} { // the box hears nothing, and that is no fault
				r.eng.Media(ctl.MediaEvent{Session: r.eng.List()[0].ID, Leg: leg, Kind: ctl.MediaOneWay})
			}
			time.Sleep(time.Minute)
			a.quiet()
			b.quiet()
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
