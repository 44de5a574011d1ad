package switchd

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
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
	seq  int
}

func (b *box) app(user string) *app {
	b.t.Helper()
	c, err := net.Dial("tcp", b.port("tcp").String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() }) // some tests close it earlier
	return &app{b: b, user: user, conn: c}
}

// ask sends a request and answers its challenge.
func (a *app) ask(method, target, to, extra, body string) string {
	a.b.t.Helper()
	once := func(auth string) string {
		a.seq++
		text := fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/TCP %s;branch=z9hG4bK%s%d;rport\r\nFrom: <sip:%s@%s>;tag=1\r\nTo: <%s>\r\nCall-ID: %s-%s\r\nCSeq: %d %s\r\nMax-Forwards: 70\r\n%s%sContent-Length: %d\r\n\r\n%s",
			method, target, a.conn.LocalAddr(), a.user, a.seq, a.user, sipside.Domain, to, a.user, method, a.seq, method,
			extra, strings.ReplaceAll(auth, "\n", "\r\n"), len(body), body)
		if _, err := io.WriteString(a.conn, text); err != nil {
			a.b.t.Fatal(err)
		}
		buf := make([]byte, 65536)
		_ = a.conn.SetReadDeadline(time.Now().Add(wait))
		n, err := a.conn.Read(buf)
		if err != nil {
			a.b.t.Fatal(err)
		}
		return string(buf[:n])
	}
	return once(sipside.Authorization(once(""), a.user, sipside.Password, method, target))
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
	contact := fmt.Sprintf("Contact: <sip:bob@%s;transport=tcp;pn-provider=fcm;pn-prid=tok%%3Aen;pn-param=project>;+sip.instance=\"<urn:uuid:657d8bcf-8691-00a1-91a1-08489a2f38d2>\";expires=600\r\n", phone.conn.LocalAddr())
	if got := phone.ask("REGISTER", "sip:"+sipside.Domain, "sip:bob@"+sipside.Domain, contact, ""); sipside.Status(got) != 200 {
		t.Fatal(got)
	}
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
