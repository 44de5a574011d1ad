package terms

import (
	"net/netip"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// What one leg of a call costs: an offer of keys is read, the ways to ask another are found, and it is
// written in one of them.
func BenchmarkNegotiate(b *testing.B) {
	text := "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 27000 RTP/SAVP 96 97 98 0 8 18 99 100 101\r\na=rtpmap:96 opus/48000/2\r\n" +
		"a=fmtp:96 useinbandfec=1\r\na=rtpmap:97 speex/16000\r\na=fmtp:97 vbr=on\r\na=rtpmap:98 speex/8000\r\na=fmtp:98 vbr=on\r\na=fmtp:18 annexb=yes\r\n" +
		"a=rtpmap:99 telephone-event/48000\r\na=rtpmap:100 telephone-event/16000\r\na=rtpmap:101 telephone-event/8000\r\n" +
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xUsbeepH/1C3z3WcRZhJRUiaSKaEJKRpFr5diiiE\r\na=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:r8Vif0pAOvc+qBals/wpv8C/MPNPGeYQD+S33tk5\r\n"
	r := rules(ctl.EncryptionPreferred, "dtls", "sdes")
	at := netip.MustParseAddrPort("192.0.2.9:20000")
	ports := ctl.MediaPorts{RTP: at, RTCP: netip.AddrPortFrom(at.Addr(), at.Port()+1), Fingerprint: ctl.MediaFingerprint{Hash: "sha-256", Value: make([]byte, 32)}}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		s, err := sdp.Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		mine, why := Answering(s, &r)
		if why != "" {
			b.Fatal(why)
		}
		Stream(&s.Media[0], nil, &mine)
		c := Call{Offer: s, Caller: r, Callee: r}
		asked := c.Terms(c.Asks()[0])
		sec := sdp.Section{From: &s.Media[0], Proto: sdp.Profile(sdp.DTLS, false), Direction: sdp.SendRecv}
		Dress(&sec, &asked, &ports, true)
		buf = sdp.Append(buf[:0], s, sdp.Origin{Addr: at.Addr()}, []sdp.Section{sec})
	}
}
