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

// way is one of the ways in which parties may describe their media, and what the box says to each.
type way struct {
	name     string
	takes    string // how a phone of this kind knows an offer for it
	offer    func(p *phone, port int) string
	answer   func(p *phone, port int) string
	heard    []string // by who has offered
	protects string   // in the record
}

func ways() []way {
	return []way{
		{
			name: "none", takes: " RTP/AVP ", protects: record.ProtectionNone,
			offer:  func(p *phone, port int) string { return sdpOf(p, port, "") },
			answer: func(p *phone, port int) string { return sdpOf(p, port, "") },
			heard:  []string{" RTP/AVP ", "!crypto", "!fingerprint"},
		},
		{
			name: "sdes", takes: " RTP/SAVP ", protects: record.ProtectionSDES,
			offer:  func(p *phone, port int) string { return sdes(p, port, 5, crypto80, crypto256) },
			answer: func(p *phone, port int) string { return sdes(p, port, 2, crypto80) },
			heard:  []string{" RTP/SAVP ", "a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:", "!AES_256", "!fingerprint"},
		},
		{
			name: "dtls", takes: " UDP/TLS/RTP/SAVP ", protects: record.ProtectionDTLS,
			offer:  func(p *phone, port int) string { return dtls(p, port, "actpass") },
			answer: func(p *phone, port int) string { return dtls(p, port, "active") },
			heard:  []string{" UDP/TLS/RTP/SAVP ", "a=fingerprint:sha-256 BB:BB:", "a=setup:passive", "!crypto"},
		},
	}
}

// Parties that protect their media in any two ways talk, and a device that does not take one way is
// asked in the next.
func TestEveryPairOfProtections(t *testing.T) {
	for _, caller := range ways() {
		for _, callee := range ways() {
			t.Run(caller.name+" calls "+callee.name, func(t *testing.T) {
				run(t, func(r *rig) {
					r.site(wants(ctl.EncryptionPreferred, "dtls", "sdes"))
					a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
					asked := 0
					for again := range 2 {
						a.call("sip:bob@pbx.test", "", caller.offer(a, 4000))
						a.expect("SIP/2.0 100")
						inv := b.expect("INVITE")
						for asked++; !strings.Contains(inv, callee.takes); asked++ {
							if again > 0 {
								t.Errorf("a device that is known is asked in a way that it refused:\n%s", inv)
							}
							b.reply(inv, 488, "", "")
							b.expect("ACK")
							inv = b.expect("INVITE")
						}
						r.has(inv, "!inline:WVNf", "!D7:C3", "!192.0.2.101")
						b.reply(inv, 180, "", "")
						a.expect("SIP/2.0 180")
						b.reply(inv, 200, "", callee.answer(b, 5000))
						b.expect("ACK")
						ok := a.expect("SIP/2.0 200")
						r.has(ok, append(caller.heard, "!192.0.2.102", "!D7:C3")...)
						a.ack(ok, "")
						if at, bt := r.leg(4000), r.leg(5000); protection(at.Ours.Protection) != caller.protects || protection(bt.Ours.Protection) != callee.protects ||
							at.Streams[0].Secure || r.legs() != 2 {
							t.Errorf("the relay has %+v and %+v, %d legs", at, bt, r.legs())
						}
						r.hangUp(a, b)
						time.Sleep(time.Second)
					}
					if want := map[string]int{"dtls": 2, "sdes": 3, "none": 4}[callee.name]; asked != want && caller.name == "none" {
						t.Errorf("%d INVITEs, want %d", asked, want)
					}
					rec := r.records[0]
					weak := caller.protects
					if callee.protects == record.ProtectionNone || callee.protects == record.ProtectionSDES && weak == record.ProtectionDTLS {
						weak = callee.protects
					}
					if rec.Legs[0].Secured != caller.protects || rec.Legs[1].Secured != callee.protects || rec.Protection != weak {
						t.Errorf("record: %q %q %q", rec.Legs[0].Secured, rec.Legs[1].Secured, rec.Protection)
					}
					r.empty()
				})
			})
		}
	}
}

// refused calls bob and wants the call to be refused for a reason that the caller hears and the
// record has.
func (r *rig) refused(a *phone, code int, why string) {
	r.t.Helper()
	fin := a.expect(fmt.Sprint("SIP/2.0 ", code))
	a.ack(fin, "")
	if !strings.Contains(sipside.Header(fin, "Warning"), why) {
		r.t.Errorf("want %q in:\n%s", why, fin)
	}
	if rec := r.only(); rec.Status != record.CallFailed || !strings.Contains(rec.Cause, why) {
		r.t.Errorf("record: %s: %s", rec.Status, rec.Cause)
	}
}

func TestWhatThePolicyRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules ctl.MediaRules
		offer func(p *phone, port int) string
		why   string
	}{
		{"clear where encryption is required", wants(ctl.EncryptionRequired, "dtls", "sdes"), ways()[0].offer, "encryption is required"},
		{"SDES where DTLS is required", wants(ctl.EncryptionRequired, "dtls"), ways()[1].offer, "encryption is required"},
		{"SDES where encryption is off", wants(ctl.EncryptionOff), ways()[1].offer, "encryption is off"},
		{"a suite that nobody has", wants(ctl.EncryptionPreferred, "sdes"), func(p *phone, port int) string {
			return strings.Replace(sdes(p, port, 1, crypto80), "AES_CM", "ARIA_CM", 1)
		}, "suite is not supported"},
		{"a suite that the policy has not", wants(ctl.EncryptionPreferred, "sdes"), func(p *phone, port int) string {
			return sdes(p, port, 1, "AES_CM_128_HMAC_SHA1_32 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz")
		}, "none of the suites"},
		{"no fingerprint", wants(ctl.EncryptionPreferred, "dtls"), func(p *phone, port int) string {
			return strings.Replace(dtls(p, port, "actpass"), "SHA-256", "MD5", 1)
		}, "fingerprint"},
		{"a secure profile without keys", wants(ctl.EncryptionPreferred, "dtls", "sdes"), func(p *phone, port int) string { return sdes(p, port, 1) }, "there are no keys"},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(r *rig) {
				r.site(c.rules)
				a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
				a.call("sip:bob@pbx.test", "", c.offer(a, 4000))
				a.expect("SIP/2.0 100")
				b.quiet()
				r.refused(a, 488, c.why)
				r.empty()
			})
		})
	}
}

func TestADeviceThatTakesNothing(t *testing.T) {
	for _, code := range []int{488, 606, 415} {
		run(t, func(r *rig) {
			r.site(wants(ctl.EncryptionRequired, "dtls", "sdes"))
			a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
			a.call("sip:bob@pbx.test", "", sdes(a, 4000, 1, crypto80))
			a.expect("SIP/2.0 100")
			for _, proto := range []string{" UDP/TLS/RTP/SAVP ", " RTP/SAVP ", " UDP/TLS/RTP/SAVP ", " RTP/SAVP "} { // the last two with codecs of the box
				inv := b.expect("INVITE")
				r.has(inv, proto)
				b.reply(inv, code, "Warning: 399 bob \"no such thing\"\n", "")
				b.expect("ACK")
			}
			b.quiet()
			r.refused(a, code, "no such thing")
			r.empty()
		})
	}
}

func TestAnswersThatAreNotTaken(t *testing.T) {
	preferred, required := wants(ctl.EncryptionPreferred, "sdes"), wants(ctl.EncryptionRequired, "sdes")
	for _, c := range []struct {
		name   string
		rules  ctl.MediaRules
		answer func(b *phone) string
		why    string // "" is taken
	}{
		{"in clear where it is preferred", preferred, func(b *phone) string { return sdpOf(b, 5000, "") }, ""},
		{"in clear where it is required", required, func(b *phone) string { return sdpOf(b, 5000, "") }, "the answer has none"},
		{"RTP/AVP with keys", required, func(b *phone) string { return sdpOf(b, 5000, "a=crypto:2 "+crypto80+"\n") }, ""},
		{"with a tag that was not offered", preferred, func(b *phone) string { return sdes(b, 5000, 7, crypto80) }, "7: a tag that was offered"},
		{"with another suite", preferred, func(b *phone) string { return sdes(b, 5000, 1, crypto80) }, "1: a tag that was offered"},
		{"with DTLS", preferred, func(b *phone) string { return dtls(b, 5000, "active") }, "another way"},
		{"with a key that is cut", preferred, func(b *phone) string { return sdes(b, 5000, 1, crypto80[:len(crypto80)-4]) }, "another length"},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(r *rig) {
				r.site(c.rules)
				r.mediaRules["alice"] = wants(ctl.EncryptionPreferred, "sdes")
				a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
				a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
				a.expect("SIP/2.0 100")
				inv := b.expect("INVITE")
				r.has(inv, " RTP/SAVP ", "a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:", "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:")
				b.reply(inv, 200, "", c.answer(b))
				b.expect("ACK")
				if c.why != "" {
					bye := b.expect("BYE")
					b.reply(bye, 200, "", "")
					r.refused(a, 488, c.why)
				} else {
					a.ack(a.expect("SIP/2.0 200"), "")
					r.hangUp(a, b)
				}
				r.empty()
			})
		})
	}
}

