package checked

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/testkit/racing"
	"github.com/coraltele/sanchar/pkg/testkit/torture"
)

func read(t testing.TB, text []byte) *Message {
	t.Helper()
	m := new(Message)
	if err := m.Read(slices.Clone(text)); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return m
}

func TestTortureMessages(t *testing.T) {
	for _, c := range torture.Load(t) {
		m := new(Message)
		got := torture.Silence
		if m.Read(slices.Clone(c.Text)) == nil {
			switch r := m.Check(); {
			case r == nil:
				got = 0
			case r.Code != 0:
				got = r.Code
			}
		}
		if got != c.Want {
			t.Errorf("%s: %d, want %d (%s)", c.Name, got, c.Want, c.Why)
		}
	}
}

const invite = "INVITE sip:bob@pbx.test SIP/2.0\r\n" +
	"Via: SIP/2.0/TCP 127.0.77.2:25070;alias;branch=z9hG4bK.G1sqzHF3N;rport, SIP/2.0/UDP h2;branch=z9hG4bKx\r\n" +
	"Via: SIP/2.0/UDP h3\r\n" +
	"From: \"Alice\" <sip:alice@pbx.test>;tag=idITAlvH0\r\nTo: sip:bob@pbx.test\r\nCSeq: 20 INVITE\r\nCall-ID: S6ryWrPerB\r\nMax-Forwards: 69\r\n" +
	"Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n" +
	"Supported: replaces, outbound, gruu, 100rel, x-odd\r\nRequire: timer\r\nAllow: INVITE, ACK, UPDATE\r\nSession-Expires: 1800;refresher=UAC\r\nMin-SE: 90\r\n" +
	"Contact: <sip:alice@pbx.test;gr=urn:uuid:657d>;+org.linphone.specs=\"ephemeral/1.1\"\r\n" +
	"Replaces: a@b;to-tag=1;from-tag=2;early-only\r\nSubject: hello\r\nContent-Type: Application/SDP\r\nContent-Length: 5\r\n\r\nv=0\r\nrest"

func TestRequest(t *testing.T) {
	m := read(t, []byte(invite))
	if r := m.Check(); r != nil {
		t.Fatalf("refused: %+v", r)
	}
	if m.Method != INVITE || m.Target != "sip:bob@pbx.test" || m.URI.User != "bob" || m.FromTag != "idITAlvH0" || m.ToTag != "" || m.CSeq != 20 ||
		m.CallID != "S6ryWrPerB" || m.MaxForwards != 69 || m.Expires != -1 || m.InDialog() {
		t.Errorf("%+v", m)
	}
	if m.Via.Transport != "TCP" || m.Via.Host != "127.0.77.2" || m.Via.Port != 25070 || m.Via.Branch != "z9hG4bK.G1sqzHF3N" || !m.Via.RPort || m.Hops != 3 {
		t.Errorf("via %+v of %d", m.Via, m.Hops)
	}
	if m.Supported != Replaces|Outbound|GRUU|Rel100 || m.Required != Timer || m.Allow != MethodSet(INVITE, ACK, UPDATE) {
		t.Errorf("supported %s, required %s, allow %s", m.Supported, m.Required, m.Allow)
	}
	if m.SessionExpires != (SessionExpires{1800, "uac"}) || m.MinSE != 90 || m.Replaces != (Dialog{"a@b", "1", "2", true}) {
		t.Errorf("session %+v, min %d, replaces %+v", m.SessionExpires, m.MinSE, m.Replaces)
	}
	if m.Contact() != "sip:alice@pbx.test;gr=urn:uuid:657d" || !m.HasSDP() || m.Body != "v=0\r\n" {
		t.Errorf("contact %q, body %q of %q", m.Contact(), m.Body, m.ContentType)
	}
	if got := strings.Join(m.AppendRoutes(nil, true), " "); got != "<sip:p3;lr> <sip:p2;lr> <sip:p1;lr>" {
		t.Errorf("routes %s", got)
	}
	var branches []string
	m.EachBranch(func(b string) bool { branches = append(branches, b); return true })
	if strings.Join(branches, ",") != "z9hG4bK.G1sqzHF3N,z9hG4bKx," {
		t.Errorf("branches %q", branches)
	}
	if got := string(m.AppendPassed(nil)); got != "Subject: hello\r\n" {
		t.Errorf("passed %q", got)
	}
}

