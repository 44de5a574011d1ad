package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/firmware/manifest"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// owner is somebody who is signed in to the page of a box.
type owner struct {
	m     *machine
	web   *http.Client
	token string
}

// setUp makes a box that was never used ready, and returns its owner.
func setUp(t *testing.T, m *machine, code string) *owner {
	t.Helper()
	o := &owner{m: m, web: browser(t)}
	o.web.Timeout = 10 * time.Minute // an update takes its time here
	resp, err := o.web.Post("https://"+m.page+"/api/v1/setup", "application/json", strings.NewReader(fmt.Sprintf(
		`{"code":%q,"name":"Owner","password":"correct horse battery","domain":"pbx.test"}`, code)))
	if err != nil {
		t.Fatal(err)
	}
	cookies := resp.Cookies()
	text, _ := io.ReadAll(resp.Body) // told when it is wrong
	_ = resp.Body.Close()
	if len(cookies) == 0 {
		t.Fatalf("set-up: %s\n%s", resp.Status, text)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+m.page+"/api/v1/tokens", strings.NewReader(`{"name":"test","role":"owner"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.AddCookie(cookies[0])
	var made struct {
		Secret string `json:"secret"`
	}
	o.do(req, &made)
	if o.token = made.Secret; o.token == "" {
		t.Fatal("no API token was made")
	}
	return o
}

// do sends a request and reads the answer, whose status it returns.
func (o *owner) do(req *http.Request, into any) int {
	o.m.t.Helper()
	if o.token != "" {
		req.Header.Set("Authorization", "Bearer "+o.token)
	}
	resp, err := o.web.Do(req)
	if err != nil {
		o.m.t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // all is read
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		o.m.t.Fatalf("%s %s: %s %v\n%s", req.Method, req.URL, resp.Status, err, text)
	}
	return resp.StatusCode
}

// answer is what the box says to an update: how it stands, or why it is refused.
type answer struct {
	ctl.UpdateState
	Code string `json:"code"`
	Text string `json:"text"`
}

// send uploads an update.
func (o *owner) send(bundle []byte, query string) (a answer, status int) {
	o.m.t.Helper()
	req, err := http.NewRequestWithContext(o.m.t.Context(), http.MethodPost, "https://"+o.m.page+"/api/v1/update"+query, bytes.NewReader(bundle))
	if err != nil {
		o.m.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	status = o.do(req, &a)
	return a, status
}

func (o *owner) state() (st ctl.UpdateState) {
	o.m.t.Helper()
	req, err := http.NewRequestWithContext(o.m.t.Context(), http.MethodGet, "https://"+o.m.page+"/api/v1/update", nil)
	if err != nil {
		o.m.t.Fatal(err)
	}
	o.do(req, &st)
	return st
}

// install sends an update that is good, as far as the box can tell before it starts it.
func (o *owner) install(update string) {
	o.m.t.Helper()
	data, err := os.ReadFile(update)
	if err != nil {
		o.m.t.Fatal(err)
	}
	if a, status := o.send(data, ""); status != http.StatusOK {
		o.m.t.Fatalf("%s: %d %s %s", filepath.Base(update), status, a.Code, a.Text)
	}
}

func TestVersionsComeAndGo(t *testing.T) {
	long(t)
	tools(t, "qemu-system-x86_64", "mksquashfs", "mkfs.vfat", "mcopy")
	m := flash(t, x86(), build(t, "qemu", "1.0.0").image)
	m.on()
	o := setUp(t, m, m.setupCode())
	two := build(t, "qemu", "2.0.0", "-min-version", "1.0.0").update
	o.refuses(two)
	o.byPage(t, two, "2.0.0")
	m.until("this version is on trial", patience)
	m.until("this version is well and stays", 2*patience)
	if st := o.state(); st.Version != "2.0.0" || st.Slot != "b" || st.Trial != nil || len(st.Failed) != 0 {
		t.Fatalf("%+v", st)
	}
	for _, c := range []struct {
		version, reason string
		update          string
	}{
		{"3.0.0", "did not start", build(t, "qemu", "3.0.0", "-replace", "gokrazy/init=").update},
		{"4.0.0", "did not start", damaged(t, build(t, "qemu", "4.0.0").update)},
		{"5.0.0", "switchd", build(t, "qemu", "5.0.0", "-replace", "user/switchd="+program(t, "./appliance/sanchar")).update},
		{"6.0.0", "did not start", build(t, "qemu", "6.0.0", "-replace", "gokrazy/init="+program(t, "./appliance/e2e/image/testdata/hang")).update},
	} {
		began := time.Now()
		o.install(c.update)
		m.until("a version was given up.*"+c.version, 4*patience)
		m.until(`Page: +https://10\.0\.2\.15`, patience)
		st := o.state()
		i := slices.IndexFunc(st.Failed, func(f ctl.BootFailed) bool { return f.Version == c.version })
		if st.Version != "2.0.0" || i < 0 || !strings.Contains(st.Failed[i].Reason, c.reason) {
			t.Fatalf("after %s: %+v", c.version, st)
		}
		t.Logf("%s: back in %v: %s", c.version, time.Since(began).Round(time.Second), st.Failed[i].Reason)
	}
	o.goesBack(build(t, "qemu", "1.5.0", "-min-version", "1.0.0").update, "1.5.0")
}

// goesBack asks for an older version, which starts although the one that runs is good.
func (o *owner) goesBack(update, version string) {
	t := o.m.t
	t.Helper()
	data, err := os.ReadFile(update)
	if err != nil {
		t.Fatal(err)
	}
	if a, status := o.send(data, "?downgrade=true"); status != http.StatusOK {
		t.Fatalf("%s: %d %s %s", version, status, a.Code, a.Text)
	}
	o.m.until("this version is on trial", patience)
	o.m.until("this version is well and stays", 2*patience)
	if st := o.state(); st.Version != version || st.Trial != nil {
		t.Fatalf("%+v", st)
	}
}

// refuses sends what is not an update for this box, which must go on as before.
func (o *owner) refuses(update string) {
	o.m.t.Helper()
	whole, err := os.ReadFile(update)
	if err != nil {
		o.m.t.Fatal(err)
	}
	changed := bytes.Replace(whole, []byte(`"version": "2.0.0"`), []byte(`"version": "2.0.1"`), 1)
	for name, c := range map[string]struct {
		data []byte
		code string
	}{
		"changed": {changed, "update.signature"}, "truncated": {whole[:len(whole)/2], "update.file"}, "another file": {[]byte("no update"), "update.file"},
		"another board": {again(o.m.t, update, func(m *manifest.Manifest, _ [][]byte) { m.Board = "rpi4" }), "update.board"},
		"older":         {again(o.m.t, update, func(m *manifest.Manifest, _ [][]byte) { m.Version = "0.9.0" }), "update.downgrade"},
		"re-ordered":    {again(o.m.t, update, func(_ *manifest.Manifest, p [][]byte) { p[1], p[2] = p[2], p[1] }), "update.file"},
	} {
		if a, status := o.send(c.data, ""); status == http.StatusOK || a.Code != c.code {
			o.m.t.Errorf("%s: %d %s %s, want %s", name, status, a.Code, a.Text, c.code)
		}
	}
	if st := o.state(); st.Version != "1.0.0" || st.Phase != ctl.UpdateIdle || len(st.Images) != 1 {
		o.m.t.Errorf("after refusals: %+v", st)
	}
}

// setupCode waits until the box shows its code.
func (m *machine) setupCode() string {
	m.t.Helper()
	m.until(`Page: +https://10\.0\.2\.15`, 2*patience)
	line := m.until(`Set-up code: \S+`, patience)
	return line[strings.LastIndexByte(line, ' ')+1:]
}

// program builds one that stands in for another.
func program(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, folder)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := outside(cmd).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
