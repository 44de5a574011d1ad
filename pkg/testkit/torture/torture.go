// Package torture holds the odd messages of RFC 4475 and RFC 5118 with what their RFCs want said to
// them, for the parser's own test and for the running box.
package torture

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Silence is the answer to what must not be answered.
const Silence = -1

// Case is one message. Want is the status that a box gives before it asks who is there: 0 where
// the message is in order, so that the box challenges it (401 or 407) or, of a response, is silent.
type Case struct {
	Name string
	Text []byte
	Want int
	Why  string
}

// Load returns all messages. Those of RFC 4475 come with the SIP library's sources.
func Load(t testing.TB) []Case {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/emiago/sipgo").Output()
	if err != nil {
		t.Fatalf("find the SIP library: %v", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "sip", "testdata", "torture")
	var all []Case
	for _, v := range basic() {
		files, _ := filepath.Glob(filepath.Join(dir, "*", v.Name+".dat"))
		if len(files) != 1 {
			t.Fatalf("%s: %d files", v.Name, len(files))
		}
		if v.Text, err = os.ReadFile(files[0]); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return append(all, ipv6()...)
}

func basic() []Case {
	return []Case{
		{Name: "wsinv", Why: "§3.1.1.1 a short tortuous INVITE"},
		{Name: "intmeth", Want: 501, Why: "§3.1.1.2 an unknown method of odd characters"},
		{Name: "esc01", Why: "§3.1.1.3 escapes in URIs"},
		{Name: "escnull", Why: "§3.1.1.4 escaped nulls"},
		{Name: "esc02", Want: 501, Why: "§3.1.1.5 a method is not unescaped: RE%47IST%45R is unknown"},
		{Name: "lwsdisp", Why: "§3.1.1.6 no space between display name and <"},
		{Name: "longreq", Why: "§3.1.1.7 long values"},
		{Name: "dblreq", Why: "§3.1.1.8 bytes after the body of a datagram are ignored"},
		{Name: "semiuri", Why: "§3.1.1.9 semicolons in the user part"},
		{Name: "transports", Why: "§3.1.1.10 unknown transports in Via"},
		{Name: "mpart01", Why: "§3.1.1.11 a multipart MESSAGE"},
		{Name: "unreason", Want: 0, Why: "§3.1.1.12 an unusual reason phrase"},
		{Name: "noreason", Want: 0, Why: "§3.1.1.13 an empty reason phrase"},
		{Name: "badinv01", Want: 400, Why: "§3.1.2.1 extraneous separators"},
		{Name: "clerr", Want: 400, Why: "§3.1.2.2 Content-Length larger than the datagram"},
		{Name: "ncl", Want: 400, Why: "§3.1.2.3 a negative Content-Length"},
		{Name: "scalar02", Want: 400, Why: "§3.1.2.4 numbers out of range"},
		{Name: "scalarlg", Want: Silence, Why: "§3.1.2.5 a response with numbers out of range"},
		{Name: "quotbal", Want: 400, Why: "§3.1.2.6 an unterminated quote"},
		{Name: "ltgtruri", Want: 400, Why: "§3.1.2.7 brackets around the Request-URI"},
		{Name: "lwsruri", Want: 400, Why: "§3.1.2.8 white space in the Request-URI"},
		{Name: "lwsstart", Want: 400, Why: "§3.1.2.9 double spaces in the start line"},
		{Name: "trws", Want: 400, Why: "§3.1.2.10 trailing spaces in the start line"},
		{Name: "escruri", Want: 400, Why: "§3.1.2.11 headers in the Request-URI"},
		{Name: "baddate", Want: 0, Why: "§3.1.2.12 a Date of another zone: nothing depends on it"},
		{Name: "regbadct", Want: 400, Why: "§3.1.2.13 a URI with headers outside brackets"},
		{Name: "badaspec", Want: 400, Why: "§3.1.2.14 spaces within an addr-spec"},
		{Name: "baddn", Want: 400, Why: "§3.1.2.15 a comma in an unquoted display name"},
		{Name: "badvers", Want: 505, Why: "§3.1.2.16 an unknown version"},
		{Name: "mismatch01", Want: 400, Why: "§3.1.2.17 CSeq names another method"},
		{Name: "mismatch02", Want: 501, Why: "§3.1.2.18 an unknown method, and CSeq names another"},
		{Name: "bigcode", Want: Silence, Why: "§3.1.2.19 a status code out of range"},
		{Name: "badbranch", Want: 0, Why: "§3.2.1 a branch of the cookie alone: matched as RFC 2543 did"},
		{Name: "insuf", Want: 400, Why: "§3.3.1 Call-ID, From and To are missing"},
		{Name: "unkscm", Want: 416, Why: "§3.3.2 an unknown scheme"},
		{Name: "novelsc", Want: 416, Why: "§3.3.3 a known scheme that is not SIP"},
		{Name: "unksm2", Want: 400, Why: "§3.3.4 a REGISTER for a book"},
		{Name: "bext01", Want: 420, Why: "§3.3.5 unknown extensions are required"},
		{Name: "invut", Want: 415, Why: "§3.3.6 an unknown body type"},
		{Name: "regaut01", Want: 0, Why: "§3.3.7 an unknown authorization scheme is as good as none"},
		{Name: "multi01", Want: 400, Why: "§3.3.8 single fields doubled"},
		{Name: "mcl01", Want: 400, Why: "§3.3.9 two Content-Lengths"},
		{Name: "bcast", Want: Silence, Why: "§3.3.10 a response that would go on to a broadcast address"},
		{Name: "zeromf", Want: 483, Why: "§3.3.11 Max-Forwards is used up, and another UA is meant"},
		{Name: "cparam01", Want: 0, Why: "§3.3.12 an unknown parameter of the contact"},
		{Name: "cparam02", Want: 0, Why: "§3.3.13 an unknown parameter of the contact's URI"},
		{Name: "regescrt", Want: 0, Why: "§3.3.14 a contact with headers"},
		{Name: "sdp01", Want: 406, Why: "§3.3.15 no type accepted that we could answer with"},
		{Name: "inv2543", Want: 0, Why: "§3.4.1 an INVITE of RFC 2543"},
		{Name: "test", Want: Silence, Why: "no Via: there is no way back"},
	}
}

// ipv6 are messages with the faults and virtues of RFC 5118 §4, in our own words.
func ipv6() []Case {
	message := func(start, via, rest string) []byte {
		head := start + " SIP/2.0\r\nVia: " + via + "\r\nMax-Forwards: 70\r\nFrom: <sip:carol@pbx.test>;tag=v6\r\nTo: <sip:dave@pbx.test>\r\n" +
			"Call-ID: v6@[2001:db8::9:1]\r\nCSeq: 1 "
		return []byte(head + strings.Fields(start)[0] + "\r\n" + rest)
	}
	const via = "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKv6"
	sdp := func(lines string) string {
		body := "v=0\r\no=- 0 0 IN IP6 2001:db8::20\r\ns=-\r\n" + lines
		return "Contact: <sip:carol@[2001:db8::9:1]>\r\nContent-Type: application/sdp\r\n\r\n" + body
	}
	return []Case{
		{"v6-reference", message("REGISTER sip:[2001:db8::10]", via, "Contact: <sip:carol@[2001:db8::9:1]:6050>;expires=3600\r\n\r\n"), 0, "§4.1"},
		{"v6-no-brackets", message("REGISTER sip:2001:db8::10", via, "\r\n"), 400, "§4.2"},
		{"v6-port-ambiguous", message("REGISTER sip:[2001:db8::10:5070]", via, "\r\n"), 0, "§4.3 the port is part of the address"},
		{"v6-port", message("REGISTER sip:[2001:db8::10]:5070", via, "\r\n"), 0, "§4.4"},
		{"v6-received-bracketed", message("BYE sip:[2001:db8::10]", via+";received=[2001:db8::9:255]", "\r\n"), 0, "§4.5"},
		{"v6-received", message("OPTIONS sip:dave@[2001:db8::10]", via+";received=2001:db8::9:255", "\r\n"), 0, "§4.5"},
		{"v6-sdp", message("INVITE sip:dave@[2001:db8::10]", via, sdp("c=IN IP6 2001:db8::20\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n")), 0, "§4.6"},
		{"v6-two-vias", message("OPTIONS sip:dave@[2001:db8::10]", via+", SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKv4", "\r\n"), 0, "§4.7"},
		{"v6-two-contacts", message("REGISTER sip:[2001:db8::10]", via, "Contact: <sip:carol@[2001:db8::9:1]>, <sip:carol@192.0.2.1>\r\n\r\n"), 0, "§4.7"},
		{
			"v6-two-connections", message("INVITE sip:dave@pbx.test", via,
				sdp("t=0 0\r\nm=audio 6000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\nm=video 6024 RTP/AVP 107\r\nc=IN IP4 192.0.2.1\r\n")), 0, "§4.8",
		},
		{"v6-mapped", message("INVITE sip:dave@pbx.test", via, sdp("c=IN IP6 ::FFFF:192.0.2.10\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n")), 0, "§4.9"},
		{"v6-three-colons", message("OPTIONS sip:dave@[2001:db8:::192.0.2.1]", via, "\r\n"), 0, "§4.10 the grammar's mistake is taken"},
	}
}
