package admind

import (
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/console/auth"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/digest"
	"github.com/coraltele/sanchar/pkg/testkit/fakeswitch"
)

// app is a user's app at the file server.
type app struct {
	*browser
	user, password string
}

// appOf adds a user and returns his app.
func (b *box) appOf(c *browser, user string) *app {
	b.t.Helper()
	var made struct{ Password string }
	c.api(201, "POST", "/users", m{"name": user}, &made)
	return &app{b.browser(), user, made.Password}
}

// ask does a request as Linphone does: without credentials, then with them.
func (a *app) ask(method, path, body string, header ...string) answer {
	a.b.t.Helper()
	first := a.do(method, path, nil)
	if first.code != 401 {
		a.b.t.Fatalf("%s %s: %d", method, path, first.code)
	}
	auth := fakeswitch.Answer(digest.MD5, first.header.Get("WWW-Authenticate"), a.user, a.password, method, path)
	var send any
	if body != "" {
		send = body
	}
	return a.do(method, path, send, append(header, "Authorization", auth)...)
}

func (a *app) send(name, data string) (path string) {
	a.b.t.Helper()
	body := "--b\r\nContent-Disposition: form-data;name=\"File\";filename=\"" + name + "\"\r\nContent-Type: application/pdf\r\n\r\n" + data + "\r\n--b--\r\n"
	got := a.ask("POST", "/files/", body, "Content-Type", "multipart/form-data;boundary=b")
	var told struct {
		Info struct {
			Data struct {
				URL string `xml:"url,attr"`
			} `xml:"data"`
		} `xml:"file-info"`
	}
	if err := xml.Unmarshal(got.body, &told); err != nil || got.code != 200 {
		a.b.t.Fatalf("%d %s", got.code, got.body)
	}
	path, ok := strings.CutPrefix(told.Info.Data.URL, "https://"+a.b.address())
	if !ok {
		a.b.t.Fatalf("%s", got.body)
	}
	return path
}

func TestUsersSendFilesThroughThePagesPort(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	alice, bob := b.appOf(c, "alice"), b.appOf(c, "bob")
	data := make([]byte, maxBody+5<<20) // more than the page takes
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	path := alice.send("plan.pdf", string(data))
	got := bob.ask("GET", path, "")
	if got.code != 200 || sha256.Sum256(got.body) != sha256.Sum256(data) || got.header.Get("Content-Security-Policy") != "sandbox; default-src 'none'; frame-ancestors 'none'" {
		t.Errorf("%d, %d bytes, %v", got.code, len(got.body), got.header)
	}

	b.stop()
	b.run()
	id := strings.TrimPrefix(path, "/files/")
	c = b.browser()
	c.header = ownerHeader(t, b)
	c.api(422, "GET", "/files/"+id, nil, nil)
	if got := c.api(206, "GET", "/files/"+id+"?reason=asked+by+the+court", nil, nil, "Range", "bytes=33000000-33000009"); !bytes.Equal(got.body, data[33000000:33000010]) {
		t.Errorf("%d bytes after a restart", len(got.body))
	}
	var u ctl.FileUsage
	if c.api(200, "GET", "/files/usage", nil, &u); u.Files != 1 || u.Bytes != int64(len(data)) {
		t.Errorf("%+v", u)
	}
	c.api(204, "DELETE", "/files/"+id, nil, nil)
	if a := c.api(404, "GET", "/files/"+id+"?reason=again", nil, nil); a.Code != "file.missing" {
		t.Errorf("%s", a.body)
	}
	bob = &app{b.browser(), bob.user, bob.password}
	if got := bob.ask("GET", path, ""); got.code != 404 {
		t.Errorf("%d", got.code)
	}
	var log struct{ Records []record.Audit }
	c.api(200, "GET", "/records/audit?act=file.read", nil, &log)
	if len(log.Records) != 2 || !log.Records[1].OK || log.Records[1].Object != "plan.pdf of alice ("+id+")" || log.Records[0].OK {
		t.Errorf("%+v", log.Records)
	}
}

// ownerHeader makes an API token, which outlives a restart.
func ownerHeader(t *testing.T, b *box) map[string][]string {
	t.Helper()
	_, secret, err := b.d.auth.NewToken("test", auth.TokenSpec{Name: "files"})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]string{"Authorization": {"Bearer " + secret}}
}

