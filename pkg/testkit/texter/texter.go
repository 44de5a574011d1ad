// Package texter is a device that sends and gets messages, for tests that count each of them: it
// notes which requests are new and which it had before.
package texter

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// Config says who a device is.
type Config struct {
	User, Password string
	Instance       string // +sip.instance
	Domain         string
	Transport      string                   // "udp" or "tcp"
	Dial           func() (net.Conn, error) // to the box; again when a connection has ended
}

// Got is a MESSAGE that the device got.
type Got struct {
	Text   string // as it came
	Body   string
	CallID string
}

// Device is a running device.
type Device struct {
	Config

	t       testing.TB
	stop    chan struct{}  // closed by Close
	done    chan struct{}  // closed when the reader has ended
	back    sync.WaitGroup // registrations after a connection was made anew
	arrived chan struct{}  // holds a token when a message came
	answers chan string

	asking sync.Mutex // one request at a time

	mu     sync.Mutex // guards what follows
	conn   net.Conn
	closed bool
	cseq   int
	calls  int
	got    []Got
	known  map[string]string // Call-ID, CSeq and tag -> branch of the first
	again  int               // requests that it had before
	strays []string          // of those, some that came in another transaction over UDP
	silent bool              // it answers nothing
}

// ErrNoAnswer is the error of a request that nobody answered.
var ErrNoAnswer = errors.New("no answer")

// Times of a device. It sends a request again sooner than a phone would: a test of crashes wants to
// know soon.
const (
	resendEvery = 100 * time.Millisecond
	redialEvery = 20 * time.Millisecond
)

// Open makes a device. It is not registered.
func Open(t testing.TB, cfg Config) *Device {
	t.Helper()
	d := &Device{
		Config: cfg, t: t, stop: make(chan struct{}), done: make(chan struct{}), arrived: make(chan struct{}, 1), answers: make(chan string, 64), known: map[string]string{},
	}
	conn, err := cfg.Dial()
	if err != nil {
		t.Fatal(err)
	}
	d.conn = conn
	go d.run(conn)
	t.Cleanup(d.Close)
	return d
}

// Close ends the device without a word to the box.
func (d *Device) Close() {
	d.mu.Lock()
	d.closed = true
	_ = d.conn.Close() // which ends the reader
	d.mu.Unlock()
	close(d.stop)
	<-d.done
	d.back.Wait()
}

// run reads, and connects anew when a connection has ended.
func (d *Device) run(conn net.Conn) {
	defer close(d.done)
	for {
		d.read(conn)
		d.mu.Lock()
		closed := d.closed
		d.mu.Unlock()
		if closed {
			return
		}
		next, err := d.Dial()
		if err != nil {
			time.Sleep(redialEvery)
			continue
		}
		d.mu.Lock()
		d.conn = next
		if d.closed {
			_ = next.Close()
		}
		d.mu.Unlock()
		conn = next
		if d.Transport == "tcp" {
			d.back.Go(func() { _ = d.Register(time.Second) }) // the connection may have ended again: then the next one does
		}
	}
}

// read takes messages until the connection ends. Over UDP an error says that nobody listens now.
func (d *Device) read(conn net.Conn) {
	buf := make([]byte, 65536)
	rest := ""
	for {
		n, err := conn.Read(buf)
		if err != nil {
			if d.Transport == "udp" && !errors.Is(err, net.ErrClosed) {
				time.Sleep(redialEvery)
				continue
			}
			return
		}
		rest += string(buf[:n])
		for {
			one, more, ok := cut(rest)
			if !ok {
				break
			}
			rest = more
			d.take(conn, one)
		}
	}
}

// cut takes a whole message off a text.
func cut(text string) (one, rest string, ok bool) {
	text = strings.TrimLeft(text, "\r\n")
	head, body, ok := strings.Cut(text, "\r\n\r\n")
	if !ok {
		return "", text, false
	}
	var n int
	_, _ = fmt.Sscanf(sipside.Header(head+"\r\n", "Content-Length"), "%d", &n)
	if len(body) < n {
		return "", text, false
	}
	return head + "\r\n\r\n" + body[:n], body[n:], true
}

func (d *Device) take(conn net.Conn, text string) {
	method, _, _ := strings.Cut(text, " ")
	switch method {
	case "SIP/2.0":
		select {
		case d.answers <- text:
		default: // nobody asked
		}
	case "MESSAGE":
		d.note(text)
		if !d.Silent() {
			d.reply(conn, text)
		}
	case "OPTIONS":
		d.reply(conn, text)
	}
}

// note keeps what is new, by what names a request for good.
func (d *Device) note(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, tag, _ := strings.Cut(sipside.Header(text, "From"), "tag=")
	key := sipside.Header(text, "Call-ID") + " " + sipside.Header(text, "CSeq") + " " + tag
	via := sipside.Header(text, "Via")
	if first, ok := d.known[key]; ok {
		d.again++
		if d.Transport == "udp" && first != via {
			d.strays = append(d.strays, text)
		}
		return
	}
	d.known[key] = via
	_, body, _ := strings.Cut(text, "\r\n\r\n")
	d.got = append(d.got, Got{Text: text, Body: body, CallID: sipside.Header(text, "Call-ID")})
	select {
	case d.arrived <- struct{}{}:
	default:
	}
}

