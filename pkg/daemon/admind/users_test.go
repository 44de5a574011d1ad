package admind

import (
	"encoding/csv"
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/fakeswitch"
)

type secretAnswer struct {
	User     ctl.User
	Password string
	Settings struct {
		AoR, Domain, Password, Text string
		Proxies                     []struct {
			Transport, Host, URI string
			Port                 int
		}
	}
	Provisioning *struct {
		URL, Linphone string
		QRSVG         string `json:"qr_svg"`
		QRPNG         []byte `json:"qr_png"`
	}
}

func TestUsersFromFirstToLast(t *testing.T) {
	t.Parallel()
	_, c := owned(t)
	var made secretAnswer
	a := c.api(201, "POST", "/users", m{"name": "asha", "numbers": []string{"201"}, "display_name": "Asha Rao"}, &made)
	tag := a.header.Get("ETag")
	if made.User.Name != "asha" || len(made.Password) != 26 || tag != `"1"` || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%+v, ETag %s", made, tag)
	}
	path := "/users/" + made.User.ID
	var u ctl.User
	if a := c.api(200, "GET", path, nil, &u); a.header.Get("ETag") != tag || u.DisplayName != "Asha Rao" || strings.Contains(string(a.body), made.Password) {
		t.Errorf("%s", a.body)
	}

	change := m{"name": "asha", "numbers": []string{"201", "202"}}
	if a := c.api(422, "PUT", path, change, nil); faultPaths(t, a) != "If-Match" {
		t.Errorf("without If-Match: %s", a.body)
	}
	a = c.api(200, "PUT", path, change, &u, "If-Match", tag)
	if len(u.Numbers) != 2 || a.header.Get("ETag") != `"2"` {
		t.Errorf("%+v %v", u, a.header)
	}
	if a := c.api(409, "PUT", path, change, nil, "If-Match", tag); a.Code != "user.changed" {
		t.Errorf("an old revision: %s", a.body)
	}
	c.api(200, "PUT", path, change, nil, "If-Match", "*")

	for verb, disabled := range map[string]bool{"/disable": true, "/enable": false} {
		c.api(200, "POST", path+verb, nil, &u)
		c.api(200, "POST", path+verb, nil, &u) // again: no matter
		if u.Disabled != disabled || len(u.Numbers) != 2 {
			t.Errorf("%s: %+v", verb, u)
		}
	}
	var reset secretAnswer
	c.api(200, "POST", path+"/secret", m{}, &reset)
	if reset.Password == "" || reset.Password == made.Password {
		t.Errorf("%+v", reset)
	}
	c.api(204, "DELETE", path, nil, nil)
	for _, op := range [][2]string{{"GET", path}, {"DELETE", path}, {"POST", path + "/disable"}, {"GET", path + "/settings"}} {
		if a := c.api(404, op[0], op[1], nil, nil); a.Code != "user.missing" || a.Cure == "" {
			t.Errorf("%v: %s", op, a.body)
		}
	}
}

