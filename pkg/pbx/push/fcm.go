package push

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// Google's server, and what it lets a token do.
const (
	googleHost  = "https://fcm.googleapis.com"
	googleScope = "https://www.googleapis.com/auth/firebase.messaging"
	googleGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523 §2.1
	// grantTime is how long an assertion is good; Google takes no longer one.
	grantTime = time.Hour
	// tokenSpare is how long before its end a token is replaced.
	tokenSpare = 5 * time.Minute
)

// FCMConfig is what an admin gets from Google.
type FCMConfig struct {
	Account []byte // JSON file of a service account
	Client  *http.Client
	Host    string // "" is Google's
}

// FCM wakes Android devices.
type FCM struct {
	cfg     FCMConfig
	account account
	key     crypto.Signer

	mu    sync.Mutex // guards what follows
	token string
	until time.Time
}

type account struct {
	Project  string `json:"project_id"`
	Email    string `json:"client_email"`
	Key      string `json:"private_key"`
	KeyID    string `json:"private_key_id"`
	TokenURI string `json:"token_uri"`
}

// NewFCM returns a sender to Google's server.
func NewFCM(cfg FCMConfig) (*FCM, error) {
	f := &FCM{cfg: cfg}
	err := json.Unmarshal(cfg.Account, &f.account)
	if err == nil {
		f.key, err = parseKey([]byte(f.account.Key))
	}
	if _, isRSA := f.key.(*rsa.PrivateKey); err != nil || !isRSA || f.account.Project == "" || f.account.Email == "" || !strings.HasPrefix(f.account.TokenURI, "http") {
		return nil, problem.Fields("push.fcm", []problem.Fault{{
			Path: "account", Rule: "the JSON file of a service account, with project_id, client_email, private_key and token_uri",
			Cure: "make a key for the service account at Google's page for developers and send the file as it is",
		}})
	}
	if f.cfg.Host == "" {
		f.cfg.Host = googleHost
	}
	return f, nil
}

// Send posts the note to the device's token. The project is that of the key: what the device says
// of it is not trusted.
func (f *FCM) Send(ctx context.Context, d Device, n Note) error {
	token, ok := d.Token(n.Use)
	if !ok {
		return ErrUnable
	}
	auth, err := f.authorization(ctx)
	if err != nil {
		return fmt.Errorf("sign in at Google: %w", err)
	}
	data := map[string]string{
		"uuid": n.ID, "from-uri": n.From, "display-name": n.FromName, "call-id": n.CallID, "sip-from": n.From, "loc-key": textKey(d, n), "loc-args": n.From,
	}
	message := map[string]any{"message": map[string]any{
		"token": token, "data": data,
		"android": map[string]string{"priority": "HIGH", "ttl": fmt.Sprintf("%ds", max(0, int(time.Until(n.Until).Seconds())))},
	}}
	address := f.cfg.Host + "/v1/projects/" + url.PathEscape(f.account.Project) + "/messages:send"
	status, text, err := post(ctx, f.cfg.Client, address, map[string]string{"Authorization": "Bearer " + auth}, message)
	if err != nil {
		return fmt.Errorf("ask Google: %w", err)
	}
	return f.judge(status, text, auth)
}

func (f *FCM) judge(status int, text []byte, auth string) error {
	var why struct {
		Error struct {
			Status  string
			Message string
			Details []struct {
				Code string `json:"errorCode"`
			}
		}
	}
	_ = json.Unmarshal(text, &why) // then it gives no reason
	if status == http.StatusUnauthorized {
		f.drop(auth)
		return errors.New("ask Google: the token is over") // the next try has a new one
	}
	for _, d := range why.Error.Details {
		if d.Code == "UNREGISTERED" {
			status = http.StatusGone
		}
	}
	return judge(status, firstWords([]byte(why.Error.Status+" "+why.Error.Message)))
}

// authorization returns a token of Google's for our key, a new one when the old one is used up.
func (f *FCM) authorization(ctx context.Context) (string, error) {
	f.mu.Lock() // over the request: all others would ask for the same
	defer f.mu.Unlock()
	now := time.Now()
	if f.token != "" && now.Before(f.until) {
		return f.token, nil
	}
	assertion, err := signed(f.key, f.account.KeyID, map[string]any{
		"iss": f.account.Email, "scope": googleScope, "aud": f.account.TokenURI, "iat": now.Unix(), "exp": now.Add(grantTime).Unix(),
	})
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {googleGrant}, "assertion": {assertion}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.account.TokenURI, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, text, err := do(f.cfg.Client, req)
	if err != nil {
		return "", err
	}
	var grant struct {
		Token   string `json:"access_token"`
		Seconds int    `json:"expires_in"`
	}
	if err := json.Unmarshal(text, &grant); err != nil || status != http.StatusOK || grant.Token == "" {
		return "", fmt.Errorf("it answered %d %s", status, firstWords(text))
	}
	f.token, f.until = grant.Token, now.Add(time.Duration(grant.Seconds)*time.Second-tokenSpare)
	return f.token, nil
}

// drop forgets a token that Google does not take any more.
func (f *FCM) drop(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.token == token {
		f.token = ""
	}
}
