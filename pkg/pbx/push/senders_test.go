package push

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

// server is a provider that answers as it is told to, and keeps what it was asked.
type server struct {
	*httptest.Server

	mu    sync.Mutex // guards what follows
	asked []*http.Request
	body  []string
	next  []reply
}

type reply struct {
	status int
	text   string
}

func provider(t *testing.T, next ...reply) *server {
	t.Helper()
	s := &server{next: next}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked, s.body = append(s.asked, r), append(s.body, string(body))
		a := reply{200, "{}"}
		if len(s.next) > 0 {
			a, s.next = s.next[0], s.next[1:]
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.text) // the client may be gone
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func pemOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// claims checks a token's signature as its reader does and returns what it says.
func claims(t *testing.T, token string, key crypto.PublicKey) (head, body map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q", token)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if len(signature) != 64 || !ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			t.Errorf("the signature is wrong: %x", signature)
		}
	case *rsa.PublicKey:
		if err := rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], signature); err != nil {
			t.Error(err)
		}
	}
	for i, out := range []*map[string]any{&head, &body} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err := errors.Join(err, json.Unmarshal(text, out)); err != nil {
			t.Fatal(err)
		}
	}
	return head, body
}

func iPhone() Device {
	p, _ := pn.Of("sip:b@h;pn-provider=apns;pn-prid=aa11:remote&bb22:voip;pn-param=TEAM123456.com.example.app.remote&voip;pn-call-snd=ring.caf;pn-msg-str=MY_MSG")
	return Device{Key: "i", Params: p}
}