func TestEveryWrongFieldIsNamed(t *testing.T) {
	t.Parallel()
	_, c := owned(t)
	c.api(201, "POST", "/users", m{"name": "taken"}, nil)
	for _, w := range []struct {
		code         int
		method, path string
		body         any
		at           string // paths of the faults
	}{
		{422, "POST", "/users", m{"name": "a b", "numbers": []string{"1", "x"}}, "name numbers[1]"},
		{422, "POST", "/users", m{"name": "taken"}, "name"},
		{422, "POST", "/users", m{}, "name"},
		{422, "POST", "/users", m{"name": 7, "numbers": "201", "colour": "red"}, "name numbers colour"},
		{422, "POST", "/users", m{"name": "x", "transport": "pigeon"}, "transport"},
		{422, "POST", "/users", m{"name": "x", "numbers": []any{nil}}, "numbers[0]"},
		{400, "POST", "/users", `{"name":`, "body"},
		{422, "POST", "/users", `[]`, "body"},
		{422, "POST", "/users", `null`, "body"},
		{422, "GET", "/users?limit=0", nil, "limit"},
		{422, "GET", "/users?limit=many", nil, "limit"},
		{422, "GET", "/users?colour=red", nil, "colour"},
		{422, "GET", "/records/calls?status=lost", nil, "status"},
		{422, "GET", "/records/calls?from=yesterday", nil, "from"},
		{422, "GET", "/records/calls?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", nil, "to"},
		{422, "GET", "/records/calls/export.csv?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", nil, "to"},
		{422, "GET", "/records/audit?limit=5000", nil, "limit"},
		{422, "POST", "/tokens", m{"name": ""}, "name"},
		{422, "POST", "/session", m{"name": "x", "password": 12345}, "password"},
	} {
		a := c.do(w.method, "/api/v1"+w.path, w.body)
		if got := faultPaths(t, a); a.code != w.code || got != w.at {
			t.Errorf("%s %s %v: %d, faults at %q: %s", w.method, w.path, w.body, a.code, got, a.body)
		}
		if strings.Contains(string(a.body), "12345") {
			t.Errorf("a password comes back: %s", a.body)
		}
	}
	if a := c.do("POST", "/api/v1/users", `{"name":"x"}`, "Content-Type", "text/plain"); a.code != http.StatusUnsupportedMediaType || a.Kind != "invalid" || a.Cure == "" {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := c.do("POST", "/api/v1/users", `{"name":"`+strings.Repeat("x", 2<<20)+`"}`); a.code != http.StatusRequestEntityTooLarge || a.Code != "request.size" {
		t.Errorf("%d %s", a.code, a.body)
	}
	for _, path := range []string{"/api/v1/nothing", "/api/v2/users", "/api/v1/"} {
		if a := c.do("GET", path, nil); a.code != http.StatusNotFound || a.Cure == "" {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
}

func TestSettingsNameEveryWayToTheBox(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	var made secretAnswer
	c.api(201, "POST", "/users", m{"name": "asha", "password": "chosen by a person"}, &made)
	if made.Password != "" || made.Provisioning == nil {
		t.Errorf("a chosen password: %+v", made)
	}
	var s struct {
		AoR, Domain, Password, Text string
		Proxies                     []struct{ URI string }
	}
	c.api(200, "GET", "/users/"+made.User.ID+"/settings", nil, &s)
	var uris []string
	for _, p := range s.Proxies {
		uris = append(uris, p.URI)
	}
	var want []string
	for _, way := range []string{"5061;transport=tls", "5060;transport=tcp", "5060;transport=udp"} {
		want = append(want, "sip:127.0.0.1:"+way, "sip:192.0.2.5:"+way)
	}
	if s.AoR != "sip:asha@pbx.example" || s.Password != "" || !slices.Equal(uris, want) || !strings.Contains(s.Text, "192.0.2.5 port 5061 TLS") {
		t.Errorf("%+v", s)
	}
	b.sw.Leave()
	c.api(503, "GET", "/users/"+made.User.ID+"/settings", nil, nil)
	b.sw.Return()
}

func TestAPhoneIsProvisioned(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	var made secretAnswer
	c.api(201, "POST", "/users", m{"name": "asha", "transport": "tcp"}, &made)
	p := made.Provisioning
	if p == nil || !strings.HasPrefix(p.URL, "https://127.0.0.1:") || p.Linphone != "linphone-config:"+p.URL || !strings.HasPrefix(p.QRSVG, "<svg") || len(p.QRPNG) < 100 {
		t.Fatalf("%.200v", p)
	}
	path := p.URL[strings.Index(p.URL, "/provision/"):]
	phone := b.browser()
	a := phone.do("GET", path, nil, "X-Linphone-Provisioning", "1", "User-Agent", "LinphoneAndroid/6")
	var doc struct {
		Sections []struct {
			Name    string `xml:"name,attr"`
			Entries []struct {
				Name  string `xml:"name,attr"`
				Value string `xml:",chardata"`
			} `xml:"entry"`
		} `xml:"section"`
	}
	if err := xml.Unmarshal(a.body, &doc); a.code != 200 || err != nil {
		t.Fatalf("%d %v %s", a.code, err, a.body)
	}
	got := map[string]string{}
	for _, s := range doc.Sections {
		for _, e := range s.Entries {
			got[e.Name] = e.Value
		}
	}
	if got["ha1"] != fakeswitch.HA1("asha", "pbx.example", made.Password) || got["reg_proxy"] != "<sip:127.0.0.1:5060;transport=tcp>" {
		t.Errorf("%v", got)
	}
	if a := phone.do("GET", path, nil); a.code != http.StatusGone {
		t.Errorf("a second time: %d", a.code)
	}
	var log struct {
		Records []struct{ Who, Object, Detail string }
	}
	c.api(200, "GET", "/records/audit?act=user.provisioned", nil, &log)
	if len(log.Records) != 1 || log.Records[0].Who != "asha" || log.Records[0].Detail != "LinphoneAndroid/6" {
		t.Errorf("%+v", log)
	}
}

func TestAnHA1FromAnotherSystemProvisionsToo(t *testing.T) {
	t.Parallel()
	_, c := owned(t)
	var made secretAnswer
	c.api(201, "POST", "/users", m{"name": "asha", "ha1": fakeswitch.HA1("asha", "pbx.example", "secret")}, &made)
	if made.Provisioning == nil {
		t.Error("no address")
	}
	c.api(200, "POST", "/users/"+made.User.ID+"/secret", m{"password": "another secret"}, &made)
	if made.Provisioning == nil || made.Password != "" {
		t.Errorf("%+v", made)
	}
}

func TestImportAndExport(t *testing.T) {
	t.Parallel()
	_, c := owned(t)
	const good = "user,password\nasha,secret1\nbala,secret2\n"
	csvType := []string{"Content-Type", "text/csv"}
	var res ctl.ImportResult
	c.api(200, "POST", "/users/import?dry_run=true", good, &res, csvType...)
	var page ctl.UserPage
	c.api(200, "GET", "/users", nil, &page)
	if res.Added != 2 || page.Total != 0 || page.Users == nil {
		t.Errorf("dry run: %+v, then %+v", res, page)
	}
	if a := c.api(422, "POST", "/users/import?dry_run=true", "user,password\na b,x\nc@d,y\n", nil, csvType...); faultPaths(t, a) != "row 2, name row 3, name" {
		t.Errorf("%s", a.body)
	}
	c.api(200, "POST", "/users/import", good, &res, csvType...)
	c.api(201, "POST", "/users", m{"name": "chand", "display_name": "=HYPERLINK(1)", "phone": "+911234"}, nil)
	a := c.api(200, "GET", "/users/export.csv", nil, nil)
	rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
	if err != nil || len(rows) != 4 || rows[0][0] != "user" || rows[3][2] != "'=HYPERLINK(1)" || rows[3][4] != "+911234" {
		t.Errorf("%v, %v", rows, err)
	}
	if d := a.header.Get("Content-Disposition"); !strings.Contains(d, "users.csv") || strings.Contains(string(a.body), "secret1") {
		t.Errorf("%s %s", d, a.body)
	}
	c.api(200, "GET", "/users?text=asha", nil, &page)
	if page.Total != 1 {
		t.Errorf("%+v", page)
	}
	c.api(200, "GET", "/users?limit=2", nil, &page)
	if len(page.Users) != 2 || page.Next != "bala" {
		t.Errorf("%+v", page)
	}
	c.api(200, "GET", "/users?limit=2&after="+page.Next, nil, &page)
	if len(page.Users) != 1 || page.Users[0].Name != "chand" {
		t.Errorf("%+v", page)
	}
}