// Linphone that does not insist offers RTP/AVP with keys, and is answered with keys by the same profile.
func TestOpportunisticSRTP(t *testing.T) {
	run(t, func(r *rig) {
		r.site(wants(ctl.EncryptionPreferred, "sdes"))
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, "a=crypto:1 "+crypto80+"\n"))
		a.expect("SIP/2.0 100")
		b.reply(b.expect("INVITE"), 200, "", sdes(b, 5000, 1, crypto256))
		b.expect("ACK")
		ok := a.expect("SIP/2.0 200")
		r.has(ok, " RTP/AVP ", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:")
		a.ack(ok, "")
		if at := r.leg(4000); at.Ours.Protection != ctl.SDES || len(at.Streams[0].Crypto) != 1 {
			t.Errorf("%+v", at)
		}
		b.request("INVITE", "", next(sdes(b, 5000, 1, crypto256), "a=sendonly\n")) // the offer to her keeps her profile
		b.expect("SIP/2.0 100")
		inv := a.expect("INVITE")
		r.has(inv, " RTP/AVP ", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:", "a=sendonly")
		a.reply(inv, 200, "", next(sdpOf(a, 4000, "a=crypto:1 "+crypto80+"\n"), "a=recvonly\n"))
		a.expect("ACK")
		b.ack(b.expect("SIP/2.0 200"), "")
		r.hangUp(a, b)
		r.empty()
	})
}

// Two devices of a user are asked at once, each goes its own way, and the ports of who lost are free.
func TestAForkOfMixedKinds(t *testing.T) {
	run(t, func(r *rig) {
		r.site(wants(ctl.EncryptionPreferred, "dtls", "sdes"))
		a, b1, b2 := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		one, two := b1.expect("INVITE"), b2.expect("INVITE")
		b2.reply(two, 180, "", "")
		a.expect("SIP/2.0 180")
		b1.reply(one, 488, "", "")
		b1.expect("ACK")
		one = b1.expect("INVITE")
		r.has(two, " UDP/TLS/RTP/SAVP ")
		r.has(one, " RTP/SAVP ")
		if r.legs() != 3 {
			t.Errorf("%d legs", r.legs())
		}
		b2.reply(two, 183, "", dtls(b2, 6000, "active"))
		r.has(a.expect("SIP/2.0 183"), " RTP/AVP ")
		b1.reply(one, 180, "", "")
		b1.reply(one, 200, "", sdes(b1, 5000, 2, crypto80))
		b1.expect("ACK")
		a.ack(a.expect("SIP/2.0 200"), "")
		b2.reply(b2.expect("CANCEL"), 200, "", "")
		b2.reply(two, 487, "", "")
		b2.expect("ACK")
		if r.legs() != 2 || r.leg(5000).Ours.Protection != ctl.SDES {
			t.Errorf("%d legs", r.legs())
		}
		if got := r.heard(); got != "192.0.2.101:4000/sendrecv 192.0.2.102:5000/sendrecv" {
			t.Errorf("heard: %s", got)
		}
		r.hangUp(a, b1)
		r.empty()
	})
}

// A relay that makes no keys is no reason to fail, where the policy allows to do without.
func TestARelayWithoutKeys(t *testing.T) {
	run(t, func(r *rig) {
		r.site(wants(ctl.EncryptionPreferred, "dtls", "sdes"))
		r.relay.keyless = true
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		inv := b.expect("INVITE")
		r.has(inv, " RTP/AVP ")
		b.reply(inv, 200, "", sdpOf(b, 5000, ""))
		b.expect("ACK")
		a.ack(a.expect("SIP/2.0 200"), "")
		r.hangUp(a, b)
		r.empty()
	})
	run(t, func(r *rig) {
		r.site(wants(ctl.EncryptionRequired, "sdes"))
		r.relay.keyless = true
		a, b := r.phone("alice", 1000, edge.TCP), r.phone("bob", 1000, edge.TCP)
		a.call("sip:bob@pbx.test", "", sdes(a, 4000, 1, crypto80))
		a.expect("SIP/2.0 100")
		b.quiet()
		a.ack(a.expect("SIP/2.0 503"), "")
		r.only()
		r.empty()
	})
}
