// Package sipside makes a SIP edge on loopback with users, and phones of a few lines that speak to
// it by text, for tests of what stands behind the edge.
package sipside

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/sip/digest"
)

// Domain is the box's domain in tests.
const Domain = "pbx.test"

// Password is every user's.
const Password = "right-password"

// Wait is how long a phone waits for what must come.
const Wait = 5 * time.Second

// Side is a running edge.
type Side struct {
	Edge  *edge.Edge
	Users *account.Directory
	Guard *account.Guard
}

// New makes an edge that listens on UDP and TCP of 127.0.0.1, with users of these names; the n-th
// also has the number 100+n. It is started by Start.
func New(t testing.TB, names ...string) *Side {
	t.Helper()
	dir, err := account.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.SetDomain(Domain); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		spec := ctl.UserSpec{Name: name, Numbers: []string{fmt.Sprint(101 + i)}}
		if _, err := dir.Add(ctl.NewUser{UserSpec: spec, Secret: ctl.Secret{Password: Password}}); err != nil {
			t.Fatal(err)
		}
	}
	s := &Side{Users: dir}
	ours := func(host string) bool { return host == Domain || s.Edge.IsOurs(host) }
	s.Guard = account.NewGuard(dir, ours, time.Now)
	s.Edge = edge.New(edge.Config{
		Bind: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Product: "Test/1", Owns: func(netip.Addr) bool { return false },
	}, edge.Deps{Log: slog.New(slog.DiscardHandler), Notify: &notify.Notifier{}, Guard: s.Guard, Domain: dir.Domain})
	if err := s.Edge.Listen(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// Start runs the edge until the test ends. What the handlers use must live until then: register
// its clean-up before.
func (s *Side) Start(t testing.TB, h edge.Handlers) {
	t.Helper()
	s.Edge.Handle(h)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Edge.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Close ends what New opened, after Run has ended.
func (s *Side) Close(t testing.TB) {
	if err := s.Edge.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Users.Close(); err != nil {
		t.Error(err)
	}
}

// Phone is a peer that sends and receives texts.
type Phone struct {
	t    testing.TB
	name string
	conn net.Conn
	cseq int
	call string
	buf  []byte
	rest string // of a stream, what was not taken yet

	login, pass string // by which it proves itself
}

// Login makes the phone prove itself by the secret of a device, and no longer by its user's.
func (p *Phone) Login(d ctl.DeviceSecret) { p.login, p.pass = d.Login, d.Password }

// Phone connects a phone of user name over a transport.
func (s *Side) Phone(t testing.TB, name string, tr edge.Transport) *Phone {
	t.Helper()
	var to netip.AddrPort
	for _, l := range s.Edge.Listening() {
		if l.Transport == tr {
			to = l.Local
		}
	}
	c, err := net.Dial(tr.Param(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &Phone{t: t, name: name, login: name, pass: Password, conn: c, call: name + "-" + c.LocalAddr().String(), buf: make([]byte, 65536)}
}

// Addr returns the phone's own address.
func (p *Phone) Addr() netip.AddrPort { return netip.MustParseAddrPort(p.conn.LocalAddr().String()) }

// Send writes a message, with bare line feeds as line ends, and adds Content-Length.
func (p *Phone) Send(text string) {
	p.t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	body = strings.ReplaceAll(body, "\n", "\r\n")
	text = strings.ReplaceAll(strings.TrimSuffix(head, "\n"), "\n", "\r\n") + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n", len(body)) + body
	if _, err := p.conn.Write([]byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

// Next returns the next message, or "" when none comes in time.
func (p *Phone) Next(wait time.Duration) string {
	_ = p.conn.SetReadDeadline(time.Now().Add(wait))
	for {
		if one, ok := p.whole(); ok {
			return one
		}
		n, err := p.conn.Read(p.buf)
		if err != nil {
			return ""
		}
		p.rest += string(p.buf[:n])
	}
}

func (p *Phone) whole() (string, bool) {
	head, body, ok := strings.Cut(p.rest, "\r\n\r\n")
	if !ok {
		return "", false
	}
	var n int
	_, _ = fmt.Sscanf(Header(head+"\r\n", "Content-Length"), "%d", &n)
	if len(body) < n {
		return "", false
	}
	p.rest = body[n:]
	return head + "\r\n\r\n" + body[:n], true
}

// Header returns a header of a message.
func Header(text, name string) string {
	for line := range strings.SplitSeq(text, "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Status returns the status code of a response, 0 of anything else.
func Status(text string) (code int) {
	_, _ = fmt.Sscanf(text, "SIP/2.0 %d", &code)
	return code
}

// Request returns the head of a request outside of dialogs.
func (p *Phone) Request(method, target, to string) string {
	p.cseq++
	return fmt.Sprintf("%s %s SIP/2.0\nVia: SIP/2.0/%s %s;branch=z9hG4bK-%s-%d-%s;rport\nMax-Forwards: 70\nFrom: <sip:%s@%s>;tag=%s-tag\nTo: <%s>\nCall-ID: %s\nCSeq: %d %s\n",
		method, target, strings.ToUpper(p.conn.LocalAddr().Network()), p.conn.LocalAddr(), p.name, p.cseq, method, p.name, Domain, p.name, to, p.call, p.cseq, method)
}

// Ask sends a request outside of dialogs, answers the challenge and returns the first response to
// that which is no 100.
func (p *Phone) Ask(method, target, to, extra string) string {
	p.t.Helper()
	p.Send(p.Request(method, target, to) + extra)
	challenge := p.Next(Wait)
	if code := Status(challenge); code != 401 && code != 407 {
		return challenge
	}
	if method == "INVITE" {
		p.Send(strings.Replace(strings.Replace(p.last(method, target, to), "INVITE", "ACK", 1), " INVITE\n", " ACK\n", 1) + "To: " + Header(challenge, "To") + "\n")
	}
	p.Send(p.Request(method, target, to) + Authorization(challenge, p.login, p.pass, method, target) + extra)
	for {
		if got := p.Next(Wait); Status(got) != 100 {
			return got
		}
	}
}

// last repeats the head of the latest request without its To.
func (p *Phone) last(method, target, to string) string {
	p.cseq--
	head := p.Request(method, target, to)
	before, after, _ := strings.Cut(head, "To: ")
	_, after, _ = strings.Cut(after, "\n")
	return before + after
}

// Authorization returns the header line that answers a challenge.
func Authorization(challenge, user, password, method, target string) string {
	_, rest, _ := strings.Cut(challenge, `nonce="`)
	nonce, _, _ := strings.Cut(rest, `"`)
	c := digest.Credentials{Username: user, Realm: Domain, Nonce: nonce, URI: target, CNonce: "c", NC: "00000001"}
	name := map[bool]string{true: "Authorization", false: "Proxy-Authorization"}[Status(challenge) == 401]
	return fmt.Sprintf("%s: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", response=\"%s\", algorithm=MD5, cnonce=\"c\", nc=00000001, qop=auth\n",
		name, user, Domain, nonce, target, c.Answer(digest.HA1(digest.MD5, user, Domain, password), method))
}