func (d *Device) reply(conn net.Conn, request string) {
	var b strings.Builder
	b.WriteString("SIP/2.0 200 OK\r\n")
	for line := range strings.SplitSeq(request, "\r\n") {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "Via", "From", "Call-ID", "CSeq":
			b.WriteString(line + "\r\n")
		case "To":
			b.WriteString(line + ";tag=device\r\n")
		case "":
			b.WriteString("Content-Length: 0\r\n\r\n")
			_, _ = conn.Write([]byte(b.String())) // who is gone asks again
			return
		}
	}
}

// Silent reports whether the device answers nothing.
func (d *Device) Silent() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.silent
}

// Silence makes the device answer nothing, or answer again.
func (d *Device) Silence(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent = on
}

// Got returns the messages that came, in order, each once, and how many came more than once: those of
// UDP that did so in another transaction are in strays.
func (d *Device) Got() (all []Got, again int, strays []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Got(nil), d.got...), d.again, append([]string(nil), d.strays...)
}

// Await waits for a message with this body that is new to the test, from the n-th on.
func (d *Device) Await(from int, body string, patience time.Duration) (got Got, n int) {
	d.t.Helper()
	limit := time.After(patience)
	for {
		all, _, _ := d.Got()
		for i := from; i < len(all); i++ {
			if all[i].Body == body {
				return all[i], i + 1
			}
		}
		select {
		case <-d.arrived:
		case <-limit:
			d.t.Fatalf("%s (%s) got no message %q; it got %q", d.User, d.Instance, body, all)
		}
	}
}

// Register registers the device for an hour.
func (d *Device) Register(patience time.Duration) error {
	local := d.local()
	contact := fmt.Sprintf("Contact: <sip:%s@%s;transport=%s>;+sip.instance=\"<%s>\"\r\nExpires: 3600\r\nSupported: gruu, outbound\r\n", d.User, local, d.Transport, d.Instance)
	code, err := d.ask(request{method: "REGISTER", target: "sip:" + d.Domain, to: d.User, head: contact, callID: "reg-" + d.Instance}, patience)
	if err == nil && code != 200 {
		err = fmt.Errorf("REGISTER of %s was answered %d", d.User, code)
	}
	return err
}

func (d *Device) local() netip.AddrPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	return netip.MustParseAddrPort(d.conn.LocalAddr().String())
}

// Mail is a message to send.
type Mail struct {
	To   string // user
	Type string // text/plain if none
	Head string // further header lines
	Body string
}

// Send sends a message, again and again until it is answered, and returns the status and the Call-ID.
func (d *Device) Send(m Mail, patience time.Duration) (code int, callID string, err error) {
	d.mu.Lock()
	d.calls++
	callID = fmt.Sprintf("%s-%s-%d", d.User, d.Instance, d.calls)
	d.mu.Unlock()
	if m.Type == "" {
		m.Type = "text/plain"
	}
	code, err = d.ask(request{
		method: "MESSAGE", target: "sip:" + m.To + "@" + d.Domain, to: m.To, head: m.Head + "Content-Type: " + m.Type + "\r\n", callID: callID, body: m.Body,
	}, patience)
	return code, callID, err
}

// request is what is sent.
type request struct {
	method, target, to, head, callID, body string
}

// ask sends a request and, where it is challenged, sends it with credentials.
func (d *Device) ask(r request, patience time.Duration) (code int, err error) {
	d.asking.Lock()
	defer d.asking.Unlock()
	until := time.Now().Add(patience)
	authorization := ""
	for time.Now().Before(until) {
		got := d.exchange(r, authorization, until)
		if code = sipside.Status(got); code != 401 && code != 407 {
			if got == "" {
				return 0, ErrNoAnswer
			}
			return code, nil
		}
		authorization = strings.ReplaceAll(sipside.Authorization(got, d.User, d.Password, r.method, r.target), "\n", "\r\n")
	}
	return 0, ErrNoAnswer
}

func (d *Device) exchange(r request, authorization string, until time.Time) (got string) {
	d.mu.Lock()
	d.cseq++
	cseq := d.cseq
	d.mu.Unlock()
	mine := fmt.Sprint(cseq, " ", r.method)
	for time.Now().Before(until) && !d.stopped() {
		d.mu.Lock()
		conn := d.conn
		d.mu.Unlock()
		text := fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%s-%d;rport\r\nMax-Forwards: 70\r\nFrom: <sip:%s@%s>;tag=%s\r\nTo: <sip:%s@%s>\r\nCall-ID: %s\r\nCSeq: %s\r\n%s%sContent-Length: %d\r\n\r\n%s",
			r.method, r.target, strings.ToUpper(d.Transport), conn.LocalAddr(), r.callID, cseq, d.User, d.Domain, r.callID, r.to, d.Domain, r.callID, mine, authorization, r.head,
			len(r.body), r.body)
		_, _ = conn.Write([]byte(text)) // who is gone is asked again
		if got = d.answer(r.callID, mine); got != "" {
			return got
		}
	}
	return ""
}

// answer waits a while for the final answer to a request.
func (d *Device) answer(callID, cseq string) string {
	limit := time.After(resendEvery)
	for {
		select {
		case got := <-d.answers:
			if sipside.Header(got, "Call-ID") == callID && sipside.Header(got, "CSeq") == cseq && sipside.Status(got) >= 200 {
				return got
			}
		case <-limit:
			return ""
		case <-d.stop:
			return ""
		}
	}
}

func (d *Device) stopped() bool {
	select {
	case <-d.stop:
		return true
	default:
		return false
	}
}
