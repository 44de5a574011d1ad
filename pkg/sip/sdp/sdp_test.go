package sdp

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const linphone = "v=0\r\no=alice 1899 1652 IN IP4 192.0.2.7\r\ns=Talk\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n" +
	"a=rtcp-xr:rcvr-rtt=all:10000\r\na=ice-ufrag:abcd\r\na=group:BUNDLE 0 1\r\n" +
	"m=audio 27000 RTP/SAVP 96 0 101\r\nc=IN IP4 192.0.2.8\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n" +
	"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xUsbeepH\r\na=candidate:1 1 UDP 1 192.0.2.8 27000 typ host\r\na=rtcp:27009\r\na=sendonly\r\n" +
	"m=video 0 RTP/AVP 97\r\na=rtpmap:97 VP8/90000\r\n"

func TestParse(t *testing.T) {
	s, err := Parse(linphone)
	if err != nil {
		t.Fatal(err)
	}
	audio, video := s.Media[0], s.Media[1]
	if s.Origin != "alice 1899 1652 IN IP4 192.0.2.7" || len(s.Media) != 2 {
		t.Fatalf("%+v", s)
	}
	if audio.RTP() != netip.MustParseAddrPort("192.0.2.8:27000") || audio.RTCP != netip.MustParseAddrPort("192.0.2.8:27009") ||
		audio.Direction != SendOnly || audio.Mux || !audio.Secure() || !audio.Relayed() || !audio.HasEvents() {
		t.Errorf("audio: %+v", audio)
	}
	if video.Live() || video.RTP().IsValid() || video.Direction != SendRecv {
		t.Errorf("video: %+v", video)
	}
	want := []Format{
		{PayloadType: 96, Encoding: "opus", ClockRate: 48000, Channels: 2},
		{PayloadType: 0, Encoding: "PCMU", ClockRate: 8000},
		{PayloadType: 101, Encoding: "telephone-event", ClockRate: 8000},
	}
	if got := audio.AppendFormats(nil); !reflect.DeepEqual(got, want) {
		t.Errorf("formats: %+v, want %+v", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	const head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n"
	many := head + "c=IN IP4 192.0.2.1\r\n" + strings.Repeat("m=audio 1000 RTP/AVP 0\r\n", MaxMedia+1)
	for text, want := range map[string]error{
		"":                                  ErrSyntax,
		"v=0\r\ntest\r\n":                   ErrSyntax,
		"v=1\r\n":                           ErrSyntax,
		head + "m=audio 1000 RTP/AVP 0\r\n": ErrNoAddress,
		head + "c=IN IP4 224.0.0.1/127\r\nm=audio 1000 RTP/AVP 0\r\n":       ErrMulticast,
		head + "c=IN IP4 255.255.255.255\r\nm=audio 1000 RTP/AVP 0\r\n":     ErrMulticast,
		head + "c=IN IP4\r\nm=audio 1000 RTP/AVP 0\r\n":                     ErrSyntax,
		head + "c=IN IP4 192.0.2.1\r\nm=audio 70000 RTP/AVP 0\r\n":          ErrSyntax,
		head + "c=IN IP4 192.0.2.1\r\nm=audio 1000 RTP/AVP\r\n":             ErrSyntax,
		head + "c=IN IP4 192.0.2.1\r\nm=audio 10 RTP/AVP 0\r\na=rtcp:x\r\n": ErrSyntax,
		many:                       ErrTooMany,
		strings.Repeat("v", 1<<20): ErrTooLong,
	} {
		if _, err := Parse(text); !errors.Is(err, want) {
			t.Errorf("%.60q: %v, want %v", text, err, want)
		}
	}
}

func TestAddressesOfOldAndOddClients(t *testing.T) {
	const tail = "t=0 0\r\nm=audio 1000 RTP/AVP 0\r\n"
	for conn, want := range map[string]string{
		"c=IN IP4 0.0.0.0":          "invalid AddrPort", // hold of RFC 2543
		"c=IN IP4 phone.example":    "invalid AddrPort", // told by the media
		"c=IN IP6 2001:db8::7":      "[2001:db8::7]:1000",
		"c=IN IP6 ::ffff:192.0.2.1": "192.0.2.1:1000",
	} {
		s, err := Parse("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n" + conn + "\r\n" + tail)
		if err != nil || s.Media[0].RTP().String() != want {
			t.Errorf("%s: %v %v, want %s", conn, s, err, want)
		}
	}
	if s, err := Parse("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\n" + tail); err != nil || s.Media[0].Direction != SendOnly {
		t.Errorf("the old hold: %+v %v", s, err)
	}
	if s, err := Parse("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nm=audio 1000 RTP/AVP 0\na=rtcp-mux\n"); err != nil ||
		s.Media[0].RTCP.Port() != 1000 {
		t.Errorf("bare line feeds and rtcp-mux: %+v %v", s, err)
	}
}

func TestDirections(t *testing.T) {
	for d, want := range map[Direction]Direction{SendRecv: SendRecv, SendOnly: RecvOnly, RecvOnly: SendOnly, Inactive: Inactive} {
		if d.Reverse() != want {
			t.Errorf("%s reversed is %s", d, d.Reverse())
		}
	}
}

func TestAppend(t *testing.T) {
	s, err := Parse(linphone)
	if err != nil {
		t.Fatal(err)
	}
	got := string(Append(nil, s, Origin{ID: 7, Version: 2, Addr: netip.MustParseAddr("2001:db8::1")}, []Section{
		{From: &s.Media[0], RTP: 20000, RTCP: 20001, Direction: SendOnly, Terms: Terms{Through: true}},
		{From: &s.Media[1]},
		{Kind: "image", Proto: "udptl", Formats: "t38"},
	}))
	want := "v=0\r\no=- 7 2 IN IP6 2001:db8::1\r\ns=Talk\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\na=rtcp-xr:rcvr-rtt=all:10000\r\n" +
		"m=audio 20000 RTP/SAVP 96 0 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n" +
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xUsbeepH\r\na=sendonly\r\n" +
		"m=video 0 RTP/AVP 97\r\nm=image 0 udptl t38\r\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	bare, err := Parse("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.1\r\nm=audio 1000 RTP/AVP 0\r\n")
	if err != nil {
		t.Fatal(err)
	}
	got = string(Append(nil, bare, Origin{Addr: netip.MustParseAddr("192.0.2.9")}, []Section{{From: &bare.Media[0], RTP: 20000, RTCP: 20010, Direction: SendRecv}}))
	want = "v=0\r\no=- 0 0 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\na=rtcp:20010\r\n"
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func FuzzSDP(f *testing.F) {
	f.Add(linphone)
	f.Add("v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 1 RTP/AVP 0\nc=IN IP4 1.2.3.4\nm=x 0 y z")
	seeds, _ := filepath.Glob("testdata/*.sdp")
	for _, name := range seeds {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		var secs []Section
		for i := range s.Media {
			s.Media[i].AppendFormats(nil)
			secs = append(secs, Section{From: &s.Media[i], RTP: 20000, RTCP: 20001, Direction: s.Media[i].Direction})
		}
		out := Append(nil, s, Origin{ID: 1, Version: 1, Addr: netip.MustParseAddr("192.0.2.1")}, secs)
		again, err := Parse(string(out))
		if err != nil || len(again.Media) != len(s.Media) {
			t.Fatalf("%q is written as %q, which cannot be read: %v", text, out, err)
		}
		for i := range again.Media {
			if a, b := again.Media[i], s.Media[i]; a.Kind != b.Kind || a.Formats != b.Formats || a.Direction != b.Direction {
				t.Fatalf("m-line %d of %q changed to %+v", i, text, a)
			}
		}
	})
}

func BenchmarkParseAppend(b *testing.B) {
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Parse(linphone)
		if err != nil {
			b.Fatal(err)
		}
		buf = Append(buf[:0], s, Origin{Addr: netip.MustParseAddr("192.0.2.9")}, []Section{{From: &s.Media[0], RTP: 20000, Direction: SendRecv}, {From: &s.Media[1]}})
	}
}
