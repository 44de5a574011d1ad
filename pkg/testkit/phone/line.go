// Package phone is a phone of a few hundred lines for tests that need many calls at a time, with
// media whose every packet can be told apart.
package phone

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// resendAfter is how long an answer over UDP may take before the request is sent again: T1
// (RFC 3261 §17.1.1.1). We do not wait longer and longer: tests want to see a restart early.
const resendAfter = 500 * time.Millisecond

// Line is a user who is registered from a socket of his own.
type Line struct {
	User string
	// Say, if not nil, writes what the line says of its media, which it receives at an address.
	Say func(at netip.AddrPort) string

	t        testing.TB
	host     *netlab.Host
	password string
	server   netip.AddrPort
	conn     *net.UDPConn
	at       netip.AddrPort
	invites  chan string
	answers  chan string

	mu    sync.Mutex // guards what follows
	cseq  int
	calls map[string]*Call // by Call-ID
}

// waiting is how many messages may wait for a line; a test has fewer.
const waiting = 64

// Register opens a line on a host and registers it.
func Register(t testing.TB, h *netlab.Host, user, password string, server netip.AddrPort) *Line {
	t.Helper()
	conn, err := h.ListenUDP(netip.AddrPortFrom(h.V4, 0))
	if err != nil {
		t.Fatal(err)
	}
	l := &Line{
		User: user, t: t, host: h, password: password, server: server, conn: conn, at: conn.LocalAddr().(*net.UDPAddr).AddrPort(),
		invites: make(chan string, waiting), answers: make(chan string, waiting), calls: map[string]*Call{},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.read()
	}()
	t.Cleanup(func() {
		_ = conn.Close() // which ends the reader
		<-done
	})
	if got := l.ask(l.outside("REGISTER", "sip:"+sipside.Domain, "sip:"+user+"@"+sipside.Domain, "reg-"+l.at.String()), ""); sipside.Status(got) != 200 {
		t.Fatalf("REGISTER of %s was answered: %s", user, got)
	}
	return l
}

// request is what is sent: its parts are filled in by ask.
type request struct {
	method, target, to, from, callID string
}

// outside returns a request outside of dialogs.
func (l *Line) outside(method, target, to, callID string) request {
	return request{method: method, target: target, to: "<" + to + ">", from: "<sip:" + l.User + "@" + sipside.Domain + ">;tag=t" + callID, callID: callID}
}

// text writes a request out.
func (l *Line) text(r request, cseq int, authorization, body string) string {
	kind := ""
	if body != "" {
		kind = "Content-Type: application/sdp\r\n"
	}
	return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s-%d-%s;rport\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n"+
		"Contact: <sip:%s@%s>\r\n%s%sContent-Length: %d\r\n\r\n%s",
		r.method, r.target, l.at, r.callID, cseq, r.method, r.from, r.to, r.callID, cseq, r.method, l.User, l.at,
		strings.ReplaceAll(authorization, "\n", "\r\n"), kind, len(body), body)
}

// ask sends a request, again if need be and with credentials if asked for, and returns the final
// answer; "" when none comes.
func (l *Line) ask(r request, body string) string {
	got := l.exchange(r, "", body)
	if code := sipside.Status(got); code == 401 || code == 407 {
		got = l.exchange(r, sipside.Authorization(got, l.User, l.password, r.method, r.target), body)
	}
	return got
}

func (l *Line) exchange(r request, authorization, body string) string {
	l.mu.Lock()
	l.cseq++
	cseq := l.cseq
	l.mu.Unlock()
	text := l.text(r, cseq, authorization, body)
	mine, rang := fmt.Sprint(cseq, " ", r.method), false
	for until := time.Now().Add(netlab.Patience); time.Now().Before(until); {
		if !rang {
			l.send(text)
		}
		select {
		case got := <-l.answers:
			switch code := sipside.Status(got); {
			case sipside.Header(got, "CSeq") != mine || sipside.Header(got, "Call-ID") != r.callID:
			case code < 200:
				rang = true // from now on it is for the far end to answer
			default:
				if r.method == "INVITE" && code >= 300 {
					ack := r
					ack.method, ack.to = "ACK", sipside.Header(got, "To")
					l.send(strings.Replace(l.text(ack, cseq, "", ""), "-ACK;rport", "-INVITE;rport", 1)) // RFC 3261 §17.1.1.3
				}
				return got
			}
		case <-time.After(resendAfter):
		}
	}
	return ""
}

func (l *Line) send(text string) {
	if _, err := l.conn.WriteToUDPAddrPort([]byte(text), l.server); err != nil {
		l.t.Errorf("%s cannot send: %v", l.User, err)
	}
}

// read takes what comes: answers for who waits, calls, and what belongs to calls.
func (l *Line) read() {
	for buf := make([]byte, 65536); ; {
		n, err := l.conn.Read(buf)
		if err != nil {
			return // closed
		}
		text := string(buf[:n])
		method, _, _ := strings.Cut(text, " ")
		l.mu.Lock()
		c := l.calls[sipside.Header(text, "Call-ID")]
		l.mu.Unlock()
		switch {
		case method == "SIP/2.0":
			l.answers <- text
		case method == "INVITE" && c == nil:
			l.invites <- text
		case method == "ACK":
		case method == "BYE" && c != nil:
			l.reply(text, "200 OK", "", "")
			c.over.Do(func() { close(c.ended) })
		case method == "OPTIONS":
			l.reply(text, "200 OK", "", "")
		default:
			l.reply(text, "481 Call Does Not Exist", "", "")
		}
	}
}

// reply answers a request; tag is ours, if its To has none.
func (l *Line) reply(to, status, tag, body string) {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %s\r\n", status)
	for line := range strings.SplitSeq(to, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		switch name {
		case "Via", "From", "Call-ID", "CSeq":
			b.WriteString(line + "\r\n")
		case "To":
			if tag != "" {
				line += ";tag=" + tag
			}
			b.WriteString(line + "\r\n")
		case "":
			if body != "" {
				b.WriteString("Content-Type: application/sdp\r\n")
			}
			fmt.Fprintf(&b, "Contact: <sip:%s@%s>\r\nContent-Length: %d\r\n\r\n%s", l.User, l.at, len(body), body)
			l.send(b.String())
			return
		}
	}
}