func TestAppleIsAskedAsItWants(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := provider(t)
	a, err := NewAPNS(APNSConfig{Key: pemOf(t, key), KeyID: "KEY1234567", Team: "TEAM123456", Client: s.Client(), Host: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		use                       pn.Use
		path, topic, kind, locKey string
	}{
		{pn.Message, "/3/device/aa11", "com.example.app", "alert", "MY_MSG"},
		{pn.Call, "/3/device/bb22", "com.example.app.voip", "voip", "IC_MSG"},
	} {
		n := note(c.use, "call-1")
		if err := a.Send(t.Context(), iPhone(), n); err != nil {
			t.Fatal(err)
		}
		r, body := s.asked[len(s.asked)-1], s.body[len(s.body)-1]
		if r.ProtoMajor != 2 || r.URL.Path != c.path || r.Header.Get("apns-topic") != c.topic || r.Header.Get("apns-push-type") != c.kind ||
			r.Header.Get("apns-priority") != "10" || r.Header.Get("apns-expiration") != fmt.Sprint(n.Until.Unix()) {
			t.Errorf("HTTP/%d %s %v", r.ProtoMajor, r.URL, r.Header)
		}
		var got struct {
			APS struct {
				LocKey  string   `json:"loc-key"`
				LocArgs []string `json:"loc-args"`
				CallID  string   `json:"call-id"`
				Sound   string
			}
			From string `json:"from-uri"`
			TTL  int    `json:"pn_ttl"`
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil || got.APS.LocKey != c.locKey || got.APS.LocArgs[0] != "Asha Rao" || got.APS.CallID != "call-1" ||
			got.From != "sip:asha@pbx.example" || got.TTL < 50 || got.TTL > 60 {
			t.Errorf("%s %v", body, err)
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "bearer ")
		head, claim := claims(t, token, key.Public())
		if head["alg"] != "ES256" || head["kid"] != "KEY1234567" || claim["iss"] != "TEAM123456" || time.Since(time.Unix(int64(claim["iat"].(float64)), 0)) > time.Minute {
			t.Errorf("%v %v", head, claim)
		}
	}
	if s.asked[0].Header.Get("Authorization") != s.asked[1].Header.Get("Authorization") {
		t.Error("Apple refuses who makes a new token each time")
	}
	if err := a.Send(t.Context(), phone("d1"), note(pn.Message, "c")); !errors.Is(err, ErrUnable) {
		t.Errorf("a device without a topic: %v", err)
	}
}

func TestWhatAppleAnswers(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]error{
		`410 {"reason":"Unregistered","timestamp":1}`: ErrGone,
		`400 {"reason":"BadDeviceToken"}`:             ErrGone,
		`400 {"reason":"PayloadTooLarge"}`:            ErrRefused,
		`403 {"reason":"InvalidProviderToken"}`:       ErrRefused,
		`429 {"reason":"TooManyRequests"}`:            nil,
		`503 rubbish`:                                 nil,
		`403 {"reason":"ExpiredProviderToken"}`:       nil,
	} {
		code, body, _ := strings.Cut(text, " ")
		status := 0
		if _, err := fmt.Sscan(code, &status); err != nil {
			t.Fatal(err)
		}
		s := provider(t, reply{status, body})
		a, err := NewAPNS(APNSConfig{Key: pemOf(t, key), KeyID: "KEY1234567", Team: "TEAM123456", Client: s.Client(), Host: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		err = a.Send(t.Context(), iPhone(), note(pn.Message, "c"))
		final := errors.Is(err, ErrGone) || errors.Is(err, ErrRefused)
		if err == nil || (want == nil) == final || (want != nil && !errors.Is(err, want)) {
			t.Errorf("%s: %v", text, err)
		}
		if err := a.Send(t.Context(), iPhone(), note(pn.Message, "c")); err != nil {
			t.Error(err)
		}
		same := s.asked[0].Header.Get("Authorization") == s.asked[1].Header.Get("Authorization")
		if expired := strings.Contains(text, "Expired"); same == expired {
			t.Errorf("%s: the same token: %v", text, same)
		}
	}
}

func TestGoogleIsAskedAsItWants(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := provider(t,
		reply{200, `{"access_token":"first","expires_in":3600}`}, reply{200, "{}"}, reply{200, "{}"},
		reply{401, `{"error":{"status":"UNAUTHENTICATED"}}`}, reply{200, `{"access_token":"second","expires_in":3600}`}, reply{200, "{}"},
		reply{404, `{"error":{"status":"NOT_FOUND","details":[{"errorCode":"UNREGISTERED"}]}}`}, reply{400, `{"error":{"status":"INVALID_ARGUMENT","message":"bad token"}}`}, reply{503, ""},
	)
	file, err := json.Marshal(map[string]string{
		"project_id": "our-project", "client_email": "push@our-project.example", "private_key": string(pemOf(t, key)), "private_key_id": "kid", "token_uri": s.URL + "/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFCM(FCMConfig{Account: file, Client: s.Client(), Host: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	send := func() error { return f.Send(t.Context(), phone("d1"), note(pn.Message, "call-1")) }
	for i, want := range []string{"", "", "token is over", "", ErrGone.Error(), "bad token", "503"} {
		if err := send(); (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%d: %v, want %q", i, err, want)
		}
	}
	grant := s.body[0]
	_, assertion, _ := strings.Cut(grant, "assertion=")
	assertion, _, _ = strings.Cut(assertion, "&")
	head, claim := claims(t, assertion, key.Public())
	if !strings.Contains(grant, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer") || head["alg"] != "RS256" || head["kid"] != "kid" ||
		claim["iss"] != "push@our-project.example" || claim["aud"] != s.URL+"/token" || claim["scope"] != googleScope || claim["exp"].(float64)-claim["iat"].(float64) != 3600 {
		t.Errorf("%s %v %v", grant, head, claim)
	}
	first, body := s.asked[1], s.body[1]
	if first.URL.Path != "/v1/projects/our-project/messages:send" || first.Header.Get("Authorization") != "Bearer first" {
		t.Errorf("%s %v", first.URL, first.Header)
	}
	if s.asked[5].Header.Get("Authorization") != "Bearer second" {
		t.Error("the new token is not used")
	}
	var got struct {
		Message struct {
			Token   string
			Data    map[string]string
			Android map[string]string
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Message.Token != "token-of-d1" || got.Message.Data["call-id"] != "call-1" ||
		got.Message.Data["loc-key"] != "IM_MSG" || got.Message.Data["from-uri"] != "sip:asha@pbx.example" || got.Message.Android["priority"] != "HIGH" {
		t.Errorf("%s %v", body, err)
	}
}

func TestTheRelayIsToldAll(t *testing.T) {
	t.Parallel()
	s := provider(t, reply{204, ""}, reply{410, "gone"}, reply{403, "no"}, reply{502, "bad gateway"})
	h, err := NewHook(s.URL+"/wake/$provider?t=$token&a=$app-id&k=$type&c=$call-id&f=$from-uri&n=$from-name&o=$to-uri&u=$uuid&x=$other", s.Client())
	if err != nil {
		t.Fatal(err)
	}
	n := note(pn.Call, "c&d=e")
	n.FromName = `A "quoted"/näme`
	if err := h.Send(t.Context(), iPhone(), n); err != nil {
		t.Fatal(err)
	}
	q := s.asked[0].URL.Query()
	for name, want := range map[string]string{
		"t": "bb22", "a": "TEAM123456.com.example.app.remote&voip", "k": "call", "c": "c&d=e", "f": "sip:asha@pbx.example", "n": n.FromName,
		"o": "sip:bala@pbx.example", "u": "id", "x": "$other",
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(s.body[0]), &body); err != nil || body["from-name"] != n.FromName || body["token"] != "bb22" || s.asked[0].URL.Path != "/wake/apns" {
		t.Errorf("%s %s", s.asked[0].URL, s.body[0])
	}
	for _, want := range []error{ErrGone, ErrRefused, nil} {
		err := h.Send(t.Context(), phone("d1"), note(pn.Message, "c"))
		if err == nil || (want != nil && !errors.Is(err, want)) || (want == nil && (errors.Is(err, ErrGone) || errors.Is(err, ErrRefused))) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	s.Close()
	if err := h.Send(t.Context(), phone("d1"), note(pn.Message, "c")); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("a relay that is away: %v", err)
	}
}

func TestWrongKeysAreNamed(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	faults := func(err error) int { return len(problem.Of(err).Faults) }
	if _, err := NewAPNS(APNSConfig{Key: []byte("x"), KeyID: "1", Team: ""}); faults(err) != 3 {
		t.Errorf("%v", err)
	}
	if _, err := NewAPNS(APNSConfig{Key: pemOf(t, other), KeyID: "KEY1234567", Team: "TEAM123456"}); faults(err) != 1 {
		t.Errorf("%v", err)
	}
	if _, err := NewAPNS(APNSConfig{Key: pemOf(t, rsaKey), KeyID: "KEY1234567", Team: "TEAM123456"}); faults(err) != 1 {
		t.Errorf("a key of another kind: %v", err)
	}
	for _, file := range []string{"", "{}", `{"project_id":"p","client_email":"e","private_key":"x","token_uri":"https://h"}`} {
		if _, err := NewFCM(FCMConfig{Account: []byte(file)}); faults(err) != 1 {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, text := range []string{"", "ftp://h/", "https://$token/x", "https:///x", "://"} {
		if _, err := NewHook(text, nil); faults(err) != 1 {
			t.Errorf("%q: %v", text, err)
		}
	}
}
