package admind

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// freePort is one that nobody has at this moment.
func freePort(t *testing.T) uint16 {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return uint16(ln.Addr().(*net.TCPAddr).Port)
}

func (c *browser) fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := c.http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // all is read
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// Phones have ports of their own, where nothing of the page is; what they take stands in the audit log.
func TestPhonesHavePortsOfTheirOwn(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	var made secretAnswer
	c.api(201, "POST", "/users", m{"name": "asha"}, &made)
	b.stop()
	b.cfg.Phones, b.cfg.Plain = freePort(t), freePort(t)
	b.run()
	admin := ctl.NewAdmin(b.cfg.socket("admin"))
	t.Cleanup(func() { _ = admin.Close() }) // idle connections only
	var st ctl.AdminStatus
	for range 2000 {
		if st.Provision != 0 && st.PlainProvision != 0 {
			break
		}
		time.Sleep(time.Millisecond)
		var err error
		if st, err = admin.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if st.Provision != b.cfg.Phones || st.PlainProvision != b.cfg.Plain {
		t.Errorf("%+v", st)
	}
	phone := b.browser()
	over, plain := "https://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(int(st.Provision))), "http://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(int(st.PlainProvision)))
	for _, path := range []string{"/", "/api/v1/status", "/api/v1/openapi.json", "/files/", "/provision/"} {
		for _, at := range []string{over, plain} {
			if status, _ := phone.fetch(t, at+path); status != http.StatusNotFound {
				t.Errorf("%s%s: %d", at, path, status)
			}
		}
	}
	if status, _ := phone.fetch(t, "https://"+b.address()+"/provision/001565aabbcc.cfg"); status != http.StatusGone {
		t.Errorf("a desk phone at the page: %d", status)
	}
	in := ctl.DeskPhoneChange{DeskPhoneSpec: ctl.DeskPhoneSpec{User: made.User.ID}, Who: "root at the console"}
	if _, err := admin.BindDeskPhone(t.Context(), "00:15:65:AA:BB:CC", in); err != nil {
		t.Fatal(err)
	}
	if status, text := phone.fetch(t, plain+"/provision/001565aabbcc.cfg"); status != http.StatusOK || !strings.Contains(text, "account.1.auth_name = asha~") {
		t.Errorf("%d %s", status, text)
	}
	b.wantAudit(t, "phone.bind", "root at the console", "00:15:65:aa:bb:cc", "user "+made.User.ID)
	b.wantAudit(t, "user.provisioned", "asha", "asha", "over HTTP, unprotected: 00:15:65:aa:bb:cc")
	if err := admin.RemoveDeskPhone(t.Context(), "001565aabbcc", "root at the console"); err != nil {
		t.Fatal(err)
	}
	if l, err := admin.DeskPhones(t.Context(), ""); err != nil || len(l.Phones) != 0 {
		t.Errorf("%+v %v", l, err)
	}
}

// wantAudit looks for an entry.
func (b *box) wantAudit(t *testing.T, act, who, object, detail string) {
	t.Helper()
	page, err := b.d.archive.Find(t.Context(), record.Query{Kind: record.KindAudit, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Records {
		text := string(e.Data)
		if strings.Contains(text, `"`+act+`"`) && strings.Contains(text, who) && strings.Contains(text, object) && strings.Contains(text, detail) {
			return
		}
	}
	t.Errorf("no %s of %s by %s: %s", act, object, who, detail)
}

// A port that another program has is an alarm, and the page is there all the same.
func TestATakenPortOfPhonesIsAnAlarm(t *testing.T) {
	t.Parallel()
	b := startBox(t, "")
	b.stop()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	b.cfg.Phones = uint16(ln.Addr().(*net.TCPAddr).Port)
	b.run()
	for range 2000 {
		time.Sleep(time.Millisecond)
		for _, a := range b.d.alarms() {
			if a.Code == "provision.port" && a.Cure != "" {
				return
			}
		}
		if tls, _ := b.d.phonePorts(); tls != 0 {
			t.Fatal("a port that is taken is served")
		}
	}
	t.Error("there is no alarm")
}
