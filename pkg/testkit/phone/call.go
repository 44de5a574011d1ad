package phone

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// Call is one call of a line, with a socket for its media.
type Call struct {
	line   *Line
	dialog request // of what we send within it
	media  *net.UDPConn
	remote netip.AddrPort // where media goes
	heard  string         // what the far end has said of its media, with the message
	ended  chan struct{}  // closed when the far end hung up
	over   sync.Once
}

// newCall opens a call's media.
func (l *Line) newCall(callID string) *Call {
	l.t.Helper()
	media, err := l.host.ListenUDP(netip.AddrPortFrom(l.host.V4, 0))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = media.Close() }) // nobody reads it any more
	c := &Call{line: l, media: media, ended: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[callID] = c
	return c
}

// Media returns the socket of the call's media, and where it goes.
func (c *Call) Media() (*net.UDPConn, netip.AddrPort) { return c.media, c.remote }

// Heard returns the message in which the far end has described its media.
func (c *Call) Heard() string { return c.heard }

// sdp offers or answers PCMU, or what the line says.
func (c *Call) sdp() string {
	at := c.media.LocalAddr().(*net.UDPAddr).AddrPort()
	if c.line.Say != nil {
		return c.line.Say(at)
	}
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n", at.Addr(), at.Addr(), at.Port())
}

// takeSDP remembers where the far end wants media.
func (c *Call) takeSDP(text string) error {
	c.heard = text
	var addr string
	var port int
	for line := range strings.SplitSeq(text, "\r\n") {
		if rest, ok := strings.CutPrefix(line, "c=IN IP4 "); ok {
			addr = rest
		}
		_, _ = fmt.Sscanf(line, "m=audio %d", &port) // other lines
	}
	a, err := netip.ParseAddr(addr)
	if err != nil || port <= 0 || port > 65535 {
		return fmt.Errorf("SDP without an address and a port for audio: %s", text)
	}
	c.remote = netip.AddrPortFrom(a, uint16(port))
	return nil
}

// uri returns the URI within brackets of a header.
func uri(header string) string {
	_, rest, _ := strings.Cut(header, "<")
	u, _, _ := strings.Cut(rest, ">")
	return u
}

// Invite calls another user and returns when he has answered.
func (l *Line) Invite(to string) (*Call, error) {
	l.t.Helper()
	id := fmt.Sprintf("call-%s-%d", l.at, time.Now().UnixNano())
	c := l.newCall(id)
	target := "sip:" + to + "@" + sipside.Domain
	r := l.outside("INVITE", target, target, id)
	got := l.ask(r, c.sdp())
	if sipside.Status(got) != 200 {
		return nil, fmt.Errorf("INVITE of %s to %s was answered: %q", l.User, to, got)
	}
	r.method, r.to, r.target = "ACK", sipside.Header(got, "To"), uri(sipside.Header(got, "Contact"))
	l.mu.Lock()
	cseq := l.cseq
	l.mu.Unlock()
	l.send(l.text(r, cseq, "", ""))
	c.dialog = r
	return c, c.takeSDP(got)
}

// Answer waits for a call and takes it.
func (l *Line) Answer() (*Call, error) {
	l.t.Helper()
	var invite string
	select {
	case invite = <-l.invites:
	case <-time.After(netlab.Patience):
		return nil, fmt.Errorf("nobody calls %s", l.User)
	}
	id := sipside.Header(invite, "Call-ID")
	c := l.newCall(id)
	tag := "a" + l.User
	l.reply(invite, "180 Ringing", tag, "")
	if err := c.takeSDP(invite); err != nil {
		return nil, err
	}
	l.reply(invite, "200 OK", tag, c.sdp())
	c.dialog = request{
		from: sipside.Header(invite, "To") + ";tag=" + tag, to: sipside.Header(invite, "From"), callID: id, target: uri(sipside.Header(invite, "Contact")),
	}
	return c, nil
}

// HangUp ends the call and returns what was answered to that.
func (c *Call) HangUp() (status int) {
	r := c.dialog
	r.method = "BYE"
	return sipside.Status(c.line.ask(r, ""))
}

// Ended reports whether the far end hangs up in time.
func (c *Call) Ended(patience time.Duration) bool {
	select {
	case <-c.ended:
		return true
	case <-time.After(patience):
		return false
	}
}

// Up reports whether the far end has not hung up.
func (c *Call) Up() bool { return !c.Ended(0) }