func TestReplyRepeatsTheRequest(t *testing.T) {
	m := read(t, []byte(invite))
	if r := m.Check(); r != nil {
		t.Fatal(r)
	}
	got := string(m.AppendReply(nil, &Reply{
		Code: 183, Reason: "Session Progress", ToTag: "our", From: netip.MustParseAddrPort("[::ffff:192.0.2.1]:7000"), Routes: true,
		Header: "Server: x\r\n", Body: []byte("v=0"), Type: "application/sdp",
	}))
	want := "SIP/2.0 183 Session Progress\r\n" +
		"Via: SIP/2.0/TCP 127.0.77.2:25070;alias;branch=z9hG4bK.G1sqzHF3N;received=192.0.2.1;rport=7000, SIP/2.0/UDP h2;branch=z9hG4bKx\r\n" +
		"Via: SIP/2.0/UDP h3\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n" +
		"From: \"Alice\" <sip:alice@pbx.test>;tag=idITAlvH0\r\nTo: sip:bob@pbx.test;tag=our\r\nCall-ID: S6ryWrPerB\r\nCSeq: 20 INVITE\r\n" +
		"Server: x\r\nContent-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	spoofed := "OPTIONS sip:pbx.test SIP/2.0\r\nVia: SIP/2.0/UDP h;received=203.0.113.9;rport=1;branch=z9hG4bKs\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
	m = read(t, []byte(spoofed))
	if r := m.Check(); r != nil {
		t.Fatal(r)
	}
	got = string(m.AppendReply(nil, &Reply{Code: 200, Reason: "OK", From: netip.MustParseAddrPort("192.0.2.1:7000")}))
	if !strings.Contains(got, "Via: SIP/2.0/UDP h;branch=z9hG4bKs;received=192.0.2.1;rport=7000\r\n") {
		t.Errorf("a peer's own received and rport are believed:\n%s", got)
	}
}

func TestEveryRefusalIsForItsOwnReason(t *testing.T) {
	base := "REGISTER sip:pbx.test SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKs\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n"
	for line, want := range map[string]string{
		"":                               "",
		"Expires: 60\r\nExpires: 60":     "Expires",
		"Max-Forwards: 256":              "Max-Forwards",
		"Max-Forwards: -1":               "Max-Forwards",
		"Contact: *\r\nContact: <sip:a>": "Contact",
		"Contact: <sip:a>;q=2":           "Contact",
		"Contact: <sip:a>;reg-id=0":      "Contact",
		"Contact: <sip:a>;expires=x":     "",
		"m: " + strings.Repeat("<sip:a>,", maxContacts) + "<sip:a>": "m",
		"Session-Expires: 90;refresher=me":                          "Session-Expires",
		"Replaces: x;to-tag=1":                                      "Replaces",
		"RSeq: 0":                                                   "RSeq",
		"RAck: 1 2":                                                 "RAck",
		"Require: a b":                                              "Require",
		"Content-Type: text":                                        "Content-Type",
		"Route: sip":                                                "Route",
		"P-Asserted-Identity: x":                                    "P-Asserted-Identity",
		"no colon":                                                  "a header line without a name",
		"Call-ID: 2":                                                "Call-ID",
		"To: <sip:x@y>":                                             "To",
		"Via: SIP/2.0/UDP":                                          "Via",
	} {
		text := base
		if line != "" {
			text += line + "\r\n"
		}
		r := read(t, []byte(text+"\r\n")).Check()
		switch {
		case want == "" && r != nil:
			t.Errorf("%q: refused %+v", line, r)
		case want != "" && (r == nil || r.Code != 400 || r.Reason != "Bad Request: "+want):
			t.Errorf("%q: %+v, want 400 for %s", line, r, want)
		}
	}
}

func TestAnAckIsNeverAnswered(t *testing.T) {
	r := read(t, []byte("ACK sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: broken\r\n\r\n")).Check()
	if r == nil || r.Code != 0 {
		t.Fatalf("%+v, want silence", r)
	}
}

