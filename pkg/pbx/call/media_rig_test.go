package call

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// keysLocked gives a stream of a leg what mediad makes: keys, a certificate, credentials. What the
// party has said of its keys is checked as mediad does.
func (f *fakeRelay) keysLocked(p *ctl.MediaPorts, leg *ctl.MediaLeg, i int) error {
	if f.keyless {
		return nil
	}
	said := ctl.MediaStream{}
	if i < len(leg.Streams) {
		said = leg.Streams[i]
	}
	before := p.Crypto
	p.Crypto, p.Fingerprint, p.Setup, p.ICE = nil, ctl.MediaFingerprint{}, "", ctl.MediaICE{}
	if leg.Ours.ICE == ctl.ICELite {
		p.ICE = ctl.MediaICE{Ufrag: "boxu", Pwd: "boxpwdboxpwdboxpwdbox0", Lite: true}
	}
	switch leg.Ours.Protection {
	case ctl.SDES:
		return f.cryptoLocked(p, leg, &said, before)
	case ctl.DTLS:
		p.Fingerprint = ctl.MediaFingerprint{Hash: "sha-256", Value: bytes.Repeat([]byte{0xbb}, 32)}
		p.Setup = leg.Ours.Setup
		if said.RTP.IsValid() && leg.Ours.Setup == "actpass" && said.Setup == "actpass" {
			return wrong("setup", said.Setup, "active or passive in an answer")
		}
	case ctl.Plain, ctl.Through:
	}
	return nil
}

func wrong(path, value, rule string) error {
	return problem.Fields("media.request", []problem.Fault{{Path: path, Value: value, Rule: rule, Cure: "correct it"}})
}

// cryptoLocked offers a key for each suite, or chooses one of those that the party offers.
func (f *fakeRelay) cryptoLocked(p *ctl.MediaPorts, leg *ctl.MediaLeg, said *ctl.MediaStream, before []ctl.MediaCrypto) error {
	key := func(tag uint32, suite string) ctl.MediaCrypto {
		size := map[string]int{"AES_CM_128_HMAC_SHA1_80": 30, "AES_256_CM_HMAC_SHA1_80": 46, "AEAD_AES_128_GCM": 28}[suite]
		return ctl.MediaCrypto{Tag: tag, Suite: suite, Key: bytes.Repeat([]byte(leg.ID[len(leg.ID)-1:]), size)}
	}
	var ours []ctl.MediaCrypto
	for n, suite := range leg.Ours.Suites {
		ours = append(ours, key(uint32(n+1), suite))
	}
	if leg.Ours.Setup != "actpass" {
		for _, c := range said.Crypto {
			for _, mine := range ours {
				if mine.Suite == c.Suite {
					p.Crypto = []ctl.MediaCrypto{key(c.Tag, c.Suite)}
					return nil
				}
			}
		}
		return wrong("crypto", "", "one of the suites of the policy")
	}
	if before != nil {
		ours = before
	}
	p.Crypto = ours
	for _, c := range said.Crypto {
		i := slices.IndexFunc(ours, func(o ctl.MediaCrypto) bool { return o.Tag == c.Tag && o.Suite == c.Suite })
		if i < 0 {
			p.Crypto = before
			return wrong("crypto.tag", fmt.Sprint(c.Tag), "a tag that was offered, with its suite")
		}
		p.Crypto = ours[i : i+1]
	}
	return nil
}

// leg returns what the relay knows of the only session's leg whose party receives at an RTP port.
func (r *rig) leg(port uint16) (found ctl.MediaLeg) {
	r.t.Helper()
	r.relay.mu.Lock()
	defer r.relay.mu.Unlock()
	for _, s := range r.relay.sessions {
		for _, l := range s.legs {
			if len(l.Streams) > 0 && l.Streams[0].RTP.Port() == port {
				found = l
			}
		}
	}
	if found.ID == "" {
		r.t.Fatalf("the relay has no leg of a party at port %d", port)
	}
	return found
}

// legs counts those of the only session.
func (r *rig) legs() (n int) {
	r.relay.mu.Lock()
	defer r.relay.mu.Unlock()
	for _, s := range r.relay.sessions {
		n += len(s.legs)
	}
	return n
}

// Lines of descriptions.
const (
	crypto80  = "AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
	crypto256 = "AES_256_CM_HMAC_SHA1_80 inline:DieDKw91Kw/rBJK+xblj0fLoxCXuEyCQ8VK3SNxV5eCKUDLDkWjmMXNOHGMB+g=="
	print256  = "a=fingerprint:SHA-256 D7:C3:49:9D:95:E4:4B:A8:32:3F:C7:D7:94:DE:09:9E:C1:C4:4C:33:7A:DF:11:12:E5:9F:53:FC:F5:D3:E4:EC\n"
	iceLines  = "a=ice-ufrag:3568e848\na=ice-pwd:47fecd478bfbba1b487fe425\n"
)

// sdes is what a phone says that wants SRTP: a line of keys for each suite, with tags from first.
func sdes(p *phone, port int, first int, lines ...string) string {
	var extra strings.Builder
	for i, line := range lines {
		fmt.Fprintf(&extra, "a=crypto:%d %s\n", first+i, line)
	}
	return strings.Replace(sdpOf(p, port, extra.String()), "RTP/AVP", "RTP/SAVP", 1)
}

func dtls(p *phone, port int, setup string) string {
	return strings.Replace(sdpOf(p, port, "a=setup:"+setup+"\n"+print256), "RTP/AVP", "UDP/TLS/RTP/SAVP", 1)
}

// codecs replaces the codecs of a description.
func codecs(body string, list string, lines ...string) string {
	body = strings.Replace(body, " 0 101\n", " "+list+"\n", 1)
	body = strings.Replace(body, "a=rtpmap:101 telephone-event/8000\n", "", 1)
	return body + strings.Join(lines, "\n") + "\n"
}

// wants are rules of a policy with encryption.
func wants(encryption string, kinds ...string) ctl.MediaRules {
	return ctl.MediaRules{
		Encryption: encryption, Kinds: kinds, Suites: []string{"AES_256_CM_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80"},
		Path: ctl.PathRelay, Transcoding: ctl.On, Video: ctl.On, ZRTP: ctl.ZRTPPass,
	}
}

// site gives all users the same rules.
func (r *rig) site(rules ctl.MediaRules) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mediaRules = map[string]ctl.MediaRules{"alice": rules, "bob": rules, "carol": rules, "dave": rules}
}

// has wants a message to hold lines, and not to hold those with a ! before.
func (r *rig) has(message string, lines ...string) {
	r.t.Helper()
	for _, line := range lines {
		not, absent := strings.CutPrefix(line, "!")
		if strings.Contains(message, not) == absent {
			r.t.Errorf("want %q in:\n%s", line, message)
		}
	}
}
