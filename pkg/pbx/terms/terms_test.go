package terms

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

const (
	crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n"
	print1 = "a=fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB\n"
	ice1   = "a=ice-ufrag:8hhY\na=ice-pwd:asd88fgpdd777uzjYhagZg\n"
)

func parse(t testing.TB, lines string) *sdp.Session {
	t.Helper()
	s, err := sdp.Parse(strings.ReplaceAll("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n"+lines, "\n", "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rules(encryption string, kinds ...string) ctl.MediaRules {
	return ctl.MediaRules{Encryption: encryption, Kinds: kinds, Suites: []string{"AES_CM_128_HMAC_SHA1_80"}, Path: ctl.PathRelay, Transcoding: ctl.On, Video: ctl.On, ZRTP: ctl.ZRTPPass}
}

func TestAnswering(t *testing.T) {
	t.Parallel()
	preferred, required, off := rules(ctl.EncryptionPreferred, "dtls", "sdes"), rules(ctl.EncryptionRequired, "sdes"), rules(ctl.EncryptionOff, "dtls")
	for _, c := range []struct {
		offer string
		rules ctl.MediaRules
		want  string // protection, setup, ICE, and what is shared; or why not
	}{
		{"m=audio 9 RTP/AVP 0\n", preferred, "- passive"},
		{"m=audio 9 RTP/AVP 0\n", required, WhyRequired},
		{"m=audio 9 RTP/AVP 0\n" + crypto, required, "sdes passive"},
		{"m=audio 9 RTP/AVP 0\n" + crypto, off, "- passive"},
		{"m=audio 9 RTP/AVP 0\n" + strings.Replace(crypto, "AES", "XES", 1), preferred, "- passive"},
		{"m=audio 9 RTP/SAVP 0\n" + crypto, off, WhyOff},
		{"m=audio 9 RTP/SAVP 0\n" + crypto + print1, preferred, "dtls passive"},
		{"m=audio 9 RTP/SAVP 0\n" + crypto + print1, required, "sdes passive"},
		{"m=audio 9 RTP/SAVP 0\n" + strings.Replace(crypto, "_80", "_32", 1), preferred, WhySuite},
		{"m=audio 9 RTP/SAVP 0\n", preferred, WhyKeys},
		{"m=audio 9 UDP/TLS/RTP/SAVPF 0\na=setup:passive\n" + print1, preferred, "dtls active"},
		{"m=audio 9 UDP/TLS/RTP/SAVPF 0\na=setup:active\n" + print1, preferred, "dtls passive"},
		{"m=audio 9 UDP/TLS/RTP/SAVPF 0\n", preferred, WhyPrint},
		{"m=audio 0 RTP/AVP 0\n", required, "-"},
		{"m=image 9 udptl t38\n", preferred, "- passive"},
		{"m=image 9 udptl t38\n", required, WhyRequired},
		{ice1 + "m=audio 9 RTP/AVP 0\na=rtcp-mux\nm=video 0 RTP/AVP 97\n", preferred, "- passive lite mux"},
		{ice1 + "a=group:BUNDLE a b\nm=audio 9 RTP/AVP 0\na=mid:a\na=rtcp-mux\nm=video 9 RTP/AVP 97\na=mid:b\na=rtcp-mux\n", preferred, "- passive lite mux bundle"},
		{"a=group:BUNDLE a b\nm=audio 9 RTP/AVP 0\n" + ice1 + "a=mid:a\na=rtcp-mux\nm=video 9 RTP/AVP 97\na=mid:b\n", preferred, "- passive"},
		{"m=audio 9 RTP/SAVP 0\n" + crypto + "m=video 9 RTP/AVP 97\n", preferred, "sdes passive"},
		{"m=audio 9 RTP/AVP 0\nm=video 9 RTP/SAVP 97\n" + crypto, required, WhyRequired},
	} {
		got, why := Answering(parse(t, c.offer), &c.rules)
		if describe(got, why) != c.want {
			t.Errorf("%s%s: got %s, want %s", c.offer, c.rules.Encryption, describe(got, why), c.want)
		}
	}
}

func describe(t ctl.MediaTerms, why string) string {
	if why != "" {
		return why
	}
	words := []string{string(t.Protection), t.Setup, string(t.ICE)}
	if t.Protection == ctl.Plain {
		words[0] = "-"
	}
	if t.Mux {
		words = append(words, "mux")
	}
	if t.Bundle {
		words = append(words, "bundle")
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

func TestTaking(t *testing.T) {
	t.Parallel()
	preferred, required := rules(ctl.EncryptionPreferred, "dtls", "sdes"), rules(ctl.EncryptionRequired, "sdes")
	for _, c := range []struct {
		answer string
		asked  ctl.MediaTerms
		rules  ctl.MediaRules
		want   string
	}{
		{"m=audio 9 RTP/SAVP 0\n" + crypto, ctl.MediaTerms{Protection: ctl.SDES, ICE: ctl.ICELite, Mux: true, Bundle: true}, required, "sdes actpass"},
		{"m=audio 9 RTP/SAVP 0\n" + crypto, ctl.MediaTerms{Protection: ctl.DTLS}, preferred, WhyKind},
		{"m=audio 9 RTP/AVP 0\n", ctl.MediaTerms{Protection: ctl.DTLS}, preferred, "- actpass"},
		{"m=audio 9 RTP/AVP 0\n", ctl.MediaTerms{Protection: ctl.SDES}, required, WhyPlain},
		{"m=audio 0 RTP/AVP 0\n", ctl.MediaTerms{Protection: ctl.SDES}, required, "sdes actpass"},
		{"m=audio 9 RTP/AVP 0\n" + crypto, ctl.MediaTerms{Protection: ctl.SDES}, required, "sdes actpass"},
		{"m=audio 9 RTP/AVP 0\n" + ice1, ctl.MediaTerms{ICE: ctl.ICEThrough}, preferred, "- actpass through"},
		{"m=audio 9 RTP/SAVP 0\n", ctl.MediaTerms{Protection: ctl.Through, ICE: ctl.ICEThrough}, preferred, "through actpass"},
		{"m=audio 9 UDP/TLS/RTP/SAVP 0\na=setup:active\n", ctl.MediaTerms{Protection: ctl.DTLS}, preferred, WhyPrint},
	} {
		got, why := Taking(parse(t, c.answer), c.asked, &c.rules)
		if describe(got, why) != c.want {
			t.Errorf("%s to %+v: got %s, want %s", c.answer, c.asked, describe(got, why), c.want)
		}
	}
}

// asks writes asks in short: f early feedback, + codecs added, > direct.
func asks(list []Ask) string {
	var words []string
	for _, a := range list {
		word := string(a.Protection)
		if a.Protection == ctl.Plain {
			word = "plain"
		}
		for _, mark := range []struct {
			on   bool
			sign string
		}{{a.Feedback, "f"}, {a.Added, "+"}, {a.Direct, ">"}} {
			if mark.on {
				word += mark.sign
			}
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestAsks(t *testing.T) {
	t.Parallel()
	direct := func(r ctl.MediaRules) ctl.MediaRules { r.Path = ctl.PathDirect; return r }
	deaf := func(r ctl.MediaRules) ctl.MediaRules { r.Transcoding = ctl.Off; return r }
	preferred, required := rules(ctl.EncryptionPreferred, "dtls", "sdes"), rules(ctl.EncryptionRequired, "sdes")
	opus := []sdp.Format{{Encoding: "opus", ClockRate: 48000, Channels: 2}}
	for _, c := range []struct {
		name   string
		offer  string
		rules  ctl.MediaRules
		device Known
		want   string
	}{
		{"unknown device", "m=audio 9 RTP/AVP 0\n", preferred, Known{}, "dtls sdes plain dtls+ sdes+ plain+"},
		{"nothing to turn it into", "m=audio 9 RTP/AVP 18\n", preferred, Known{}, "dtls sdes plain"},
		{"no transcoding", "m=audio 9 RTP/AVP 0\n", deaf(preferred), Known{}, "dtls sdes plain"},
		{"early feedback", "m=audio 9 RTP/AVPF 18\n", preferred, Known{}, "dtlsf sdesf plainf dtls sdes plain"},
		{"a device that offers in clear", "m=audio 9 RTP/AVP 18\n", preferred, Known{Takes: sdp.Plain}, "plain dtls sdes"},
		{"a device that has refused", "m=audio 9 RTP/AVP 18\n", preferred, Known{Takes: sdp.SDES, Refused: sdp.DTLS}, "sdes plain dtls"},
		{"required", "m=audio 9 RTP/AVP 18\n", required, Known{Takes: sdp.Plain, Refused: sdp.SDES}, "sdes"},
		{"off", "m=audio 9 RTP/AVP 18\n", rules(ctl.EncryptionOff, "dtls"), Known{Takes: sdp.DTLS}, "plain"},
		{"a device that speaks something else", "m=audio 9 RTP/AVP 0\n", rules(ctl.EncryptionOff), Known{Audio: opus}, "plain+"},
		{"direct", "m=audio 9 RTP/AVP 18\n" + ice1, direct(preferred), Known{}, "plain> dtls sdes plain"},
		{"direct with keys", "m=audio 9 RTP/SAVP 18\n" + ice1 + crypto, direct(preferred), Known{}, "through> dtls sdes plain"},
		{"direct with DTLS", "m=audio 9 UDP/TLS/RTP/SAVP 18\n" + ice1 + print1, direct(preferred), Known{}, "dtls sdes plain"},
		{"direct in clear where it is forbidden", "m=audio 9 RTP/AVP 18\n" + ice1 + crypto, direct(required), Known{}, "sdes"},
		{"direct to who has no ICE", "m=audio 9 RTP/AVP 18\n" + ice1, direct(preferred), Known{ICE: No}, "dtls sdes plain"},
		{"a caller who keys end to end", "m=audio 9 RTP/AVP 18\na=zrtp-hash:1.10 44\n", preferred, Known{Takes: sdp.DTLS}, "plain dtls sdes"},
		{"end to end where encryption is required", "m=audio 9 RTP/AVP 18\na=zrtp-hash:1.10 44\n", required, Known{}, "sdes"},
		{"no more than it is worth", "m=audio 9 RTP/AVPF 0\n" + ice1, direct(preferred), Known{}, "plainf> dtlsf sdesf plainf dtls sdes plain dtls+"},
	} {
		call := Call{Offer: parse(t, c.offer), Caller: c.rules, Callee: c.rules, Device: c.device}
		if got := asks(call.Asks()); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestBlind(t *testing.T) {
	t.Parallel()
	preferred, required := rules(ctl.EncryptionPreferred, "dtls", "sdes"), rules(ctl.EncryptionRequired, "dtls", "sdes")
	for _, c := range []struct {
		rules  ctl.MediaRules
		device Known
		want   string
	}{
		{preferred, Known{}, "plain"},
		{preferred, Known{Takes: sdp.SDES}, "sdes"},
		{preferred, Known{Takes: sdp.SDES, Feedback: Yes}, "sdesf"},
		{required, Known{}, "dtls"},
		{required, Known{Takes: sdp.Plain | sdp.SDES}, "sdes"},
	} {
		call := Call{Offer: parse(t, "m=audio 9 RTP/AVP 0\n"), Caller: c.rules, Callee: c.rules, Device: c.device}
		if got := asks([]Ask{call.Blind()}); got != c.want {
			t.Errorf("%s %+v: got %s, want %s", c.rules.Encryption, c.device, got, c.want)
		}
	}
}

func TestKnown(t *testing.T) {
	t.Parallel()
	var k Known
	k.Refuse(ctl.DTLS)
	k.Learn(parse(t, "m=audio 0 RTP/AVP 3\n"), true)
	if k.Takes != 0 || k.Audio != nil || k.ICE != Unknown {
		t.Errorf("a stream that is not in use shows nothing: %+v", k)
	}
	k.Learn(parse(t, ice1+"m=audio 9 RTP/SAVPF 0 101\na=rtpmap:101 telephone-event/8000\na=rtcp-mux\n"+crypto), true)
	if k.Takes != sdp.SDES || k.Refused != sdp.DTLS || k.Feedback != Yes || k.ICE != Yes || !k.Mux || k.Bundle || len(k.Audio) != 1 {
		t.Errorf("%+v", k)
	}
	k.Learn(parse(t, "m=audio 9 UDP/TLS/RTP/SAVP 8\n"+print1), false)
	if k.Takes != sdp.SDES|sdp.DTLS || k.Refused != 0 || k.ICE != Yes || len(k.Audio) != 2 {
		t.Errorf("an answer shows what more it takes: %+v", k)
	}
	k.Learn(parse(t, "m=audio 9 RTP/AVP 9\n"), true)
	if k.ICE != No || len(k.Audio) != 1 || k.Audio[0].Encoding != "G722" {
		t.Errorf("an offer shows all that it does: %+v", k)
	}
	var many strings.Builder
	for pt := 96; pt < 128; pt++ {
		fmt.Fprintf(&many, "a=rtpmap:%d X%d/8000\n", pt, pt)
	}
	list := strings.Trim(fmt.Sprint(numbers(96, 128)), "[]")
	if k.Learn(parse(t, "m=audio 9 RTP/AVP "+list+"\n"+many.String()), true); len(k.Audio) != maxKnown {
		t.Errorf("%d codecs are remembered", len(k.Audio))
	}
}

func numbers(from, to int) (list []int) {
	for n := from; n < to; n++ {
		list = append(list, n)
	}
	return list
}

// list writes formats in short.
func list(formats []sdp.Format) string {
	var words []string
	for _, f := range formats {
		words = append(words, fmt.Sprintf("%d:%s/%d", f.PayloadType, f.Encoding, f.ClockRate))
	}
	return strings.Join(words, " ")
}

const (
	opusLine  = "a=rtpmap:96 opus/48000/2\n"
	digits8   = "a=rtpmap:101 telephone-event/8000\n"
	digits48  = "a=rtpmap:102 telephone-event/48000\n"
	g729Lines = "m=audio 9 RTP/AVP 18 101\n" + digits8
)

func TestPayloads(t *testing.T) {
	t.Parallel()
	named := func(names ...string) ctl.MediaRules { return ctl.MediaRules{Codecs: names} }
	for _, c := range []struct {
		offer          string
		caller, callee ctl.MediaRules
		added          bool
		want           string // "" passes what is there
	}{
		{"m=audio 9 RTP/AVP 96 0 101\n" + opusLine + digits8, named(), named(), false, ""},
		{"m=video 9 RTP/AVP 96\na=rtpmap:96 VP8/90000\n", named("opus"), named(), true, ""},
		{"m=audio 9 RTP/AVP 0 8 96 13 101 102\n" + opusLine + digits8 + digits48, named("opus", "pcma"), named("PCMA", "opus"), false, "8:PCMA/8000 96:opus/48000 13:CN/8000 101:telephone-event/8000 102:telephone-event/48000"},
		{"m=audio 9 RTP/AVP 0 96 101 102\n" + opusLine + digits8 + digits48, named("opus"), named(), false, "96:opus/48000 102:telephone-event/48000"},
		{g729Lines, named(), named(), true, "18:G729/8000 101:telephone-event/8000 96:opus/48000 9:G722/8000 8:PCMA/8000 0:PCMU/8000 97:telephone-event/48000"},
		{g729Lines, named(), named("PCMU"), true, "0:PCMU/8000"},
		{"m=audio 9 RTP/AVP 96 9\n" + opusLine, named(), named(), true, "96:opus/48000 9:G722/8000 8:PCMA/8000 0:PCMU/8000"},
		{"m=audio 9 RTP/AVP 96 0\na=rtpmap:96 speex/8000\na=rtpmap:0 speex/16000\n", named(), named("PCMU", "speex"), true, "96:speex/8000 0:speex/16000 97:PCMU/8000"},
	} {
		m := &parse(t, c.offer).Media[0]
		if got := list(Payloads(m, &c.caller, &c.callee, c.added)); got != c.want {
			t.Errorf("%q: got %s, want %s", c.offer, got, c.want)
		}
	}
}

func TestAnswered(t *testing.T) {
	t.Parallel()
	const no = "no"
	for _, c := range []struct{ offered, answered, want string }{
		{"m=audio 9 RTP/AVP 96 0 101\n" + opusLine + digits8, "m=audio 9 RTP/AVP 0 101\n" + digits8, ""},
		{"m=audio 9 RTP/AVP 96\n" + opusLine, "m=audio 9 RTP/AVP 111\na=rtpmap:111 OPUS/48000/2\n", ""},
		{"m=audio 9 RTP/AVP 96 0 101\n" + opusLine + digits8, "m=audio 9 RTP/AVP 8 0 110\na=rtpmap:110 telephone-event/8000\n", "0:PCMU/8000 101:telephone-event/8000"},
		{"m=audio 9 RTP/AVP 96 102\n" + opusLine + digits48, "m=audio 9 RTP/AVP 0 101\n" + digits8, "96:opus/48000 102:telephone-event/48000"},
		{"m=audio 9 RTP/AVP 18 96 8\n" + opusLine, "m=audio 9 RTP/AVP 0\n", "96:opus/48000 8:PCMA/8000"},
		{"m=audio 9 RTP/AVP 18\n", "m=audio 9 RTP/AVP 0\n", no},
		{"m=audio 9 RTP/AVP 0\n", "m=audio 9 RTP/AVP 18\n", no},
		{"m=video 9 RTP/AVP 96\na=rtpmap:96 VP8/90000\n", "m=video 9 RTP/AVP 97\na=rtpmap:97 H264/90000\n", ""},
	} {
		formats, ok := Answered(&parse(t, c.offered).Media[0], &parse(t, c.answered).Media[0], true)
		if got := list(formats); ok == (c.want == no) || ok && got != c.want {
			t.Errorf("%q to %q: got %s %v, want %s", c.answered, c.offered, got, ok, c.want)
		}
		if formats, ok := Answered(&parse(t, c.offered).Media[0], &parse(t, c.answered).Media[0], false); ok && strings.Contains(list(formats), "opus") {
			t.Errorf("without transcoding: %s", list(formats))
		}
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	m := &parse(t, ice1+"m=audio 4000 RTP/SAVPF 0 101\n"+digits8+"a=sendonly\na=ptime:20\na=candidate:1 1 UDP 7 192.0.2.1 4000 typ host\n"+crypto).Media[0]
	same, other := &parse(t, "m=audio 9 RTP/AVP 0\n").Media[0], &parse(t, "m=audio 9 RTP/AVP 110\na=rtpmap:110 telephone-event/8000\n").Media[0]
	s := Stream(m, same, &ctl.MediaTerms{Protection: ctl.SDES, ICE: ctl.ICELite})
	if s.RTP != netip.MustParseAddrPort("192.0.2.1:4000") || s.Direction != ctl.SendOnly || s.Ptime != 20 || !s.Feedback || len(s.Crypto) != 1 || len(s.Formats) != 2 ||
		s.Told != nil || len(s.ICE.Candidates) != 1 || s.ICE.Pwd == "" || s.Protection != ctl.SDES || s.Secure {
		t.Errorf("%+v", s)
	}
	s = Stream(m, other, &ctl.MediaTerms{Protection: ctl.Through})
	if len(s.Told) != 1 || s.Told[0].PayloadType != 110 || s.Crypto != nil || s.ICE.Ufrag != "" || !s.Secure {
		t.Errorf("%+v", s)
	}
	if s := Stream(&parse(t, "m=audio 0 RTP/AVP 0\n").Media[0], nil, &ctl.MediaTerms{}); !reflect.DeepEqual(s, ctl.MediaStream{Kind: "audio"}) {
		t.Errorf("%+v", s)
	}
}

func TestDressTakesTheCandidatesOfTheRelay(t *testing.T) {
	t.Parallel()
	m := &parse(t, ice1+"m=audio 4000 RTP/AVP 0\n").Media[0]
	at := netip.MustParseAddrPort("192.0.2.9:20000")
	p := ctl.MediaPorts{RTP: at, RTCP: at, ICE: ctl.MediaICE{Ufrag: "u", Pwd: "p", Candidates: []ctl.MediaCandidate{{Foundation: "x", Component: 1, Priority: 9, Addr: at, Type: "host"}}}}
	sec := sdp.Section{From: m}
	Dress(&sec, &ctl.MediaTerms{ICE: ctl.ICELite, Mux: true}, &p, true)
	if d := &sec.Terms; len(d.Candidates) != 1 || d.Candidates[0].Foundation != "x" || d.Ufrag != "u" || sec.RTCP != 20000 || !d.Mux {
		t.Errorf("%+v", sec)
	}
	p.Setup = "active"
	for _, c := range []struct {
		offer bool
		setup string
		want  string
	}{{true, "passive", "actpass"}, {false, "passive", "active"}} {
		if got := setup(&ctl.MediaTerms{Setup: c.setup}, &p, c.offer); got != c.want {
			t.Errorf("setup is %s, want %s", got, c.want)
		}
	}
}