func TestResponse(t *testing.T) {
	const ok = "SIP/2.0 302 Moved Temporarily\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKs\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n" +
		"Contact: <sip:c@b>;q=0.5, sip:d@b;q=0.1\r\n\r\n"
	m := read(t, []byte(ok))
	if r := m.Check(); r != nil || m.Status != 302 || m.Method != INVITE || m.Reason != "Moved Temporarily" || len(m.Contacts) != 2 || m.Contacts[1].Q != 100 {
		t.Fatalf("%+v %+v", r, m)
	}
	for _, text := range []string{
		strings.Replace(ok, "302", "099", 1), strings.Replace(ok, "302", "700", 1), strings.Replace(ok, "2.0 302", "3.0 302", 1),
		strings.Replace(ok, "Call-ID: 1\r\n", "", 1), strings.Replace(ok, "Via", "Via: SIP/2.0/UDP x\r\nVia", 1),
	} {
		if r := read(t, []byte(text)).Check(); r == nil || r.Code != 0 {
			t.Errorf("not dropped: %s", text)
		}
	}
}

func TestMethodsAreCaseSensitive(t *testing.T) {
	text := "invite sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 invite\r\n\r\n"
	r := read(t, []byte(text)).Check()
	if r == nil || r.Code != 501 || !strings.Contains(r.Header, "Allow: INVITE, ") {
		t.Fatalf("%+v", r)
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	buf := []byte(register)
	m := new(Message)
	if n := testing.AllocsPerRun(100, func() {
		if m.Read(buf) != nil || m.Check() != nil {
			t.Fatal("refused")
		}
	}); n != 0 && !racing.On {
		t.Errorf("%v allocations", n)
	}
}

const register = "REGISTER sip:pbx.test SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.77.2:25070;alias;branch=z9hG4bK.pHkoXShTx;rport\r\n" +
	"From: \"Alice\" <sip:alice@pbx.test>;tag=HyHCbsT00\r\nTo: \"Alice\" <sip:alice@pbx.test>\r\nCSeq: 21 REGISTER\r\nCall-ID: NBbEfBzJ7U\r\n" +
	"Max-Forwards: 70\r\nSupported: replaces, outbound, gruu\r\nAccept: application/sdp\r\nAccept: text/plain\r\nAccept: application/vnd.gsma.rcs-ft-http+xml\r\n" +
	"Contact: \"Alice\" <sip:alice@127.0.0.1:51228;transport=tcp>;+sip.instance=\"<urn:uuid:657d8bcf-8691-00a1-91a1-08489a2f38d2>\"\r\n" +
	"Expires: 600\r\nUser-Agent: testapp/0.1\r\nContent-Length: 0\r\n" +
	"Authorization:  Digest realm=\"pbx.test\", nonce=\"awQaiGsEGVx4vVubvWLllmiPECrQGXWf\", username=\"alice\",  uri=\"sip:pbx.test\", " +
	"response=\"eeab71e3efc0ea5d34758f998298caaf\", cnonce=\"dC5aY1ruAWHqDg-t\", nc=00000001, qop=auth\r\n\r\n"

func BenchmarkRegister(b *testing.B) {
	buf := []byte(register)
	m := new(Message)
	out := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		if m.Read(buf) != nil || m.Check() != nil {
			b.Fatal("refused")
		}
		out = m.AppendReply(out[:0], &Reply{Code: 200, Reason: "OK", ToTag: "x", From: netip.AddrPortFrom(netip.IPv6Loopback(), 5060)})
	}
}

func FuzzCheck(f *testing.F) {
	for _, c := range torture.Load(f) {
		f.Add(c.Text)
	}
	f.Add([]byte(invite))
	f.Add([]byte(register))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := new(Message)
		if m.Read(data) != nil {
			return
		}
		r := m.Check()
		if m.IsResponse() || (r != nil && r.Code == 0) {
			return
		}
		reply := &Reply{Code: 200, Reason: "OK", ToTag: "t", From: netip.MustParseAddrPort("192.0.2.1:5060")}
		if r != nil {
			reply.Code, reply.Reason, reply.Header = r.Code, r.Reason, r.Header
		}
		out := m.AppendReply(nil, reply)
		again := new(Message)
		if err := again.Read(out); err != nil || !again.IsResponse() {
			t.Fatalf("the reply cannot be read: %v\n%s", err, out)
		}
		if r == nil && m.Hops == 1 && again.Check() != nil {
			t.Fatalf("the reply to a good request is not good:\n%s", out)
		}
	})
}