func TestThePolicyOfFilesReachesThePhones(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	var set m
	a := c.api(200, "GET", "/settings/files", nil, &set)
	if set["enabled"] != true || set["max_mb"] != 256.0 || set["revision"] != 0.0 || a.header.Get("ETag") != `"0"` {
		t.Errorf("%s", a.body)
	}
	delete(set, "revision")
	set["host"], set["max_mb"] = "files.example:8443", 1
	if a := c.api(422, "PUT", "/settings/files", m{"enabled": true, "max_mb": 0, "quota_mb": 0, "days": 0, "types": []string{"x"}, "programs": false, "scan_url": "", "host": ""}, nil, "If-Match", `"0"`); len(a.Faults) != 4 {
		t.Errorf("%s", a.body)
	}
	c.api(422, "PUT", "/settings/files", set, nil)
	a = c.api(200, "PUT", "/settings/files", set, nil, "If-Match", `"0"`)
	if a.header.Get("ETag") != `"1"` {
		t.Errorf("%s", a.body)
	}
	c.api(409, "PUT", "/settings/files", set, nil, "If-Match", `"0"`)

	alice := b.appOf(c, "alice")
	if got := alice.ask("POST", "/files/", strings.Repeat("x", 2<<20), "Content-Type", "multipart/form-data;boundary=b"); got.code != 400 || !strings.Contains(string(got.body), "1 MB") {
		t.Errorf("%d %s", got.code, got.body)
	}
	const address = "https://files.example:8443/files/"
	doc, settings := b.provisioned(c, "bala")
	if want := fmt.Sprintf(`<entry name="file_transfer_server_url" overwrite="true">%s</entry>`, address); !strings.Contains(doc, want) {
		t.Errorf("no %s in %s", want, doc)
	}
	if settings["file_server"] != address || !strings.Contains(settings["text"].(string), address) {
		t.Errorf("%v", settings)
	}
	set["enabled"] = false
	c.api(200, "PUT", "/settings/files", set, nil, "If-Match", "*")
	if doc, settings := b.provisioned(c, "chitra"); strings.Contains(doc, "file_transfer") || settings["file_server"] != nil {
		t.Errorf("%s %v", doc, settings)
	}
}

// provisioned adds a user and returns what a phone gets, and what a person types.
func (b *box) provisioned(c *browser, user string) (doc string, settings m) {
	b.t.Helper()
	var made struct {
		Settings     m
		Provisioning struct{ URL string }
	}
	c.api(201, "POST", "/users", m{"name": user}, &made)
	_, path, _ := strings.Cut(strings.TrimPrefix(made.Provisioning.URL, "https://"), "/")
	got := c.do("GET", "/"+path, nil)
	if got.code != 200 {
		b.t.Fatalf("%d %s", got.code, got.body)
	}
	return string(got.body), made.Settings
}

func TestPushSettingsAreAuditedAndTellNoSecret(t *testing.T) {
	t.Parallel()
	_, c := owned(t)
	set := m{"hook": "https://push.example/?t=$token", "apns": m{"secret": "-----BEGIN", "key_id": "KEY1234567", "team": "TEAM123456", "set": true}, "fcm": m{"set": false}}
	c.api(200, "PUT", "/settings/push", set, nil)
	var got ctl.PushSettings
	a := c.api(200, "GET", "/settings/push", nil, &got)
	if !got.APNS.Set || got.FCM.Set || got.Hook != set["hook"] || strings.Contains(string(a.body), "BEGIN") {
		t.Errorf("%s", a.body)
	}
	set["hook"] = "not an address"
	if a := c.api(422, "PUT", "/settings/push", set, nil); len(a.Faults) != 1 {
		t.Errorf("%s", a.body)
	}
	var log struct{ Records []record.Audit }
	a = c.api(200, "GET", "/records/audit?act=settings.push", nil, &log)
	if len(log.Records) != 2 || log.Records[0].OK || !log.Records[1].OK || strings.Contains(string(a.body), "BEGIN") {
		t.Errorf("%s", a.body)
	}
}
