package sdp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
)

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The lines are those of RFC 4568 §5.1 and its appendices, and those that clients send.
func TestParseCrypto(t *testing.T) {
	t.Parallel()
	const key30 = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
	key := unbase64(t, key30)
	mki32 := make([]byte, 32)
	mki32[31] = 1
	for line, want := range map[string]Crypto{
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|2^20|1:4":                    {1, "AES_CM_128_HMAC_SHA1_80", key, []byte{0, 0, 0, 1}},
		"1 AES_CM_128_HMAC_SHA1_32 inline:" + key30 + "|2^20|1:32":                   {1, "AES_CM_128_HMAC_SHA1_32", key, mki32},
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|2^20|1:4 FEC_ORDER=FEC_SRTP": {1, "AES_CM_128_HMAC_SHA1_80", key, []byte{0, 0, 0, 1}},
		"999999999 AES_CM_128_HMAC_SHA1_80 inline:" + key30:                          {999999999, "AES_CM_128_HMAC_SHA1_80", key, nil},
		"2 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|1066:4":                      {2, "AES_CM_128_HMAC_SHA1_80", key, []byte{0, 0, 4, 42}},
		"2 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|1048576 WSH=128 -NEW=1":      {2, "AES_CM_128_HMAC_SHA1_80", key, nil},
		"2 AES_CM_128_HMAC_SHA1_80 INLINE:" + key30 + " KDR=0":                       {2, "AES_CM_128_HMAC_SHA1_80", key, nil},
		"3 AES_256_CM_HMAC_SHA1_80 inline:DieDKw91Kw/rBJK+xblj0fLoxCXuEyCQ8VK3SNxV5eCKUDLDkWjmMXNOHGMB+g": {
			3, "AES_256_CM_HMAC_SHA1_80", unbase64(t, "DieDKw91Kw/rBJK+xblj0fLoxCXuEyCQ8VK3SNxV5eCKUDLDkWjmMXNOHGMB+g=="), nil,
		},
		"4 AEAD_AES_128_GCM inline:" + base64.StdEncoding.EncodeToString(key[:28]): {4, "AEAD_AES_128_GCM", key[:28], nil},
	} {
		got, err := ParseCrypto(line)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v, want %+v", line, got, err, want)
		}
	}
}

func TestParseCryptoRefuses(t *testing.T) {
	t.Parallel()
	const good = "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
	for line, want := range map[string]error{
		"":                                   ErrCrypto,
		"1 AES_CM_128_HMAC_SHA1_80":          ErrCrypto,
		"x" + good:                           ErrCrypto,
		"1234567890" + good[1:]:              ErrCrypto,
		strings.Replace(good, "CM", "CN", 1): ErrSuite,
		strings.Replace(good, "inline", "uri", 1):        ErrCrypto,
		strings.Replace(good, "VubGVz", "", 1):           ErrKey,
		strings.Replace(good, "_CM_128_", "_256_CM_", 1): ErrKey,
		strings.Replace(good, "WVNf", "!!!!", 1):         ErrCrypto,
		"2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 FEC_ORDER=FEC_SRTP": ErrSuite,
		good + "|2^20|1:4;" + good[len("1 AES_CM_128_HMAC_SHA1_80 "):] + "|2^20|2:4":                                                                                 ErrKeys,
		good + "|2^49":                 ErrCrypto,
		good + "|0":                    ErrCrypto,
		good + "|281474976710657":      ErrCrypto,
		good + "|2^20|1:0":             ErrCrypto,
		good + "|2^20|256:1":           ErrCrypto,
		good + "|2^20|1:129":           ErrCrypto,
		good + "|1:4|2^20":             ErrCrypto,
		good + "|2^20|2^20":            ErrCrypto,
		good + " KDR=1":                ErrSession,
		good + " UNENCRYPTED_SRTP":     ErrSession,
		good + " UNENCRYPTED_SRTCP":    ErrSession,
		good + " UNAUTHENTICATED_SRTP": ErrSession,
		good + " FEC_ORDER=SRTP_FEC":   ErrSession,
		good + " FEC_KEY=inline:x":     ErrSession,
		good + " WSH=63":               ErrSession,
		good + " NEW=1":                ErrSession,
	} {
		if c, err := ParseCrypto(line); !errors.Is(err, want) || c.Key != nil {
			t.Errorf("%s: %+v %v, want %v", line, c, err, want)
		}
	}
}

