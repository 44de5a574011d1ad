package switchd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// app is a user's app on a TCP connection.
type app struct {
	b    *box
	user string
	conn net.Conn
	in   *bufio.Reader
	kept []string // messages that came before they were waited for
	seq  int
}

func (b *box) app(user string) *app {
	b.t.Helper()
	c, err := net.Dial("tcp", b.port("tcp").String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() }) // some tests close it earlier
	return &app{b: b, user: user, conn: c, in: bufio.NewReader(c)}
}

// ask sends a request and answers its challenge.
func (a *app) ask(method, target, to, extra, body string) string {
	a.b.t.Helper()
	once := func(auth string) string {
		a.seq++
		text := fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/TCP %s;branch=z9hG4bK%s%d;rport\r\nFrom: <sip:%s@%s>;tag=1\r\nTo: <%s>\r\nCall-ID: %s-%s-%s\r\nCSeq: %d %s\r\nMax-Forwards: 70\r\n%s%sContent-Length: %d\r\n\r\n%s",
			method, target, a.conn.LocalAddr(), a.user, a.seq, a.user, sipside.Domain, to, a.user, method, a.conn.LocalAddr(), a.seq, method,
			extra, strings.ReplaceAll(auth, "\n", "\r\n"), len(body), body)
		if _, err := io.WriteString(a.conn, text); err != nil {
			a.b.t.Fatal(err)
		}
		return a.await("SIP/2.0 ")
	}
	return once(sipside.Authorization(once(""), a.user, sipside.Password, method, target))
}

// await returns the next message that begins so.
func (a *app) await(begin string) string {
	a.b.t.Helper()
	for i, m := range a.kept {
		if strings.HasPrefix(m, begin) {
			a.kept = slices.Delete(a.kept, i, i+1)
			return m
		}
	}
	for {
		m := a.read()
		if strings.HasPrefix(m, begin) {
			return m
		}
		a.kept = append(a.kept, m)
	}
}

// read returns the next message.
func (a *app) read() string {
	a.b.t.Helper()
	_ = a.conn.SetReadDeadline(time.Now().Add(wait)) // else reading fails
	var m strings.Builder
	for !strings.HasSuffix(m.String(), "\r\n\r\n") {
		line, err := a.in.ReadString('\n')
		if err != nil {
			a.b.t.Fatalf("%v after %q, with %q kept", err, m.String(), a.kept)
		}
		m.WriteString(line)
	}
	n, err := strconv.Atoi(sipside.Header(m.String(), "Content-Length"))
	if err == nil {
		_, err = io.CopyN(&m, a.in, int64(n))
	}
	if err != nil {
		a.b.t.Fatal(err)
	}
	return m.String()
}

// registers tells where the app is and how it is woken.
func (a *app) registers() {
	a.b.t.Helper()
	contact := fmt.Sprintf("Contact: <sip:bob@%s;transport=tcp;pn-provider=fcm;pn-prid=tok%%3Aen;pn-param=project>;+sip.instance=\"<urn:uuid:657d8bcf-8691-00a1-91a1-08489a2f38d2>\";expires=600\r\n", a.conn.LocalAddr())
	if got := a.ask("REGISTER", "sip:"+sipside.Domain, "sip:bob@"+sipside.Domain, contact, ""); sipside.Status(got) != 200 {
		a.b.t.Fatal(got)
	}
}

