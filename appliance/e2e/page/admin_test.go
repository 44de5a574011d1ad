package page

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"testing"
)

// script is another client of the API, as somebody else's browser is.
type script struct {
	b    *box
	http *http.Client
}

func (b *box) script() *script {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	b.t.Cleanup(tr.CloseIdleConnections)
	return &script{b: b, http: &http.Client{Transport: tr, Jar: jar}}
}

func (s *script) call(method, path string, body any) {
	s.b.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.b.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.b.t.Context(), method, s.b.address+"/api/v1"+path, bytes.NewReader(text))
	if err != nil {
		s.b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		s.b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		s.b.t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
}

// setUp makes the owner without the page, and returns who did.
func (b *box) setUp() *script {
	b.t.Helper()
	s := b.script()
	s.call("POST", "/setup", map[string]string{"code": b.code(), "name": owner, "password": password, "domain": domain})
	return s
}

// signedIn is an admin on a path of a box that is set up.
func signedIn(t *testing.T, b *box, l look, path string) *visitor {
	t.Helper()
	v := visit(t, b, l)
	v.expect("status of 401")
	v.open(path)
	if l.lang == "hi" {
		v.press("हिन्दी")
	}
	v.signIn()
	return v
}

func (v *visitor) signIn() {
	v.t.Helper()
	v.heading(v.text("signin.title"))
	v.fill(v.text("signin.name"), owner)
	v.fill(v.text("signin.password"), password)
	v.press(v.text("signin.do"))
	v.await("document.querySelector('main#main') !== null", "the page behind the sign-in")
}

func desktop() look { return looks()[0] }

func phone() look { return looks()[3] }