func media(t testing.TB, lines string) *Media {
	t.Helper()
	s, err := Parse("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n" + strings.ReplaceAll(lines, "\n", "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return &s.Media[0]
}

func TestCryptosPassesOverWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	const good = "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n"
	const bad = "a=crypto:1 ARIA_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n"
	if list, err := media(t, "m=audio 9 RTP/SAVP 0\n"+bad+good+bad).Cryptos(); err != nil || len(list) != 1 || list[0].Tag != 7 {
		t.Errorf("%+v %v", list, err)
	}
	if list, err := media(t, "m=audio 9 RTP/SAVP 0\n"+bad).Cryptos(); !errors.Is(err, ErrSuite) || list != nil {
		t.Errorf("%+v %v", list, err)
	}
	if list, err := media(t, "m=audio 9 RTP/SAVP 0\n"+strings.Repeat(good, 100)).Cryptos(); err != nil || len(list) != maxCrypto {
		t.Errorf("%d lines are read: %v", len(list), err)
	}
}

func TestParseFingerprint(t *testing.T) {
	t.Parallel()
	const sha1 = "SHA-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB" // RFC 8122 §5
	f, err := ParseFingerprint(sha1)
	if err != nil || f.Hash != "sha-1" || len(f.Value) != 20 || f.Value[0] != 0x4a || f.Value[19] != 0xab {
		t.Errorf("%+v %v", f, err)
	}
	if got := string(f.append(nil)); got != "a=fingerprint:"+strings.Replace(sha1, "SHA", "sha", 1)+"\r\n" {
		t.Errorf("written as %s", got)
	}
	for _, bad := range []string{"", "sha-1", "md5 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B", sha1 + ":00", sha1[:len(sha1)-1], strings.ReplaceAll(sha1, ":", "-"), strings.Replace(sha1, "4A", "4G", 1)} {
		if f, err := ParseFingerprint(bad); err == nil || f.Value != nil {
			t.Errorf("%s is taken: %+v", bad, f)
		}
	}
	const lines = "m=audio 9 UDP/TLS/RTP/SAVP 0\na=setup:active\na=connection:new\na=tls-id:abc3de65cddef001be82\n"
	m := media(t, "a=fingerprint:"+sha1+"\na=setup:actpass\n"+lines)
	if got := m.Fingerprints(); len(got) != 1 || m.Setup() != "active" || m.Connection() != "new" || m.TLSID() != "abc3de65cddef001be82" {
		t.Errorf("what stands for the whole description: %+v %q", got, m.Setup())
	}
	if got := media(t, lines+strings.Repeat("a=fingerprint:"+sha1+"\n", 100)).Fingerprints(); len(got) != maxFingerprints {
		t.Errorf("%d fingerprints are read", len(got))
	}
}

// The lines are those of RFC 8839 §5.1 and appendix A, and Linphone's.
func TestParseCandidate(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddrPort
	for line, want := range map[string]Candidate{
		"1 1 UDP 2130706431 203.0.113.141 8998 typ host":                                         {"1", 1, 2130706431, addr("203.0.113.141:8998"), "host", netip.AddrPort{}},
		"2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998":            {"2", 1, 1694498815, addr("192.0.2.3:45664"), "srflx", addr("203.0.113.141:8998")},
		"1 1 UDP 2130706431 2001:db8:8101:3a55:4858:a2a9:22ff:99b9 50000 typ host generation 0":  {"1", 1, 2130706431, addr("[2001:db8:8101:3a55:4858:a2a9:22ff:99b9]:50000"), "host", netip.AddrPort{}},
		"3 2 udp 16777086 198.18.1.1 28507 typ relay raddr 198.18.1.2 rport 27001":               {"3", 2, 16777086, addr("198.18.1.1:28507"), "relay", addr("198.18.1.2:27001")},
		"1 1 UDP 5 192.0.2.3 45664 typ srflx raddr 0.0.0.0 rport 0 network-id 1 network-cost 10": {"1", 1, 5, addr("192.0.2.3:45664"), "srflx", addr("0.0.0.0:0")},
	} {
		if got, err := ParseCandidate(line); err != nil || got != want {
			t.Errorf("%s: %+v %v", line, got, err)
		}
	}
	for _, bad := range []string{
		"", "1 1 TCP 2130706431 203.0.113.141 9 typ host tcptype active", "1 1 UDP 2130706431 e3b7.local 8998 typ host", "1 0 UDP 1 192.0.2.1 8998 typ host",
		"1 1 UDP 4294967296 192.0.2.1 8998 typ host", "1 1 UDP 1 192.0.2.1 0 typ host", "1 1 UDP 1 192.0.2.1 8998 typ magic", "1 1 UDP 1 192.0.2.1 65536 typ host",
		"<1> 1 UDP 1 192.0.2.1 8998 typ host", "1 1 UDP 1 224.0.0.1 8998 typ host", "1 1 UDP 1 fe80::1%eth0 8998 typ host",
	} {
		if got, err := ParseCandidate(bad); err == nil {
			t.Errorf("%s is taken: %+v", bad, got)
		}
	}
}

func TestICE(t *testing.T) {
	t.Parallel()
	const head = "a=ice-pwd:asd88fgpdd777uzjYhagZg\na=ice-ufrag:8hhY\n"
	const candidate = "a=candidate:1 1 UDP 2130706431 203.0.113.141 8998 typ host\n"
	m := media(t, head+"a=ice-lite\nm=audio 8998 RTP/AVP 0\n"+candidate+"a=candidate:x\na=remote-candidates:1 192.0.2.3 45664 2 192.0.2.3 45665\n")
	if ice := m.ICE(); ice.Ufrag != "8hhY" || ice.Pwd != "asd88fgpdd777uzjYhagZg" || !ice.Lite || len(ice.Candidates) != 1 {
		t.Errorf("%+v", ice)
	}
	if got := m.RemoteCandidates(); len(got) != 2 || got[1] != netip.MustParseAddrPort("192.0.2.3:45665") {
		t.Errorf("%v", got)
	}
	if got := media(t, head+"m=audio 8998 RTP/AVP 0\n"+strings.Repeat(candidate, 100)).ICE(); len(got.Candidates) != maxCandidates {
		t.Errorf("%d candidates are read", len(got.Candidates))
	}
	for _, bad := range []string{"", "a=ice-ufrag:8hh\na=ice-pwd:asd88fgpdd777uzjYhagZg\n", "a=ice-ufrag:8hhY\n", "a=ice-ufrag:8 hY\na=ice-pwd:asd88fgpdd777uzjYhagZg\n", "a=ice-ufrag:8hhY\na=ice-pwd:short\n"} {
		if got := media(t, bad+"m=audio 8998 RTP/AVP 0\n"+candidate).ICE(); got.Ufrag != "" || got.Candidates != nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestKeyings(t *testing.T) {
	t.Parallel()
	const crypto, print, zrtp = "a=crypto:1 x\n", "a=fingerprint:sha-1 x\n", "a=zrtp-hash:1.10 44b7\n"
	for lines, want := range map[string]Keying{
		"RTP/AVP 0\n":                   Plain,
		"RTP/AVPF 0\n" + zrtp:           Plain,
		"RTP/AVP 0\n" + crypto:          Plain | SDES, // Linphone, when it does not insist
		"RTP/AVP 0\n" + crypto + print:  Plain | SDES | DTLS,
		"RTP/SAVP 0\n" + crypto:         SDES,
		"RTP/SAVPF 0\n" + print:         DTLS,
		"RTP/SAVP 0\n" + crypto + print: SDES | DTLS,
		"RTP/SAVP 0\n":                  0,
		"UDP/TLS/RTP/SAVPF 0\n" + print: DTLS,
		"UDP/TLS/RTP/SAVP 0\n" + crypto: DTLS,
		"udptl t38\n":                   Plain,
	} {
		if got := media(t, "m=audio 9 "+lines).Keyings(); got != want {
			t.Errorf("%q: %b, want %b", lines, got, want)
		}
	}
	for k, want := range map[Keying]string{Plain: "RTP/AVPF", SDES: "RTP/SAVPF", DTLS: "UDP/TLS/RTP/SAVPF"} {
		if got := Profile(k, true); got != want || Profile(k, false) != strings.TrimSuffix(want, "F") {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestWhatAnMLineSays(t *testing.T) {
	t.Parallel()
	m := media(t, "m=video 9 RTP/AVPF 96 97\nb=TIAS:1500500\na=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1;stereo=0\na=rtpmap:97 PCMU/8000\n"+
		"a=ptime:20\na=maxptime:60.0\na=mid:v1\na=extmap:3/sendrecv urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\n"+
		"a=ssrc:1 cname:x\na=ssrc:1 msid:y\na=ssrc:4294967295 cname:x\na=ssrc:no cname\na=rtcp-mux\na=rtcp-mux-only\na=zrtp-hash:1.10 44\n")
	want := []Format{{PayloadType: 96, Encoding: "opus", ClockRate: 48000, Channels: 2, Params: "useinbandfec=1;stereo=0"}, {PayloadType: 97, Encoding: "PCMU", ClockRate: 8000}}
	if got := m.AppendFormats(nil); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if m.Bandwidth() != 1501 || m.Ptime(false) != 20 || m.Ptime(true) != 60 || m.MID() != "v1" || m.Ext(ExtMID) != 3 || m.Ext("urn:x") != 0 ||
		!reflect.DeepEqual(m.SSRCs(), []uint32{1, 4294967295}) || !m.Mux || !m.MuxOnly() || !m.Feedback() || !m.ZRTP() {
		t.Errorf("%d %d %d %q %d %v", m.Bandwidth(), m.Ptime(false), m.Ptime(true), m.MID(), m.Ext(ExtMID), m.SSRCs())
	}
	pcmu, mono := want[1], Format{PayloadType: 3, Encoding: "pcmu", ClockRate: 8000, Channels: 1}
	if !pcmu.Same(&mono) || pcmu.Same(&want[0]) {
		t.Error("PCMU is PCMU of one channel, and not opus")
	}
}

// A browser's offer: one port, one key, one ICE for both streams.
func TestABrowsersOffer(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/chromium-offer.sdp")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Bundle(); !reflect.DeepEqual(got, []string{"0", "1"}) {
		t.Errorf("bundle: %v", got)
	}
	for i := range s.Media {
		m := &s.Media[i]
		ice := m.ICE()
		if m.Keyings() != DTLS || m.Setup() != "actpass" || len(m.Fingerprints()) != 1 || ice.Ufrag == "" || !m.Mux || !s.Bundled(m) || m.Ext(ExtMID) == 0 ||
			m.Direction != SendRecv || m.RTP().IsValid() || !m.Feedback() || len(m.AppendFormats(nil)) < 8 {
			t.Errorf("m-line %d: %+v %+v", i, m, ice)
		}
	}
}

func TestAppendTerms(t *testing.T) {
	t.Parallel()
	s, err := Parse("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=fingerprint:sha-1 x\r\na=ice-ufrag:8hhY\r\na=group:BUNDLE a v\r\n" +
		"m=audio 4000 RTP/SAVPF 96 0 101\r\nb=AS:90\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 x=1\r\na=rtpmap:101 telephone-event/8000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:* ccm tmmbr\r\n" +
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret\r\na=setup:active\r\na=mid:a\r\na=rtcp-mux\r\na=extmap:4 " + ExtMID + "\r\na=extmap:1 urn:x\r\na=zrtp-hash:1.10 44\r\na=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\r\na=ptime:20\r\n")
	if err != nil {
		t.Fatal(err)
	}
	terms := Terms{
		Payloads:   []Format{{PayloadType: 0, Encoding: "PCMU", ClockRate: 8000}, {PayloadType: 97, Encoding: "opus", ClockRate: 48000, Channels: 2, Params: "useinbandfec=1"}},
		Crypto:     []Crypto{{Tag: 3, Suite: "AEAD_AES_128_GCM", Key: bytes.Repeat([]byte{0}, 28), MKI: []byte{1, 2}}},
		Ufrag:      "ours",
		Pwd:        "0123456789012345678901",
		Candidates: []Candidate{{Foundation: "1", Component: 1, Priority: 7, Addr: netip.MustParseAddrPort("[2001:db8::1]:20000"), Type: "relay", Related: netip.MustParseAddrPort("192.0.2.9:9")}},
		MID:        "m", MIDExt: 9, Mux: true, Bandwidth: 64,
	}
	origin := Origin{Addr: netip.MustParseAddr("192.0.2.9"), Lite: true, Bundle: []string{"m"}}
	got := string(Append(nil, s, origin, []Section{{From: &s.Media[0], Proto: "RTP/SAVP", RTP: 20000, RTCP: 20000, Direction: SendRecv, Terms: terms}}))
	want := "v=0\r\no=- 0 0 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE m\r\n" +
		"m=audio 20000 RTP/SAVP 0 97\r\nb=AS:64\r\na=rtcp-fb:* ccm tmmbr\r\na=extmap:1 urn:x\r\na=ptime:20\r\n" +
		"a=rtpmap:0 PCMU/8000\r\na=rtpmap:97 opus/48000/2\r\na=fmtp:97 useinbandfec=1\r\n" +
		"a=crypto:3 AEAD_AES_128_GCM inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==|258:2\r\n" +
		"a=mid:m\r\na=extmap:9 " + ExtMID + "\r\na=rtcp-mux\r\na=ice-ufrag:ours\r\na=ice-pwd:0123456789012345678901\r\n" +
		"a=candidate:1 1 UDP 7 2001:db8::1 20000 typ relay raddr 192.0.2.9 rport 9\r\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	through := string(Append(nil, s, Origin{Addr: netip.MustParseAddr("192.0.2.9")}, []Section{{From: &s.Media[0], RTP: 20000, RTCP: 20001, Direction: SendRecv, Terms: Terms{Through: true, Direct: true}}}))
	for _, line := range []string{"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret", "a=setup:active", "a=fingerprint:sha-1 x", "a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host", "a=zrtp-hash:1.10 44"} {
		if strings.Count(through, line+"\r\n") != 1 {
			t.Errorf("%s does not pass:\n%s", line, through)
		}
	}
	dtls := Section{From: &s.Media[0], Proto: Profile(DTLS, true), RTP: 20000, RTCP: 20001, Direction: SendRecv, Terms: Terms{Fingerprint: Fingerprint{"sha-256", []byte{0xab, 1}}, Setup: "passive"}}
	secured := string(Append(nil, s, Origin{Addr: netip.MustParseAddr("192.0.2.9")}, []Section{dtls}))
	if !strings.Contains(secured, "UDP/TLS/RTP/SAVPF 96 0 101\r\n") || !strings.Contains(secured, "a=fingerprint:sha-256 AB:01\r\na=setup:passive\r\n") || strings.Contains(secured, "zrtp") || strings.Contains(secured, "crypto") {
		t.Errorf("%s", secured)
	}
}

func FuzzParseCrypto(f *testing.F) {
	f.Add("1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP")
	f.Add("2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;inline:x")
	f.Add("3 AEAD_AES_256_GCM inline:|")
	f.Fuzz(func(t *testing.T, v string) {
		c, err := ParseCrypto(v)
		if err != nil {
			return
		}
		line, _ := strings.CutPrefix(strings.TrimSuffix(string(c.append(nil)), "\r\n"), "a=crypto:")
		again, err := ParseCrypto(line)
		if len(c.MKI) > 8 {
			again.MKI = c.MKI // such is read and never written
		}
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%q is written as %q: %+v %v", v, line, again, err)
		}
	})
}

func FuzzParseCandidate(f *testing.F) {
	f.Add("1 1 UDP 2130706431 203.0.113.141 8998 typ host")
	f.Add("3 2 UDP 16777086 198.18.1.1 28507 typ relay raddr 198.18.1.2 rport 27001 generation 0")
	f.Fuzz(func(t *testing.T, v string) {
		c, err := ParseCandidate(v)
		if err != nil {
			return
		}
		line, _ := strings.CutPrefix(strings.TrimSuffix(string(c.append(nil)), "\r\n"), "a=candidate:")
		if again, err := ParseCandidate(line); err != nil || again != c {
			t.Fatalf("%q is written as %q: %+v %v", v, line, again, err)
		}
	})
}

func FuzzParseFingerprint(f *testing.F) {
	f.Add("SHA-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB")
	f.Fuzz(func(t *testing.T, v string) {
		p, err := ParseFingerprint(v)
		if err != nil {
			return
		}
		line, _ := strings.CutPrefix(strings.TrimSuffix(string(p.append(nil)), "\r\n"), "a=fingerprint:")
		if again, err := ParseFingerprint(line); err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%q is written as %q: %+v %v", v, line, again, err)
		}
	})
}