// A call for a device whose connection is gone asks the relay to wake it, and rings it when it is
// there. When the app is not on the device any more, the call ends at once, and the next wakes nobody.
func TestASleepingDeviceIsWokenForACall(t *testing.T) {
	t.Parallel()
	woken := make(chan map[string]string, 10)
	var gone atomic.Bool
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var values map[string]string
		if err := json.NewDecoder(r.Body).Decode(&values); err != nil {
			t.Error(err)
		}
		if gone.Load() {
			w.WriteHeader(http.StatusGone)
		}
		woken <- values
	}))
	defer relay.Close()
	b := start(t, t.TempDir(), sipside.Domain)
	b.add("bob")
	b.add("alice")
	if err := b.client.SetPushSettings(t.Context(), ctl.PushSettings{Hook: relay.URL}); err != nil {
		t.Fatal(err)
	}
	phone := b.app("bob")
	phone.registers()
	if err := phone.conn.Close(); err != nil {
		t.Fatal(err)
	}
	alice, to := b.app("alice"), "sip:bob@"+sipside.Domain
	contact := fmt.Sprintf("Contact: <sip:alice@%s;transport=tcp>\r\n", alice.conn.LocalAddr())
	alice.ask("INVITE", to, to, contact, "")
	alice.await("SIP/2.0 110 ")
	values := <-woken
	if values["type"] != "call" || values["from-uri"] != "sip:alice@"+sipside.Domain || values["token"] != "tok:en" {
		t.Errorf("%v", values)
	}
	again := b.app("bob")
	again.registers()
	invite := again.await("INVITE sip:bob@")
	if sipside.Header(invite, "Call-ID") != values["call-id"] {
		t.Errorf("it was woken for %s and is rung by %s", values["call-id"], invite)
	}
	refusal := "SIP/2.0 486 Busy Here\r\n"
	for _, name := range []string{"Via", "From", "Call-ID", "CSeq"} {
		refusal += name + ": " + strings.Replace(sipside.Header(invite, name), ":0;", ":5060;", 1) + "\r\n" // the box listens at any port here
	}
	refusal += "To: " + sipside.Header(invite, "To") + ";tag=2\r\nContent-Length: 0\r\n\r\n"
	if _, err := io.WriteString(again.conn, refusal); err != nil {
		t.Fatal(err)
	}
	alice.await("SIP/2.0 486 ")

	gone.Store(true)
	if err := again.conn.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		caller := b.app("alice")
		contact := fmt.Sprintf("Contact: <sip:alice@%s;transport=tcp>\r\n", caller.conn.LocalAddr())
		caller.ask("INVITE", to, to, contact, "")
		caller.await("SIP/2.0 480 ")
	}
	if <-woken; len(woken) != 0 {
		t.Error("a device that is gone is woken again")
	}
	regs, err := b.client.Registrations(t.Context())
	if err != nil || len(regs) != 1 || regs[0].Push.Able || regs[0].Push.Fault != ctl.PushGone || regs[0].Push.Sent.IsZero() {
		t.Errorf("%+v %v", regs[0].Push, err)
	}
}

// A message for a device whose connection is gone asks the enterprise's relay to wake it.
func TestASleepingDeviceIsWokenForAMessage(t *testing.T) {
	t.Parallel()
	woken := make(chan string, 10)
	relay := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // looked at below
		woken <- r.URL.String() + " " + string(body)
	}))
	defer relay.Close()
	b := start(t, t.TempDir(), sipside.Domain)
	b.add("bob")
	b.add("alice")
	if err := b.client.SetPushSettings(t.Context(), ctl.PushSettings{Hook: relay.URL + "/wake?p=$provider&t=$token&k=$type"}); err != nil {
		t.Fatal(err)
	}
	phone := b.app("bob")
	phone.registers()
	regs, err := b.client.Registrations(t.Context())
	if err != nil || len(regs) != 1 || strings.Join(regs[0].Features, " ") != "push" || regs[0].Push == nil || *regs[0].Push != (ctl.PushHealth{Able: true}) {
		t.Fatalf("%+v %v", regs, err)
	}
	if err := phone.conn.Close(); err != nil {
		t.Fatal(err)
	}
	alice := b.app("alice")
	to := "sip:bob@" + sipside.Domain
	if got := alice.ask("MESSAGE", to, to, "Content-Type: text/plain\r\n", "wake up"); sipside.Status(got) != 202 {
		t.Fatal(got)
	}
	select {
	case got := <-woken:
		address, body, _ := strings.Cut(got, " ")
		var values map[string]string
		if err := json.Unmarshal([]byte(body), &values); err != nil || address != "/wake?p=fcm&t=tok%3Aen&k=message" || values["to-uri"] != to {
			t.Errorf("%s %v", got, err)
		}
		if strings.Contains(got, "alice") || strings.Contains(got, "wake up") {
			t.Errorf("the relay learns who wrote, or what: %s", got)
		}
	case <-time.After(wait):
		t.Fatal("nobody was asked to wake the device")
	}
	for until := time.Now().Add(wait); regs[0].Push.Sent.IsZero(); time.Sleep(5 * time.Millisecond) {
		if regs, err = b.client.Registrations(t.Context()); err != nil || len(regs) != 1 || time.Now().After(until) {
			t.Fatalf("%+v %v", regs, err)
		}
	}
}

func TestPushSettingsThroughTheSocket(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), sipside.Domain)
	if err := b.client.SetPushSettings(t.Context(), ctl.PushSettings{Hook: "x", FCM: ctl.PushKey{Secret: "x"}}); len(problem.Of(err).Faults) != 2 {
		t.Errorf("%v", err)
	}
	want := ctl.PushSettings{Hook: "https://push.example/$token"}
	if err := b.client.SetPushSettings(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got, err := b.client.PushSettings(t.Context()); err != nil || got != want {
		t.Errorf("%+v %v", got, err)
	}
}
